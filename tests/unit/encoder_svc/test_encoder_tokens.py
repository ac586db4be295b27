"""Tokenising: cuts are reported, texts without anything to encode are named."""

from __future__ import annotations

import pytest

from encoder_svc.tokens import TextTokenizer, check_texts
from retrieval_core.errors import InvalidInput
from tests.support.tiny_encoder import word_tokenizer

CLOSING = 1


@pytest.fixture
def tokenizer() -> TextTokenizer:
    return TextTokenizer(word_tokenizer(), max_tokens=4)


def test_a_text_of_the_maximum_is_not_cut(tokenizer: TextTokenizer) -> None:
    (text,) = tokenizer.tokenize(["read a csv"])
    assert text.ids == (3, 4, 5, CLOSING)
    assert text.token_count == 4
    assert not text.truncated


def test_a_longer_text_keeps_its_start_and_the_closing_token(tokenizer: TextTokenizer) -> None:
    (text,) = tokenizer.tokenize(["read a csv file into the house"])
    assert text.ids == (3, 4, 5, CLOSING)
    assert text.token_count == 8
    assert text.truncated


def test_one_text_is_tokenised_as_among_others(tokenizer: TextTokenizer) -> None:
    texts = ["read a", "open the door", "house"]
    assert tokenizer.tokenize(texts) == [tokenizer.tokenize([text])[0] for text in texts]


def test_a_text_that_the_normaliser_empties_is_named(tokenizer: TextTokenizer) -> None:
    with pytest.raises(InvalidInput) as caught:
        tokenizer.tokenize(["read", "\u200b"], lambda index: f"items[{index}]")
    assert caught.value.reason == "EMPTY_TEXT"
    assert caught.value.violations[0].field == "items[1]"


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000"])
def test_empty_and_blank_texts_are_named(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_texts(["fine", text], max_bytes=100)
    assert caught.value.reason == "EMPTY_TEXT"
    assert caught.value.violations[0].field == "texts[1]"


def test_the_limit_counts_bytes_not_characters() -> None:
    check_texts(["é" * 50, "a" * 100], max_bytes=100)
    with pytest.raises(InvalidInput) as caught:
        check_texts(["é" * 51], max_bytes=100)
    assert caught.value.reason == "TEXT_TOO_LONG"
