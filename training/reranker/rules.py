"""Simple rules for context queries, searched directly: what a reranker has to be seen beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from evaluation.measures import judge_gold_ranks, recall_at, reciprocal_rank
from rerank_svc.candidates import QueryKind
from retrieval_core.vectors import Float32Matrix, normalize_rows
from training.reranker.card import RuleFigures
from training.reranker.lists import gold_ranks
from training.reranker.material import Material

Rule = Callable[[Float32Matrix], Float32Matrix]


def last_vector(context: Float32Matrix) -> Float32Matrix:
    """context [m, 768], oldest first; returns [1, 768] float32, unit norm, as all rules do."""
    return context[-1:]


def recency_mean(context: Float32Matrix) -> Float32Matrix:
    """Each step back counts half."""
    weights = 0.5 ** np.arange(len(context) - 1, -1, -1, dtype=np.float32)
    return normalize_rows((weights @ context)[None, :])


def mean(context: Float32Matrix) -> Float32Matrix:
    """All count the same; this is what the reranker's context queries are searched with."""
    return normalize_rows(context.mean(axis=0, keepdims=True))


RULES: dict[str, Rule] = {
    "mean of the context": mean,
    "recency-weighted mean, factor 0.5": recency_mean,
    "last vector": last_vector,
}


def rule_figures(material: Material) -> list[RuleFigures]:
    """The figures of every rule on the evaluation's windows."""
    queries = material.queries(QueryKind.CONTEXT, "evaluation")
    searchable = material.searchable("evaluation")
    figures = []
    for name, rule in RULES.items():
        asked = [
            dataclasses.replace(query, vector=rule(query.context))
            for query in queries
            if query.context is not None
        ]
        judged = judge_gold_ranks(gold_ranks(asked, searchable))
        recall, contain = recall_at(judged, 5).mean(), recall_at(judged, 50).mean()
        reciprocal = reciprocal_rank(judged, 10).mean()
        figures.append(RuleFigures(name, float(recall), float(reciprocal), float(contain)))
    return figures
