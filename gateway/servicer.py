"""RetrievalService: convert, answer, convert."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from retrieval.v1 import retrieval_pb2_grpc
from retrieval.v1.retrieval_pb2 import (
    BatchSearchRequest,
    BatchSearchResponse,
    BatchSearchResult,
    GetTopologyRequest,
    GetTopologyResponse,
    SearchRequest,
    SearchResponse,
)

from gateway.converters import (
    check_batch,
    query_from_message,
    search_error,
    search_response,
    timings_message,
    topology_response,
)
from gateway.query import QueryLimits
from gateway.recording import Answered, Recorder
from gateway.routing import Router
from gateway.routing_key import CallerContext, routing_key
from retrieval_core.errors import RetrievalError
from retrieval_core.timing import DEFAULT_BUDGETS_NS, Stage, TimingLedger, Timings
from servicekit.admission import Admission
from servicekit.binding import Service
from servicekit.call import Call, current_call

TIMINGS_KEY = "retrieval-timings-bin"
"""Trailing metadata of a failed call: a serialised retrieval.v1.Timings."""

_BATCH_RESERVE = 0.1


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """Soft budgets and bounds of requests.

    A batch has at most `max_batch` requests, `batch_concurrency` of them answered at once.
    """

    budgets_ns: Mapping[Stage, int] = field(default_factory=lambda: DEFAULT_BUDGETS_NS)
    limits: QueryLimits = field(default_factory=QueryLimits)
    max_batch: int = 32
    batch_concurrency: int = 4


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    """The public service over the arms of a router."""

    def __init__(
        self, router: Router, recorder: Recorder, admission: Admission, policy: RequestPolicy
    ) -> None:
        self._router = router
        self._recorder = recorder
        self._admission = admission
        self._policy = policy

    async def Search(  # noqa: N802
        self, request: SearchRequest, context: CallerContext
    ) -> SearchResponse:
        """Answer one query; a failure carries its timings as trailing metadata."""
        call = current_call()
        ledger = TimingLedger(self._policy.budgets_ns)
        # What the server did with the call before this method ran is part of the total.
        ledger.started_ns = call.arrived_ns
        with _timings_on_error(call, ledger):
            response, timings = await self._answered(request, context, ledger, call.deadline_ns)
        _add_spans(call, timings)
        return response

    async def BatchSearch(  # noqa: N802
        self, request: BatchSearchRequest, context: CallerContext
    ) -> BatchSearchResponse:
        """Answer several queries, each admitted by itself; one that fails fails alone."""
        check_batch(request.requests, self._policy.max_batch)
        deadline_ns = _deadline_of_items(current_call())
        turns = asyncio.Semaphore(self._policy.batch_concurrency)
        # The server has admitted the call as one query.
        with self._admission.admitted(len(request.requests) - 1):
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._item(one, context, turns, deadline_ns))
                    for one in request.requests
                ]
        return BatchSearchResponse(results=[task.result() for task in tasks])

    async def GetTopology(  # noqa: N802
        self, request: GetTopologyRequest, context: object
    ) -> GetTopologyResponse:
        """Say what the last checks found of the baseline's servers."""
        del request, context
        topology = self._router.traffic.baseline.backends.topology
        return topology_response(topology.view.release_id, topology.version, topology.states())

    async def _item(
        self,
        request: SearchRequest,
        context: CallerContext,
        turns: asyncio.Semaphore,
        deadline_ns: int,
    ) -> BatchSearchResult:
        async with turns:
            ledger = TimingLedger(self._policy.budgets_ns)
            try:
                response, _ = await self._answered(request, context, ledger, deadline_ns)
            except RetrievalError as error:
                return BatchSearchResult(error=search_error(error))
            return BatchSearchResult(response=response)

    async def _answered(
        self,
        request: SearchRequest,
        context: CallerContext,
        ledger: TimingLedger,
        deadline_ns: int,
    ) -> tuple[SearchResponse, Timings]:
        # Looked at once: whatever is switched meanwhile, this is what answers.
        traffic = self._router.traffic
        key = routing_key(request.routing_key, context) if traffic.needs_key else ""
        arm, call = traffic.arm_of(key), current_call()
        brings_fingerprint, is_sampled = bool(request.fingerprint), self._recorder.samples()
        with (
            arm.backends,
            self._recorder.noting_failure(arm, call, brings_fingerprint=brings_fingerprint),
        ):
            query = query_from_message(request, self._policy.limits)
            answer = await arm.backends.pipeline.answer(
                query, ledger, deadline_ns, arm.tuning, keeps_features=is_sampled
            )
        response = search_response(answer, arm.name, traffic.flags.generation)
        timings = ledger.close()
        response.timings.CopyFrom(timings_message(timings))
        self._recorder.record_later(
            Answered(query, traffic, arm, answer, timings, call.trace_id, is_sampled)
        )
        return response, timings


def retrieval_service(servicer: RetrievalServicer) -> Service:
    """The service as servers take it."""
    name = "retrieval.v1.RetrievalService"
    return Service(name, retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server, servicer)


def _deadline_of_items(call: Call) -> int:
    # Late items must fail early enough for the answers of the others to be written and sent.
    return call.deadline_ns - int(call.time_left_ns() * _BATCH_RESERVE)


@contextmanager
def _timings_on_error(call: Call, ledger: TimingLedger) -> Iterator[None]:
    try:
        yield
    except BaseException:
        timings = ledger.close()
        call.add_trailing_metadata(TIMINGS_KEY, timings_message(timings).SerializeToString())
        _add_spans(call, timings)
        raise


def _add_spans(call: Call, timings: Timings) -> None:
    if not call.sampled:
        return
    for one in timings.stages:
        name = f"{one.stage.value} {one.target}"
        queued_ms = one.queued_ns / 1e6
        call.add_span(
            name, one.started_ns, one.started_ns + one.elapsed_ns, {"queued_ms": queued_ms}
        )
