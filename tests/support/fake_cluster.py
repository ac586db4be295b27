"""A cluster that exists as a file, and a shell in which `kubectl` is the stand-in for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retrieval_core.flags import parse_flags
from tests.support import fake_kubectl
from tests.support.kubernetes_objects import ROOT, baseline_manifest, environment_of, pod_of


@dataclass(frozen=True)
class FakeCluster:
    """Its state and its `kubectl` lie in `folder`."""

    folder: Path

    def environment(self) -> dict[str, str]:
        """What a shell needs to find the stand-in, this Python, and the real kubectl."""
        path = f"{self.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        real = shutil.which("kubectl") or ""
        file = str(self.folder / "cluster.json")
        return {"PATH": path, "FAKE_CLUSTER": file, "REAL_KUBECTL": real}

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The script in bash, ended by the first command that fails."""
        return subprocess.run(
            ["bash", "-ec", script],
            cwd=ROOT,
            env={**self.environment(), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def ran(self, script: str, **variables: str) -> None:
        """As run, and it has to succeed."""
        done = self.run(script, **variables)
        assert done.returncode == 0, done.stdout + done.stderr

    def traffic(self) -> Mapping[str, float]:
        """Percent of the callers that each release answers."""
        cluster = json.loads((self.folder / "cluster.json").read_text("utf-8"))["objects"]
        gateway = cluster["Deployment/retriever-service"]
        (volume,) = pod_of(gateway)["spec"]["volumes"]
        flags = cluster[f"ConfigMap/{volume['configMap']['name']}"]["data"]["flags.json"]
        environment = environment_of(gateway)
        canary = environment.get("GATEWAY_CANARY_ENCODER", "")
        percent = parse_flags(flags)["CANARY_PERCENT"] if canary else 0
        shares = {_release(cluster, environment["GATEWAY_ENCODER"]): 100 - percent}
        if canary:
            shares[_release(cluster, canary)] = percent
        return shares


def _release(cluster: Mapping[str, fake_kubectl.Object], target: str) -> str:
    service = cluster[f"Service/{target.partition(':')[0]}"]
    release: str = service["spec"]["selector"]["retrieval-release"]
    return release


def cluster_of_the_release_before(folder: Path) -> FakeCluster:
    """One in which v-1 answers everybody."""
    program = folder / "kubectl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {fake_kubectl.__file__} "$@"\n', "utf-8")
    program.chmod(0o755)
    (folder / "before.yaml").write_text(baseline_manifest(), encoding="utf-8")
    cluster = FakeCluster(folder)
    cluster.ran(f"kubectl apply -f {folder}/before.yaml")
    assert cluster.traffic() == {"v-1": 100}
    return cluster
