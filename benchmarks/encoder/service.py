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
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import uvloop
from retrieval.v1.encoder_pb2 import PRIORITY_BULK, EncodeRequest, GetEncoderInfoRequest
from retrieval.v1.encoder_pb2_grpc import EncoderServiceStub

from benchmarks.encoder.calls import WORDS, Generator, Samples, query_requests
from benchmarks.load.origin import commit_of, machine, versions

ROOT = Path(__file__).resolve().parents[2]
# Name, bound, and whether it is the most or the least that is asked for.
_BOUNDS = (
    ("rpc_adds_p50_ms", 0.8, True),
    ("throughput_ratio", 2.5, False),
    ("p95_ratio_beside_a_build", 2.0, True),
)
_CALLERS = 16
_BULK_TEXTS = 32
_BULK_CALLS_AT_ONCE = 2


def build_corpus(address: str, go: Event, stop: Event, done: Any) -> None:  # noqa: ANN401
    """Another process: sends bulk calls of passages while `go` is set; counts texts."""
    passage = " ".join(WORDS * 7)
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
def running_server(model: Path | None, threads: int) -> Iterator[tuple[str, int]]:
    """`python -m encoder_svc` on a free port; yields its address and its pid once it answers."""
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
        yield f"127.0.0.1:{port}", process.pid
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


async def measure(address: str, pid: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Three kinds of phase in turn: a lone caller, 16 callers, a lone caller beside a build."""
    lone, many, beside = Samples(), Samples(), Samples()
    empty: list[float] = []
    with corpus_builder(address) as builder:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = EncoderServiceStub(channel)
            generator = Generator(channel, psutil.Process(pid), query_requests())
            await generator.drive(_CALLERS, seconds)
            for _ in range(rounds):
                empty += await empty_calls(stub, seconds / 2)
                lone.add(await generator.drive(1, seconds))
                many.add(await generator.drive(_CALLERS, seconds))
                builder.go.set()
                await asyncio.sleep(0.3)
                beside.add(await generator.drive(1, seconds))
                builder.go.clear()
                builder.working_s += seconds + 0.3
                await asyncio.sleep(0.5)
        built = builder.texts.value / builder.working_s
    report = _report(lone, many, beside, built)
    return {**report, "empty_rpc_p50_ms": float(np.percentile(empty, 50))}


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
    """The figures as a table, and the three that are asked for with their bounds."""
    heads = ("P50 ms", "P95 ms", "run P50", "added P50", "calls/s", "batch", "CPU ms", "generator")
    lines = [f"{'':28}" + "".join(f"{head:>11}" for head in heads)]
    for name in ("one_caller", "sixteen_callers", "one_caller_beside_a_build"):
        row = report[name]
        lines.append(
            f"{name.replace('_', ' '):28}{row['p50_ms']:>11.2f}{row['p95_ms']:>11.2f}"
            f"{row['run_p50_ms']:>11.2f}{row['added_p50_ms']:>11.2f}{row['calls_per_s']:>11.0f}"
            f"{row['batch_mean']:>11.1f}{row['server_cpu_ms']:>11.2f}{row['generator_cpu_ms']:>11.2f}"
        )
    lines += [
        f"the RPC adds {report['rpc_adds_p50_ms']:.2f} ms P50 to the session's own time "
        f"(an RPC that asks for nothing takes {report['empty_rpc_p50_ms']:.2f})",
        f"16 callers get {report['throughput_ratio']:.2f} times the throughput of one",
        f"a build ({report['build_texts_per_s']:.0f} texts/s) makes a lone query's P95 "
        f"{report['p95_ratio_beside_a_build']:.2f} times as long",
    ]
    missed = [f"missed: {bound}" for bound in missed_bounds(report)]
    return "\n".join([*lines, *(missed or ["all three bounds are met"])])


def missed_bounds(report: dict[str, Any]) -> list[str]:
    """What is asked for and was not reached, in words."""
    return [
        f"{name} {report[name]:.2f}, {'at most' if most else 'at least'} {bound}"
        for name, bound, most in _BOUNDS
        if (report[name] > bound if most else report[name] < bound)
    ]


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
    parser.add_argument(
        "--check", action="store_true", help="exit 1 where one of the three bounds is missed"
    )
    options = parser.parse_args(arguments)
    with running_server(options.model, options.threads) as (address, pid):
        report = uvloop.run(measure(address, pid, options.rounds, options.seconds))
    report["threads"] = options.threads
    report["measured"] = datetime.now(UTC).isoformat(timespec="seconds")
    report["origin"] = {**commit_of(ROOT), **machine(), "versions": versions()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(format_report(report))
    return 1 if options.check and missed_bounds(report) else 0


if __name__ == "__main__":
    sys.exit(main())
