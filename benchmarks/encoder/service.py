"""python -m benchmarks.encoder.service: what the RPC adds, what callers share, what a build costs.

Starts the encoder on a free port and drives it in phases that take turns, so that a busy moment of
the machine is shared by all of them. No text is sent twice: the cache has no part in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop
from retrieval.v1.encoder_pb2 import (
    PRIORITY_BULK,
    EncodeQueryRequest,
    EncodeRequest,
    GetEncoderInfoRequest,
)
from retrieval.v1.encoder_pb2_grpc import EncoderServiceStub

from benchmarks.load.origin import commit_of, machine, versions
from servicekit.durations import duration_to_ns

ROOT = Path(__file__).resolve().parents[2]
_WORDS = (
    *("read", "open", "write", "find", "list", "sort", "merge"),
    *("split", "close", "parse", "join", "count", "map", "filter"),
)
_BULK_TEXTS = 32
_BULK_CALLS_AT_ONCE = 2


@dataclass(slots=True)
class Samples:
    """Milliseconds of calls, as the caller saw them and inside the session."""

    call_ms: list[float] = field(default_factory=list)
    run_ms: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0

    def summary(self) -> dict[str, float]:
        """Percentiles, what is not the session's, and calls a second."""
        added = np.array(self.call_ms) - np.array(self.run_ms)
        return {
            "calls": len(self.call_ms),
            "p50_ms": float(np.percentile(self.call_ms, 50)),
            "p95_ms": float(np.percentile(self.call_ms, 95)),
            "run_p50_ms": float(np.percentile(self.run_ms, 50)),
            "added_p50_ms": float(np.percentile(added, 50)),
            "calls_per_s": len(self.call_ms) / self.elapsed_s,
        }


def query_texts(start: int) -> Iterator[str]:
    """Texts of about 16 tokens, each another."""
    for number in count(start):
        words = [
            _WORDS[(number * 7 + place * (number % 5 + 1)) % len(_WORDS)] for place in range(9)
        ]
        yield f"{' '.join(words)} {number}"


async def drive(
    stub: EncoderServiceStub, texts: Iterator[str], callers: int, seconds: float
) -> Samples:
    """Closed loop: every caller sends its next query when it has the answer to the last."""
    samples = Samples()
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while time.perf_counter() < end:
            request = EncodeQueryRequest(text=next(texts))
            started = time.perf_counter()
            answer = await stub.EncodeQuery(request, timeout=30)  # type: ignore[misc]
            samples.call_ms.append((time.perf_counter() - started) * 1000)
            samples.run_ms.append(duration_to_ns(answer.timing.run) / 1e6)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    samples.elapsed_s = time.perf_counter() - started
    return samples


def build_corpus(address: str, go: Event, stop: Event, done: Any) -> None:  # noqa: ANN401
    """Another process: sends bulk calls of passages while `go` is set; counts texts."""
    passage = " ".join(_WORDS * 7)
    with grpc.insecure_channel(address) as channel:
        stub = EncoderServiceStub(channel)
        for number in count():
            go.wait()
            if stop.is_set():
                return
            texts = [f"{passage} {number} {row}" for row in range(_BULK_TEXTS)]
            request = EncodeRequest(texts=texts, priority=PRIORITY_BULK)
            calls = [stub.Encode.future(request, timeout=60) for _ in range(_BULK_CALLS_AT_ONCE)]
            for call in calls:
                call.result()
            with done.get_lock():
                done.value += len(calls) * len(texts)


@dataclass(slots=True)
class Builder:
    """The corpus build as a process that can be let go and held."""

    go: Event
    texts: Any
    working_s: float = 0.0


@contextmanager
def corpus_builder(address: str) -> Iterator[Builder]:
    """A builder that is held at first."""
    context = multiprocessing.get_context("spawn")
    go, stop, done = context.Event(), context.Event(), context.Value("q", 0)
    process = context.Process(target=build_corpus, args=(address, go, stop, done))
    process.start()
    try:
        yield Builder(go, done)
    finally:
        stop.set()
        go.set()
        process.join(120)


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(model: Path | None, threads: int) -> Iterator[str]:
    """`python -m encoder_svc` on a free port; yields its address once it answers."""
    port = free_port()
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "protos")]),
        "ENCODER_PORT": str(port),
        "ENCODER_THREADS": str(threads),
        "ENCODER_LOG_LEVEL": "warning",
    }
    if model is not None:
        environ["ENCODER_MODEL"] = str(model)
    process = subprocess.Popen([sys.executable, "-m", "encoder_svc"], cwd=ROOT, env=environ)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=120)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


