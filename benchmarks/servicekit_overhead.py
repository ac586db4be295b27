"""What servicekit costs a call: its servers against bare gRPC ones, asked in turns.

    python benchmarks/servicekit_overhead.py --rounds 20 --calls 300

Four server processes answer the same tiny method. One caller asks each of them `calls` times a
round, round after round, so that what else the machine does hits all of them alike. Prints latency
seen by the caller and CPU time of the server process, a call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import psutil
from retrieval.v1 import rerank_pb2, rerank_pb2_grpc

from servicekit.aio_server import AioServer
from servicekit.binding import Service
from servicekit.settings import ServiceSettings
from servicekit.sync_server import SyncServer

NAME = "retrieval.v1.RerankService"
REQUEST = rerank_pb2.GetRerankerInfoRequest()
ANSWER = rerank_pb2.GetRerankerInfoResponse(name="x")


class SyncServicer(rerank_pb2_grpc.RerankServiceServicer):
    def Rerank(self, *_call: object) -> rerank_pb2.RerankResponse:  # noqa: N802
        return rerank_pb2.RerankResponse()

    def GetRerankerInfo(self, *_call: object) -> rerank_pb2.GetRerankerInfoResponse:  # noqa: N802
        return ANSWER


class AioServicer(SyncServicer):
    async def GetRerankerInfo(  # type: ignore[override]  # noqa: N802
        self, *_call: object
    ) -> rerank_pb2.GetRerankerInfoResponse:
        return ANSWER


def service(servicer: object) -> Service:
    return Service(NAME, rerank_pb2_grpc.add_RerankServiceServicer_to_server, servicer)


def announce(port: int) -> None:
    print(port, flush=True)


def serve_bare_sync() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    rerank_pb2_grpc.add_RerankServiceServicer_to_server(SyncServicer(), server)
    announce(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    server.wait_for_termination()


def serve_kit_sync() -> None:
    with SyncServer(ServiceSettings(), [service(SyncServicer())]) as server:
        announce(server.port)
        time.sleep(3600)


def run_on_uvloop(main: Any) -> None:  # noqa: ANN401
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def serve_bare_aio() -> None:
    server = grpc.aio.server()
    rerank_pb2_grpc.add_RerankServiceServicer_to_server(AioServicer(), server)
    announce(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


async def serve_kit_aio() -> None:
    async with AioServer(ServiceSettings(), [service(AioServicer())]) as server:
        announce(server.port)
        await asyncio.Event().wait()


SERVERS: dict[str, Callable[[], None]] = {
    "bare sync": serve_bare_sync,
    "servicekit sync": serve_kit_sync,
    "bare aio": lambda: run_on_uvloop(serve_bare_aio()),
    "servicekit aio": lambda: run_on_uvloop(serve_kit_aio()),
}


@dataclass
class Measured:
    """One server process and what its calls cost."""

    name: str
    process: subprocess.Popen[str]
    latencies_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        port = int(self.process.stdout.readline()) if self.process.stdout else 0
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = rerank_pb2_grpc.RerankServiceStub(self.channel)
        self.usage = psutil.Process(self.process.pid)

    def ask(self, call_count: int, *, keep: bool) -> None:
        before = self.usage.cpu_times()
        latencies = [self._ask_once() for _ in range(call_count)]
        after = self.usage.cpu_times()
        if keep:
            used_s = after.user + after.system - before.user - before.system
            self.latencies_us += latencies
            self.cpu_us.append(used_s * 1e6 / call_count)

    def _ask_once(self) -> float:
        began = time.perf_counter_ns()
        self.stub.GetRerankerInfo(REQUEST, timeout=5)
        return (time.perf_counter_ns() - began) / 1e3

    def figures(self) -> dict[str, float]:
        centiles = statistics.quantiles(self.latencies_us, n=100)
        return {
            "p50_us": round(centiles[49], 1),
            "p95_us": round(centiles[94], 1),
            "cpu_us": round(statistics.mean(self.cpu_us), 1),
        }

    def stop(self) -> None:
        self.channel.close()
        self.process.kill()
        self.process.communicate()


def launch(name: str) -> Measured:
    command = [sys.executable, __file__, "--serve", name]
    return Measured(name, subprocess.Popen(command, stdout=subprocess.PIPE, text=True))


def measure(round_count: int, call_count: int) -> dict[str, dict[str, float]]:
    servers = [launch(name) for name in SERVERS]
    try:
        for current in range(round_count + 2):
            for server in servers:
                server.ask(call_count, keep=current >= 2)  # the first two rounds warm up
        return {server.name: server.figures() for server in servers}
    finally:
        for server in servers:
            server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20, help="rounds over all servers")
    parser.add_argument("--calls", type=int, default=300, help="calls a round and server")
    parser.add_argument("--serve", choices=list(SERVERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        SERVERS[arguments.serve]()
        return
    print(json.dumps(measure(arguments.rounds, arguments.calls), indent=2))


if __name__ == "__main__":
    main()
