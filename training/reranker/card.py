"""The figures of the model card: written between markers, never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.intervals import Interval, Verdict
from rerank_svc.candidates import QueryKind
from training.reranker.outcome import Outcome

WANTED_CONTEXT_GAIN = 0.03

TITLES = {QueryKind.QUESTION: "question → passage", QueryKind.CONTEXT: "next passage"}


@dataclass(frozen=True, slots=True)
class AblationRow:
    """What the evaluation loses when features are taken away and the network is fitted anew."""

    label: str
    kind: QueryKind
    recall_at_5: Interval
    mrr_at_10: Interval


def replace_section(card: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name:begin -->` and `<!-- name:end -->`.

    ValueError if the card does not have both markers, in this order.
    """
    content = card.read_text("utf-8")
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    head, found_begin, rest = content.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{card.name} has no section {name}")
    card.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}", "utf-8")


def outcome_table(outcomes: Mapping[QueryKind, Outcome]) -> str:
    """Before, after and difference of every measure, and what they decide."""
    lines = [
        "| queries | measure | search | reranked | difference (95 % interval) |",
        "|---|---|---|---|---|",
    ]
    for kind, outcome in outcomes.items():
        lines.extend(
            f"| {TITLES[kind]} | {name} | {found.before:.3f} | {found.after:.3f} "
            f"| {_signed(found.difference)} |"
            for name, found in outcome.measures.items()
        )
    lines.append("")
    lines.extend(_summary(kind, outcome) for kind, outcome in outcomes.items())
    lines.extend(["", *_verdict_lines(outcomes)])
    return "\n".join(lines)


def query_models_table(outcomes: Mapping[str, Outcome]) -> str:
    """What is found with each query model, and what reranking makes of it."""
    lines = [
        "| next passage, searched with | R@5 | reranked | difference (95 % interval) | MRR@10 "
        "| reranked | Contain@50 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, outcome in outcomes.items():
        found, first = outcome.measures["R@5"], outcome.measures["MRR@10"]
        lines.append(
            f"| `{name}` | {found.before:.3f} | {found.after:.3f} | {_signed(found.difference)} "
            f"| {first.before:.3f} | {first.after:.3f} "
            f"| {outcome.measures['Contain@50'].before:.3f} |"
        )
    return "\n".join(lines)


def ablation_table(rows: Sequence[AblationRow]) -> str:
    """One row for what was taken away and kind of query, in points of a hundred."""
    lines = [
        "| without | queries | ΔR@5, pp (95 % interval) | ΔMRR@10, pp (95 % interval) |",
        "|---|---|---|---|",
    ]
    lines.extend(
        f"| {row.label} | {TITLES[row.kind]} | {_points(row.recall_at_5)} "
        f"| {_points(row.mrr_at_10)} |"
        for row in rows
    )
    return "\n".join(lines)


def context_verdict(outcome: Outcome) -> Verdict:
    """Whether context queries gain what is wanted in R@5."""
    return outcome.measures["R@5"].difference.verdict_at_least(WANTED_CONTEXT_GAIN)


def question_verdict(outcome: Outcome) -> Verdict:
    """FAIL when questions lose R@5 beyond the interval."""
    return Verdict.FAIL if outcome.measures["R@5"].difference.high < 0.0 else Verdict.PASS


def _summary(kind: QueryKind, outcome: Outcome) -> str:
    return (
        f"- {TITLES[kind]}: {outcome.query_count} queries of {outcome.article_count} articles; "
        f"the first hit changes for {outcome.changed_first:.1%} of them."
    )


def _verdict_lines(outcomes: Mapping[QueryKind, Outcome]) -> list[str]:
    context = context_verdict(outcomes[QueryKind.CONTEXT]).value
    question = question_verdict(outcomes[QueryKind.QUESTION]).value
    return [
        f"- Next passage, R@5 at least {WANTED_CONTEXT_GAIN:+.2f}: **{context}**.",
        f"- Questions, no loss of R@5 beyond the interval: **{question}**.",
    ]


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _points(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.mean:+.2f} ({low:+.2f} to {high:+.2f})"
