"""The load generator: threads that ask, in a process that does nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from multiprocessing.connection import Connection
from typing import Protocol

from benchmarks.load.queries import LoadQuery, varied
from benchmarks.load.samples import OK, Sample
from retrieval_client import Query, RetrievalClient, SearchResult
from retrieval_core.errors import RetrievalError

READY = "ready"
_CONNECT_TIMEOUT_S = 10.0


class Asker(Protocol):
    """What the generator needs of a client."""

    def ask(self, query: Query) -> SearchResult:
        """Answer one query or raise RetrievalError."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one generator process does.

    due_offsets_ns: an open loop sends query i at offset i, whatever became of those before, with
    at most `caller_count` at once; without offsets it is a closed loop of `caller_count` callers
    for `duration_s`, each sending its next query when it has its answer. first_variation: the
    number that the queries carry in their first round; it goes up with every further one.
    """

    address: str
    timeout_ms: float
    queries: Sequence[LoadQuery]
    warmup_queries: Sequence[LoadQuery]
    caller_count: int
    duration_s: float
    first_variation: int = 0
    due_offsets_ns: Sequence[int] | None = None


def serve_job(job: Job, pipe: Connection) -> None:
    """Run in a process of its own: connect, warm up, say ready, wait for the word, send samples."""
    with RetrievalClient(job.address, timeout_ms=job.timeout_ms) as client:
        client.wait_until_ready(_CONNECT_TIMEOUT_S)
        for query in job.warmup_queries:
            ask_once(client, query, time.monotonic_ns())
        pipe.send(READY)
        pipe.recv()
        cpu_before_s = time.process_time()
        samples = run_job(client, job)
        pipe.send((samples, time.process_time() - cpu_before_s))


def run_job(client: Asker, job: Job) -> list[Sample]:
    """All samples of the job, in no particular order."""
    if job.due_offsets_ns is None:
        turns = endless(job.queries, job.first_variation)
        return closed_loop(client, turns, job.caller_count, job.duration_s)
    turns = islice(endless(job.queries, job.first_variation), len(job.due_offsets_ns))
    return open_loop(client, list(turns), job.due_offsets_ns, job.caller_count)


def endless(queries: Sequence[LoadQuery], first_variation: int) -> Iterator[LoadQuery]:
    """The queries over and over, in every round varied anew. ValueError without any."""
    if not queries:
        raise ValueError("fewer queries than generator processes")
    for number in count(first_variation):
        for query in queries:
            yield varied(query, number)


def open_loop(
    client: Asker, queries: Sequence[LoadQuery], due_offsets_ns: Sequence[int], caller_count: int
) -> list[Sample]:
    """Send query i at its offset. A late start counts as latency, since `due_ns` stays."""
    # The callers need a moment to get to their first wait.
    start_ns = time.monotonic_ns() + 20_000_000
    turns = iter(zip(due_offsets_ns, queries, strict=True))
    lock = threading.Lock()

    def caller(samples: list[Sample]) -> None:
        while True:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            due_ns = start_ns + turn[0]
            _sleep_until(due_ns)
            samples.append(ask_once(client, turn[1], due_ns))

    return _run_callers(caller, caller_count)


def closed_loop(
    client: Asker, queries: Iterator[LoadQuery], caller_count: int, duration_s: float
) -> list[Sample]:
    """`caller_count` callers, each with one query at a time, until `duration_s` has passed."""
    ends_ns = time.monotonic_ns() + int(duration_s * 1e9)
    lock = threading.Lock()

    def caller(samples: list[Sample]) -> None:
        while time.monotonic_ns() < ends_ns:
            with lock:
                query = next(queries)
            samples.append(ask_once(client, query, time.monotonic_ns()))

    return _run_callers(caller, caller_count)


def _run_callers(caller: Callable[[list[Sample]], None], caller_count: int) -> list[Sample]:
    kept: list[list[Sample]] = [[] for _ in range(caller_count)]
    with ThreadPoolExecutor(caller_count) as pool:
        list(pool.map(caller, kept))
    return [sample for samples in kept for sample in samples]


def _sleep_until(due_ns: int) -> None:
    left_ns = due_ns - time.monotonic_ns()
    if left_ns > 0:
        time.sleep(left_ns / 1e9)


def ask_once(client: Asker, load_query: LoadQuery, due_ns: int) -> Sample:
    """Send one query and keep what became of it; an error is an outcome."""
    sent_ns = time.monotonic_ns()
    try:
        result = client.ask(load_query.query)
    except RetrievalError as error:
        done_ns = time.monotonic_ns()
        outcome = f"{type(error).__name__} {error.reason}"
        return Sample(load_query.kind, due_ns, sent_ns, done_ns, outcome, error.timings)
    return Sample(
        kind=load_query.kind,
        due_ns=due_ns,
        sent_ns=sent_ns,
        done_ns=time.monotonic_ns(),
        outcome=OK,
        timings=result.timings,
        coverage_ratio=result.coverage.ratio,
        degradations=tuple(f"{item.step} {item.reason}" for item in result.degradations),
        release_id=result.release_id,
    )
