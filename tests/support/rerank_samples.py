"""Made-up queries with candidates, and small rerankers, for the tests of several areas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from retrieval.v1.rerank_pb2 import QUERY_KIND_CONTEXT, QUERY_KIND_QUESTION, RerankRequest

from rerank_svc.candidates import QueryKind, RerankInput
from rerank_svc.features import FEATURE_NAMES
from retrieval_core.projection import project, projection_matrix
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows
from servicekit.matrices import matrix_to_message
from training.reranker.fit import Ranker
from training.reranker.graph import Provenance, write_reranker
from training.reranker.network import Network, Standardisation

PROJECTION = projection_matrix()
FINGERPRINT = "sha256:" + "5" * 64


def make_input(
    count: int,
    seed: int,
    *,
    context_count: int = 0,
    articles: int = 6,
    projection: Float32Matrix = PROJECTION,
) -> tuple[RerankInput, Float32Matrix]:
    """A made-up query with `count` candidates around it, and the candidates' vectors."""
    generator = np.random.default_rng(seed)
    topic = generator.standard_normal((1, DIMENSIONS))
    context = normalize_rows(topic + generator.standard_normal((max(context_count, 1), DIMENSIONS)))
    query = normalize_rows(context.mean(axis=0, keepdims=True))
    vectors = normalize_rows(query + generator.normal(0, 0.05, (count, DIMENSIONS)))
    given_input = RerankInput(
        kind=QueryKind.CONTEXT if context_count else QueryKind.QUESTION,
        scores=(vectors @ query[0]).astype(np.float32),
        article_keys=generator.integers(0, articles, count).astype(np.uint64),
        projections=project(vectors, projection),
        query=query,
        context=context if context_count else None,
    )
    return given_input, vectors


def make_ranker(seed: int) -> Ranker:
    """A network of random weights."""
    count = len(FEATURE_NAMES)
    generator = np.random.default_rng(seed)
    means = generator.normal(0, 0.1, count).astype(np.float32)
    scales = generator.uniform(0.5, 2.0, count).astype(np.float32)
    network = Network(
        generator.normal(0, 0.3, (count, 8)).astype(np.float32),
        generator.normal(0, 0.3, 8).astype(np.float32),
        generator.normal(0, 1.0, 8).astype(np.float32),
    )
    return Ranker(Standardisation(means, scales), network)


def write_sample_reranker(folder: Path, fingerprint: str = FINGERPRINT) -> dict[QueryKind, Ranker]:
    """A reranker on disk with other weights for each kind of query, which are returned."""
    rankers = {QueryKind.QUESTION: make_ranker(1), QueryKind.CONTEXT: make_ranker(2)}
    write_reranker(rankers, Provenance(fingerprint, "sample", "0" * 64, {}), folder)
    return rankers


def make_request(given_input: RerankInput, fingerprint: str = FINGERPRINT) -> RerankRequest:
    """The message that asks for `given_input` to be ordered."""
    is_context = given_input.kind is QueryKind.CONTEXT
    request = RerankRequest(
        query_kind=QUERY_KIND_CONTEXT if is_context else QUERY_KIND_QUESTION,
        passage_ids=range(100, 100 + len(given_input)),
        scores=given_input.scores.tolist(),
        article_keys=given_input.article_keys.tolist(),
        projections=matrix_to_message(given_input.projections),
        query=matrix_to_message(given_input.query),
        fingerprint=fingerprint,
    )
    if given_input.context is not None:
        request.context_vectors.CopyFrom(matrix_to_message(given_input.context))
    return request
