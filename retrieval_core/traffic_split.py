"""Which arm a caller's queries go to: a stable split by routing key, the same on every gateway."""

from __future__ import annotations

import hashlib

BUCKET_COUNT = 10_000
"""One bucket is a hundredth of a percent."""

_SALT = b"retrieval-split/1"


def bucket_of(routing_key: str) -> int:
    """The bucket of a routing key, 0 to 9999; depends on nothing but the key."""
    # Lone surrogates come out of metadata that is no UTF-8; such a key is a key too.
    data = routing_key.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(data, digest_size=8, key=_SALT).digest()
    return int.from_bytes(digest, "little") % BUCKET_COUNT


def canary_buckets(percent: float) -> int:
    """How many buckets, counted from the first, a percentage gives to the canary."""
    return round(percent * BUCKET_COUNT / 100)


def is_canary(routing_key: str, percent: float) -> bool:
    """Whether the caller is on the canary arm while it gets `percent` of the callers.

    Raising the percentage only adds callers: none that was on the canary goes back.
    """
    buckets = canary_buckets(percent)
    if buckets in {0, BUCKET_COUNT}:
        return buckets == BUCKET_COUNT
    return bucket_of(routing_key) < buckets
