"""Partitions by Ray: bounded, shut down whatever happens, and plain about what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoder_svc import partition_runs
from encoder_svc.partition import PartitionOutcome, PartitionTask
from encoder_svc.partition_runs import CorpusTask, run_with_ray
from retrieval_core.errors import InvalidInput


class StandInRay:
    """The few calls of Ray that are used; a task runs when it is waited for."""

    def __init__(self) -> None:
        self.init_options: dict[str, Any] = {}
        self.most_pending = 0
        self.shutdown_count = 0

    def init(self, **options: Any) -> None:
        self.init_options = options

    def remote(self, num_cpus: int) -> Callable[[Callable[..., Any]], Any]:
        assert num_cpus == 1

        class Remote:
            def __init__(self, function: Callable[..., Any]) -> None:
                self.function = function

            def remote(self, task: PartitionTask) -> Callable[[], Any]:
                return lambda: self.function(task)

        return Remote

    def wait(self, pending: list[Any]) -> tuple[list[Any], list[Any]]:
        self.most_pending = max(self.most_pending, len(pending))
        return pending[-1:], pending[:-1]

    def get(self, done: list[Callable[[], Any]]) -> list[Any]:
        return [task() for task in done]

    def shutdown(self) -> None:
        self.shutdown_count += 1


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandInRay:
    stand_in = StandInRay()
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    return stand_in


TASKS = CorpusTask(Path("model"), Path("texts.jsonl"), Path("parts"), 7).partitions()


def encoded(task: PartitionTask) -> PartitionOutcome:
    return PartitionOutcome(task.index, 1, skipped=False)


def test_every_partition_is_run_and_no_more_at_once_than_asked(
    ray: StandInRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_runs, "encode_partition", encoded)
    done: list[int] = []
    run_with_ray(TASKS, 3, lambda outcome: done.append(outcome.index))
    assert sorted(done) == list(range(7))
    assert ray.most_pending == 3
    assert ray.init_options["num_cpus"] == 3
    assert ray.shutdown_count == 1


def test_a_cluster_is_joined_with_its_own_processors(
    ray: StandInRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_runs, "encode_partition", encoded)
    run_with_ray(TASKS, 2, lambda outcome: None, "auto")
    assert ray.init_options["address"] == "auto"
    assert "num_cpus" not in ray.init_options


def test_ray_is_shut_down_when_a_partition_fails(ray: StandInRay) -> None:
    with pytest.raises(FileNotFoundError, match=r"texts\.jsonl"):
        run_with_ray(TASKS, 2, lambda outcome: None)
    assert ray.shutdown_count == 1


def test_without_ray_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidInput, match="pip install") as caught:
        run_with_ray(TASKS, 2, lambda outcome: None)
    assert caught.value.reason == "NO_RAY"
