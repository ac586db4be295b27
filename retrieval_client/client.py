"""The synchronous client: `with RetrievalClient("host:50050") as client: client.search("…")`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TextIO, TypeVar, Unpack

import grpc
from retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc

from retrieval_client.converters import search_request, search_result, topology_of
from retrieval_client.exchange import (
    batch_items,
    batch_request,
    caller_error,
    channel_options,
    target_list,
    unreachable,
)
from retrieval_client.queries import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_MS,
    Query,
    QueryOptions,
    timeout_seconds,
)
from retrieval_client.recent import RecentCalls
from retrieval_client.results import BatchItem, SearchResult, Topology
from retrieval_client.waterfall import write_lines
from servicekit.channels import ChannelTls, open_channel

Answer = TypeVar("Answer")


class RetrievalClient:
    """Asks the gateway; safe to share between threads.

    targets: `host:port`, several with commas or as a sequence; calls go round over those that
    serve. timeout_ms: the deadline of a call that brings none of its own. Every method raises the
    errors of retrieval_core.errors; only UNAVAILABLE is retried, within the deadline.
    """

    def __init__(
        self,
        targets: str | Sequence[str] = DEFAULT_TARGET,
        *,
        timeout_ms: float = DEFAULT_TIMEOUT_MS,
        tls: ChannelTls | None = None,
    ) -> None:
        self._targets = target_list(targets)
        self._timeout_ms = timeout_ms
        timeout_seconds(timeout_ms)
        self._channel = open_channel(self._targets, channel_options(tls))
        self._stub = retrieval_pb2_grpc.RetrievalServiceStub(self._channel)
        self._recent = RecentCalls()

    def search(
        self,
        text: str | None = None,
        *,
        timeout_ms: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> SearchResult:
        """Answer one query: `search("text")`, `search(vector=…)` or `search(context=[…])`.

        The other options are those of `Query`.
        """
        return self.ask(Query(text=text, **options), timeout_ms=timeout_ms)

    def ask(self, query: Query, *, timeout_ms: float | None = None) -> SearchResult:
        """Answer one query given as a value."""
        request = search_request(query)
        started_ns = time.monotonic_ns()
        response = self._call(self._stub.Search, request, timeout_ms)
        result = search_result(response, time.monotonic_ns() - started_ns)
        self._recent.add(result)
        return result

    def batch_search(
        self, queries: Sequence[Query], *, timeout_ms: float | None = None
    ) -> list[BatchItem]:
        """Answer several queries in one call; each has its own result or error, in order."""
        return batch_items(self._call(self._stub.BatchSearch, batch_request(queries), timeout_ms))

    def topology(self, *, timeout_ms: float | None = None) -> Topology:
        """Which servers stand behind the gateway, and what they serve."""
        request = retrieval_pb2.GetTopologyRequest()
        return topology_of(self._call(self._stub.GetTopology, request, timeout_ms))

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return when a gateway says it serves; Unavailable after `timeout_s`."""
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(timeout=timeout_s)
        except grpc.FutureTimeoutError:
            ready.cancel()
            raise unreachable(self._targets, timeout_s) from None

    def profile(self, file: TextIO | None = None) -> None:
        """Print where the time of the last calls went: P50, P95, P99 a stage against budgets."""
        write_lines(self._recent.lines(), file)

    def close(self) -> None:
        """Close the connections; calls that run are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(
        self, method: Callable[..., Answer], request: object, timeout_ms: float | None
    ) -> Answer:
        timeout_s = timeout_seconds(self._timeout_ms if timeout_ms is None else timeout_ms)
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise caller_error(error) from error
