"""Keys of articles, digests of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_core.articles import article_key
from retrieval_core.checksums import fingerprint_of, sha256_of_file


@given(st.text())
def test_a_key_is_an_unsigned_word_and_always_the_same(article_id: str) -> None:
    key = article_key(article_id)
    assert 0 <= key < 2**64
    assert key == article_key(article_id)


def test_a_key_is_the_same_on_every_machine() -> None:
    # The first 8 bytes of b2sum -l 64 of "article-1", read little-endian.
    expected = hashlib.blake2b(b"article-1", digest_size=8).digest()
    assert article_key("article-1").to_bytes(8, "little") == expected
    assert article_key("article-1") != article_key("article-2")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_a_file_is_digested_whole_whatever_the_block(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    content = bytes(index % 251 for index in range(size))
    path.write_bytes(content)
    assert sha256_of_file(path) == hashlib.sha256(content).hexdigest()


@given(st.dictionaries(st.text("abc./", min_size=1), st.text("0123456789abcdef"), min_size=1))
def test_a_fingerprint_depends_on_the_files_and_not_on_their_order(digests: dict[str, str]) -> None:
    backwards = dict(reversed(list(digests.items())))
    assert fingerprint_of(digests) == fingerprint_of(backwards)
    name = next(iter(digests))
    assert fingerprint_of({**digests, name: digests[name] + "0"}) != fingerprint_of(digests)


def test_the_fingerprint_is_that_of_sorted_lines() -> None:
    expected = hashlib.sha256(b"a:1\nb:2\n").hexdigest()
    assert fingerprint_of({"b": "2", "a": "1"}) == f"sha256:{expected}"
