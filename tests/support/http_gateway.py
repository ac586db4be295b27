"""What a gateway says over HTTP, served for real: /health and /metrics of a test's choice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class HttpGateway:
    """`health` and `metrics` are read anew for every request; `address` is host:port."""

    health: dict[str, Any]
    metrics: str = ""
    address: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def http_gateway(health: dict[str, Any], metrics: str = "") -> Iterator[HttpGateway]:
    """A server that is gone afterwards."""
    gateway = HttpGateway(health, metrics)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            gateway.asked.append(self.path)
            is_health = self.path == "/health"
            body = json.dumps(gateway.health) if is_health else gateway.metrics
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gateway.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stage(p95_ms: float, count: int = 500, budget_ms: float = 10.0) -> dict[str, float | int]:
    """One stage as /health has it."""
    return {
        "count": count,
        "p50_ms": p95_ms / 2,
        "p95_ms": p95_ms,
        "p99_ms": p95_ms,
        "budget_ms": budget_ms,
    }


def service(**changes: object) -> dict[str, Any]:
    """One server behind the gateway as /health has it."""
    return {
        "serving": True,
        "address": "127.0.0.1:1",
        "detail": "",
        "release": "retriever_v0",
        "fingerprint": "sha256:" + "7e" * 32,
        "passages": 150,
        "lanes": ["guide", "news"],
        "version": "0.1.0",
        "last_seen_s": 0.1,
        **changes,
    }


def good_health() -> dict[str, Any]:
    """A gateway in good health that serves release retriever_v0 from two shards."""
    stages = {
        "ENCODE": stage(2.0, budget_ms=4.0),
        "SEARCH": stage(3.0, budget_ms=4.0),
        "RETRIEVAL": stage(5.5, budget_ms=8.0),
        "RERANK": stage(1.5, budget_ms=2.0),
        "TOTAL": stage(7.0),
    }
    arm = {
        "release": "retriever_v0",
        "percent": 100,
        "retriever_impl": "amn_v0",
        "reranker": "on",
        "nprobe": 0,
        "serving": True,
        "coverage": 1.0,
        "stages": stages,
    }
    names = ("encoder", "shard-0", "shard-1", "reranker")
    return {
        "version": "retriever_v0",
        "software_version": "0.1.0",
        "status": "ok",
        "release": "retriever_v0",
        "coverage": 1.0,
        "services": {name: service() for name in names},
        "stages": stages,
        "arms": {"baseline": arm, "canary": None},
        "arms_error": None,
        "flags": {"generation": 1, "values": {}, "source": "file", "error": None},
    }


def good_metrics() -> str:
    """The histograms that a gateway exports, without a request."""
    bounds = ("0.002", "0.008", "0.01", "0.02", "+Inf")
    lines = []
    for name in ("gateway_stage_duration_seconds", "gateway_arm_duration_seconds"):
        lines.append(f"# TYPE {name} histogram")
        lines += [f'{name}_bucket{{arm="baseline",le="{bound}"}} 0' for bound in bounds]
        lines += [f'{name}_sum{{arm="baseline"}} 0', f'{name}_count{{arm="baseline"}} 0']
    return "\n".join(lines) + "\n"
