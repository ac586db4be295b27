"""A gateway that answers what it is told to, for tests of what calls it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from retrieval.v1 import common_pb2, retrieval_pb2, retrieval_pb2_grpc

from retrieval_core.errors import RetrievalError
from servicekit.binding import Service
from servicekit.call import current_call
from servicekit.durations import duration_from_ns
from servicekit.settings import ServiceSettings
from servicekit.sync_server import SyncServer

SERVICE = "retrieval.v1.RetrievalService"


def timings_message() -> common_pb2.Timings:
    entry = common_pb2.StageTiming(
        stage=common_pb2.STAGE_ENCODE, target="encoder", elapsed=duration_from_ns(1_500_000)
    )
    return common_pb2.Timings(stages=[entry], total=duration_from_ns(2_000_000))


@dataclass
class ScriptedGateway(retrieval_pb2_grpc.RetrievalServiceServicer):
    """Raises what `errors` holds, one a call, then answers; `gate` holds every answer back."""

    name: str = "only"
    errors: list[RetrievalError] = field(default_factory=list)
    requests: list[retrieval_pb2.SearchRequest] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    detail_bytes: bytes | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def Search(  # noqa: N802
        self, request: retrieval_pb2.SearchRequest, context: Any
    ) -> retrieval_pb2.SearchResponse:
        self.requests.append(request)
        self.left_s.append(current_call().time_left_s())
        self.gate.wait(timeout=10)
        if self.errors:
            content = self.detail_bytes or timings_message().SerializeToString()
            current_call().add_trailing_metadata("retrieval-timings-bin", content)
            raise self.errors.pop(0)
        hit = retrieval_pb2.Hit(passage=common_pb2.Passage(passage_id=1, text=self.name), score=1)
        return retrieval_pb2.SearchResponse(
            hits=[hit], timings=timings_message(), query_model=request.query_model
        )

    def BatchSearch(  # noqa: N802
        self, request: retrieval_pb2.BatchSearchRequest, context: Any
    ) -> retrieval_pb2.BatchSearchResponse:
        results = [self._item(one) for one in request.requests]
        return retrieval_pb2.BatchSearchResponse(results=results)

    def _item(self, request: retrieval_pb2.SearchRequest) -> retrieval_pb2.BatchSearchResult:
        if not request.text:
            error = retrieval_pb2.SearchError(code=3, reason="EMPTY_TEXT", field="text")
            return retrieval_pb2.BatchSearchResult(error=error)
        return retrieval_pb2.BatchSearchResult(response=self.Search(request, None))

    def GetTopology(  # noqa: N802
        self, request: retrieval_pb2.GetTopologyRequest, context: Any
    ) -> retrieval_pb2.GetTopologyResponse:
        target = retrieval_pb2.Target(name="encoder", serving=True)
        return retrieval_pb2.GetTopologyResponse(release_id="demo", targets=[target])


def scripted_server(gateway: ScriptedGateway, **settings: Any) -> SyncServer:
    """A server of it on a free port; entering starts it. `settings` are those of any server."""
    add = retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server
    service = Service(SERVICE, add, gateway)
    return SyncServer(ServiceSettings(port=0, slot_count=4, **settings), [service])
