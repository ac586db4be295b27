"""Spans of a real server process reach a real collector; a dead one holds nothing up."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from retrieval.v1 import rerank_pb2, rerank_pb2_grpc

from tests.integration.servicekit_processes import NAME, Launch, launcher

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REQUEST = rerank_pb2.RerankRequest()


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: queue.Queue[Any] = queue.Queue()

    def Export(self, exported: Any, context: Any) -> Any:  # noqa: N802
        for resource in exported.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put((resource.resource, span))
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    with launcher(tmp_path) as start:
        yield start


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    servicer = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add_to_server: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(0).wait()


@pytest.mark.parametrize("flavour", ["sync", "aio"])
def test_a_sampled_call_is_exported(
    launch: Launch,
    flavour: str,
    collector: tuple[Collector, str],
) -> None:
    servicer, endpoint = collector
    server = launch(flavour, otlp_endpoint=endpoint, lame_duck_ms=0)
    with grpc.insecure_channel(server.address()) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        stub.Rerank(REQUEST, timeout=10, metadata=(("traceparent", f"00-{TRACE}-{SPAN}-00"),))
        stub.Rerank(REQUEST, timeout=10, metadata=(("traceparent", f"00-{TRACE}-{SPAN}-01"),))
    server.terminate()
    assert server.outcome()[0] == 0
    resource, span = servicer.spans.get(timeout=5)
    assert span.name == f"{NAME}/Rerank"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    names = {attribute.key: attribute.value.string_value for attribute in resource.attributes}
    assert names["service.name"] == "sample"
    assert servicer.spans.empty()


def test_a_dead_collector_holds_neither_calls_nor_the_exit_up(
    launch: Launch,
) -> None:
    server = launch("sync", otlp_endpoint="http://127.0.0.1:9", trace_ratio=1, lame_duck_ms=0)
    with grpc.insecure_channel(server.address()) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        for _ in range(50):
            assert stub.Rerank(REQUEST, timeout=5).model
    began = time.monotonic()
    server.terminate()
    assert server.outcome()[0] == 0
    assert time.monotonic() - began < 5
