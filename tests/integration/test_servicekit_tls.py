"""TLS and mutual TLS over real sockets: who is let in, and who is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from retrieval.v1 import rerank_pb2, rerank_pb2_grpc

from retrieval_core.errors import Unavailable
from servicekit.channels import ChannelOptions, ChannelTls, open_aio_channel, open_channel
from servicekit.settings import ServiceSettings
from servicekit.status import error_from_rpc
from tests.unit.servicekit.certificates import Authority, Pair
from tests.unit.servicekit.samples import Served, served


class Certificates:
    """What the tests need, made once."""

    def __init__(self, folder: Path) -> None:
        self.ours = Authority(folder / "ours")
        self.server = self.ours.issue("index", "IP:127.0.0.1", "DNS:index.test")
        self.client = self.ours.issue("gateway", "DNS:gateway.test")
        self.others = Authority(folder / "others")
        self.stranger = self.others.issue("stranger", "DNS:stranger.test")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["sync", "aio"])
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def tls_settings(pair: Pair, client_ca: Path | None = None) -> ServiceSettings:
    return ServiceSettings(
        tls_cert_file=pair.cert, tls_key_file=pair.key, tls_client_ca_file=client_ca
    )


@pytest.fixture
def tls_server(flavour: str, certificates: Certificates) -> Iterator[Served]:
    with served(flavour, tls_settings(certificates.server)) as server:
        yield server


@pytest.fixture
def mutual_server(flavour: str, certificates: Certificates) -> Iterator[Served]:
    settings = tls_settings(certificates.server, certificates.ours.cert)
    with served(flavour, settings) as server:
        yield server


@contextmanager
def stub_of(
    targets: list[str], tls: ChannelTls | None
) -> Iterator[rerank_pb2_grpc.RerankServiceStub]:
    with open_channel(targets, ChannelOptions(tls=tls)) as channel:
        yield rerank_pb2_grpc.RerankServiceStub(channel)


def answers(targets: list[str], tls: ChannelTls | None) -> bool:
    """Whether a call gets through; any failure but UNAVAILABLE is a failure of the test."""
    with stub_of(targets, tls) as stub:
        try:
            return bool(stub.Rerank(rerank_pb2.RerankRequest(), timeout=10).model)
        except grpc.RpcError as error:
            failure = error_from_rpc(error)
    assert isinstance(failure, Unavailable)
    return False


def test_a_server_is_proved(tls_server: Served, certificates: Certificates) -> None:
    assert answers([tls_server.address], ChannelTls(ca_file=certificates.ours.cert))


def test_a_server_of_another_authority_is_not_talked_to(
    tls_server: Served, certificates: Certificates
) -> None:
    assert not answers([tls_server.address], ChannelTls(ca_file=certificates.others.cert))


def test_a_server_under_another_name_is_not_talked_to(
    tls_server: Served, certificates: Certificates
) -> None:
    ours = certificates.ours.cert
    assert not answers([tls_server.address], ChannelTls(ours, server_name="rerank.test"))
    assert answers([tls_server.address], ChannelTls(ours, server_name="index.test"))


def test_plain_text_is_not_let_in(tls_server: Served) -> None:
    assert not answers([tls_server.address], None)


def test_tls_to_a_plain_server_fails(flavour: str, certificates: Certificates) -> None:
    with served(flavour, ServiceSettings()) as server:
        assert not answers([server.address], ChannelTls(ca_file=certificates.ours.cert))


def call_count(server: Served) -> float:
    """Calls of Rerank that the server has counted."""
    method = "retrieval.v1.RerankService/Rerank"
    return server.metrics.value("rpc_server_duration_seconds_count", method=method) or 0.0


def test_replicas_are_proved_by_a_name(flavour: str, certificates: Certificates) -> None:
    settings = tls_settings(certificates.server)
    # Two aio servers in one process would need two loops; one of each flavour is as good.
    with served(flavour, settings) as one, served("sync", settings) as two:
        targets = [one.address, two.address]
        tls = ChannelTls(certificates.ours.cert, server_name="index.test")
        with stub_of(targets, tls) as stub:
            # The balancing begins with whichever replica is connected first, hence the many calls.
            for _ in range(200):
                assert stub.Rerank(rerank_pb2.RerankRequest(), timeout=10).model
                if min(map(call_count, (one, two))) >= 5:
                    break
        assert min(map(call_count, (one, two))) >= 5


def test_mutual_tls_lets_known_callers_in(
    mutual_server: Served, certificates: Certificates
) -> None:
    client = certificates.client
    tls = ChannelTls(certificates.ours.cert, client.cert, client.key)
    assert answers([mutual_server.address], tls)


def test_mutual_tls_lets_nobody_else_in(mutual_server: Served, certificates: Certificates) -> None:
    stranger, ours = certificates.stranger, certificates.ours.cert
    assert not answers([mutual_server.address], ChannelTls(ours))
    assert not answers([mutual_server.address], ChannelTls(ours, stranger.cert, stranger.key))
    # The server is fit afterwards.
    client = certificates.client
    assert answers([mutual_server.address], ChannelTls(ours, client.cert, client.key))


async def test_an_asynchronous_channel_does_the_same(certificates: Certificates) -> None:
    client, ours = certificates.client, certificates.ours.cert
    with served("sync", tls_settings(certificates.server, ours)) as server:
        options = ChannelOptions(tls=ChannelTls(ours, client.cert, client.key))
        async with open_aio_channel([server.address], options) as channel:
            stub = rerank_pb2_grpc.RerankServiceStub(channel)
            answer = await asyncio.wait_for(
                stub.Rerank(rerank_pb2.RerankRequest(), timeout=10), timeout=15
            )
            assert answer.model


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.pem"):
        open_channel(["127.0.0.1:1"], ChannelOptions(tls=ChannelTls(tmp_path / "nothing.pem")))
