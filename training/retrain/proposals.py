"""The outcome on disk: a proposal where a candidate passed, and a report in any case.

<out>/report.json, report.md   every comparison, with intervals and gates
<out>/models/                  the files to build a release with; there only after a PASS
<out>/rejected/<label>/        what was trained and is not proposed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.gates import GateResult
from evaluation.intervals import Interval, Verdict
from evaluation.json_values import write_object
from releases.layout import QUERY_MODEL_NAMES, query_model_graph
from retrieval_core.errors import InvalidInput
from training.retrain.comparing import PairComparison

FORMAT = "retrieval-retraining/1"
MODELS_FOLDER = "models"
REJECTED_FOLDER = "rejected"


@dataclass(frozen=True, slots=True)
class Retraining:
    """What was compared with what; `proposed` is the label of the candidate, empty without one."""

    format: str
    created: str
    release_id: str
    corpus: str
    encoder_fingerprint: str
    comparisons: Sequence[PairComparison]
    proposed: str
    verdict: Verdict


def new_folder(out: Path, releases: Path) -> Path:
    """The folder to write to; InvalidInput where it holds something, or lies among releases."""
    if out.exists() and any(out.iterdir()):
        raise InvalidInput("--out", f"{out} is not empty; a proposal never overwrites anything")
    if out.resolve().is_relative_to(releases.resolve()):
        raise InvalidInput("--out", f"{out} lies among the releases, which never change")
    (out / REJECTED_FOLDER).mkdir(parents=True, exist_ok=True)
    return out


def choose(comparisons: Sequence[PairComparison]) -> tuple[str, Verdict]:
    """The first that passes; without one, the best verdict there is, and no label."""
    for comparison in comparisons:
        if comparison.verdict is Verdict.PASS:
            return comparison.label, Verdict.PASS
    open_ones = any(each.verdict is Verdict.INCONCLUSIVE for each in comparisons)
    return "", Verdict.INCONCLUSIVE if open_ones else Verdict.FAIL


def write_outcome(found: Retraining, out: Path) -> None:
    """Write both reports, and give the proposed candidate's files their place."""
    if found.proposed:
        (out / REJECTED_FOLDER / found.proposed).rename(out / MODELS_FOLDER)
    write_object(out / "report.json", found)
    (out / "report.md").write_text("\n".join(report_lines(found, out)) + "\n", "utf-8")


def report_lines(found: Retraining, out: Path) -> list[str]:
    """The report for people."""
    lines = [
        f"# Retraining of {found.created}",
        "",
        f"Served: release `{found.release_id}`. Corpus: `{found.corpus}`. Encoder: "
        f"`{found.encoder_fingerprint}`.",
        "",
        f"Verdict: **{found.verdict.value}**. {_advice(found, out)}",
    ]
    for comparison in found.comparisons:
        lines += _comparison_lines(comparison)
    return lines


def _advice(found: Retraining, out: Path) -> str:
    if not found.proposed:
        return "Nothing is proposed: what is served stays."
    models = out / MODELS_FOLDER
    options = [f"--reranker {models}"]
    if any((models / query_model_graph(name)).is_file() for name in QUERY_MODEL_NAMES):
        options.append(f"--query-models {models}")
    return (
        f"Proposed is `{found.proposed}`. Build a release with it and roll that out as a canary: "
        f"`python tools/build_release.py --corpus CORPUS --name NAME --no-activate "
        f"{' '.join(options)}`."
    )


def _comparison_lines(comparison: PairComparison) -> list[str]:
    asked = comparison.query_models
    lines = [
        "",
        f"## {comparison.label}: {comparison.verdict.value}",
        "",
        f"Contexts are searched with `{asked['candidate']}`, served is `{asked['served']}`.",
        "",
        "| queries | measure | served | candidate | difference, pp (95 % interval) |",
        "|---|---|---|---|---|",
    ]
    for kind, measures in comparison.measures.items():
        lines += [
            f"| {kind} ({comparison.query_counts[kind]}) | {name} | {change.served:.3f} "
            f"| {change.candidate:.3f} | {_shown(change.difference_pp)} |"
            for name, change in measures.items()
        ]
    return [*lines, "", *(_gate_line(gate) for gate in comparison.gates)]


def _gate_line(gate: GateResult) -> str:
    return f"- {gate.name}: **{gate.verdict.value}** {gate.detail}".rstrip()


def _shown(interval: Interval) -> str:
    return f"{interval.mean:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"
