"""A parity report as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.fidelity import Fidelity
from exporter.soundness import Soundness


@dataclass(frozen=True)
class Report:
    """One model's comparison with its float32 source, and the bounds that it missed.

    Without the source, `fidelity` is None: then `soundness` is what was measured, and `recorded`
    the figures that the manifest has kept since the export.
    """

    model: str
    precision: str
    reference: str
    fidelity: Fidelity | None
    missed: Sequence[str]
    soundness: Soundness | None = None
    recorded: Mapping[str, Any] | None = None


def format_report(report: Report) -> str:
    """One line a length, then the totals and what was missed."""
    compared = report.fidelity is not None
    lines = _compared_lines(report, report.fidelity) if report.fidelity else _alone_lines(report)
    within = "within all bounds" if compared else "within all bounds that need no source"
    return "\n".join([*lines, *([f"MISSED: {miss}" for miss in report.missed] or [within])])


def _compared_lines(report: Report, fidelity: Fidelity) -> list[str]:
    return [
        f"{report.model} ({report.precision}) against its fp32 source ({report.reference})",
        f"{'tokens':>8} {'texts':>6} {'mean cosine':>12} {'worst':>9}",
        *(
            _line(f"<= {row.tokens}", row.texts, row.mean_cosine, row.worst_cosine)
            for row in fidelity.by_length
        ),
        _line("all", fidelity.texts, fidelity.mean_cosine, fidelity.worst_cosine),
        f"top-10 overlap {fidelity.overlap:.4f}, alone against in a batch "
        f"{fidelity.invariance:.7f}",
    ]


def _alone_lines(report: Report) -> list[str]:
    lines = [
        f"{report.model} ({report.precision}): its fp32 source is not here, so cosines to it are "
        "NOT measured",
        f"  ({report.reference}; --reference FOLDER compares with it)",
    ]
    if report.soundness is not None:
        lines += _soundness_lines(report.soundness)
    return lines + _recorded_lines(report.recorded or {})


def _soundness_lines(soundness: Soundness) -> list[str]:
    return [
        f"{'tokens':>8} {'texts':>6} {'alone/batch':>12} {'norm off':>9}",
        *(
            f"{f'<= {row.tokens}':>8} {row.texts:>6} {row.invariance:>12.7f} {row.norm_error:>9.1e}"
            for row in soundness.by_length
        ),
        f"{'all':>8} {soundness.texts:>6} {soundness.invariance:>12.7f} "
        f"{soundness.norm_error:>9.1e}",
        f"the same bytes in a second run: {'yes' if soundness.repeatable else 'no'}",
    ]


def _recorded_lines(recorded: Mapping[str, Any]) -> list[str]:
    if not recorded:
        return ["its manifest records no fidelity either"]
    rows = recorded.get("by_length", [])
    return [
        f"against its source when it was exported, over {recorded['texts']} texts:",
        *(
            _line(f"<= {row['tokens']}", row["texts"], row["mean_cosine"], row["worst_cosine"])
            for row in rows
        ),
        _line("all", recorded["texts"], recorded["mean_cosine"], recorded["worst_cosine"]),
        f"top-10 overlap {recorded['overlap']:.4f}",
    ]


def _line(tokens: str, texts: int, mean: float, worst: float) -> str:
    return f"{tokens:>8} {texts:>6} {mean:>12.6f} {worst:>9.6f}"
