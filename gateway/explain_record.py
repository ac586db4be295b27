"""One line of the explain log: everything about an answer that a person wants to know later."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.answer import Found, explain_hit
from gateway.query import ContextQuery, SearchQuery, TextQuery
from gateway.recording import Answered
from retrieval_core.timing import Timings, stage_totals_ns

_DIGITS = 5


def explain_record(answered: Answered, *, hit_count: int, with_text: bool) -> dict[str, Any]:
    """The record of an answered query as JSON values; the query's text only `with_text`."""
    answer, arm, query = answered.answer, answered.arm, answered.query
    record: dict[str, Any] = {
        "trace_id": answered.trace_id,
        "arm": arm.name,
        "release": answer.release_id,
        "flags_generation": answered.traffic.flags.generation,
        "kind": query.subject.kind,
        "query_model": answer.query_model,
        "nprobe": answer.nprobe,
        "limit": query.limit,
        "lanes": list(query.lanes),
        "coverage": answer.coverage.ratio,
        "degradations": {one.step.value: one.reason for one in answer.degradations},
        "timings_ms": timings_ms(answered.timings),
    }
    if with_text:
        record["query"] = query_text(query)
    if answer.found is not None:
        record |= _candidates(answer.found, hit_count)
    return record


def timings_ms(timings: Timings) -> dict[str, float]:
    """Milliseconds of every stage and of the whole."""
    totals = stage_totals_ns(timings.stages)
    stages = {stage.value: round(ns / 1e6, 3) for stage, ns in totals.items()}
    return {**stages, "TOTAL": round(timings.total_ns / 1e6, 3)}


def query_text(query: SearchQuery) -> str | list[str | None] | None:
    """The words of a query; None for a vector, also in place of one in a context."""
    if isinstance(query.subject, TextQuery):
        return query.subject.text
    if isinstance(query.subject, ContextQuery):
        return [item if isinstance(item, str) else None for item in query.subject.items]
    return None


def _candidates(found: Found, hit_count: int) -> dict[str, Any]:
    hits = found.merged.hits
    _, sizes = np.unique(hits.article_keys, return_counts=True)
    return {
        "candidates": len(hits),
        "articles": len(sizes),
        "largest_article": int(sizes.max()) if len(sizes) else 0,
        "cosines": [_rounded(score) for score in hits.scores[:hit_count].tolist()],
        "reranked": found.ranking.answer is not None,
        "hits": [
            _hit(found, index, rank)
            for rank, index in enumerate(found.ranking.order[:hit_count].tolist(), 1)
        ],
    }


def _hit(found: Found, index: int, rank: int) -> dict[str, Any]:
    explanation = explain_hit(found, index, rank)
    merged = found.merged
    passage = found.answers[int(merged.sources[index])].passages[int(merged.offsets[index])]
    return {
        "passage_id": int(merged.hits.passage_ids[index]),
        "article_id": passage.article_id,
        "score": _rounded(float(found.ranking.scores[index])),
        "cosine": _rounded(explanation.cosine),
        "margin": _rounded(explanation.margin),
        "rank_before": explanation.rank_before,
        "rank_after": explanation.rank_after,
        "same_article_count": explanation.same_article_count,
        "features": {name: _rounded(value) for name, value in explanation.features},
    }


def _rounded(value: float) -> float:
    return round(value, _DIGITS)
