from __future__ import annotations

import io

import pytest

from retrieval_client.recent import RecentCalls
from retrieval_client.results import Coverage, SearchResult
from retrieval_client.waterfall import (
    BAR_WIDTH,
    Waterfall,
    budgets_of,
    percentile_lines,
    samples_by_part_ms,
    spans_of,
)
from retrieval_core.timing import Stage, StageTiming, Timings

MS = 1_000_000


def timings(rerank_ms: float = 1.0) -> Timings:
    return Timings(
        (
            StageTiming(Stage.ENCODE, "encoder", 3 * MS, MS // 2, 4 * MS),
            StageTiming(Stage.SEARCH, "shard-0", 1 * MS, 0, 3 * MS),
            StageTiming(Stage.SEARCH, "shard-1", 2 * MS, 0, 3 * MS),
            StageTiming(Stage.RERANK, "reranker", int(rerank_ms * MS), 0, 2 * MS),
        ),
        total_ns=int((6.5 + rerank_ms) * MS),
    )


def result(client_elapsed_ns: int = 9 * MS) -> SearchResult:
    coverage = Coverage(2, 2, 1.0, ())
    return SearchResult((), timings(), coverage, (), "demo", "", "", False, 8, client_elapsed_ns)


def bar_of(line: str) -> str:
    return line[25 : 25 + BAR_WIDTH]


def test_stages_follow_each_other_and_entries_of_one_stage_start_together() -> None:
    starts = {span.name: span.start_ns for span in spans_of(timings())}
    assert starts == {
        "ENCODE encoder": 0,
        "SEARCH shard-0": 3 * MS,
        "SEARCH shard-1": 3 * MS,
        "RERANK reranker": 5 * MS,
    }


def test_the_drawing_has_every_part_with_its_milliseconds_and_budget() -> None:
    lines = Waterfall(timings(), client_elapsed_ns=9 * MS).lines()
    figures = {line[:24].strip(): line[25 + BAR_WIDTH :].split() for line in lines[1:-2]}
    assert figures == {
        "ENCODE encoder": ["3.00", "0.50", "4"],
        "SEARCH shard-0": ["1.00", "3"],
        "SEARCH shard-1": ["2.00", "3"],
        "RERANK reranker": ["1.00", "2"],
        "unaccounted": ["1.50"],
        "total (gateway)": ["7.50", "10"],
        "network and client": ["1.50"],
    }
    assert lines[-2:] == [
        "retrieval  5.00 ms, within its 8 ms",
        "rerank     1.00 ms, within its 2 ms",
    ]


def test_bars_are_to_scale_and_in_place() -> None:
    lines = Waterfall(timings(), client_elapsed_ns=8 * MS).lines()
    assert bar_of(lines[1]) == "█" * 12 + "." * 20
    assert bar_of(lines[3]) == "." * 12 + "█" * 8 + "." * 12


def test_a_stage_over_its_budget_is_said_to_be() -> None:
    assert Waterfall(timings(rerank_ms=2.5)).lines()[-1] == "rerank     2.50 ms, OVER its 2 ms"


def test_a_stage_that_did_not_run_is_said_not_to_have() -> None:
    alone = Timings((StageTiming(Stage.ENCODE, "encoder", MS, 0, 4 * MS),), 2 * MS)
    assert Waterfall(alone).lines()[-1] == "rerank     did not run"


def test_budgets_of_stages_that_did_not_run_are_the_defaults() -> None:
    stated = Timings((StageTiming(Stage.SEARCH, "shard-0", MS, 0, 5 * MS),), MS)
    budgets = budgets_of(stated)
    assert (budgets.retrieval_ns, budgets.rerank_ns) == (10 * MS, 2 * MS)


def test_an_empty_ledger_is_drawn_without_trouble() -> None:
    lines = Waterfall(Timings((), 0)).lines()
    assert lines[1].startswith("unaccounted")


def test_parts_of_many_requests_add_up() -> None:
    parts = samples_by_part_ms([(timings(), 9 * MS), (timings(rerank_ms=3), 0)])
    assert parts["SEARCH"] == [2.0, 2.0]
    assert parts["retrieval"] == [5.0, 5.0]
    assert parts["RERANK"] == [1.0, 3.0]
    assert parts["unaccounted"] == pytest.approx([1.5, 1.5])
    assert parts["total"] == [7.5, 9.5]
    assert parts["client"] == [9.0]
    assert "QUERY_MODEL" not in parts


def test_percentiles_mark_a_part_whose_p95_is_over_its_budget() -> None:
    lines = percentile_lines({"retrieval": [1.0, 9.0], "RERANK": [1.0]}, {"retrieval": 8.0})
    assert lines[1].split() == ["retrieval", "2", "1.00", "9.00", "9.00", "8", "!"]
    assert lines[2].split() == ["RERANK", "1", "1.00", "1.00", "1.00"]


def test_a_result_prints_its_own_profile() -> None:
    out = io.StringIO()
    result().profile(out)
    assert out.getvalue().splitlines() == result().waterfall().lines()


def test_a_profile_goes_to_standard_output_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    result().profile()
    assert "total (gateway)" in capsys.readouterr().out


def test_recent_calls_show_percentiles_of_what_was_kept() -> None:
    recent = RecentCalls()
    assert recent.lines() == ["no calls yet"]
    recent.add(result())
    assert any(line.split()[:2] == ["total", "1"] for line in recent.lines())
