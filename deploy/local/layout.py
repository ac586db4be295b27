"""Which processes make a stack, where they listen and what they are told: pure, no process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.local.errors import PortsTaken
from deploy.local.threads import THREAD_ENVIRONMENT, ThreadPlan

REPLICA_STRIDE = 100
"""Replica r of a server listens this many ports times r further up."""

METRICS_STRIDE = 30
"""A server behind the gateway shows its metrics this many ports further up."""

COLOUR_STRIDE = 500
"""The servers of one colour listen this many ports further up than those of the one before."""

COLOURS = ("blue", "green", "amber", "violet")
"""Releases that stand side by side have one each; the first is that of a fresh stack."""


@dataclass(frozen=True, slots=True)
class Ports:
    """First port of every kind of server; shard n listens n ports after the first."""

    gateway: int = 50050
    http: int = 8080
    encoder: int = 50051
    shard: int = 50061
    reranker: int = 50071

    def shifted(self, offset: int) -> Ports:
        """All ports moved up by `offset`."""
        return Ports(
            self.gateway + offset,
            self.http + offset,
            self.encoder + offset,
            self.shard + offset,
            self.reranker + offset,
        )


DEFAULT_PORTS = Ports()
GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Replicas:
    """Processes of every kind of server."""

    gateway: int = 1
    encoder: int = 1
    shard: int = 1
    reranker: int = 1


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One process to start: what it runs, what it is told, and how to see that it is healthy.

    `colour` is that of its release's servers; gateways belong to none and have "".
    """

    name: str
    module: str
    host: str
    port: int
    health_service: str
    settings: Mapping[str, str]
    other_ports: tuple[int, ...] = ()
    colour: str = ""

    @property
    def address(self) -> str:
        """`host:port` of its gRPC server."""
        return f"{self.host}:{self.port}"

    @property
    def ports(self) -> tuple[int, ...]:
        """Everything it listens on."""
        return (self.port, *self.other_ports)


