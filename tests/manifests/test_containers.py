"""The image has what the manifests run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

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
SERVERS = {"encoder_svc", "index_svc", "rerank_svc", "gateway"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def test_what_is_copied_is_there() -> None:
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, flags=re.MULTILINE):
        assert (ROOT / source).exists()


def test_nothing_that_runs_is_left_out() -> None:
    modules = {container_of(one)["args"][0] for one in RUNNING if "args" in container_of(one)}
    assert modules == SERVERS
    needed = {*modules, "tools", "evaluation", "servicekit", "retrieval_core", "releases", "protos"}
    assert needed.isdisjoint(IGNORED)
    assert all((ROOT / module / "__main__.py").is_file() for module in modules)


def test_every_package_that_is_installed_is_copied() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert {name.partition(".")[0] for name in packages["packages"]}.isdisjoint(IGNORED)


def test_what_runs_needs_nothing_that_is_left_out(tmp_path: Path) -> None:
    """All that the manifests start is imported from a copy that has what the image has."""
    left_out = [pattern.removeprefix("**/") for pattern in IGNORED]
    shutil.copytree(ROOT, tmp_path / "app", ignore=shutil.ignore_patterns(*left_out), symlinks=True)
    commands = [container_of(one).get("command", []) for one in RUNNING]
    tools = {Path(words[1]).stem for words in commands if words}
    modules = [*(f"{module}.__main__" for module in SERVERS), *(f"tools.{name}" for name in tools)]
    script = (
        f"import sys, {', '.join(sorted(modules))}\n"
        "files = [getattr(one, '__file__', None) or '' for one in list(sys.modules.values())]\n"
        f"ours = [file for file in files if file.startswith('{ROOT}/')]\n"
        f"print([file for file in ours if not file.startswith('{sys.prefix}/')])\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}/app:{tmp_path}/app/protos"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "app",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


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
