"""A lean closed loop of encoder queries: bytes out, bytes in, read once the phase is over.

One caller and sixteen are driven by the same code, so that the generator costs both the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import grpc
import numpy as np
import psutil
from retrieval.v1.encoder_pb2 import EncodeQueryRequest, EncodeQueryResponse

from servicekit.durations import duration_to_ns

METHOD = "/retrieval.v1.EncoderService/EncodeQuery"
WORDS = (
    *("read", "open", "write", "find", "list", "sort", "merge"),
    *("split", "close", "parse", "join", "count", "map", "filter"),
)
_TIMEOUT_S = 30


@dataclass(slots=True)
class Samples:
    """Calls of one kind of phase: milliseconds as the caller saw them, and the answers' bytes."""

    call_ms: list[float] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    elapsed_s: float = 0.0
    server_cpu_s: float = 0.0
    generator_cpu_s: float = 0.0

    def add(self, more: Samples) -> None:
        """Take another phase of the same kind in."""
        self.call_ms += more.call_ms
        self.answers += more.answers
        self.elapsed_s += more.elapsed_s
        self.server_cpu_s += more.server_cpu_s
        self.generator_cpu_s += more.generator_cpu_s

    def summary(self) -> dict[str, float]:
        """Percentiles, what is not the session's, calls a second and CPU a call."""
        timings = [EncodeQueryResponse.FromString(answer).timing for answer in self.answers]
        run_ms = np.array([duration_to_ns(timing.run) for timing in timings]) / 1e6
        calls = len(self.call_ms)
        return {
            "calls": calls,
            "p50_ms": float(np.percentile(self.call_ms, 50)),
            "p95_ms": float(np.percentile(self.call_ms, 95)),
            "run_p50_ms": float(np.percentile(run_ms, 50)),
            "added_p50_ms": float(np.percentile(np.array(self.call_ms) - run_ms, 50)),
            "calls_per_s": calls / self.elapsed_s,
            "batch_mean": float(np.mean([timing.batch_size for timing in timings])),
            "server_cpu_ms": 1000 * self.server_cpu_s / calls,
            "generator_cpu_ms": 1000 * self.generator_cpu_s / calls,
        }


def query_texts() -> Iterator[str]:
    """Texts of about 16 tokens, each another."""
    for number in count():
        words = [WORDS[(number * 7 + place * (number % 5 + 1)) % len(WORDS)] for place in range(9)]
        yield f"{' '.join(words)} {number}"


def query_requests() -> Iterator[bytes]:
    """Requests for these texts, ready for the wire."""
    return (EncodeQueryRequest(text=text).SerializeToString() for text in query_texts())


@dataclass(frozen=True, slots=True)
class Generator:
    """Drives one server over one channel; `server` is its process, whose CPU is counted."""

    channel: grpc.aio.Channel
    server: psutil.Process
    requests: Iterator[bytes]

    async def drive(self, callers: int, seconds: float) -> Samples:
        """Closed loop: every caller sends its next query when it has the answer to the last."""
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(METHOD)
        samples = Samples()
        end = time.perf_counter() + seconds

        async def caller() -> None:
            while time.perf_counter() < end:
                request = next(self.requests)
                started = time.perf_counter()
                answer = await call(request, timeout=_TIMEOUT_S)
                samples.call_ms.append((time.perf_counter() - started) * 1000)
                samples.answers.append(answer)

        started, server_s, own_s = time.perf_counter(), self._server_cpu_s(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(callers)))
        samples.elapsed_s = time.perf_counter() - started
        samples.server_cpu_s = self._server_cpu_s() - server_s
        samples.generator_cpu_s = time.process_time() - own_s
        return samples

    def _server_cpu_s(self) -> float:
        times = self.server.cpu_times()
        return float(times.user + times.system)
