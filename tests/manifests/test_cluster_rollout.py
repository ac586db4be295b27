"""The rollout on a stand-in for a cluster: who is asked after each command, undo included."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_cluster import FakeCluster, cluster_of_the_release_before

CARRY = "source scripts/kubectl_flags.sh\n"
APPLY_CANARY = "kubectl apply -f k8s/retriever-v0-canary.yaml"
APPLY_PRODUCTION = "kubectl apply -f k8s/retriever-v0-production.yaml"
UNDO = "kubectl rollout undo deployment/retriever-service"


@pytest.fixture
def cluster(tmp_path: Path) -> FakeCluster:
    return cluster_of_the_release_before(tmp_path)


def test_each_step_of_the_rollout_sends_its_share(cluster: FakeCluster) -> None:
    for percent in (5, 25, 50):
        cluster.ran(f"{CARRY}export CANARY_PERCENT={percent}\n{APPLY_CANARY}")
        assert cluster.traffic() == {"v-1": 100 - percent, "retriever_v0": percent}
    cluster.ran(f"{CARRY}export CANARY_PERCENT=100\n{APPLY_PRODUCTION}")
    assert cluster.traffic() == {"retriever_v0": 100}


@pytest.mark.parametrize("percent", [5, 50])
def test_undo_during_the_canary_takes_it_out_of_traffic(cluster: FakeCluster, percent: int) -> None:
    cluster.ran(f"{CARRY}export CANARY_PERCENT=5\n{APPLY_CANARY}")
    cluster.ran(f"{CARRY}export CANARY_PERCENT={percent}\n{APPLY_CANARY}")
    cluster.ran(UNDO)
    assert cluster.traffic() == {"v-1": 100}


def test_undo_after_the_last_step_sends_nobody_to_the_new_release(cluster: FakeCluster) -> None:
    cluster.ran(f"{CARRY}export CANARY_PERCENT=50\n{APPLY_CANARY}")
    cluster.ran(f"{CARRY}export CANARY_PERCENT=100\n{APPLY_PRODUCTION}")
    cluster.ran(UNDO)
    assert cluster.traffic() == {"v-1": 100, "retriever_v0": 0}


def test_without_the_shell_function_the_file_alone_decides(cluster: FakeCluster) -> None:
    cluster.ran(f"export CANARY_PERCENT=25\n{APPLY_CANARY}")
    assert cluster.traffic() == {"v-1": 95, "retriever_v0": 5}
    cluster.ran(
        "export CANARY_PERCENT=25\n"
        "python tools/render_k8s.py k8s/retriever-v0-canary.yaml | kubectl apply -f -"
    )
    assert cluster.traffic() == {"v-1": 75, "retriever_v0": 25}


def test_a_wrong_flag_applies_nothing(cluster: FakeCluster) -> None:
    done = cluster.run(f"{CARRY}{APPLY_CANARY}", CANARY_PERCENT="250")
    assert done.returncode == 2
    assert "CANARY_PERCENT: is 250" in done.stderr
    assert cluster.traffic() == {"v-1": 100}


def test_other_commands_of_kubectl_are_passed_on(cluster: FakeCluster) -> None:
    cluster.ran(f"{CARRY}{APPLY_CANARY}\n{UNDO}")
    assert cluster.run(f"{CARRY}kubectl get pods").returncode == 2
