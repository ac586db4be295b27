"""Texts and queries to vectors over a tiny real model: cache, priorities, contexts, times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from encoder_svc.encoder import Encoder
from encoder_svc.lane import Lane, LaneOptions
from encoder_svc.manifest import open_model_folder
from encoder_svc.query_encoder import QueryEncoder
from encoder_svc.query_model_choice import QueryModels
from encoder_svc.query_models import RULES
from encoder_svc.session import EncoderSession, SessionOptions
from encoder_svc.text_batches import BatchLimits
from encoder_svc.text_encoder import INLINE_CHARACTERS, Lanes, Priority, TextEncoder
from encoder_svc.tokens import TextTokenizer
from encoder_svc.vector_cache import CachedText, VectorCache
from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import Float32Matrix, normalize_rows
from tests.support.tiny_encoder import write_tiny_folder

TEXTS = ["read a csv file", "open the door", "house"]


@dataclass
class Stage:
    """An encoder, what it is made of, and the same model for reference."""

    texts: TextEncoder
    queries: QueryEncoder
    cache: VectorCache
    reference: Encoder

    def expected(self, *texts: str) -> Float32Matrix:
        return self.reference.encode(texts).vectors


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    folder = open_model_folder(write_tiny_folder(tmp_path / "model"))
    session = EncoderSession.load(folder.graph, SessionOptions())
    limits = BatchLimits(64)
    lanes = Lanes(
        Lane([session], LaneOptions("query", limits, 8)),
        Lane([session], LaneOptions("bulk", limits, 8, niceness=5)),
    )
    cache = VectorCache(2)
    texts = TextEncoder(TextTokenizer.load(folder.tokenizer, 32), lanes, cache)
    queries = QueryEncoder(texts, QueryModels(default="recency"))
    yield Stage(texts, queries, cache, Encoder.load(folder.path))
    await lanes.query.close()
    await lanes.bulk.close()


@pytest.mark.parametrize("priority", list(Priority))
async def test_vectors_come_in_order_of_the_texts(stage: Stage, priority: Priority) -> None:
    encoded = await stage.texts.encode(TEXTS, priority)
    np.testing.assert_allclose(encoded.vectors, stage.expected(*TEXTS), atol=1e-5)
    assert encoded.token_counts == (5, 4, 2)
    assert encoded.truncated_indexes == ()
    assert encoded.times.run_ns > 0
    assert encoded.times.tokenize_ns > 0
    assert encoded.times.batch_size >= 1


async def test_a_query_asked_again_comes_from_the_cache(stage: Stage) -> None:
    first = await stage.texts.encode(["house"], Priority.QUERY)
    again = await stage.texts.encode(["house"], Priority.QUERY)
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert again.token_counts == first.token_counts
    assert (first.times.cached_count, again.times.cached_count) == (0, 1)
    assert again.times.batch_size == 0
    assert (stage.cache.hit_count, stage.cache.miss_count) == (1, 1)


async def test_a_call_may_be_answered_half_from_the_cache(stage: Stage) -> None:
    await stage.texts.encode(["open the door"], Priority.QUERY)
    encoded = await stage.texts.encode(TEXTS, Priority.QUERY)
    np.testing.assert_allclose(encoded.vectors, stage.expected(*TEXTS), atol=1e-5)
    assert encoded.times.cached_count == 1


async def test_bulk_work_neither_reads_nor_fills_the_cache(stage: Stage) -> None:
    await stage.texts.encode(TEXTS, Priority.BULK)
    assert len(stage.cache) == 0
    assert stage.cache.miss_count == 0


async def test_a_long_text_is_tokenised_elsewhere_and_cut(stage: Stage) -> None:
    long = "read a csv file " * INLINE_CHARACTERS
    encoded = await stage.texts.encode(["house", long], Priority.QUERY)
    assert encoded.truncated_indexes == (1,)
    assert encoded.token_counts == (2, 4 * INLINE_CHARACTERS + 1)


async def test_an_empty_text_is_named_by_its_place_in_the_call(stage: Stage) -> None:
    await stage.texts.encode(["house"], Priority.QUERY)
    with pytest.raises(InvalidInput) as caught:
        await stage.texts.encode(["house", "\u200b"], Priority.QUERY)
    assert caught.value.violations[0].field == "texts[1]"


async def test_a_context_goes_through_the_default_query_model(stage: Stage) -> None:
    vector = normalize_rows(np.arange(768, dtype=np.float32)[None])
    answer = await stage.queries.encode_context(["house", vector, "open the door"], "")
    expected = np.concatenate([stage.expected("house"), vector, stage.expected("open the door")])
    assert answer.context_vectors is not None
    np.testing.assert_allclose(answer.context_vectors, expected, atol=1e-5)
    np.testing.assert_allclose(answer.vector, RULES["recency"].predict(expected), atol=1e-5)
    assert (answer.query_model, answer.fallback) == ("recency", None)


async def test_a_context_of_vectors_needs_no_model_run(stage: Stage) -> None:
    vectors = normalize_rows(np.random.default_rng(0).normal(size=(2, 768)))
    answer = await stage.queries.encode_context([vectors[:1], vectors[1:]], "mean")
    assert answer.times.run_ns == 0
    np.testing.assert_array_equal(answer.context_vectors, vectors)


async def test_the_item_of_a_context_that_has_no_words_is_named(stage: Stage) -> None:
    vector = normalize_rows(np.ones((1, 768)))
    with pytest.raises(InvalidInput) as caught:
        await stage.queries.encode_context([vector, "house", "\u200b"], "")
    assert caught.value.violations[0].field == "context.items[2].text"


async def test_an_unknown_query_model_is_refused_before_any_work(stage: Stage) -> None:
    with pytest.raises(InvalidInput) as caught:
        await stage.queries.encode_context(["house"], "amn_v9")
    assert caught.value.reason == "UNKNOWN_QUERY_MODEL"
    assert stage.cache.miss_count == 0


def test_the_cache_drops_what_was_used_least_recently() -> None:
    cache = VectorCache(2)
    entry = CachedText(np.zeros(768, np.float32), 2, truncated=False)
    cache.remember("a", entry)
    cache.remember("b", entry)
    assert cache.find("a") is entry
    cache.remember("c", entry)
    assert cache.find("b") is None
    assert cache.find("a") is entry
    assert len(cache) == 2
    assert cache.hit_ratio == pytest.approx(2 / 3)


def test_a_cache_without_capacity_and_a_huge_text_are_not_remembered() -> None:
    entry = CachedText(np.zeros(768, np.float32), 2, truncated=False)
    nothing, some = VectorCache(0), VectorCache(9)
    nothing.remember("a", entry)
    some.remember("a" * 5000, entry)
    assert len(nothing) == len(some) == 0
