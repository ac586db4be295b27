"""Real stacks of processes for tests: a tiny release of text files, free ports, load."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.errors import PortsTaken
from deploy.local.health import check_ports_free
from deploy.local.layout import DEFAULT_PORTS, Replicas, ServerSpec
from deploy.local.releases import layout_of_release, placed
from deploy.local.stack import LocalStack
from deploy.local.state import StackState
from retrieval_client import RetrievalClient, SearchResult
from retrieval_core.errors import RetrievalError

ROOT = Path(__file__).resolve().parents[2]

OFFSETS = range(11_000, 13_900, 10)
"""Beyond the ports of outgoing connections, one of which may take any other at any time."""

ARTICLES = {
    "bread": "Knead the dough until it is smooth. Let it rest under a cloth for an hour. "
    "Bake the loaf in a hot oven until the crust is brown. Cool it on a rack before cutting.",
    "bicycles": "Pump the tyres before a long ride. Oil the chain when it squeaks. "
    "Tighten the brakes if the lever touches the handlebar. A bell warns people on the path.",
    "stars": "The pole star shows where north is. Planets wander among the fixed stars. "
    "A telescope gathers more light than the eye. Meteors burn up high in the air.",
    "gardens": "Water the tomatoes early in the morning. Prune the roses in late winter. "
    "Compost turns kitchen scraps into good soil. Bees carry pollen between the flowers.",
    "sailing": "Reef the sail when the wind rises. A boat on starboard tack has right of way. "
    "Drop the anchor upwind of where the boat should lie. A bowline makes a loop that holds.",
    "chess": "Castle early to bring the king to safety. A knight on the rim is dim. "
    "Rooks belong behind passed pawns. Bishops like open diagonals.",
}

PATIENT: Mapping[str, str] = {
    # A busy test machine must not turn into missing shards where the test is about something else.
    "GATEWAY_SHARD_TIMEOUT_MS": "5000",
    "GATEWAY_SHARD_GRACE_MS": "5000",
    "GATEWAY_RERANK_TIMEOUT_MS": "5000",
    "GATEWAY_CHECK_INTERVAL_MS": "500",
}


def build_text_release(folder: Path, *, shard_count: int, extra: Sequence[str] = ()) -> Path:
    """A release of ARTICLES, four passages each, with the embedded encoder; returns its folder."""
    corpus = folder / "corpus"
    for lane in ("home", "world"):
        (corpus / lane).mkdir(parents=True, exist_ok=True)
    for turn, (name, text) in enumerate(ARTICLES.items()):
        (corpus / ("home", "world")[turn % 2] / f"{name}.txt").write_text(text)
    arguments = [
        *("--corpus", str(corpus), "--name", f"tiny-{shard_count}"),
        *("--shards", str(shard_count), "--releases", str(folder / "releases")),
        *("--max-tokens", "16", *extra),
    ]
    command = [sys.executable, str(ROOT / "tools" / "build_release.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    return folder / "releases" / f"tiny-{shard_count}"


@contextmanager
def running_stack(
    release: Path,
    folder: Path,
    *,
    replicas: Replicas | None = None,
    settings: Mapping[str, str] = PATIENT,
) -> Iterator[LocalStack]:
    """The release served by real processes on ports that were free."""
    stack = LocalStack(folder, {**os.environ, **settings}, print, start_timeout_s=90)
    layout = layout_of_release(str(release), core_count=2)
    up_at_free_ports(
        lambda offset: stack.up(
            placed(
                layout,
                host="127.0.0.1",
                ports=DEFAULT_PORTS.shifted(offset),
                replicas=replicas or Replicas(),
            )
        )
    )
    try:
        yield stack
    finally:
        stack.down()


def up_at_free_ports(up: Callable[[int], StackState]) -> StackState:
    """Try port offsets, of which other test runs on this machine may have taken some."""
    offsets = random.Random().sample(OFFSETS, 20)
    for offset in offsets[:-1]:
        try:
            return up(offset)
        except PortsTaken:
            continue
    return up(offsets[-1])


def free_port_offset() -> int:
    """An offset at which nothing listens right now on any port of a stack of two shards."""
    first = DEFAULT_PORTS
    ports = [first.gateway, first.http, first.encoder, first.shard, first.shard + 1, first.reranker]
    for offset in random.Random().sample(OFFSETS, 20):
        specs = [ServerSpec("probe", "", "127.0.0.1", port + offset, "", {}) for port in ports]
        with suppress(PortsTaken):
            check_ports_free(specs)
            return offset
    raise AssertionError("no free ports")


def addresses_of(stack: LocalStack, module: str) -> list[str]:
    """Addresses of all servers of one kind."""
    servers = stack.state().servers
    return [server.spec.address for server in servers if server.spec.module == module]


def asked_until(
    client: RetrievalClient, wanted: Callable[[SearchResult], bool], *, within_s: float
) -> tuple[SearchResult, float]:
    """The first answer that is as wanted, and how many seconds it took to come."""
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        result = client.search("bake a loaf")
        if wanted(result):
            return result, time.monotonic() - began
    raise AssertionError(f"no such answer within {within_s} s; the last was {result}")


@dataclass
class Load:
    """Callers that ask one query after another until told to stop; keeps every outcome."""

    addresses: Sequence[str]
    caller_count: int = 3
    results: list[SearchResult] = field(default_factory=list)
    errors: list[RetrievalError] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Load from here to the end of the block."""
        with RetrievalClient(self.addresses, timeout_ms=10_000) as client:
            client.wait_until_ready(30)
            threads = [
                threading.Thread(target=self._ask_on, args=(client,))
                for _ in range(self.caller_count)
            ]
            for thread in threads:
                thread.start()
            try:
                yield self
            finally:
                self._over.set()
                for thread in threads:
                    thread.join()

    def wait_for_answers(self, count: int) -> list[SearchResult]:
        """Wait until `count` more are answered or refused; returns the answers among them."""
        answered, failed = len(self.results), len(self.errors)
        while len(self.results) + len(self.errors) < answered + failed + count:
            time.sleep(0.01)
        return self.results[answered:]

    def _ask_on(self, client: RetrievalClient) -> None:
        turn = 0
        while not self._over.is_set():
            turn += 1
            try:
                self.results.append(client.search(f"bake a loaf {turn % 7}"))
            except RetrievalError as error:
                self.errors.append(error)
