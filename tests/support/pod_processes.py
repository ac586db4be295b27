"""Workloads of a manifest as processes: one a workload, with the environment of its pod.

They run in a network and a mount namespace of their own, in which the names of the services are
hosts. Only what a kubelet would do is done: addresses, names, and where volumes are mounted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.kubernetes_objects import (
    ROOT,
    WORKLOADS,
    Object,
    container_of,
    environment_of,
    of_kind,
    pod_of,
    selects,
)

_HOLD = 'ip link set lo up && mount --bind "$1" /etc/hosts && echo ready && exec sleep infinity'


@dataclass
class PodProcesses:
    """`enter` goes before a command that is to run where the pods are."""

    enter: list[str]
    addresses: dict[str, str]
    folder: Path
    flags_folder: Path
    releases: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, workload: Object) -> None:
        """Start the pod of a workload."""
        name = workload["metadata"]["name"]
        mounted = {"/releases": str(self.releases), "/etc/retrieval": str(self.flags_folder)}
        environment = environment_of(workload)
        for variable, value in environment.items():
            for path, real in mounted.items():
                if value.startswith(f"{path}/") or value == path:
                    environment[variable] = value.replace(path, real, 1)
            if variable.endswith("_HOST"):
                environment[variable] = self.addresses[name]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [*self.enter, sys.executable, "-m", *container_of(workload)["args"]],
                cwd=ROOT,
                env={**_inherited(), **environment},
                stdout=log,
                stderr=log,
            )

    def run(self, *command: str) -> str:
        """Run a command where the pods are; returns what it prints."""
        done = subprocess.run(
            [*self.enter, *command],
            cwd=ROOT,
            env=_inherited(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.last_lines()
        return done.stdout

    def last_lines(self) -> str:
        """The end of every log."""
        logs = sorted(self.folder.glob("*.log"))
        return "".join(f"\n{log.name}: {log.read_text('utf-8')[-600:]}" for log in logs)

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; returns their exit statuses."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(timeout=60) for name, process in self._running.items()}


def _inherited() -> dict[str, str]:
    # What an image has, and nothing of whoever runs the tests.
    return {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def pod_processes(objects: list[Object], folder: Path, releases: Path) -> Iterator[PodProcesses]:
    """A place for the pods of these objects; nothing is started."""
    if os.geteuid() != 0:
        pytest.skip("only root can lay names of services over /etc/hosts")
    workloads = of_kind(objects, *WORKLOADS)
    addresses = {
        one["metadata"]["name"]: f"127.0.1.{number}" for number, one in enumerate(workloads, 1)
    }
    hosts = folder / "hosts"
    hosts.write_text(_hosts_file(objects, addresses), encoding="utf-8")
    flags_folder = folder / "flags"
    flags_folder.mkdir()
    with ExitStack() as stack:
        holder = stack.enter_context(
            subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", "-c", _HOLD, "sh", str(hosts)],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(holder.kill)
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            pytest.skip("namespaces cannot be made here")
        enter = ["nsenter", "--target", str(holder.pid), "--net", "--mount"]
        pods = PodProcesses(enter, addresses, folder, flags_folder, releases)
        try:
            yield pods
        finally:
            pods.stop()


def _hosts_file(objects: list[Object], addresses: dict[str, str]) -> str:
    lines = ["127.0.0.1 localhost"]
    workloads = of_kind(objects, *WORKLOADS)
    for service in of_kind(objects, "Service"):
        for one in workloads:
            if selects(service["spec"]["selector"], one):
                name = service["metadata"]["name"]
                lines.append(f"{addresses[one['metadata']['name']]} {name}")
    return "\n".join(lines) + "\n"


def write_config_map(folder: Path, data: dict[str, str], generation: int) -> None:
    """Renew a mounted ConfigMap as a kubelet does: a new folder, and one link that is replaced."""
    fresh = folder / f"..{generation}"
    fresh.mkdir()
    for name, text in data.items():
        (fresh / name).write_text(text, encoding="utf-8")
    link = folder / "..data_tmp"
    link.symlink_to(fresh.name)
    link.replace(folder / "..data")
    for name in data:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def mounted_flags(objects: list[Object]) -> dict[str, str]:
    """The data of the ConfigMap that the gateway mounts."""
    (gateway,) = [
        one
        for one in of_kind(objects, "Deployment")
        if one["metadata"]["name"] == "retriever-service"
    ]
    (volume,) = pod_of(gateway)["spec"]["volumes"]
    maps = {one["metadata"]["name"]: one for one in of_kind(objects, "ConfigMap")}
    data: dict[str, str] = maps[volume["configMap"]["name"]]["data"]
    return data
