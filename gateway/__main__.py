"""The gateway: `python -m gateway`."""

from __future__ import annotations

import os
import sys

from gateway.composition import build_gateway
from gateway.observing import METRICS
from gateway.settings import GatewaySettings
from servicekit.lifecycle import AioProgram, run_aio

PROGRAM = AioProgram(
    name="gateway",
    summary="answers queries through encoder, shards and reranker",
    settings=GatewaySettings,
    build=build_gateway,
    metrics=METRICS,
)

if __name__ == "__main__":
    sys.exit(run_aio(PROGRAM, sys.argv[1:], os.environ))
