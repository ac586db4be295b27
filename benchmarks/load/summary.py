"""From samples to figures: percentiles, throughput, errors, coverage, degradations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load.samples import OK, Sample
from benchmarks.load.usage import ProcessUsage
from retrieval_client.waterfall import part_budgets_ms, samples_by_part_ms
from retrieval_core.latency import LatencySummary, summarize_ms
from retrieval_core.timing import Timings


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """One phase of the benchmark.

    latency_ms: by part. Stages, retrieval, unaccounted and total are the gateway's, of answered
    requests; `client` is from sending to answer, `response` from the moment the request was due,
    errors included; `send lag` is how late the generator was; `queued STAGE` is the part of a stage
    spent waiting at the target.
    """

    name: str
    offered_per_s: float | None
    caller_count: int
    duration_s: float
    request_count: int
    throughput_per_s: float
    outcomes: Mapping[str, int]
    coverage: Mapping[str, int]
    degradations: Mapping[str, int]
    latency_ms: Mapping[str, LatencySummary]
    by_kind_ms: Mapping[str, Mapping[str, LatencySummary]]
    budgets_ms: Mapping[str, float]
    generator_cpu_s: float
    processes: Sequence[ProcessUsage]

    @property
    def error_count(self) -> int:
        """Requests that were not answered."""
        return self.request_count - self.outcomes.get(OK, 0)


@dataclass(frozen=True, slots=True)
class PhaseRun:
    """What was run, as the summary repeats it. `offered_per_s` is None for a closed loop."""

    name: str
    offered_per_s: float | None
    caller_count: int
    generator_cpu_s: float
    processes: Sequence[ProcessUsage]


def summarize(run: PhaseRun, samples: Sequence[Sample]) -> PhaseSummary:
    """Figures of one phase. Throughput counts answers, from the first due to the last answer."""
    answered = [sample for sample in samples if sample.outcome == OK]
    duration_s = _duration_s(samples)
    kinds = sorted({sample.kind for sample in samples})
    return PhaseSummary(
        name=run.name,
        offered_per_s=run.offered_per_s,
        caller_count=run.caller_count,
        duration_s=duration_s,
        request_count=len(samples),
        throughput_per_s=len(answered) / duration_s if duration_s else 0.0,
        outcomes=_counts(sample.outcome for sample in samples),
        coverage=_counts(f"{sample.coverage_ratio:g}" for sample in answered),
        degradations=_counts(step for sample in answered for step in sample.degradations),
        latency_ms=latencies_ms(samples),
        by_kind_ms={
            kind: latencies_ms([sample for sample in samples if sample.kind == kind])
            for kind in (kinds if len(kinds) > 1 else [])
        },
        budgets_ms=part_budgets_ms(_ledgers(answered)),
        generator_cpu_s=run.generator_cpu_s,
        processes=run.processes,
    )


def latencies_ms(samples: Sequence[Sample]) -> dict[str, LatencySummary]:
    """Percentiles by part; parts without a sample are absent."""
    answered = [sample for sample in samples if sample.outcome == OK]
    parts = samples_by_part_ms(_ledgers(answered))
    parts["response"] = [sample.response_ns / 1e6 for sample in samples]
    parts["send lag"] = [sample.lag_ns / 1e6 for sample in samples]
    parts |= _queued_ms(answered)
    found = {name: summarize_ms(values) for name, values in parts.items()}
    return {name: summary for name, summary in found.items() if summary is not None}


def _ledgers(samples: Iterable[Sample]) -> list[tuple[Timings, int]]:
    return [(sample.timings, sample.client_ns) for sample in samples if sample.timings is not None]


def _queued_ms(samples: Iterable[Sample]) -> dict[str, list[float]]:
    queued: dict[str, list[float]] = {}
    for sample in samples:
        for stage, longest_ns in _longest_queued_ns(sample).items():
            queued.setdefault(f"queued {stage}", []).append(longest_ns / 1e6)
    return queued


def _longest_queued_ns(sample: Sample) -> dict[str, int]:
    longest: dict[str, int] = {}
    for timing in sample.timings.stages if sample.timings else ():
        name = timing.stage.value
        longest[name] = max(longest.get(name, 0), timing.queued_ns)
    # A stage inside the gateway never queues; a row of zeros would say nothing.
    return {name: ns for name, ns in longest.items() if name in _QUEUEING_STAGES}


_QUEUEING_STAGES = ("ENCODE", "SEARCH", "RERANK")


def _duration_s(samples: Sequence[Sample]) -> float:
    if not samples:
        return 0.0
    first_ns = min(sample.due_ns for sample in samples)
    last_ns = max(sample.done_ns for sample in samples)
    return (last_ns - first_ns) / 1e9


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())
