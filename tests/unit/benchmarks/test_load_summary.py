from __future__ import annotations

import json

import pytest

from benchmarks.load.report import json_object, table_lines
from benchmarks.load.samples import OK, Sample
from benchmarks.load.summary import PhaseRun, summarize
from benchmarks.load.usage import ProcessUsage
from retrieval_core.timing import Stage, StageTiming, Timings

MS = 1_000_000


def sample(
    turn: int, *, outcome: str = OK, kind: str = "text", shard_ms: float = 1.0, lag_ms: float = 0.0
) -> Sample:
    due_ns = turn * 100 * MS
    timings = Timings(
        (
            StageTiming(Stage.ENCODE, "encoder", 2 * MS, MS // 2, 4 * MS),
            StageTiming(Stage.SEARCH, "shard-0", MS // 2, MS // 10, 3 * MS),
            StageTiming(Stage.SEARCH, "shard-1", int(shard_ms * MS), MS // 5, 3 * MS),
            StageTiming(Stage.MERGE, "gateway", MS // 10, 0, MS // 2),
            StageTiming(Stage.RERANK, "reranker", MS, 0, 2 * MS),
        ),
        int((3.6 + shard_ms) * MS),
    )
    return Sample(
        kind=kind,
        due_ns=due_ns,
        sent_ns=due_ns + int(lag_ms * MS),
        done_ns=due_ns + 10 * MS,
        outcome=outcome,
        timings=timings if outcome == OK else None,
        coverage_ratio=1.0 if turn % 2 else 0.5,
        degradations=() if turn % 2 else ("PARTIAL_COVERAGE SHARD_TIMED_OUT",),
    )


RUN = PhaseRun("open loop", 10.0, 64, 0.05, [ProcessUsage("gateway", 0.5, 120_000_000, True)])


def test_figures_of_stages_and_of_the_whole() -> None:
    phase = summarize(RUN, [sample(turn) for turn in range(10)])
    latency = phase.latency_ms
    assert latency["ENCODE"].p95_ms == 2.0
    assert latency["SEARCH"].p50_ms == 1.0
    assert latency["retrieval"].p50_ms == pytest.approx(3.1)
    assert latency["unaccounted"].p50_ms == pytest.approx(0.5)
    assert latency["total"].p99_ms == pytest.approx(4.6)
    assert latency["response"].p50_ms == 10.0
    assert latency["queued SEARCH"].p50_ms == pytest.approx(0.2)
    assert "queued MERGE" not in latency


def test_throughput_counts_answers_between_the_first_due_and_the_last_answer() -> None:
    samples = [sample(turn) for turn in range(9)] + [sample(9, outcome="Overloaded QUEUE_FULL")]
    phase = summarize(RUN, samples)
    assert phase.duration_s == pytest.approx(0.91)
    assert phase.throughput_per_s == pytest.approx(9 / 0.91)
    assert phase.error_count == 1
    assert phase.outcomes == {OK: 9, "Overloaded QUEUE_FULL": 1}


def test_errors_count_in_the_response_time_and_nowhere_else() -> None:
    phase = summarize(RUN, [sample(0), sample(1, outcome="DeadlineExceeded DEADLINE_EXCEEDED")])
    assert phase.latency_ms["response"].count == 2
    assert phase.latency_ms["total"].count == phase.latency_ms["client"].count == 1


def test_coverage_and_degradations_are_counted() -> None:
    phase = summarize(RUN, [sample(turn) for turn in range(4)])
    assert phase.coverage == {"0.5": 2, "1": 2}
    assert phase.degradations == {"PARTIAL_COVERAGE SHARD_TIMED_OUT": 2}


def test_a_late_generator_shows_and_counts() -> None:
    phase = summarize(RUN, [sample(0, lag_ms=4.0)])
    assert phase.latency_ms["send lag"].p50_ms == 4.0
    assert phase.latency_ms["client"].p50_ms == 6.0
    assert phase.latency_ms["response"].p50_ms == 10.0


def test_kinds_are_told_apart_only_where_there_are_several() -> None:
    assert summarize(RUN, [sample(0)]).by_kind_ms == {}
    both = summarize(RUN, [sample(0), sample(1, kind="context", shard_ms=3.0)])
    assert both.by_kind_ms["context"]["SEARCH"].p50_ms == 3.0
    assert both.by_kind_ms["text"]["SEARCH"].p50_ms == 1.0


def test_a_phase_without_requests_has_no_figures() -> None:
    phase = summarize(RUN, [])
    assert (phase.request_count, phase.throughput_per_s, phase.latency_ms) == (0, 0.0, {})


def test_the_json_is_plain_and_whole() -> None:
    phase = summarize(RUN, [sample(0), sample(1)])
    origin = {"source": {"commit": "abc"}}
    content = json.loads(json.dumps(json_object([phase], origin, {"seed": 1})))
    assert content["source"]["commit"] == "abc"
    assert content["settings"] == {"seed": 1}
    assert content["phases"][0]["latency_ms"]["ENCODE"]["p95_ms"] == 2.0
    assert content["phases"][0]["error_count"] == 0
    assert content["phases"][0]["processes"][0]["cpu_s"] == 0.5


def test_the_table_marks_what_is_over_budget_and_names_what_went_wrong() -> None:
    samples = [sample(0, shard_ms=3.5), sample(1, outcome="Unavailable UNREACHABLE")]
    lines = table_lines([summarize(RUN, samples)])
    search = next(line.split() for line in lines if line.startswith("  SEARCH "))
    assert search == ["SEARCH", "1", "3.50", "3.50", "3.50", "3", "over"]
    assert any(line.strip() == "errors: Unavailable UNREACHABLE x 1" for line in lines)
    assert any(line.strip() == "coverage: 0.5 x 1" for line in lines)
    assert any(line.strip().startswith("gateway") and "120 MB" in line for line in lines)
