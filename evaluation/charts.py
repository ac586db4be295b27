"""Pictures of sweeps and trends. Needs matplotlib, which no server needs: the extra `eval`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from evaluation.history import HEADLINES, Trend, TrendPoint, parse_time
from evaluation.sweep import Sweep

MISSING_CHARTS = (
    "matplotlib is not installed, so no picture can be drawn: pip install 'retrieval-stack[eval]'"
)
_DOTS_PER_INCH = 110

_Drawn: TypeAlias = Any  # matplotlib may be missing where types are checked


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_sweep(sweep: Sweep, path: Path) -> None:
    """R@10 lost, agreement and P95 over nprobe, with their limits and the pick, as PNG."""
    figure, (recall, agreement, time) = _figure(3)
    nprobes = [point.nprobe for point in sweep.points]
    means = [point.loss_pp.mean for point in sweep.points]
    lows = [max(point.loss_pp.mean - point.loss_pp.low, 0.0) for point in sweep.points]
    highs = [max(point.loss_pp.high - point.loss_pp.mean, 0.0) for point in sweep.points]
    recall.errorbar(nprobes, means, yerr=[lows, highs], marker="o", capsize=3)
    recall.axhline(-sweep.most_loss_pp, color="tab:red", linestyle="--", label="limit")
    recall.set_ylabel("R@10 against FLAT, pp")
    agreement.plot(nprobes, [point.agreement.mean for point in sweep.points], marker="o")
    agreement.axhline(sweep.least_agreement, color="tab:red", linestyle="--", label="limit")
    agreement.set_ylabel("agreement@10")
    for name, values in (
        ("P50", [point.p50_ms for point in sweep.points]),
        ("P95", [point.p95_ms for point in sweep.points]),
    ):
        time.plot(nprobes, values, marker="o", label=name)
    time.axhline(sweep.target_ms, color="tab:red", linestyle="--", label="target")
    time.set_ylabel("one search, ms")
    time.set_xlabel(f"nprobe, of {sweep.nlist} lists ({sweep.passage_count:,} passages)")
    for axes in (recall, agreement, time):
        if sweep.picked is not None:
            axes.axvline(sweep.picked, color="tab:green", linestyle=":", label="pick")
        axes.legend()
    recall.set_title(f"{sweep.release_id or sweep.index}: {sweep.query_count} queries")
    _save(figure, path)


def draw_trend(trend: Trend, path: Path) -> None:
    """Headline measures of every query set over time, with the mean of 7 days, as PNG."""
    figure, axes_list = _figure(len(HEADLINES))
    for axes, measure in zip(axes_list, HEADLINES, strict=True):
        for number, (name, points) in enumerate(trend.items()):
            _draw_points(axes, measure, name, points, f"C{number}")
        axes.set_ylabel(measure)
        axes.grid(visible=True, alpha=0.3)
    axes_list[0].legend(fontsize="small")
    axes_list[0].set_title("after rerank (dots), mean of 7 days (lines), before rerank (dotted)")
    figure.autofmt_xdate()
    _save(figure, path)


def _draw_points(
    axes: _Drawn, measure: str, name: str, points: Sequence[TrendPoint], color: str
) -> None:
    times = [parse_time(point.created) for point in points]
    axes.plot(times, [p.after[measure] for p in points], "o", color=color, alpha=0.5)
    axes.plot(times, [p.average[measure] for p in points], "-", color=color, label=name)
    axes.plot(times, [p.before[measure] for p in points], ":", color=color, alpha=0.6)


def _figure(rows: int) -> tuple[_Drawn, _Drawn]:
    from matplotlib.figure import Figure  # slow to import, and not there on servers

    figure = Figure(figsize=(8, 2.6 * rows + 0.6), layout="constrained")
    return figure, figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]


def _save(figure: _Drawn, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=_DOTS_PER_INCH)
