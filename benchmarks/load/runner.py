"""Runs one phase: generator processes, the meter beside them, the summary after."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from benchmarks.load.generator import Job, serve_job
from benchmarks.load.queries import LoadQuery, varied
from benchmarks.load.samples import Sample
from benchmarks.load.schedule import Arrivals, cycled, dealt, due_offsets_ns
from benchmarks.load.summary import PhaseRun, PhaseSummary, summarize
from benchmarks.load.usage import UsageMeter
from deploy.local.state import StartedServer

_START_LIMIT_S = 60.0
_TAIL_LIMIT_S = 60.0
# Small numbers, so that the texts hardly grow; more rounds than a phase can get through.
_VARIATIONS_A_PHASE = 20


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


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked, with what, and which phase this is; every phase varies the queries anew."""

    queries: Sequence[LoadQuery]
    servers: Sequence[StartedServer]
    phase_number: int = 0


def open_phase(settings: LoadSettings, target: Target, rate_per_s: float) -> PhaseSummary:
    """Fixed arrival rate, whatever the answers do."""
    offsets = due_offsets_ns(rate_per_s, settings.duration_s, settings.arrivals, settings.seed)
    jobs = [
        replace(job, due_offsets_ns=hand)
        for job, hand in zip(
            _jobs(settings, target, [settings.open_caller_limit] * settings.process_count),
            dealt(offsets, settings.process_count),
            strict=True,
        )
    ]
    name = f"open loop, {settings.arrivals}"
    return _run(name, rate_per_s, settings.open_caller_limit, jobs, target.servers)


def closed_phase(settings: LoadSettings, target: Target, caller_count: int) -> PhaseSummary:
    """A fixed number of callers, each sending its next query when it has its answer."""
    hands = [len(hand) for hand in dealt(range(caller_count), settings.process_count)]
    jobs = _jobs(settings, target, [hand for hand in hands if hand])
    name = f"closed loop, {caller_count} caller{'s' if caller_count > 1 else ''}"
    return _run(name, None, caller_count, jobs, target.servers)


def _jobs(settings: LoadSettings, target: Target, caller_counts: Sequence[int]) -> list[Job]:
    first_variation = target.phase_number * _VARIATIONS_A_PHASE
    return [
        Job(
            address=settings.address,
            timeout_ms=settings.timeout_ms,
            queries=queries,
            warmup_queries=[
                varied(query, first_variation + _VARIATIONS_A_PHASE - 1)
                for _, query in cycled(queries, settings.warmup_count)
            ],
            caller_count=callers,
            duration_s=settings.duration_s,
            first_variation=first_variation,
        )
        for callers, queries in zip(
            caller_counts, dealt(target.queries, len(caller_counts)), strict=True
        )
    ]


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
