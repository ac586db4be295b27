"""Callers that ask all the time, each under a routing key of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from retrieval_client import RetrievalClient
from retrieval_core.errors import RetrievalError
from retrieval_core.traffic_split import bucket_of

SLICES = ((0, 500), (500, 2500), (2500, 5000), (5000, 10_000))
"""Buckets that join the canary at 5, 25, 50 and 100 %. The rehearsal has as many callers in each,
so that the canary has a quarter of the requests from the first step on: who is split are callers,
and nothing says that all of them ask as often."""


def keys_of(bounds: tuple[int, int], how_many: int) -> list[str]:
    """Routing keys whose buckets lie within the bounds."""
    low, high = bounds
    keys = (f"caller-{number}" for number in count())
    inside = (key for key in keys if low <= bucket_of(key) < high)
    return [next(inside) for _ in range(how_many)]


@dataclass
class Callers:
    """One thread for every slice, each with several keys; counts what came of every request."""

    address: str
    questions: Sequence[str]
    pause_s: float = 0.04
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)
    _quiet: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def calling(self) -> Iterator[Callers]:
        """Callers from here to the end of the block."""
        threads = [
            threading.Thread(target=self._ask_on, args=(keys_of(bounds, 5), turn))
            for turn, bounds in enumerate(SLICES)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Nobody asks within this block."""
        self._quiet.set()
        try:
            yield
        finally:
            self._quiet.clear()

    def count(self, outcome: str) -> int:
        """How many requests ended so, over all releases."""
        with self._lock:
            return sum(number for (_, how), number in self.outcomes.items() if how == outcome)

    def _ask_on(self, keys: Sequence[str], turn: int) -> None:
        with RetrievalClient(self.address, timeout_ms=5000) as client:
            client.wait_until_ready(30)
            while not self._over.wait(self.pause_s):
                if self._quiet.is_set():
                    self._over.wait(0.05)
                    continue
                turn += 1
                key = keys[turn % len(keys)]
                self._note(*self._ask(client, self.questions[turn % len(self.questions)], key))

    def _ask(self, client: RetrievalClient, question: str, key: str) -> tuple[str, str]:
        try:
            return client.search(question, routing_key=key).release_id, "ok"
        except RetrievalError as error:
            return "", error.reason

    def _note(self, release: str, outcome: str) -> None:
        with self._lock:
            self.outcomes[release, outcome] += 1
