"""What an encoder tells of itself as metrics."""

from __future__ import annotations

from encoder_svc.lane import Lane
from encoder_svc.metric_names import (
    BATCH_TEXTS,
    CACHE_ENTRIES,
    CACHE_HIT_RATIO,
    CACHE_HITS,
    LANE_TEXTS,
    LANE_WAITING,
    QUERIES,
    QUERY_MODEL_FALLBACKS,
    QUERY_MODEL_SERVED,
    RUN_DURATION,
    TEXTS,
    TOKENIZE_DURATION,
)
from encoder_svc.query_model_choice import Fallback, QueryModels
from encoder_svc.text_encoder import EncodeTimes, Lanes
from encoder_svc.vector_cache import VectorCache
from releases.layout import QUERY_MODEL_NAMES
from servicekit.telemetry import ServiceMetrics


class Observer:
    """Records calls; gauges are read when they are scraped."""

    def __init__(self, metrics: ServiceMetrics, lanes: Lanes, cache: VectorCache) -> None:
        self._metrics = metrics
        metrics.observe(CACHE_HIT_RATIO, lambda: cache.hit_ratio)
        metrics.observe(CACHE_ENTRIES, lambda: float(len(cache)))
        self._observe_lane("query", lanes.query)
        self._observe_lane("bulk", lanes.bulk)

    def record(self, times: EncodeTimes, text_count: int) -> None:
        """Account for one answered call; what the cache answered has no run to record."""
        self._metrics.add(TEXTS, text_count)
        if times.cached_count:
            self._metrics.add(CACHE_HITS, times.cached_count)
        if times.batch_size:
            self._metrics.record(TOKENIZE_DURATION, times.tokenize_ns / 1e9)
            self._metrics.record(RUN_DURATION, times.run_ns / 1e9)
            self._metrics.record(BATCH_TEXTS, times.batch_size)

    def record_context(self, query_model: str, fallback: Fallback | None) -> None:
        """Account for the query model of one answered context."""
        self._metrics.add(QUERIES, query_model=query_model)
        if fallback is not None:
            reason = fallback.reason.value
            self._metrics.add(QUERY_MODEL_FALLBACKS, requested=fallback.requested, reason=reason)

    def show_query_models(self, models: QueryModels) -> None:
        """Tell which learned models are served and which were refused."""
        for name in QUERY_MODEL_NAMES:
            if name in models.names or name in models.refused:
                self._metrics.set(QUERY_MODEL_SERVED, float(name in models.names), query_model=name)

    def _observe_lane(self, name: str, lane: Lane) -> None:
        self._metrics.observe(LANE_WAITING, lambda: float(lane.waiting_count), lane=name)
        self._metrics.observe(LANE_TEXTS, lambda: float(lane.admission.in_flight), lane=name)
