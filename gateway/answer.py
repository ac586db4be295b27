"""The answer to one query: the hits that are returned, and why each stands where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gateway.ports import EncodedQuery, PassageText, ShardAnswer
from gateway.reranking import Ranking
from retrieval_core.coverage import Coverage, Degradation
from retrieval_core.hits import MergedHits


@dataclass(frozen=True, slots=True)
class HitExplanation:
    """Ranks count from 1; `margin` is the best candidate's cosine minus this one's."""

    cosine: float
    margin: float
    rank_before: int
    rank_after: int
    same_article_count: int
    features: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerHit:
    """One returned hit; higher scores are better."""

    passage_id: int
    position: int
    score: float
    passage: PassageText
    explanation: HitExplanation | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything an answer says except its timings, and what it was made of."""

    hits: tuple[AnswerHit, ...]
    coverage: Coverage
    degradations: tuple[Degradation, ...]
    release_id: str
    fingerprint: str
    query_model: str
    truncated: bool
    nprobe: int
    found: Found | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the stages brought: the query, the shards' answers, the candidates, their ranking."""

    encoded: EncodedQuery
    answers: tuple[ShardAnswer, ...]
    merged: MergedHits
    ranking: Ranking


def returned_hits(found: Found, limit: int, *, explain: bool) -> tuple[AnswerHit, ...]:
    """The best `limit` hits. Only these become objects; the other candidates stay arrays."""
    return tuple(_hits(found, limit, explain))


def _hits(found: Found, limit: int, explain: bool) -> Iterator[AnswerHit]:
    hits, ranking = found.merged.hits, found.ranking
    chosen = ranking.order[:limit]
    columns = zip(
        chosen.tolist(),
        hits.passage_ids[chosen].tolist(),
        hits.positions[chosen].tolist(),
        ranking.scores[chosen].tolist(),
        found.merged.sources[chosen].tolist(),
        found.merged.offsets[chosen].tolist(),
        strict=True,
    )
    for rank, (index, passage_id, position, score, source, offset) in enumerate(columns, 1):
        passage = found.answers[source].passages[offset]
        explanation = explain_hit(found, index, rank) if explain else None
        yield AnswerHit(passage_id, position, score, passage, explanation)


def explain_hit(found: Found, index: int, rank: int) -> HitExplanation:
    """Why the candidate at `index` stands at `rank` (from 1) in the end."""
    hits = found.merged.hits
    cosine = float(hits.scores[index])
    return HitExplanation(
        cosine=cosine,
        margin=float(hits.scores[0]) - cosine,
        rank_before=index + 1,
        rank_after=rank,
        same_article_count=int(np.count_nonzero(hits.article_keys == hits.article_keys[index])),
        features=_features(found.ranking, index),
    )


def _features(ranking: Ranking, index: int) -> tuple[tuple[str, float], ...]:
    answer = ranking.answer
    if answer is None or answer.features is None or index >= len(answer.features):
        return ()
    row = answer.features[index].tolist()
    return tuple(zip(answer.feature_names, row, strict=True))
