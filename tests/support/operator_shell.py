"""The place in which an operator types: a working root with releases, a stack and a cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.fake_cluster import FakeCluster, cluster_of_the_release_before
from tests.support.kubernetes_objects import ROOT
from tests.support.made_up_corpus import write_articles
from tests.support.quiet_network import quiet_network
from tests.support.required_tools import require_tool

# What the commands read of the project; artifacts/ and .run/ are the root's own.
_LINKED = ("tools", "scripts", "k8s", "deploy", "docs")
_FLAGS = ("RETRIEVER_IMPL", "RERANKER", "CANARY_PERCENT", "FAISS_NPROBE", "SHADOW_PERCENT")
# All lists are searched: it is the commands that are tested, and a hundred passages in clusters
# would leave their verdicts to chance.
_BUILD = "--shards 2 --max-tokens 32 --nlist 16 --nprobe 16 --workers 1"
_BEGIN = """
git init --quiet .
git -c user.name=tests -c user.email=tests@localhost commit --quiet --allow-empty -m "Begin"
"""


@dataclass
class OperatorShell:
    """Runs commands as typed, one after another; what is exported stays exported."""

    root: Path
    cluster: FakeCluster
    network: list[str]
    exported: dict[str, str] = field(default_factory=dict)

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """The command in bash, with what earlier ones exported."""
        self.exported |= exports_of(command)
        return self.run(f"source scripts/kubectl_flags.sh\n{command}")

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """A script in bash; a failure inside a pipe is one, too."""
        return subprocess.run(
            [*self.network, "bash", "-o", "pipefail", "-ec", script],
            cwd=self.root,
            env={**_environment(), **self.cluster.environment(), **self.exported},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def ran(self, script: str) -> str:
        """As run; it has to succeed. Returns its output."""
        done = self.run(script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def exports_of(command: str) -> dict[str, str]:
    """The variables that lines of the command export."""
    lines = re.findall(r"^export (.+)$", command, flags=re.MULTILINE)
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


def _environment() -> dict[str, str]:
    # A flag in the environment of whoever runs the tests is none of the operator's.
    return {name: value for name, value in os.environ.items() if name not in _FLAGS}


@contextmanager
def operator_shell(folder: Path) -> Iterator[OperatorShell]:
    """Releases v-1 and retriever_v0 are built; nothing runs yet, but for a cluster of v-1."""
    for tool in ("jq", "curl", "sha256sum"):
        require_tool(tool)
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    root = build_releases(folder)
    with quiet_network() as network:
        shell = OperatorShell(root, cluster_of_the_release_before(bin_folder), network)
        shell.ran(_BEGIN)
        try:
            yield shell
        finally:
            shell.run("python -m deploy.local down")


def build_releases(folder: Path) -> Path:
    """A working root in `folder` with the releases v-1 and retriever_v0, searched whole."""
    root = folder / "root"
    root.mkdir()
    for name in _LINKED:
        (root / name).symlink_to(ROOT / name)
    write_articles(root / "corpus", articles=11, paragraphs=6)
    for release, seed in (("v-1", 1), ("retriever_v0", 0)):
        options = f"--corpus corpus --name {release} --seed {seed} {_BUILD}".split()
        command = [sys.executable, "tools/build_release.py", *options]
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
    return root