@dataclass(frozen=True, slots=True)
class Layout:
    """The stack to build.

    release: its folder. release_id: what it calls itself. bundled_reranker: whether the release
    brings a reranker made for its encoder; without one none is started, since it would refuse
    every vector. ports: those of the first colour.
    """

    release: Path
    shard_count: int
    threads: ThreadPlan
    release_id: str = ""
    bundled_reranker: bool = True
    host: str = "127.0.0.1"
    ports: Ports = DEFAULT_PORTS
    replicas: Replicas = field(default_factory=Replicas)
    colour: str = COLOURS[0]

    def in_colour(self, colour: str) -> Layout:
        """The same release beside others: its servers at the ports and with the names of `colour`.

        Those of the first colour are named without it.
        """
        return replace(self, colour=colour)

    def backends(self) -> list[ServerSpec]:
        """Encoders, shards and rerankers, in the order they start."""
        shards = [spec for shard in range(self.shard_count) for spec in self._shard_replicas(shard)]
        return [*self._encoders(), *shards, *self._rerankers()]

    def gateways(self, files: Mapping[str, str] | None = None) -> list[ServerSpec]:
        """What starts once the backends are healthy; `files` are settings that name files."""
        settings = {
            **(files or {}),
            "GATEWAY_ENCODER": _joined(self._encoders()),
            "GATEWAY_SHARDS": ";".join(
                _joined(self._shard_replicas(shard)) for shard in range(self.shard_count)
            ),
            "GATEWAY_RERANKER": _joined(self._rerankers()),
        }
        return [self._gateway(replica, settings) for replica in range(self.replicas.gateway)]

    def servers(self) -> list[ServerSpec]:
        """All of it, in the order it starts."""
        return [*self.backends(), *self.gateways()]

    def _encoders(self) -> list[ServerSpec]:
        settings = {
            "ENCODER_MODEL": str(self.release / "encoder"),
            "ENCODER_QUERY_MODELS_FOLDER": str(self.release),
            "ENCODER_THREADS": str(self.threads.encoder_threads),
            "ENCODER_SESSION_COUNT": str(self.threads.encoder_sessions),
        }
        return [
            self._spec("encoder", self.ports.encoder, replica, settings)
            for replica in range(self.replicas.encoder)
        ]

    def _shard_replicas(self, shard: int) -> list[ServerSpec]:
        settings = {
            "INDEX_RELEASE": str(self.release),
            "INDEX_SHARD": str(shard),
            "INDEX_SLOT_COUNT": str(self.threads.shard_slots),
        }
        return [
            self._spec(f"shard-{shard}", self.ports.shard + shard, replica, settings)
            for replica in range(self.replicas.shard)
        ]

    def _rerankers(self) -> list[ServerSpec]:
        settings = {
            "RERANK_RELEASE": str(self.release),
            "RERANK_SLOT_COUNT": str(self.threads.reranker_slots),
        }
        return [
            self._spec("reranker", self.ports.reranker, replica, settings)
            for replica in range(self.replicas.reranker if self.bundled_reranker else 0)
        ]

    def _gateway(self, replica: int, settings: Mapping[str, str]) -> ServerSpec:
        http_port = self.ports.http + REPLICA_STRIDE * replica
        settings = {**settings, "GATEWAY_HTTP_PORT": str(http_port)}
        return self._spec(GATEWAY, self.ports.gateway, replica, settings, (http_port,))

    def _spec(
        self,
        name: str,
        first_port: int,
        replica: int,
        settings: Mapping[str, str],
        other_ports: tuple[int, ...] = (),
    ) -> ServerSpec:
        kind = _KINDS[name.partition("-")[0]]
        colour = "" if name == GATEWAY else self.colour
        port = first_port + REPLICA_STRIDE * replica + colour_offset(colour)
        placed = {f"{kind.prefix}_HOST": self.host, f"{kind.prefix}_PORT": str(port)}
        if name != GATEWAY:
            # A gateway shows its own beside /health.
            other_ports = (port + METRICS_STRIDE,)
            placed[f"{kind.prefix}_METRICS_PORT"] = str(port + METRICS_STRIDE)
        plain_name = name if replica == 0 else f"{name}-replica-{replica}"
        return ServerSpec(
            name=f"{colour}-{plain_name}" if colour_offset(colour) else plain_name,
            module=kind.module,
            host=self.host,
            port=port,
            health_service=kind.health_service,
            settings={**THREAD_ENVIRONMENT, **placed, **settings},
            other_ports=other_ports,
            colour=colour,
        )


def colour_offset(colour: str) -> int:
    """How many ports further up the servers of a colour listen; 0 for none and for the first."""
    return COLOUR_STRIDE * COLOURS.index(colour) if colour else 0


@dataclass(frozen=True, slots=True)
class _Kind:
    module: str
    prefix: str
    health_service: str


_KINDS = {
    "encoder": _Kind("encoder_svc", "ENCODER", "retrieval.v1.EncoderService"),
    "shard": _Kind("index_svc", "INDEX", "retrieval.v1.ShardService"),
    "reranker": _Kind("rerank_svc", "RERANK", "retrieval.v1.RerankService"),
    GATEWAY: _Kind("gateway", "GATEWAY", "retrieval.v1.RetrievalService"),
}


def _joined(specs: Sequence[ServerSpec]) -> str:
    return ",".join(spec.address for spec in specs)


def check_ports(specs: Sequence[ServerSpec]) -> None:
    """Raise PortsTaken when two servers want the same port, or one a port that does not exist."""
    for spec in specs:
        if beyond := [port for port in spec.ports if not 0 < port < 1 << 16]:
            raise PortsTaken(f"{spec.name} would listen on port {beyond[0]}; there are 1 to 65535")
    wanted = Counter(port for spec in specs for port in spec.ports)
    twice = sorted(port for port, count in wanted.items() if count > 1)
    if twice:
        port = twice[0]
        names = " and ".join(spec.name for spec in specs if port in spec.ports)
        raise PortsTaken(f"{names} would both listen on port {port}; move one with a port option")
