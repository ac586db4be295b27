"""The image has what the manifests run."""

from __future__ import annotations

import re
import tomllib

from tests.support.kubernetes_objects import (
    CANARY,
    COMMON,
    PRODUCTION,
    ROOT,
    WORKLOADS,
    container_of,
    objects_in,
    of_kind,
    pod_of,
)

CONTAINERS = ROOT / "deploy" / "containers"
DOCKERFILE = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
IGNORED = [
    line
    for line in (CONTAINERS / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]
RUNNING = of_kind(objects_in(CANARY, PRODUCTION, *COMMON), *WORKLOADS, "CronJob")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def test_what_is_copied_is_there() -> None:
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, flags=re.MULTILINE):
        assert (ROOT / source).exists()


def test_nothing_that_runs_is_left_out() -> None:
    modules = {container_of(one)["args"][0] for one in RUNNING if "args" in container_of(one)}
    assert modules == {"encoder_svc", "index_svc", "rerank_svc", "gateway"}
    needed = {*modules, "tools", "evaluation", "servicekit", "retrieval_core", "releases", "protos"}
    assert needed.isdisjoint(IGNORED)
    assert all((ROOT / module / "__main__.py").is_file() for module in modules)


def test_the_user_is_the_one_of_the_manifests() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, flags=re.MULTILINE)
    assert user is not None
    for one in RUNNING:
        context = pod_of(one)["spec"]["securityContext"]
        assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user.groups()


def test_the_image_is_pinned_to_this_version() -> None:
    rendered = of_kind(objects_in(CANARY, PRODUCTION), *WORKLOADS)
    assert {container_of(one)["image"] for one in rendered} == {f"retrieval-stack:{VERSION}"}
    assert f"retrieval-stack:{VERSION}" in DOCKERFILE


def test_arguments_are_modules_because_the_entry_point_runs_modules() -> None:
    assert 'ENTRYPOINT ["python", "-m"]' in DOCKERFILE
