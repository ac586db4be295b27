#!/usr/bin/env python3
"""Stands in for kubectl and a cluster: keeps what is applied, and the revisions of Deployments.

Knows `apply -f FILE`, `apply -k FOLDER`, `rollout undo deployment/NAME` and `rollout status`. What
is applied must be valid by the strict schema. The cluster is the JSON file in FAKE_CLUSTER; the
kubectl named by REAL_KUBECTL composes folders, which needs no cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import yaml

KUBERNETES = "1.30"
Object = dict[str, Any]


def main(arguments: list[str]) -> int:
    file = Path(os.environ["FAKE_CLUSTER"])
    cluster: Object = (
        json.loads(file.read_text("utf-8")) if file.exists() else {"objects": {}, "revisions": {}}
    )
    match arguments:
        case ["apply", "-f", name]:
            apply(cluster, sys.stdin.read() if name == "-" else Path(name).read_text("utf-8"))
        case ["apply", "-k", folder]:
            apply(cluster, kustomized(folder))
        case ["rollout", "undo", name]:
            undo(cluster, name.removeprefix("deployment/"))
        case ["rollout", "status", name]:
            cluster["objects"]["Deployment/" + name.removeprefix("deployment/")]
        case _:
            sys.stderr.write(f"the stand-in does not know: kubectl {' '.join(arguments)}\n")
            return 2
    file.write_text(json.dumps(cluster), encoding="utf-8")
    return 0


def kustomized(folder: str) -> str:
    command = [os.environ["REAL_KUBECTL"], "kustomize", folder]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def apply(cluster: Object, text: str) -> None:
    objects = [one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one]
    if not objects:
        raise SystemExit("error: no objects passed to apply")
    for one in objects:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
    for one in objects:
        name = f"{one['kind']}/{one['metadata']['name']}"
        before = cluster["objects"].get(name)
        cluster["objects"][name] = one
        sys.stdout.write(f"{name} {'created' if before is None else 'configured'}\n")
        if one["kind"] == "Deployment" and template(before) != template(one):
            cluster["revisions"].setdefault(one["metadata"]["name"], []).append(template(one))


def undo(cluster: Object, name: str) -> None:
    revisions = cluster["revisions"].get(name, [])
    if len(revisions) < 2:
        raise SystemExit(f"error: no rollout history found for deployment {name!r}")
    # As Kubernetes does: the revision before becomes the newest.
    revisions.append(revisions.pop(-2))
    cluster["objects"][f"Deployment/{name}"]["spec"]["template"] = revisions[-1]
    sys.stdout.write(f"deployment.apps/{name} rolled back\n")


def template(deployment: Object | None) -> Object | None:
    return None if deployment is None else deployment["spec"]["template"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
