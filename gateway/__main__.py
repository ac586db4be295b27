"""The gateway: `python -m gateway`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gateway.composition import open_gateway
from gateway.metrics import METRICS
from gateway.settings import GatewaySettings
from retrieval_core.flags import flags_from_environment
from servicekit.lifecycle import AioProgram, Process, Service, run_aio


async def build(settings: GatewaySettings, process: Process) -> Sequence[Service]:
    """Open everything; the server binds and says SERVING after this returns."""
    flags = flags_from_environment(os.environ)
    return (await open_gateway(settings, process, flags)).services


PROGRAM = AioProgram(
    name="gateway",
    summary="answers queries through encoder, shards and reranker",
    settings=GatewaySettings,
    build=build,
    metrics=METRICS,
)

if __name__ == "__main__":
    sys.exit(run_aio(PROGRAM, sys.argv[1:], os.environ))
