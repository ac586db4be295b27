"""The servicer: what an answer and a failure leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from retrieval.v1.common_pb2 import Timings as TimingsMessage
from retrieval.v1.retrieval_pb2 import SearchRequest

from gateway.metrics import METRICS
from gateway.observing import Observer
from gateway.recording import Recorder
from gateway.servicer import TIMINGS_KEY, RequestPolicy, RetrievalServicer
from retrieval_core.errors import InvalidInput, Unavailable
from servicekit.admission import Admission
from servicekit.call import Call, entered_call, make_call
from servicekit.telemetry import ServiceMetrics
from servicekit.tracing import Trace
from tests.support.gateway_bench import Bench
from tests.support.gateway_routes import Caller, bench_backends, router_of


@dataclass(slots=True)
class KeptSpan:
    """Remembers its children."""

    trace_id: str = "1" * 32
    span_id: str = "2" * 16
    children: list[tuple[str, int, int]] = field(default_factory=list)

    def add_child(
        self, name: str, started_ns: int, ended_ns: int, attributes: Mapping[str, Any]
    ) -> None:
        self.children.append((name, started_ns, ended_ns))

    def end(self, code_name: str) -> None:
        pass


def servicer(bench: Bench) -> RetrievalServicer:
    router = router_of(bench_backends(bench))
    recorder = Recorder(Observer(ServiceMetrics("gateway", METRICS), {}))
    return RetrievalServicer(router, recorder, Admission(8, "gateway"), RequestPolicy())


def sampled_call() -> tuple[Call, KeptSpan]:
    call, span = make_call(), KeptSpan()
    call.trace = Trace(span.trace_id, sampled=True, span=span)
    return call, span


async def test_the_total_counts_from_the_arrival_of_the_call() -> None:
    with entered_call(make_call()) as call:
        call.arrived_ns -= 3_000_000
        response = await servicer(Bench()).Search(SearchRequest(text="why"), Caller())
    assert response.timings.total.ToNanoseconds() > 3_000_000
    assert response.timings.unaccounted.ToNanoseconds() >= 3_000_000


async def test_a_sampled_call_has_a_span_for_every_entry_within_the_call() -> None:
    call, span = sampled_call()
    with entered_call(call):
        response = await servicer(Bench()).Search(SearchRequest(text="why"), Caller())
    assert {name for name, _, _ in span.children} == {
        "ENCODE encoder",
        "SEARCH shard-0",
        "SEARCH shard-1",
        "MERGE gateway",
        "RERANK reranker",
    }
    ended_ns = call.arrived_ns + response.timings.total.ToNanoseconds()
    for _, started_ns, ended in span.children:
        assert call.arrived_ns <= started_ns <= ended <= ended_ns


async def test_a_failure_carries_its_timings_and_has_its_spans() -> None:
    bench = Bench()
    bench.even.error = bench.odd.error = Unavailable("gone")
    call, span = sampled_call()
    with entered_call(call), pytest.raises(Unavailable):
        await servicer(bench).Search(SearchRequest(text="why"), Caller())
    ((key, value),) = call.trailing_metadata
    assert key == TIMINGS_KEY
    assert isinstance(value, bytes)
    assert len(TimingsMessage.FromString(value).stages) == 3
    assert len(span.children) == 3


async def test_a_refusal_before_any_work_carries_timings_too() -> None:
    with entered_call(make_call()) as call, pytest.raises(InvalidInput):
        await servicer(Bench()).Search(SearchRequest(), Caller())
    assert [key for key, _ in call.trailing_metadata] == [TIMINGS_KEY]


async def test_a_call_that_is_not_sampled_has_no_spans() -> None:
    call, span = sampled_call()
    call.trace = Trace(span.trace_id, sampled=False, span=None)
    with entered_call(call):
        await servicer(Bench()).Search(SearchRequest(text="why"), Caller())
    assert span.children == []
