"""Keys that stand for articles where only equality matters."""

from __future__ import annotations

import hashlib


def article_key(article_id: str) -> int:
    """First 8 bytes of the BLAKE2b hash of the id, as an unsigned integer.

    Equal ids give equal keys; two of a billion articles share one with probability 3 %.
    """
    return int.from_bytes(hashlib.blake2b(article_id.encode(), digest_size=8).digest(), "little")
