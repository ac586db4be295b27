"""Composition of the encoder: verify, load, warm."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

from encoder_svc.converters import RequestLimits
from encoder_svc.encoder import DEFAULT_MODEL_FOLDER
from encoder_svc.lane import Lane, LaneOptions
from encoder_svc.manifest import ModelFolder, open_model_folder
from encoder_svc.metric_names import METRICS
from encoder_svc.observing import Observer
from encoder_svc.query_encoder import QueryEncoder
from encoder_svc.query_model_choice import QueryModels
from encoder_svc.query_model_loading import DEFAULT_QUERY_MODELS_FOLDER, load_query_models
from encoder_svc.query_model_runs import RunLimits
from encoder_svc.servicer import Encoders, encoder_service
from encoder_svc.session import EncoderSession, SessionOptions
from encoder_svc.settings import EncoderSettings
from encoder_svc.text_batches import BatchLimits
from encoder_svc.text_encoder import Lanes, TextEncoder
from encoder_svc.tokens import TextTokenizer
from encoder_svc.vector_cache import VectorCache
from releases.serving import hold_release
from servicekit.admission import Admission
from servicekit.binding import Service
from servicekit.lifecycle import AioProgram, Process
from servicekit.program import distribution_version


async def build(settings: EncoderSettings, process: Process) -> Sequence[Service]:
    """Verify, load and warm the model; DamagedArtifact or NotFound name what is wrong."""
    model = settings.model or DEFAULT_MODEL_FOLDER
    # Where the model is part of a release, the release stays as long as it is served.
    process.on_close("release hold", hold_release(model).close)
    folder = open_model_folder(model)
    lanes = _open_lanes(folder, settings, process.admission)
    process.on_close("query lane", lanes.query.close)
    process.on_close("bulk lane", lanes.bulk.close)
    cache = VectorCache(settings.cache_texts)
    tokenizer = TextTokenizer.load(folder.tokenizer, folder.manifest.max_tokens)
    texts = TextEncoder(tokenizer, lanes, cache)
    models = _open_query_models(settings, folder.manifest.fingerprint)
    process.on_close("query models", models.close)
    limits = RequestLimits(settings.max_texts, settings.max_text_bytes)
    encoders = Encoders(folder.manifest, texts, QueryEncoder(texts, models), limits)
    observer = Observer(process.metrics, lanes, cache)
    observer.show_query_models(models)
    # What was loaded stays for the life of the process: the collector need not walk it again.
    gc.collect()
    gc.freeze()
    return [encoder_service(encoders, observer, models.names, distribution_version())]


def _open_query_models(settings: EncoderSettings, fingerprint: str) -> QueryModels:
    return load_query_models(
        settings.query_models_folder or DEFAULT_QUERY_MODELS_FOLDER,
        fingerprint,
        RunLimits(int(settings.query_model_limit_ms * 1e6)),
        settings.query_model,
    )


def _open_lanes(folder: ModelFolder, settings: EncoderSettings, calls: Admission) -> Lanes:
    sessions = _load_sessions(folder.graph, settings)
    # With one thread a run happens in the caller's thread: one loaded graph serves any number.
    shared = settings.threads == 1
    bulk = sessions[0] if shared else EncoderSession.load(folder.graph, SessionOptions(threads=1))
    for session in {*sessions, bulk}:
        session.warm(folder.manifest.max_tokens)
    ratio = settings.padding_ratio
    query = LaneOptions(
        "query",
        BatchLimits(settings.batch_tokens, ratio),
        settings.query_text_limit,
        inline_tokens=sessions[0].tokens_within(settings.inline_ms),
        is_alone=lambda: calls.in_flight <= 1,
    )
    queries = Lane(sessions, query)
    bulk_options = LaneOptions(
        "bulk",
        BatchLimits(settings.bulk_batch_tokens, ratio),
        settings.bulk_text_limit,
        settings.bulk_niceness,
        gives_way=lambda: queries.was_asked_lately,
    )
    return Lanes(query=queries, bulk=Lane([bulk], bulk_options))


def _load_sessions(graph: Path, settings: EncoderSettings) -> list[EncoderSession]:
    options = SessionOptions(settings.threads, settings.spinning)
    if settings.threads == 1:
        return [EncoderSession.load(graph, options)] * settings.session_count
    return [EncoderSession.load(graph, options) for _ in range(settings.session_count)]


PROGRAM = AioProgram(
    name="encoder",
    summary="turns texts and contexts into unit query vectors",
    settings=EncoderSettings,
    build=build,
    metrics=METRICS,
)
