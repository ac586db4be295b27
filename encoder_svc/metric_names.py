"""Metrics of an encoder beside those of every server, as data."""

from __future__ import annotations

from servicekit.metric_names import LATENCY_BUCKETS_S, MetricSpec

RUN_DURATION = MetricSpec(
    "encoder_run_seconds",
    "histogram",
    "s",
    "Time inside the model of the longest run of a call; pooling and normalisation are part of it",
    (),
    LATENCY_BUCKETS_S,
)
TOKENIZE_DURATION = MetricSpec(
    "encoder_tokenize_seconds",
    "histogram",
    "s",
    "Time a call took to tokenise its texts",
    (),
    (0.00003, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.02),
)
BATCH_TEXTS = MetricSpec(
    "encoder_batch_texts",
    "histogram",
    "1",
    "Texts in the run that a call's last text was part of",
    (),
    (1, 2, 4, 8, 16, 32, 64),
)
TEXTS = MetricSpec("encoder_texts_total", "counter", "1", "Texts answered, from the cache or not")
CACHE_HITS = MetricSpec(
    "encoder_cache_hits_total", "counter", "1", "Texts of queries answered from the cache"
)
CACHE_HIT_RATIO = MetricSpec(
    "encoder_cache_hit_ratio", "gauge", "1", "Share of cache lookups that hit, since the start"
)
CACHE_ENTRIES = MetricSpec("encoder_cache_entries", "gauge", "1", "Texts in the cache")
LANE_WAITING = MetricSpec(
    "encoder_lane_waiting", "gauge", "1", "Texts waiting for a session", ("lane",)
)
LANE_TEXTS = MetricSpec(
    "encoder_lane_texts", "gauge", "1", "Texts waiting or running, of the lane's limit", ("lane",)
)
QUERIES = MetricSpec(
    "encoder_context_queries_total",
    "counter",
    "1",
    "Contexts answered, by the query model that answered",
    ("query_model",),
)
QUERY_MODEL_FALLBACKS = MetricSpec(
    "encoder_query_model_fallbacks_total",
    "counter",
    "1",
    "Contexts that another query model than the requested one answered, by model and reason",
    ("requested", "reason"),
)
QUERY_MODEL_SERVED = MetricSpec(
    "encoder_query_model_served",
    "gauge",
    "1",
    "1 for a query model that is loaded, 0 for one that was refused",
    ("query_model",),
)

METRICS: tuple[MetricSpec, ...] = (
    RUN_DURATION,
    TOKENIZE_DURATION,
    BATCH_TEXTS,
    TEXTS,
    CACHE_HITS,
    CACHE_HIT_RATIO,
    CACHE_ENTRIES,
    LANE_WAITING,
    LANE_TEXTS,
    QUERIES,
    QUERY_MODEL_FALLBACKS,
    QUERY_MODEL_SERVED,
)
