"""The query models that contexts are searched with, and what each is worth before a reranker."""

from __future__ import annotations

from pathlib import Path

from encoder_svc.query_models import RULES, QueryModel
from evaluation.query_models import QueryModelSource
from releases.layout import QUERY_MODEL_NAMES
from retrieval_core.errors import FailedPrecondition, NotFound
from training.reranker.material import ContextModels

TAKES_OVER = ("gru_v0", "recency")
"""What may answer in place of the served model, besides it."""


def context_models(folder: Path, fingerprint: str) -> ContextModels:
    """The served model of a folder of query models, and what answers when it cannot."""
    source = QueryModelSource(folder, fingerprint)
    served = source.find()
    found = (_find_if_there(source, name) for name in TAKES_OVER)
    others = [model for model in found if model is not None and model.name != served.name]
    return ContextModels(served, others)


def known_models(folder: Path, fingerprint: str) -> list[QueryModel]:
    """Every learned model of the folder that fits the encoder, then the rules."""
    source = QueryModelSource(folder, fingerprint)
    found = (_find_if_there(source, name) for name in QUERY_MODEL_NAMES)
    return [*(model for model in found if model is not None), *RULES.values()]


def _find_if_there(source: QueryModelSource, name: str) -> QueryModel | None:
    try:
        return source.find(name)
    except (NotFound, FailedPrecondition):
        return None
