"""Fit every variant that is worth knowing of, and write their validation figures into the cards.

`python -m training.query_models.try_variants --corpus FILE [--model NAME] [--only TEXT]`. The
evaluation articles are not looked at.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from encoder_svc.query_model_loading import DEFAULT_QUERY_MODELS_FOLDER
from releases.layout import QUERY_MODEL_NAMES
from training.encoder.corpus import read_paragraphs
from training.query_models.card import TriedRow, tried_table, write_section
from training.query_models.fit import HeldOut, fit, validation_of
from training.query_models.material import Material, encode_material, tokenizer_of
from training.query_models.measures import gold_ranks, means, measure
from training.query_models.options import add_source_options
from training.query_models.rules import RULES, rule_queries
from training.query_models.trials import TRIALS, Trial
from training.reranker.encode import ServedEncoder


def main() -> int:
    """Fit, measure, print; write the cards unless only some variants were asked for."""
    options = _parse_options()
    torch.set_num_threads(options.threads)
    encoder = ServedEncoder(options.encoder, options.threads)
    paragraphs = read_paragraphs(options.corpus)
    material = encode_material(paragraphs, encoder, options.cache, tokenizer_of(options.encoder))
    held_out = validation_of(material)
    for name in [options.model] if options.model else QUERY_MODEL_NAMES:
        chosen = [trial for trial in TRIALS[name] if options.only in trial.label]
        rows = [*_rule_rows(held_out), *(_try(name, trial, material, held_out) for trial in chosen)]
        table = tried_table(rows)
        print(f"{name}\n{table}", flush=True)  # noqa: T201 - what the command is for
        if not options.only:
            head = f"{len(held_out.windows)} windows of validation articles, encoder "
            text = f"{head}`{encoder.fingerprint}`.\n\n{table}"
            write_section(name, "tried", text, options.models)
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.query_models.try_variants", description=__doc__
    )
    add_source_options(parser)
    parser.add_argument("--model", choices=QUERY_MODEL_NAMES, help="default: both")
    parser.add_argument(
        "--models",
        type=Path,
        default=DEFAULT_QUERY_MODELS_FOLDER,
        help="folder of the models, which gets a copy of the cards",
    )
    parser.add_argument(
        "--only", default="", help="part of a variant's label; then no card is written"
    )
    return parser.parse_args()


def _rule_rows(held_out: HeldOut) -> list[TriedRow]:
    rows = []
    for label, weights in RULES.items():
        queries = rule_queries(weights, held_out.windows, held_out.vectors)
        ranks = gold_ranks(queries, held_out.windows, held_out.candidates)
        rows.append(TriedRow(label, means(measure(ranks)), 0, 1.0))
    return rows


def _try(name: str, trial: Trial, material: Material, held_out: HeldOut) -> TriedRow:
    passages = material.training_passages(with_pieces=trial.settings.with_pieces)
    _report(f"{name}: {trial.label}")
    fitted = fit(name, passages, held_out, trial.settings, _report)
    return TriedRow(trial.label, fitted.figures, fitted.epoch, fitted.strength)


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
