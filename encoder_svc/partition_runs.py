"""All partitions of a corpus, over local processes or by Ray; both call the same function."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from encoder_svc.partition import (
    PartitionOutcome,
    PartitionTask,
    encode_partition,
    partition_is_done,
    partition_rows,
)
from encoder_svc.text_lines import count_lines
from encoder_svc.vector_files import replaced_file
from retrieval_core.errors import FailedPrecondition, InvalidInput
from retrieval_core.vectors import DIMENSIONS

OnDone = Callable[[PartitionOutcome], object]


@dataclass(frozen=True, slots=True)
class CorpusTask:
    """A corpus as `count` partitions."""

    model: Path
    input: Path
    folder: Path
    count: int
    threads: int = 1

    def partitions(self) -> list[PartitionTask]:
        """One task a partition, in order of rows."""
        return [
            PartitionTask(self.model, self.input, self.folder, index, self.count, self.threads)
            for index in range(self.count)
        ]


def run_with_processes(tasks: Sequence[PartitionTask], workers: int, on_done: OnDone) -> None:
    """Run every task in `workers` processes; the first error ends the run, what is done stays."""
    # Spawned, not forked: an ONNX Runtime with threads does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
        futures = [pool.submit(encode_partition, task) for task in tasks]
        try:
            for future in as_completed(futures):
                on_done(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_with_ray(
    tasks: Sequence[PartitionTask], workers: int, on_done: OnDone, address: str | None = None
) -> None:
    """Run every task by Ray, at most `workers` at once; every node sees the same paths.

    `address` is that of a cluster (`auto` for the one this machine is part of); without it Ray is
    started here for the run. InvalidInput where the optional package `ray` is not installed.
    """
    try:
        import ray
    except ImportError:
        raise InvalidInput(
            "engine", "Ray is not installed: pip install 'ray>=2.50'", reason="NO_RAY"
        ) from None
    # A cluster has its own count of processors, and refuses to be told another.
    where: dict[str, Any] = {"address": address} if address else {"num_cpus": workers}
    ray.init(**where, include_dashboard=False, log_to_driver=False)
    try:
        for outcome in _ray_outcomes(ray, tasks, workers):
            on_done(outcome)
    finally:
        ray.shutdown()


def _ray_outcomes(
    ray: Any,  # noqa: ANN401 - the module, which is optional
    tasks: Sequence[PartitionTask],
    workers: int,
) -> Iterator[PartitionOutcome]:
    remote = ray.remote(num_cpus=1)(encode_partition)
    waiting = iter(tasks)
    pending = [remote.remote(task) for task in islice(waiting, workers)]
    while pending:
        done, pending = ray.wait(pending)
        pending += [remote.remote(task) for task in islice(waiting, len(done))]
        yield from ray.get(done)


def join_partitions(task: CorpusTask, out: Path) -> int:
    """Write all partitions as one .npy [n, 768] in order of rows; returns n.

    FailedPrecondition names the first partition that is not done.
    """
    row_count = count_lines(task.input)
    parts = task.partitions()
    for part in parts:
        if not partition_is_done(part, partition_rows(row_count, part.index, part.count)):
            raise FailedPrecondition(f"partition {part.index} of {part.count} is not done")
    header = {"descr": "<f4", "fortran_order": False, "shape": (row_count, DIMENSIONS)}
    with replaced_file(out) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for part in parts:
            vectors = np.load(part.vectors_path, mmap_mode="r", allow_pickle=False)
            stream.write(np.ascontiguousarray(vectors).tobytes())
    return row_count
