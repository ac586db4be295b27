"""Loads what a folder has of query models; what must not be served is named, not fatal."""

from __future__ import annotations

import logging
from pathlib import Path

from encoder_svc.query_model_choice import QueryModels
from encoder_svc.query_model_files import load_query_model
from encoder_svc.query_model_runs import QueryModelRuns, RunLimits
from releases.layout import QUERY_MODEL_NAMES
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, InternalError, NotFound

DEFAULT_QUERY_MODELS_FOLDER = Path(__file__).parent / "default_query_models"

_LOGGER = logging.getLogger(__name__)


def load_query_models(
    folder: Path, encoder_fingerprint: str, limits: RunLimits, default: str = ""
) -> QueryModels:
    """Verify, load and warm the models of `folder`. InvalidInput for an unknown default.

    A model of another encoder, whose files are not those of its manifest, or which gives no unit
    vectors is logged and left out: contexts are then answered by the next in the order, which says
    so.
    """
    learned: list[QueryModelRuns] = []
    refused: dict[str, str] = {}
    for name in QUERY_MODEL_NAMES:
        try:
            model = load_query_model(folder, name, encoder_fingerprint)
            runs = QueryModelRuns(model, limits, model.warm())
        except NotFound:
            continue
        except (DamagedArtifact, FailedPrecondition, InternalError) as error:
            _LOGGER.warning("query model %s is not served: %s", name, error.message)
            refused[name] = error.message
        else:
            learned.append(runs)
    return QueryModels(learned, refused, default)