async def empty_calls(stub: EncoderServiceStub, seconds: float) -> list[float]:
    """Milliseconds of calls that ask for nothing: what any RPC costs here and now."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        await stub.GetEncoderInfo(GetEncoderInfoRequest(), timeout=30)  # type: ignore[misc]
        times.append((time.perf_counter() - started) * 1000)
    return times


async def measure(address: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Three kinds of phase in turn: a lone caller, 16 callers, a lone caller beside a build."""
    lone, many, beside = Samples(), Samples(), Samples()
    empty: list[float] = []
    texts = query_texts(0)
    with corpus_builder(address) as builder:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = EncoderServiceStub(channel)
            await drive(stub, texts, 16, seconds)
            for _ in range(rounds):
                empty += await empty_calls(stub, seconds / 2)
                _add(lone, await drive(stub, texts, 1, seconds))
                _add(many, await drive(stub, texts, 16, seconds))
                builder.go.set()
                await asyncio.sleep(0.3)
                _add(beside, await drive(stub, texts, 1, seconds))
                builder.go.clear()
                builder.working_s += seconds + 0.3
                await asyncio.sleep(0.5)
        built = builder.texts.value / builder.working_s
    report = _report(lone, many, beside, built)
    return {**report, "empty_rpc_p50_ms": float(np.percentile(empty, 50))}


def _add(total: Samples, more: Samples) -> None:
    total.call_ms += more.call_ms
    total.run_ms += more.run_ms
    total.elapsed_s += more.elapsed_s


def _report(lone: Samples, many: Samples, beside: Samples, built: float) -> dict[str, Any]:
    one, sixteen, loaded = lone.summary(), many.summary(), beside.summary()
    return {
        "one_caller": one,
        "sixteen_callers": sixteen,
        "one_caller_beside_a_build": loaded,
        "build_texts_per_s": built,
        "rpc_adds_p50_ms": one["added_p50_ms"],
        "throughput_ratio": sixteen["calls_per_s"] / one["calls_per_s"],
        "p95_ratio_beside_a_build": loaded["p95_ms"] / one["p95_ms"],
    }


def format_report(report: dict[str, Any]) -> str:
    """The figures as a table, and the three that are asked for."""
    lines = [f"{'':28}{'P50 ms':>9}{'P95 ms':>9}{'run P50':>9}{'added P50':>11}{'calls/s':>9}"]
    for name in ("one_caller", "sixteen_callers", "one_caller_beside_a_build"):
        row = report[name]
        lines.append(
            f"{name.replace('_', ' '):28}{row['p50_ms']:>9.2f}{row['p95_ms']:>9.2f}"
            f"{row['run_p50_ms']:>9.2f}{row['added_p50_ms']:>11.2f}{row['calls_per_s']:>9.0f}"
        )
    lines += [
        f"the RPC adds {report['rpc_adds_p50_ms']:.2f} ms P50 to the session's own time "
        f"(an RPC that asks for nothing takes {report['empty_rpc_p50_ms']:.2f})",
        f"16 callers get {report['throughput_ratio']:.2f} times the throughput of one",
        f"a build ({report['build_texts_per_s']:.0f} texts/s) makes a lone query's P95 "
        f"{report['p95_ratio_beside_a_build']:.2f} times as long",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoder.service")
    parser.add_argument("--model", type=Path, help="model folder; default: the embedded one")
    parser.add_argument("--threads", type=int, default=1, help="ENCODER_THREADS")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one phase")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "artifacts" / "bench" / "encoder-service.json"
    )
    options = parser.parse_args(arguments)
    with running_server(options.model, options.threads) as address:
        report = uvloop.run(measure(address, options.rounds, options.seconds))
    report["threads"] = options.threads
    report["measured"] = datetime.now(UTC).isoformat(timespec="seconds")
    report["origin"] = {**commit_of(ROOT), **machine(), "versions": versions()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(format_report(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
