"""The RPC methods of the reranker: convert, call, convert."""

from __future__ import annotations

from retrieval.v1.rerank_pb2 import (
    GetRerankerInfoRequest,
    GetRerankerInfoResponse,
    RerankRequest,
    RerankResponse,
)
from retrieval.v1.rerank_pb2_grpc import (
    RerankServiceServicer,
    add_RerankServiceServicer_to_server,
)

from rerank_svc.converters import (
    RequestLimits,
    info_from_manifest,
    rerank_input_from_request,
    response_from_scored,
    timing_message,
)
from rerank_svc.model import RerankModel
from servicekit.binding import Service
from servicekit.call import current_call

SERVICE_NAME = "retrieval.v1.RerankService"


class RerankServicer(RerankServiceServicer):
    """Serves one loaded model."""

    def __init__(self, model: RerankModel, max_candidates: int, version: str) -> None:
        self._model = model
        self._limits = RequestLimits(max_candidates, model.manifest.projection_dimensions)
        self._version = version

    def Rerank(self, request: RerankRequest, context: object) -> RerankResponse:  # noqa: N802
        """Score every candidate."""
        del context
        call = current_call()
        self._model.check_fingerprint(request.fingerprint)
        scored = self._model.score(rerank_input_from_request(request, self._limits))
        timing = timing_message(call.queued_ns, call.elapsed_ns())
        return response_from_scored(scored, request, self._model.manifest.name, timing)

    def GetRerankerInfo(  # noqa: N802
        self, request: GetRerankerInfoRequest, context: object
    ) -> GetRerankerInfoResponse:
        """Say what is served."""
        del request, context
        return info_from_manifest(self._model.manifest, self._limits.max_candidates, self._version)


def rerank_service(model: RerankModel, max_candidates: int, version: str) -> Service:
    """The service to register with a server."""
    servicer = RerankServicer(model, max_candidates, version)
    return Service(SERVICE_NAME, add_RerankServiceServicer_to_server, servicer)
