"""Shows agreement, sweeps, norms, truths and comparisons on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluation.agreement import AgreementReport
from evaluation.comparing import Change, RerankComparison, Want
from evaluation.flat_files import FlatTruthReport
from evaluation.gates import combine
from evaluation.metric_changes import MetricsComparison
from evaluation.norms import NormReport
from evaluation.sweep import Sweep
from evaluation.tables import (
    bars,
    colored,
    figure,
    open_console,
    show_gates,
    show_table,
    show_verdict,
    signed,
    with_bounds,
)


def show_agreement(report: AgreementReport) -> None:
    """Figures of one comparison and its gate."""
    console = open_console()
    rows = [
        ["passages", f"{report.passage_count:,}"],
        ["nprobe", f"{report.nprobe} of {report.nlist} lists"],
        ["queries", f"{report.query_count} {report.queries}"],
        ["same rank 1", f"{report.rank1_agreement:.3f}"],
        ["worst query", f"{report.worst:.3f}"],
    ]
    show_table(console, f"{report.ivf} against {report.flat}", ["", ""], rows)
    show_gates(console, "", [report.gate])
    show_verdict(console, report.gate.verdict)


def show_sweep(sweep: Sweep) -> None:
    """The curve as a table, and the pick."""
    console = open_console()
    slowest = max([point.p95_ms for point in sweep.points] + [sweep.target_ms])
    rows = [
        [
            f"{point.nprobe}{' *' if point.nprobe == sweep.picked else ''}",
            f"{point.recall:.4f}",
            signed(point.loss_pp),
            with_bounds(point.agreement),
            f"{point.p50_ms:.2f}",
            f"{point.p95_ms:.2f}",
            bars([point.recall]) + bars([point.p95_ms], 0.0, slowest),
            colored(point.verdict),
        ]
        for point in sweep.points
    ]
    title = (
        f"{sweep.release_id or sweep.index}: {sweep.passage_count:,} passages, {sweep.nlist} "
        f"lists; {sweep.query_count} {sweep.queries}; to find: {sweep.gold}; FLAT R@10 "
        f"{sweep.flat_recall:.4f}"
    )
    columns = ["nprobe", "R@10", "ΔR@10, pp", "agreement@10", "P50 ms", "P95 ms", "▁▇", ""]
    show_table(console, title, columns, rows)
    limits = (
        f"ΔR@10 >= -{sweep.most_loss_pp:g} pp, agreement >= {sweep.least_agreement:g} and P95 <= "
        f"{sweep.target_ms:g} ms"
    )
    chosen = f"nprobe {sweep.picked}" if sweep.picked else "no nprobe"
    show_verdict(console, sweep.verdict, f"{chosen} for {limits}")


def show_norms(reports: Sequence[NormReport]) -> None:
    """One row a source."""
    console = open_console()
    rows = [
        [
            report.source,
            f"{report.vector_count:,}",
            f"{report.mean_norm:.7f}",
            figure(report.worst),
            f"{report.tolerance:g}",
            f"{report.off_count:,}"
            + (f" (rows {list(report.examples)})" if report.off_count else ""),
            colored(report.verdict),
        ]
        for report in reports
    ]
    columns = ["vectors of", "count", "mean norm", "worst |norm - 1|", "limit", "off", ""]
    show_table(console, "norms", columns, rows)
    show_verdict(console, combine(report.verdict for report in reports))


def show_flat_truth(report: FlatTruthReport) -> None:
    """What was written."""
    rows = [
        ["written", f"{report.out} and {report.out}.json"],
        ["from", report.source],
        ["vectors", f"{report.vector_count:,} of {report.dimensions} elements"],
        ["worst |norm - 1|", figure(report.worst_norm_deviation)],
        ["sha256", report.sha256],
    ]
    if report.matches_release is not None:
        same = "the same" if report.matches_release else "OTHER vectors"
        rows.append(["release's own truth", same])
    show_table(open_console(), "FLAT truth", ["", ""], rows)


def show_rerank_comparison(comparison: RerankComparison) -> None:
    """Measures before and after rerank for every task."""
    console = open_console()
    for task in comparison.tasks:
        title = f"{task.task}: {task.query_count} queries"
        columns = ["", "before", "after", "Δ pp (95 % interval)"]
        show_table(console, title, columns, _change_rows(task.measures))
        lift = f" ({comparison.least_lift_pp:g} pp)" if task.want is Want.LIFT else ""
        console.print(f"{task.want.value}{lift}: {colored(task.verdict)}")
        console.print(f"rank 1 changes for {task.rank1_change_ratio:.1%}\n")
    ratio = f"of all queries, rank 1 changes for {comparison.rank1_change_ratio:.1%}"
    console.print(f"{ratio}; {comparison.note}: {colored(comparison.acceptance_verdict)}")
    show_verdict(console, comparison.verdict)


def show_metrics_comparison(comparison: MetricsComparison) -> None:
    """Measures of both evaluations for every query set, and the decision."""
    console = open_console()
    for each in comparison.query_sets:
        how = "same queries, paired" if each.is_paired else "unpaired: the hits files are gone"
        columns = ["", "before", "after", "Δ pp (95 % interval)"]
        show_table(console, f"{each.name} ({how})", columns, _change_rows(each.measures))
        console.print(f"{each.name}: {each.decision.value}, {colored(each.verdict)}\n")
    if comparison.only_in_one:
        console.print(f"in one of them alone: {', '.join(comparison.only_in_one)}", markup=False)
    drop = f"R@5 may drop by {comparison.most_drop_pp:g} pp; decision: {comparison.decision.value}"
    show_verdict(console, comparison.verdict, drop)


def _change_rows(measures: Mapping[str, Change]) -> list[list[str]]:
    return [
        [name, f"{change.before:.3f}", f"{change.after:.3f}", signed(change.difference_pp)]
        for name, change in measures.items()
    ]
