"""Runs one phase: generator processes, the meter beside them, the summary after."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from benchmarks.load.generator import Job, serve_job
from benchmarks.load.queries import LoadQuery
from benchmarks.load.samples import Sample
from benchmarks.load.schedule import Arrivals, cycled, dealt, due_offsets_ns
from benchmarks.load.summary import PhaseRun, PhaseSummary, summarize
from benchmarks.load.usage import UsageMeter
from deploy.local.state import StartedServer

_START_LIMIT_S = 60.0
_TAIL_LIMIT_S = 60.0


class GeneratorFailed(Exception):
    """A generator process ended without its samples; its own output says why."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How the load is made; the same for every phase.

    open_caller_limit: requests that an open loop may have in flight; beyond it they wait, and the
    wait counts. process_count: generator processes.
    """

    address: str
    timeout_ms: float
    duration_s: float
    warmup_count: int
    arrivals: Arrivals
    seed: int
    open_caller_limit: int = 64
    process_count: int = 1


def open_phase(
    settings: LoadSettings,
    rate_per_s: float,
    queries: Sequence[LoadQuery],
    servers: Sequence[StartedServer],
) -> PhaseSummary:
    """Fixed arrival rate, whatever the answers do."""
    offsets = due_offsets_ns(rate_per_s, settings.duration_s, settings.arrivals, settings.seed)
    turns = list(zip(offsets, cycled(queries, len(offsets)), strict=True))
    jobs = [
        replace(
            _job(settings, queries, settings.open_caller_limit),
            due_offsets_ns=[due for due, _ in hand],
            queries=[query for _, query in hand],
        )
        for hand in dealt(turns, settings.process_count)
        if hand
    ]
    name = f"open loop, {settings.arrivals}"
    return _run(name, rate_per_s, settings.open_caller_limit, jobs, servers)


def closed_phase(
    settings: LoadSettings,
    caller_count: int,
    queries: Sequence[LoadQuery],
    servers: Sequence[StartedServer],
) -> PhaseSummary:
    """A fixed number of callers, each sending its next query when it has its answer."""
    hands = [len(hand) for hand in dealt(range(caller_count), settings.process_count)]
    jobs = [_job(settings, queries, callers) for callers in hands if callers]
    name = f"closed loop, {caller_count} caller{'s' if caller_count > 1 else ''}"
    return _run(name, None, caller_count, jobs, servers)


def _job(settings: LoadSettings, queries: Sequence[LoadQuery], caller_count: int) -> Job:
    return Job(
        address=settings.address,
        timeout_ms=settings.timeout_ms,
        queries=queries,
        # From the end, so that a cache is warmed with other queries than those that come first.
        warmup_queries=cycled(list(reversed(queries)), settings.warmup_count),
        caller_count=caller_count,
        duration_s=settings.duration_s,
    )


def _run(
    name: str,
    offered_per_s: float | None,
    caller_count: int,
    jobs: Sequence[Job],
    servers: Sequence[StartedServer],
) -> PhaseSummary:
    with ExitStack() as cleanup:
        pipes = [_start(job, cleanup) for job in jobs]
        for pipe in pipes:
            _receive(pipe, _START_LIMIT_S)
        meter = UsageMeter(servers)
        meter.start()
        for pipe in pipes:
            pipe.send("go")
        limit_s = jobs[0].duration_s + jobs[0].timeout_ms / 1000 + _TAIL_LIMIT_S
        answers = [_receive(pipe, limit_s) for pipe in pipes]
        processes = meter.stop()
    samples: list[Sample] = [sample for answer in answers for sample in answer[0]]
    cpu_s = sum(answer[1] for answer in answers)
    return summarize(PhaseRun(name, offered_per_s, caller_count, cpu_s, processes), samples)


def _start(job: Job, cleanup: ExitStack) -> Connection:
    # Spawned, not forked: gRPC does not survive a fork.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_job, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()
    cleanup.callback(_end, process, ours)
    return ours


def _end(process: BaseProcess, pipe: Connection) -> None:
    pipe.close()
    process.join(timeout=5.0)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


def _receive(pipe: Connection, limit_s: float) -> tuple[list[Sample], float]:
    try:
        if pipe.poll(limit_s):
            answer: tuple[list[Sample], float] = pipe.recv()
            return answer
    except EOFError:
        raise GeneratorFailed("a load generator ended early; see its output above") from None
    raise GeneratorFailed(f"a load generator said nothing for {limit_s:g} s")
