"""Whether ports are free and servers are healthy."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.errors import PortsTaken, StartFailed
from deploy.local.layout import ServerSpec
from deploy.local.processes import find_process, last_lines
from deploy.local.state import StartedServer

Report = Callable[[str], None]
"""Takes one line of progress."""

_POLL_S = 0.05
_CHECK_TIMEOUT_S = 1.0


def check_ports_free(specs: Sequence[ServerSpec]) -> None:
    """Raise PortsTaken naming every port that something listens on already."""
    taken = [
        f"{spec.name} needs {spec.host}:{port}"
        for spec in specs
        for port in spec.ports
        if _is_taken(spec.host, port)
    ]
    if taken:
        raise PortsTaken(
            "a port is taken: " + "; ".join(taken) + ". Stop what listens there, or move the stack "
            "with --port-offset or one of the port options"
        )


def _is_taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: connections of the past that linger do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def is_healthy(spec: ServerSpec) -> bool:
    """Whether the server says SERVING for its service right now."""
    if not _accepts(spec):
        return False
    with grpc.insecure_channel(spec.address) as channel:
        request = health_pb2.HealthCheckRequest(service=spec.health_service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_CHECK_TIMEOUT_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _accepts(spec: ServerSpec) -> bool:
    # A channel that fails to connect backs off for a second; a bare connection does not.
    try:
        socket.create_connection((spec.host, spec.port), timeout=_CHECK_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def wait_until_healthy(servers: Sequence[StartedServer], timeout_s: float, report: Report) -> None:
    """Return when every server says SERVING.

    Raises StartFailed as soon as one has died, or after `timeout_s`, with the end of its log.
    """
    began = time.monotonic()
    waiting = list(servers)
    while waiting:
        for server in [server for server in waiting if is_healthy(server.spec)]:
            waiting.remove(server)
            report(_healthy_line(server, time.monotonic() - began))
        for server in waiting:
            if find_process(server) is None:
                raise StartFailed(_failure_text(server, "ended before it was healthy"))
        if waiting and time.monotonic() - began > timeout_s:
            raise StartFailed(_failure_text(waiting[0], f"is not healthy after {timeout_s:g} s"))
        if waiting:
            time.sleep(_POLL_S)


def _healthy_line(server: StartedServer, elapsed_s: float) -> str:
    return f"{server.spec.name:<20} {server.spec.address:<22} healthy after {elapsed_s:.1f} s"


def _failure_text(server: StartedServer, what: str) -> str:
    lines = last_lines(server.log) or ["(it wrote nothing)"]
    return "\n".join([f"{server.spec.name} {what}; the end of {server.log}:", *lines])
