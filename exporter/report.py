"""A parity report as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.fidelity import Fidelity


@dataclass(frozen=True)
class Report:
    """One model's comparison with its float32 source, and the bounds that it missed."""

    model: str
    precision: str
    fidelity: Fidelity
    missed: Sequence[str]


def format_report(report: Report) -> str:
    """One line a length, then the totals and what was missed."""
    fidelity = report.fidelity
    lines = [
        f"{report.model} ({report.precision}) against its fp32 source",
        f"{'tokens':>8} {'texts':>6} {'mean cosine':>12} {'worst':>9}",
        *(
            _line(f"<= {row.tokens}", row.texts, row.mean_cosine, row.worst_cosine)
            for row in fidelity.by_length
        ),
        _line("all", fidelity.texts, fidelity.mean_cosine, fidelity.worst_cosine),
        f"top-10 overlap {fidelity.overlap:.4f}, alone against in a batch "
        f"{fidelity.invariance:.7f}",
        *([f"MISSED: {miss}" for miss in report.missed] or ["within all bounds"]),
    ]
    return "\n".join(lines)


def _line(tokens: str, texts: int, mean: float, worst: float) -> str:
    return f"{tokens:>8} {texts:>6} {mean:>12.6f} {worst:>9.6f}"
