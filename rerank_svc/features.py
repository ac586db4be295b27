"""Features of candidates, made of vectors and scores only; docs/reranker.md explains each.

Nothing here looks at texts, ids or the place of a passage in its article, and the order in which
the candidates arrive does not matter. Cosines that are not known exactly are estimated from the
64-D projections. What is known exactly is taken out first: a candidate c with cosine s to the
query q is s·q plus a remainder, and only the remainders meet in the projection. That removes the
part of the estimation error that all candidates of a query share, which is the larger one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rerank_svc.candidates import MAX_CONTEXT_ITEMS, RerankInput
from retrieval_core.hits import Float32Array
from retrieval_core.vectors import Float32Matrix

FEATURE_NAMES = (
    "cosine",
    "margin_best",
    "score_z",
    "gap_above",
    "gap_below",
    "log_rank",
    "list_margin",
    "list_spread",
    "article_count",
    "article_share",
    "article_mean_lead",
    "article_best_margin",
    "article_is_best",
    "article_margin",
    "article_mass",
    "article_similarity",
    "higher_max",
    "higher_mean",
    "top3_mean",
    "centroid",
    "feedback",
    "feedback_z",
    "context_last",
    "context_last_z",
    "context_recent",
    "context_recent_z",
    "context_mean",
    "context_max",
    "context_step",
    "context_article",
    "context_spread",
    "context_length",
)
"""Columns of the feature matrix, in order."""

CONTEXT_FEATURE_COUNT = sum(name.startswith("context_") for name in FEATURE_NAMES)
"""How many of the last columns are zero for a question."""

_TOP = 3
_RECENCY = 0.5
_SMALLEST_SPREAD = 1e-6

BoolMatrix = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Scores:
    """values [n], ascending [n], their spread, z-scores, and weights [n] that add up to 1.

    `better_counts` [n] is how many score strictly higher.
    """

    values: Float32Array
    ascending: Float32Array
    spread: float
    z: Float32Array
    weights: Float32Array
    better_counts: npt.NDArray[np.intp]


def compute_features(given: RerankInput, projection: Float32Matrix) -> Float32Matrix:
    """The features of every candidate.

    projection is [768, p] float32, the matrix that made `given.projections`. Returns
    [n, len(FEATURE_NAMES)] float32, finite for finite input; n must be 1 or more.
    """
    scores = _describe_scores(given.scores)
    same_article = given.article_keys[:, None] == given.article_keys[None, :]
    query_projection = given.query[0] @ projection
    remainders = given.projections.astype(np.float32)
    remainders -= np.multiply.outer(given.scores, query_projection)
    cosines = remainders @ remainders.T
    cosines += np.multiply.outer(given.scores, given.scores)
    # A candidate says nothing about itself: sums over others need no mask this way.
    np.fill_diagonal(cosines, 0.0)
    columns: list[npt.ArrayLike] = [
        *_score_columns(scores),
        *_article_columns(scores, same_article, cosines),
        *_neighbour_columns(scores, cosines),
        *_context_columns(given, projection, query_projection, remainders, same_article),
    ]
    table = np.empty((len(columns), len(given)), np.float32)
    for row, column in zip(table, columns, strict=True):
        row[:] = column
    return np.ascontiguousarray(table.T)


def _describe_scores(values: Float32Array) -> _Scores:
    ascending = np.sort(values)
    z, spread = _standardize(values)
    weights = np.exp(z)
    weights /= weights.sum()
    better_counts = len(values) - np.searchsorted(ascending, values, side="right")
    return _Scores(values, ascending, spread, z, weights, better_counts)


def _score_columns(scores: _Scores) -> tuple[npt.ArrayLike, ...]:
    values, ascending = scores.values, scores.ascending
    last = len(values) - 1
    next_above = ascending[np.minimum(last + 1 - scores.better_counts, last)]
    next_below = ascending[np.maximum(np.searchsorted(ascending, values) - 1, 0)]
    return (
        values,
        ascending[-1] - values,
        scores.z,
        (next_above - values) / np.float32(scores.spread),
        (values - next_below) / np.float32(scores.spread),
        np.log1p(scores.better_counts),
        ascending[-1] - ascending[max(last - 1, 0)],
        scores.spread,
    )


def _article_columns(
    scores: _Scores, same_article: BoolMatrix, cosines: Float32Matrix
) -> tuple[npt.ArrayLike, ...]:
    values = scores.values
    member = same_article.astype(np.float32)
    counts = member.sum(axis=1)
    best_of_article = _best_of_article(values, same_article)
    similarity = np.einsum("ij,ij->i", cosines, member) / np.maximum(counts - 1.0, 1.0)
    return (
        np.log(counts),
        counts / len(values),
        member @ values / counts - values.sum() / len(values),
        scores.ascending[-1] - best_of_article,
        values >= best_of_article,
        best_of_article - values,
        member @ scores.weights,
        similarity,
    )


def _neighbour_columns(scores: _Scores, cosines: Float32Matrix) -> tuple[npt.ArrayLike, ...]:
    values, counts = scores.values, scores.better_counts
    better = values[None, :] > values[:, None]
    higher_max = np.where(better, cosines, np.float32(-1.0)).max(axis=1)
    top = np.argsort(-values, kind="stable")[:_TOP]
    others_in_top = np.full(len(values), len(top), np.float32)
    others_in_top[top] -= 1.0
    # One candidate alone has the weight 1 and no others.
    feedback = cosines @ scores.weights / np.maximum(1.0 - scores.weights, _SMALLEST_SPREAD)
    return (
        np.where(counts > 0, higher_max, 0.0),
        np.einsum("ij,ij->i", cosines, better, dtype=np.float32) / np.maximum(counts, 1),
        cosines[:, top].sum(axis=1) / np.maximum(others_in_top, 1.0),
        cosines.sum(axis=1) / max(len(values) - 1, 1),
        feedback,
        _standardize(feedback)[0],
    )


def _context_columns(
    given: RerankInput,
    projection: Float32Matrix,
    query_projection: Float32Array,
    remainders: Float32Matrix,
    same_article: BoolMatrix,
) -> tuple[npt.ArrayLike, ...]:
    context = given.context
    if context is None:
        return (0.0,) * CONTEXT_FEATURE_COUNT
    towards_query = context @ given.query[0]
    own_remainders = context @ projection - np.multiply.outer(towards_query, query_projection)
    items = np.multiply.outer(given.scores, towards_query) + remainders @ own_remainders.T
    gram = context @ context.T
    count = len(context)
    recent = _combine(items, gram, _RECENCY ** np.arange(count - 1, -1, -1, dtype=np.float32))
    even = np.full(count, 1.0 / count, np.float32)
    last = items[:, -1]
    return (
        last,
        _standardize(last)[0],
        recent,
        _standardize(recent)[0],
        _combine(items, gram, even),
        items.max(axis=1),
        last - items[:, max(count - 2, 0)],
        _best_of_article(recent, same_article),
        1.0 - float(even @ gram @ even),
        count / MAX_CONTEXT_ITEMS,
    )


def _combine(items: Float32Matrix, gram: Float32Matrix, weights: Float32Array) -> Float32Array:
    """Cosines with the direction of a weighted sum of context vectors, out of those with each."""
    norm = math.sqrt(max(float(weights @ gram @ weights), _SMALLEST_SPREAD))
    return np.asarray(items @ weights / np.float32(norm), np.float32)


def _best_of_article(values: Float32Array, same_article: BoolMatrix) -> Float32Array:
    return np.asarray(np.where(same_article, values, np.float32(-2.0)).max(axis=1), np.float32)


def _standardize(values: Float32Array) -> tuple[Float32Array, float]:
    """Z-scores, at most sqrt(n - 1) in size, and the spread that they were divided by."""
    centred = values - values.sum() / len(values)
    spread = max(math.sqrt(float(centred @ centred) / len(values)), _SMALLEST_SPREAD)
    return centred / np.float32(spread), spread
