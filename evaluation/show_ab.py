"""Shows an A/B of the reranker on a terminal."""

from __future__ import annotations

from rich.console import Console

from evaluation.ab_reranking import RerankerAb, SetComparison
from evaluation.intervals import Interval
from evaluation.tables import open_console, show_gates, show_table, show_verdict, signed


def show_reranker_ab(found: RerankerAb) -> None:
    """Lift, time and lift per millisecond of every set."""
    console = open_console()
    console.print(
        f"release {found.release_id} at {found.address}, {found.how}", markup=False, highlight=False
    )
    for each in found.query_sets:
        _show_set(console, each)
    show_verdict(console, found.verdict)


def _show_set(console: Console, found: SetComparison) -> None:
    rows = [
        [
            name,
            f"{found.without[name]:.3f}",
            f"{found.reranked[name]:.3f}",
            signed(found.lift_pp[name]),
            _per_ms(found.per_ms[name]),
        ]
        for name in found.lift_pp
    ]
    title = f"{found.name} ({found.task}): {found.query_count} queries of {found.article_count}"
    columns = ["", "without", "reranked", "lift, pp (95 %)", "lift per added ms, pp/ms (95 %)"]
    console.print()
    show_table(console, f"{title} articles", columns, rows)
    console.print(f"added, ms (95 % interval): {signed(found.added_ms)}", highlight=False)
    if found.rerank_ms is not None:
        times = found.rerank_ms
        console.print(
            f"rerank seen by the gateway: P50 {times.p50_ms:.2f}, P95 {times.p95_ms:.2f} ms",
            highlight=False,
        )
    console.print(f"rank 1 changes for {found.rank1_change_ratio:.1%} of the queries\n")
    show_gates(console, f"gates of {found.name}", found.gates)


def _per_ms(interval: Interval | None) -> str:
    return "added time not told from none" if interval is None else signed(interval)
