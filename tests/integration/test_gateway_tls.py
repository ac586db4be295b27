"""A gateway that proves itself to the servers behind it, and checks who they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from retrieval.v1.retrieval_pb2 import GetTopologyRequest, SearchRequest

from retrieval_core.errors import Unavailable
from servicekit.status import error_from_rpc
from tests.support.gateway_stack import gateway_stack
from tests.unit.servicekit.certificates import Authority

QUERY = SearchRequest(text="passage 7", limit=3)


class Certificates:
    """One authority for all, and one that nobody trusts."""

    def __init__(self, folder: Path) -> None:
        ours, others = Authority(folder / "ours"), Authority(folder / "others")
        server = ours.issue("servers", "DNS:servers.test")
        self.client = ours.issue("gateway", "DNS:gateway.test")
        self.stranger = others.issue("stranger", "DNS:stranger.test")
        self.of_servers = {
            "tls_cert_file": server.cert,
            "tls_key_file": server.key,
            "tls_client_ca_file": ours.cert,
        }
        self.authority = ours.cert

    def of_gateway(self, **changes: Any) -> dict[str, Any]:
        return {
            "backend_ca_file": self.authority,
            "backend_cert_file": self.client.cert,
            "backend_key_file": self.client.key,
            "backend_server_name": "servers.test",
            **changes,
        }


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


async def test_with_certificates_on_both_sides_everything_is_answered(
    certificates: Certificates,
) -> None:
    settings = certificates.of_gateway()
    async with gateway_stack(tls=certificates.of_servers, **settings) as stack:
        response = await stack.stub.Search(QUERY)
        assert response.coverage.ratio == 1.0
        assert not response.degradations


@pytest.mark.parametrize("wrong", ["stranger", "name"])
async def test_a_wrong_certificate_or_name_reaches_nobody(
    certificates: Certificates, wrong: str
) -> None:
    settings = certificates.of_gateway(backend_server_name="others.test")
    if wrong == "stranger":
        stranger = certificates.stranger
        settings = certificates.of_gateway(
            backend_cert_file=stranger.cert, backend_key_file=stranger.key
        )
    async with gateway_stack(tls=certificates.of_servers, **settings) as stack:
        with pytest.raises(grpc.RpcError) as caught:
            await stack.stub.Search(QUERY)
        assert isinstance(error_from_rpc(caught.value), Unavailable)
        topology = await stack.stub.GetTopology(GetTopologyRequest())
        assert not any(target.serving for target in topology.targets)
