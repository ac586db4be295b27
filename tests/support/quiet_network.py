"""A network of its own for what a test starts, in which the default ports are free."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.local.errors import PortsTaken
from deploy.local.health import check_ports_free
from deploy.local.layout import DEFAULT_PORTS, ServerSpec

_HOLD = "ip link set lo up && echo ready && exec sleep infinity"


@contextmanager
def quiet_network() -> Iterator[list[str]]:
    """What to put before a command so that it runs there.

    Where no network namespace can be made nothing is put before it, and the test is skipped if
    something listens on the default ports.
    """
    as_user = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", "--net", *as_user, "sh", "-c", _HOLD]
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        yield _default_network()
        return
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as holder:
        assert holder.stdout is not None
        try:
            if holder.stdout.readline() != "ready\n":
                yield _default_network()
                return
            user = ["--user", "--preserve-credentials"] if as_user else []
            yield ["nsenter", "--target", str(holder.pid), "--net", *user]
        finally:
            holder.kill()


def _default_network() -> list[str]:
    ports = DEFAULT_PORTS
    spec = ServerSpec("stack", "", "127.0.0.1", ports.gateway, "", {}, (ports.http, ports.encoder))
    try:
        check_ports_free([spec])
    except PortsTaken as error:
        pytest.skip(f"no network namespace can be made, and {error}")
    return []
