"""Metrics of a shard server beside those of every server, as data."""

from __future__ import annotations

from servicekit.metric_names import LATENCY_BUCKETS_S, MetricSpec

SEARCHES = MetricSpec(
    "index_searches_total",
    "counter",
    "1",
    "Searches answered; mode is probe, or exact when every list was scanned on request",
    ("mode",),
)
SEARCH_DURATION = MetricSpec(
    "index_search_seconds",
    "histogram",
    "s",
    "Time inside FAISS of one search",
    (),
    LATENCY_BUCKETS_S,
)
HITS = MetricSpec("index_hits_total", "counter", "1", "Hits returned by searches")
LISTS_SCANNED = MetricSpec(
    "index_lists_scanned_total", "counter", "1", "Inverted lists scanned by searches"
)
WIDENED = MetricSpec(
    "index_widened_searches_total",
    "counter",
    "1",
    "Searches that took a second scan, because scores at the cut were too close to tell apart",
)
PASSAGES = MetricSpec("index_passages", "gauge", "1", "Passages that the shard holds")
IMBALANCE = MetricSpec(
    "index_imbalance_ratio", "gauge", "1", "Largest inverted list over the mean list"
)
CORPUS_GROWTH = MetricSpec(
    "index_corpus_growth_ratio",
    "gauge",
    "1",
    "Passages held now over those that the lists were trained on, minus 1",
)

METRICS: tuple[MetricSpec, ...] = (
    SEARCHES,
    SEARCH_DURATION,
    HITS,
    LISTS_SCANNED,
    WIDENED,
    PASSAGES,
    IMBALANCE,
    CORPUS_GROWTH,
)
