"""Measure the reranker on articles that nothing was trained on, and write its card's figures.

`python -m training.reranker.evaluate --corpus FILE [--ablation]`. Exit code 1 when questions lose
R@5 beyond the interval or context queries surely gain less than is wanted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from encoder_svc.query_models import QueryModel
from evaluation.intervals import Verdict
from rerank_svc.candidates import QueryKind
from rerank_svc.model import RerankModel
from training.encoder.corpus import read_paragraphs
from training.reranker.ablation import ablation_rows
from training.reranker.card import (
    AblationRow,
    ablation_table,
    context_verdict,
    outcome_table,
    query_models_table,
    question_verdict,
    replace_section,
)
from training.reranker.encode import ServedEncoder
from training.reranker.lists import CandidateLists
from training.reranker.material import Material, check_disjoint, encode_material
from training.reranker.models import context_models, known_models
from training.reranker.options import add_source_options
from training.reranker.outcome import Outcome, compare, scorer_of

CARD = Path("docs/ModelCards/reranker_mlp_v0.md")


def main() -> int:
    """Evaluate, print, write the card; see the module for the exit code."""
    options = _parse_options()
    encoder = ServedEncoder(options.model, options.threads)
    model = RerankModel.load(options.reranker)
    model.check_fingerprint(encoder.fingerprint)
    paragraphs = read_paragraphs(options.corpus)
    check_disjoint(paragraphs)
    models = context_models(options.query_models, encoder.fingerprint)
    material = encode_material(paragraphs, encoder, options.cache, models)
    evaluation = {kind: material.lists(kind, "evaluation") for kind in QueryKind}
    outcomes = {kind: _outcome(model, kind, lists) for kind, lists in evaluation.items()}
    known = known_models(options.query_models, encoder.fingerprint)
    by_model = _by_query_model(model, material, known)
    figures = f"{outcome_table(outcomes)}\n\n{query_models_table(by_model)}"
    head = _head(encoder, models.served.name)
    plain = {kind.name: dataclasses.asdict(outcome) for kind, outcome in outcomes.items()}
    plain["QUERY_MODELS"] = {name: dataclasses.asdict(each) for name, each in by_model.items()}
    sys.stdout.write((json.dumps(plain, indent=2) if options.json else figures) + "\n")
    replace_section(options.card, "figures", head + figures)
    if options.ablation:
        table = ablation_table(_ablate(material, evaluation))
        replace_section(options.card, "ablation", head + table)
    return _exit_code(outcomes)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.reranker.evaluate", description=__doc__
    )
    add_source_options(parser)
    parser.add_argument("--reranker", type=Path, default=Path("rerank_svc/default_model"))
    parser.add_argument("--card", type=Path, default=CARD, help="model card to write figures into")
    parser.add_argument("--ablation", action="store_true", help="also fit without each feature")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    return parser.parse_args()


def _outcome(model: RerankModel, kind: QueryKind, lists: CandidateLists) -> Outcome:
    return compare(lists, scorer_of(model, kind))


def _by_query_model(
    model: RerankModel, material: Material, known: Sequence[QueryModel]
) -> dict[str, Outcome]:
    kind = QueryKind.CONTEXT
    return {
        each.name: _outcome(model, kind, material.lists(kind, "evaluation", each)) for each in known
    }


def _head(encoder: ServedEncoder, query_model: str) -> str:
    return (
        f"Encoder `{encoder.name}`, fingerprint `{encoder.fingerprint}`; contexts are searched "
        f"with `{query_model}`.\n\n"
    )


def _ablate(
    material: Material, evaluation: Mapping[QueryKind, CandidateLists]
) -> list[AblationRow]:
    rows: list[AblationRow] = []
    for kind in QueryKind:
        training, validation = material.training_lists(kind), material.lists(kind, "validation")
        rows.extend(
            ablation_rows(
                kind,
                training,
                validation,
                evaluation[kind],
                _report,
            )
        )
    return rows


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")


def _exit_code(outcomes: Mapping[QueryKind, Outcome]) -> int:
    verdicts = (
        context_verdict(outcomes[QueryKind.CONTEXT]),
        question_verdict(outcomes[QueryKind.QUESTION]),
    )
    return 1 if Verdict.FAIL in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
