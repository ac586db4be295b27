"""The query models that contexts are searched with, and what each is worth before a reranker."""

from __future__ import annotations

from pathlib import Path

from encoder_svc.query_models import RULES, QueryModel
from evaluation.query_models import QueryModelSource
from releases.layout import QUERY_MODEL_NAMES
from retrieval_core.errors import FailedPrecondition, NotFound
from training.reranker.material import ContextModels


def context_models(folder: Path, fingerprint: str) -> ContextModels:
    """The served model of a folder of query models, and the rule that training adds."""
    return ContextModels(QueryModelSource(folder, fingerprint).find())


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
