"""Composition of the reranker: find the model, load, warm."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from pathlib import Path

from releases.bundle import open_release
from releases.catalog import resolve_release
from releases.layout import RERANKER_MANIFEST_NAME, RERANKER_MODEL_NAME
from releases.serving import hold_release
from rerank_svc.model import RerankModel
from rerank_svc.servicer import rerank_service
from rerank_svc.settings import RerankSettings
from servicekit.binding import Service
from servicekit.lifecycle import Process, SyncProgram
from servicekit.program import distribution_version

DEFAULT_MODEL_FOLDER = Path(__file__).parent / "default_model"

_LOGGER = logging.getLogger(__name__)


def build(settings: RerankSettings, process: Process) -> Sequence[Service]:
    """Load and warm the model that the settings name; DamagedArtifact or NotFound otherwise."""
    if settings.model is None and settings.release:
        folder = resolve_release(settings.release, settings.releases_folder)
        process.on_close("release hold", hold_release(folder).close)
    model = RerankModel.load(model_folder(settings))
    model.warm()
    gc.collect()
    gc.freeze()
    return [rerank_service(model, settings.max_candidates, distribution_version())]


def model_folder(settings: RerankSettings) -> Path:
    """The folder to load from.

    A release that carries no reranker is served with the embedded default, which refuses its
    vectors by their fingerprint if it was not trained on them; the callers are told, and answer
    in the order of the search.
    """
    if settings.model is not None:
        return settings.model
    if not settings.release:
        return DEFAULT_MODEL_FOLDER
    release = open_release(resolve_release(settings.release, settings.releases_folder))
    if RERANKER_MANIFEST_NAME not in release.manifest.files:
        _LOGGER.warning("the release has no reranker, the embedded default is served")
        return DEFAULT_MODEL_FOLDER
    release.verify([RERANKER_MODEL_NAME, RERANKER_MANIFEST_NAME])
    return release.folder


PROGRAM = SyncProgram(
    name="reranker",
    summary="orders candidates by features made of vectors",
    settings=RerankSettings,
    build=build,
)
