"""Spans of sampled calls as OpenTelemetry has them, shipped to an OTLP collector."""

from __future__ import annotations

import threading
import time

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from servicekit.tracing import Attributes, TraceParent


class OpenTelemetrySpans:
    """Starts spans and exports them in batches from a thread of its own."""

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        # Whether to sample is decided before a span is made, so the provider keeps all it sees.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": service}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("servicekit")

    def start(self, method: str, parent: TraceParent | None) -> OpenTelemetryCallSpan:
        """Begin the span of a call; without a parent a new trace begins."""
        span = self._tracer.start_span(
            method.lstrip("/"), _context_of(parent), trace.SpanKind.SERVER
        )
        return OpenTelemetryCallSpan(self._tracer, span)

    def close(self, timeout_ms: int) -> None:
        """Ship what is left. A collector that does not answer is given up after `timeout_ms`."""
        # shutdown() itself may take many seconds; as a daemon it cannot hold the process back.
        shutdown = threading.Thread(
            target=self._provider.shutdown, name="span-shutdown", daemon=True
        )
        shutdown.start()
        shutdown.join(timeout_ms / 1000)


class OpenTelemetryCallSpan:
    """The server span of one call."""

    __slots__ = ("_span", "_tracer", "_wall_offset_ns", "span_id", "trace_id")

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._wall_offset_ns = time.time_ns() - time.monotonic_ns()
        context = span.get_span_context()
        self.trace_id = trace.format_trace_id(context.trace_id)
        self.span_id = trace.format_span_id(context.span_id)

    def add_child(self, name: str, started_ns: int, ended_ns: int, attributes: Attributes) -> None:
        """Record a finished child; times are monotonic nanoseconds."""
        child = self._tracer.start_span(
            name,
            trace.set_span_in_context(self._span),
            attributes=dict(attributes),
            start_time=started_ns + self._wall_offset_ns,
        )
        child.end(ended_ns + self._wall_offset_ns)

    def end(self, code_name: str) -> None:
        """Finish the span with the call's status."""
        self._span.set_attribute("rpc.response.status_code", code_name)
        self._span.end()


def otlp_exporter(endpoint: str) -> SpanExporter:
    """An exporter over OTLP/gRPC; `http://` endpoints are plain text, `https://` ones TLS."""
    return OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"))


def _context_of(parent: TraceParent | None) -> Context:
    if parent is None:
        return Context()
    remote = trace.SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())
