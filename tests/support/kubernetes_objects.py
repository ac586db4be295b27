"""Reading Kubernetes objects in tests: manifests, pod templates, selectors, environments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
CANARY = K8S / "retriever-v0-canary.yaml"
PRODUCTION = K8S / "retriever-v0-production.yaml"
COMMON = tuple(
    file
    for file in sorted((K8S / "base" / "common").glob("*.yaml"))
    if file.name != "kustomization.yaml"
)
WORKLOADS = ("Deployment", "StatefulSet")

Object = dict[str, Any]


def objects_of(text: str) -> list[Object]:
    """Every object of a manifest."""
    return [one for one in yaml.safe_load_all(text) if one]


def objects_in(*files: Path) -> list[Object]:
    """Every object of the manifests."""
    return [one for file in files for one in objects_of(file.read_text(encoding="utf-8"))]


def baseline_manifest() -> str:
    """The production manifest of the release before: the same with the other names."""
    text = PRODUCTION.read_text(encoding="utf-8")
    return text.replace("retriever_v0", "v-1").replace("-v0", "-v-1")


def name_of(one: Object) -> str:
    """Kind and name."""
    return f"{one['kind']}/{one['metadata']['name']}"


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Those of the kinds."""
    return [one for one in objects if one["kind"] in kinds]


def pod_of(one: Object) -> Object:
    """The pod template of a workload or a CronJob."""
    spec = one["spec"]
    template: Object = (
        spec["jobTemplate"]["spec"]["template"] if one["kind"] == "CronJob" else spec["template"]
    )
    return template


def container_of(one: Object) -> Object:
    """The only container of a workload or a CronJob."""
    (container,) = pod_of(one)["spec"]["containers"]
    found: Object = container
    return found


def selects(selector: Mapping[str, str], one: Object) -> bool:
    """Whether the selector matches the pods of a workload."""
    labels = pod_of(one)["metadata"]["labels"]
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def environment_of(one: Object) -> dict[str, str]:
    """The environment of the container as the pod sees it."""
    labels = pod_of(one)["metadata"]["labels"]
    environment: dict[str, str] = {}
    for variable in container_of(one).get("env", []):
        if "valueFrom" in variable:
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            value = labels[re.fullmatch(r"metadata\.labels\['(.+)'\]", path)[1]]  # type: ignore[index]
        else:
            value = variable["value"]
        # Only what stands before is known, as in Kubernetes.
        environment[variable["name"]] = re.sub(
            r"\$\((\w+)\)", lambda match: environment.get(match[1], match[0]), value
        )
    return environment


def probes_of(one: Object) -> Iterator[tuple[str, Object]]:
    """Each probe by its name."""
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        if name in container_of(one):
            yield name, container_of(one)[name]


def port_number(one: Object, port: int | str) -> int | None:
    """The number of a container port given by name or number; None where there is none."""
    for listed in container_of(one).get("ports", []):
        if port in {listed["name"], listed["containerPort"]}:
            number: int = listed["containerPort"]
            return number
    return None
