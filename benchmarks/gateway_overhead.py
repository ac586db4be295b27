"""What the gateway itself costs: real processes, stub servers that answer at once.

    python -m benchmarks.gateway_overhead --requests 3000 --callers 1

Prints percentiles of every stage, of what no stage accounts for and of what the caller sees, and
the gateway's CPU time per request. Encoder, shards and reranker answer with constants, so that
their stages are the price of one hop each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np
import psutil
from retrieval.v1 import (
    encoder_pb2,
    encoder_pb2_grpc,
    rerank_pb2,
    rerank_pb2_grpc,
    shard_pb2,
    shard_pb2_grpc,
)
from retrieval.v1.common_pb2 import Stage
from retrieval.v1.retrieval_pb2 import SearchRequest, SearchResponse
from retrieval.v1.retrieval_pb2_grpc import RetrievalServiceStub

from retrieval_core.latency import summarize_ms
from retrieval_core.vectors import normalize_rows
from servicekit.binding import Service
from servicekit.channels import ChannelOptions, open_aio_channel
from servicekit.lifecycle import Process, SyncProgram, run_sync
from servicekit.matrices import matrix_to_message
from servicekit.settings import ServiceSettings

CANDIDATES = 50
TEXT = "words of a passage that has the length of a passage " * 10


class StubEncoder(encoder_pb2_grpc.EncoderServiceServicer):
    """One vector for every query."""

    def Encode(  # noqa: N802
        self, request: encoder_pb2.EncodeRequest, context: object
    ) -> encoder_pb2.EncodeResponse:
        del request, context
        return encoder_pb2.EncodeResponse(vectors=self._answer.vector, fingerprint="stub")

    def __init__(self) -> None:
        vector = normalize_rows(np.random.default_rng(1).standard_normal((1, 768)))
        self._answer = encoder_pb2.EncodeQueryResponse(
            vector=matrix_to_message(vector), fingerprint="stub"
        )

    def EncodeQuery(  # noqa: N802
        self, request: encoder_pb2.EncodeQueryRequest, context: object
    ) -> encoder_pb2.EncodeQueryResponse:
        del request, context
        return self._answer

    def GetEncoderInfo(  # noqa: N802
        self, request: encoder_pb2.GetEncoderInfoRequest, context: object
    ) -> encoder_pb2.GetEncoderInfoResponse:
        del request, context
        return encoder_pb2.GetEncoderInfoResponse(fingerprint="stub")


class StubShard(shard_pb2_grpc.ShardServiceServicer):
    """The same hits for every query."""

    def __init__(self, index: int, count: int) -> None:
        ids = list(range(index, index + CANDIDATES * count, count))
        self._info = shard_pb2.GetShardInfoResponse(
            release_id="stub", shard=index, shard_count=count, fingerprint="stub"
        )
        self._answer = shard_pb2.ShardServiceSearchResponse(
            hits=shard_pb2.HitList(
                passage_ids=ids,
                scores=[0.9 - one / 1000 for one in ids],
                article_keys=[one // 10 for one in ids],
                positions=[one % 10 for one in ids],
            ),
            passages=shard_pb2.PassageList(
                article_ids=[f"article-{one // 10}" for one in ids],
                lanes=["news"] * CANDIDATES,
                texts=[TEXT] * CANDIDATES,
            ),
            projections=matrix_to_message(np.zeros((CANDIDATES, 64), np.float16)),
            release_id="stub",
            nprobe=8,
        )

    def Search(  # noqa: N802
        self, request: shard_pb2.ShardServiceSearchRequest, context: object
    ) -> shard_pb2.ShardServiceSearchResponse:
        del request, context
        return self._answer

    def GetShardInfo(  # noqa: N802
        self, request: shard_pb2.GetShardInfoRequest, context: object
    ) -> shard_pb2.GetShardInfoResponse:
        del request, context
        return self._info


class StubReranker(rerank_pb2_grpc.RerankServiceServicer):
    """The scores of the search."""

    def Rerank(  # noqa: N802
        self, request: rerank_pb2.RerankRequest, context: object
    ) -> rerank_pb2.RerankResponse:
        del context
        return rerank_pb2.RerankResponse(scores=request.scores, model="stub")

    def GetRerankerInfo(  # noqa: N802
        self, request: rerank_pb2.GetRerankerInfoRequest, context: object
    ) -> rerank_pb2.GetRerankerInfoResponse:
        del request, context
        return rerank_pb2.GetRerankerInfoResponse(encoder_fingerprint="stub")


def stub_service(kind: str) -> Service:
    """ "encoder", "reranker", or "shard-INDEX-COUNT"."""
    if kind == "encoder":
        add_encoder = encoder_pb2_grpc.add_EncoderServiceServicer_to_server
        return Service("retrieval.v1.EncoderService", add_encoder, StubEncoder())
    if kind == "reranker":
        add_reranker = rerank_pb2_grpc.add_RerankServiceServicer_to_server
        return Service("retrieval.v1.RerankService", add_reranker, StubReranker())
    _, index, count = kind.split("-")
    add_shard = shard_pb2_grpc.add_ShardServiceServicer_to_server
    return Service("retrieval.v1.ShardService", add_shard, StubShard(int(index), int(count)))


def serve_stub(kind: str) -> int:
    """Serve one stub on a free port until SIGTERM."""

    def build(_settings: ServiceSettings, _process: Process) -> list[Service]:
        return [stub_service(kind)]

    program = SyncProgram(name=kind, summary="a stub", settings=ServiceSettings, build=build)
    return run_sync(program, [], {})


@contextmanager
def running(arguments: list[str], environ: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """A server process; gives its address and process id, and ends it afterwards."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], env={**os.environ, **environ}, stderr=log
        )
        try:
            yield _address_from_log(process, log), process.pid
        finally:
            process.terminate()
            process.wait(30)


