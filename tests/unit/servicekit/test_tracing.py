"""Traces: the caller's decision holds; spans only for sampled calls; no wait for the dead."""

from __future__ import annotations

import threading
import time

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from servicekit.spans import OpenTelemetrySpans
from servicekit.tracing import TraceParent, Tracing, parse_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("value", "sampled"), [(f"00-{TRACE}-{SPAN}-01", True), (f"00-{TRACE}-{SPAN}-00", False)]
)
def test_a_traceparent_is_read(value: str, *, sampled: bool) -> None:
    assert parse_traceparent(value) == TraceParent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "junk",
        f"01-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
    ],
)
def test_anything_else_is_ignored(value: str) -> None:
    assert parse_traceparent(value) is None
    trace = Tracing().begin("m", [("traceparent", value)])
    assert trace.trace_id != TRACE
    assert len(trace.trace_id) == 32


@pytest.mark.parametrize("flag", ["00", "01"])
def test_the_callers_decision_holds_and_travels_on(flag: str) -> None:
    tracing = Tracing(ratio=1.0 if flag == "00" else 0.0)
    trace = tracing.begin("m", [("other", "x"), ("traceparent", f"00-{TRACE}-{SPAN}-{flag}")])
    assert trace.traceparent().startswith(f"00-{TRACE}-")
    assert trace.traceparent().endswith(f"-{flag}")
    assert trace.sampled is (flag == "01")


@pytest.mark.parametrize(("ratio", "sampled"), [(0.0, False), (1.0, True)])
def test_the_ratio_decides_where_a_trace_begins(ratio: float, *, sampled: bool) -> None:
    assert Tracing(ratio=ratio).begin("m", ()).sampled is sampled


def test_spans_of_a_sampled_call() -> None:
    exporter = InMemorySpanExporter()
    spans = OpenTelemetrySpans("index", exporter)
    tracing = Tracing(spans=spans)
    trace = tracing.begin("S/Search", [("traceparent", f"00-{TRACE}-{SPAN}-01")])
    assert trace.span is not None
    now = time.monotonic_ns()
    trace.span.add_child("SEARCH", now - 3_000_000, now - 1_000_000, {"nprobe": 8})
    trace.span.end("OK")
    tracing.close()
    child, server = exporter.get_finished_spans()
    assert (child.name, server.name) == ("SEARCH", "S/Search")
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == SPAN
    assert f"{server.context.trace_id:032x}" == TRACE == trace.trace_id
    assert child.parent is not None
    assert child.parent.span_id == server.context.span_id
    assert child.start_time is not None
    assert child.end_time is not None
    assert child.end_time - child.start_time == 2_000_000
    # Monotonic times become wall times.
    assert abs(child.end_time - time.time_ns()) < 5_000_000_000
    assert server.attributes == {"rpc.response.status_code": "OK"}


def test_calls_that_are_not_sampled_make_no_span() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(spans=OpenTelemetrySpans("index", exporter))
    assert tracing.begin("m", [("traceparent", f"00-{TRACE}-{SPAN}-00")]).span is None
    assert tracing.begin("m", ()).span is None
    tracing.close()
    assert exporter.get_finished_spans() == ()


def test_a_dead_collector_does_not_hold_the_exit_up() -> None:
    released = threading.Event()

    class Stuck(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            released.wait(30)
            return SpanExportResult.FAILURE

        def shutdown(self) -> None:
            released.wait(30)

    tracing = Tracing(ratio=1.0, spans=OpenTelemetrySpans("index", Stuck()))
    span = tracing.begin("m", ()).span
    assert span is not None
    span.end("OK")
    began = time.monotonic()
    tracing.close(timeout_ms=50)
    assert time.monotonic() - began < 10
    released.set()
