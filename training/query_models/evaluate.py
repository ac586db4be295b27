"""Hold the query models against the simple rules on articles that nothing was trained on.

`python -m training.query_models.evaluate --corpus FILE [--models FOLDER]`. Every passage of the
corpus is a candidate, the context excepted. Writes the cards' figures. Exit code 1 when a model is
worse than the best rule beyond the interval, in R@5 or in Contain@50.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoder_svc.onnx_query_model import OnnxQueryModel
from encoder_svc.query_model_files import load_query_model
from encoder_svc.query_model_loading import DEFAULT_QUERY_MODELS_FOLDER
from evaluation.measures import PerQuery
from releases.layout import QUERY_MODEL_NAMES
from retrieval_core.vectors import Float32Matrix
from training.encoder.corpus import read_paragraphs
from training.query_models.card import (
    Comparison,
    SystemRow,
    comparison_table,
    systems_table,
    verdict_lines,
    write_section,
)
from training.query_models.material import Material, encode_material
from training.query_models.measures import differences, gold_ranks, means, measure
from training.query_models.options import add_source_options
from training.query_models.rules import RULES, SERVED_RULE, rule_queries
from training.query_models.windows import Windows, padded_vectors
from training.reranker.encode import ServedEncoder
from training.reranker.material import check_disjoint

_WINDOWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Judged:
    """The measures of every rule and model on the same windows, one value a window."""

    windows: Windows
    rules: Mapping[str, Mapping[str, PerQuery]]
    models: Mapping[str, Mapping[str, PerQuery]]

    @property
    def best_rule(self) -> str:
        """The rule with the best R@5."""
        return max(self.rules, key=lambda name: float(self.rules[name]["R@5"].mean()))

    def comparisons(self, model: str) -> list[Comparison]:
        """The model against the best rule, the rule that is served without it, and the last."""
        rules = dict.fromkeys((self.best_rule, SERVED_RULE, "last vector"))
        return [
            Comparison(rule, differences(self.rules[rule], self.models[model], self.windows))
            for rule in rules
        ]


def main() -> int:
    """Evaluate, print, write the cards; see the module for the exit code."""
    options = _parse_options()
    encoder = ServedEncoder(options.encoder, options.threads)
    paragraphs = read_paragraphs(options.corpus)
    check_disjoint(paragraphs)
    material = encode_material(paragraphs, encoder, options.cache, None)
    names = [options.model] if options.model else [*QUERY_MODEL_NAMES]
    models = {name: load_query_model(options.models, name, encoder.fingerprint) for name in names}
    judged = judge(material, models)
    head = f"Encoder `{encoder.name}`, fingerprint `{encoder.fingerprint}`.\n\n"
    for name in names:
        figures = figures_of(judged, name)
        write_section(name, "figures", head + figures, options.models)
        sys.stdout.write("" if options.json else f"{name}\n{figures}\n\n")
    if options.json:
        sys.stdout.write(json.dumps(_plain(judged), indent=2) + "\n")
    return 1 if any(_is_worse(judged.comparisons(name)[0]) for name in names) else 0


def judge(material: Material, models: Mapping[str, OnnxQueryModel]) -> Judged:
    """Measure all rules and models on the windows of the evaluation's articles."""
    windows, vectors = material.windows("evaluation"), material.paragraphs.vectors
    candidates = material.candidates("evaluation")

    def measured(queries: Float32Matrix) -> Mapping[str, PerQuery]:
        return measure(gold_ranks(queries, windows, candidates))

    return Judged(
        windows=windows,
        rules={
            name: measured(rule_queries(weights, windows, vectors))
            for name, weights in RULES.items()
        },
        models={
            name: measured(model_queries(model, windows, vectors)) for name, model in models.items()
        },
    )


def model_queries(model: OnnxQueryModel, windows: Windows, vectors: Float32Matrix) -> Float32Matrix:
    """The served graph's query vectors [n, 768]."""
    found = []
    for start in range(0, len(windows), _WINDOWS_AT_ONCE):
        numbers = np.arange(start, min(start + _WINDOWS_AT_ONCE, len(windows)))
        items, mask = padded_vectors(windows.take(numbers), vectors)
        found.append(model.predict_padded(items, mask))
    return np.concatenate(found)


def figures_of(judged: Judged, model: str) -> str:
    """The tables and verdicts of one model, for its card."""
    rows = [SystemRow(name, means(found)) for name, found in judged.rules.items()]
    rows.extend(SystemRow(f"**{name}**", means(found)) for name, found in judged.models.items())
    comparisons = judged.comparisons(model)
    articles = len(np.unique(judged.windows.articles))
    return "\n".join(
        [
            f"{len(judged.windows)} windows of {articles} articles, contexts of 1 to 5 passages; "
            "intervals of 95 %, drawn article by article.",
            "",
            systems_table(rows),
            "",
            comparison_table(comparisons),
            "",
            *verdict_lines(comparisons[0], means(judged.models[model])),
        ]
    )


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.query_models.evaluate", description=__doc__
    )
    add_source_options(parser)
    parser.add_argument("--models", type=Path, default=DEFAULT_QUERY_MODELS_FOLDER)
    parser.add_argument("--model", choices=QUERY_MODEL_NAMES, help="default: both")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def _plain(judged: Judged) -> dict[str, dict[str, float]]:
    return {name: means(found) for name, found in {**judged.rules, **judged.models}.items()}


def _is_worse(comparison: Comparison) -> bool:
    return any(comparison.differences[name].high < 0 for name in ("R@5", "Contain@50"))


if __name__ == "__main__":
    sys.exit(main())