def _address_from_log(process: subprocess.Popen[bytes], log: IO[str]) -> str:
    for _ in range(600):
        log.seek(0)
        for line in log.read().splitlines():
            if '"address"' in line:
                return str(json.loads(line)["address"])
        if process.poll() is not None:
            break
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"it does not serve:\n{log.read()}")


async def drive(address: str, request_count: int, callers: int) -> dict[str, list[float]]:
    """Closed loop: `callers` callers one after the other. Milliseconds of every series."""
    series: dict[str, list[float]] = defaultdict(list)
    channel = open_aio_channel([address], ChannelOptions(health_service=None))
    stub: Any = RetrievalServiceStub(channel)

    async def call_many(count: int) -> None:
        for _ in range(count):
            started_ns = time.monotonic_ns()
            response = await stub.Search(SearchRequest(text="a question"), timeout=5)
            series["caller"].append((time.monotonic_ns() - started_ns) / 1e6)
            _note(series, response)

    await asyncio.gather(*(call_many(request_count // callers) for _ in range(callers)))
    await channel.close()
    return series


def _note(series: dict[str, list[float]], response: SearchResponse) -> None:
    longest: dict[str, float] = {}
    for one in response.timings.stages:
        name = Stage.Name(one.stage).removeprefix("STAGE_")
        longest[name] = max(longest.get(name, 0.0), one.elapsed.ToNanoseconds() / 1e6)
    for name, elapsed_ms in longest.items():
        series[name].append(elapsed_ms)
    series["unaccounted"].append(response.timings.unaccounted.ToNanoseconds() / 1e6)
    series["total"].append(response.timings.total.ToNanoseconds() / 1e6)
    series["coverage"].append(response.coverage.ratio)


def measure(request_count: int, callers: int, shard_count: int) -> dict[str, Any]:
    """Start everything, warm, measure, stop."""
    with ExitStack() as stack:

        def stub(kind: str) -> str:
            arguments = ["benchmarks.gateway_overhead", "--serve", kind]
            return stack.enter_context(running(arguments, {}))[0]

        shards = [stub(f"shard-{index}-{shard_count}") for index in range(shard_count)]
        environ = {
            "GATEWAY_ENCODER": stub("encoder"),
            "GATEWAY_SHARDS": ";".join(shards),
            "GATEWAY_RERANKER": stub("reranker"),
            "GATEWAY_PORT": "0",
            "GATEWAY_HTTP_PORT": "0",
        }
        address, process_id = stack.enter_context(running(["gateway"], environ))
        asyncio.run(drive(address, 300, callers))
        gateway = psutil.Process(process_id)
        before, started = gateway.cpu_times(), time.monotonic()
        series = asyncio.run(drive(address, request_count, callers))
        after, elapsed_s = gateway.cpu_times(), time.monotonic() - started
    cpu_s = after.user + after.system - before.user - before.system
    answered = len(series["total"])
    return {
        "requests": answered,
        "callers": callers,
        "requests_per_s": round(answered / elapsed_s, 1),
        "gateway_cpu_ms_per_request": round(1000 * cpu_s / answered, 3),
        "coverage_min": min(series.pop("coverage")),
        "milliseconds": {name: _percentiles(values) for name, values in series.items()},
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    summary = summarize_ms(values)
    if summary is None:
        return {"count": 0, "p50": 0.0, "p95": 0.0, "p99": 0.0}
    return {
        "count": summary.count,
        "p50": round(summary.p50_ms, 3),
        "p95": round(summary.p95_ms, 3),
        "p99": round(summary.p99_ms, 3),
    }


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=3000, help="requests to measure")
    parser.add_argument("--callers", type=int, default=1, help="callers at the same time")
    parser.add_argument("--shards", type=int, default=2, help="stub shards")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve_stub(arguments.serve)
    result = measure(arguments.requests, arguments.callers, arguments.shards)
    print(json.dumps(result, indent=2) if arguments.json else as_table(result))
    return 0


def as_table(result: dict[str, Any]) -> str:
    """The result for people."""
    facts = {name: value for name, value in result.items() if name != "milliseconds"}
    lines = [f"{name:28} {value}" for name, value in facts.items()]
    lines.append(f"\n{'milliseconds':14}{'count':>8}{'p50':>9}{'p95':>9}{'p99':>9}")
    for name, row in result["milliseconds"].items():
        lines.append(
            f"{name:14}{row['count']:8d}{row['p50']:9.3f}{row['p95']:9.3f}{row['p99']:9.3f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
