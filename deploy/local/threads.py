"""How many threads each server may use, so that one small machine is not oversubscribed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """Threads and slots of every kind of server on one machine."""

    encoder_threads: int
    encoder_sessions: int
    shard_slots: int
    reranker_slots: int


def plan_threads(core_count: int, shard_count: int) -> ThreadPlan:
    """Share `core_count` cores among the servers of one stack.

    The encoder takes at most half of them: on two cores a second thread made no query faster and
    doubled its CPU time, since idle threads spin. The shards work at the same time, so they share
    the cores; more callers than cores only lengthen the tail.
    """
    return ThreadPlan(
        encoder_threads=max(1, min(4, core_count // 2)),
        encoder_sessions=max(1, core_count // 4),
        shard_slots=max(1, core_count // max(1, shard_count)),
        reranker_slots=max(1, core_count // 2),
    )


THREAD_ENVIRONMENT = {
    # OpenMP threads of FAISS would multiply with the callers' threads.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
