"""A server for the tests of start and drain: `python servicekit_sample_server.py sync|aio`.

The fingerprint of a request says how many milliseconds its answer takes; the setting `fail` says
what goes wrong at start.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_settings import SettingsConfigDict
from retrieval.v1 import rerank_pb2, rerank_pb2_grpc

from retrieval_core.errors import DamagedArtifact, NotFound, Unavailable
from servicekit.lifecycle import AioProgram, Process, Service, SyncProgram, run_aio, run_sync
from servicekit.settings import ServiceSettings, setting

NAME = "retrieval.v1.RerankService"
FAILURES: dict[str, Exception] = {
    "damaged": DamagedArtifact("model.onnx differs from its manifest"),
    "missing": NotFound("no release named x"),
    "unreachable": Unavailable("the encoder does not answer"),
    "defect": KeyError("a defect"),
}


class SampleSettings(ServiceSettings):
    """Settings of the sample."""

    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    fail: str = setting("", unit="name", meaning="what goes wrong at start")
    ready_file: Path = setting(Path(os.devnull), unit="path", meaning="gets the bound address")
    load_ms: float = setting(0.0, unit="ms", meaning="time to load", ge=0)


class SyncSample(rerank_pb2_grpc.RerankServiceServicer):
    """Answers after a while."""

    def Rerank(self, request: rerank_pb2.RerankRequest, context: Any) -> rerank_pb2.RerankResponse:  # noqa: N802
        time.sleep(float(request.fingerprint or 0) / 1000)
        return rerank_pb2.RerankResponse(model=str(os.getpid()))

    def GetRerankerInfo(  # noqa: N802
        self, request: rerank_pb2.GetRerankerInfoRequest, context: Any
    ) -> rerank_pb2.GetRerankerInfoResponse:
        return rerank_pb2.GetRerankerInfoResponse(name=str(os.getpid()))


class AioSample(SyncSample):
    """Answers after a while, asynchronously."""

    async def Rerank(  # type: ignore[override]  # noqa: N802
        self, request: rerank_pb2.RerankRequest, context: Any
    ) -> rerank_pb2.RerankResponse:
        await asyncio.sleep(float(request.fingerprint or 0) / 1000)
        return rerank_pb2.RerankResponse(model=str(os.getpid()))

    async def GetRerankerInfo(  # type: ignore[override]  # noqa: N802
        self, request: rerank_pb2.GetRerankerInfoRequest, context: Any
    ) -> rerank_pb2.GetRerankerInfoResponse:
        return rerank_pb2.GetRerankerInfoResponse(name=str(os.getpid()))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def prepare(settings: SampleSettings, process: Process) -> None:
    if settings.fail:
        raise FAILURES[settings.fail]
    for name in ("first", "second"):
        process.on_close(name, partial(say, f"closed {name}"))
    process.on_serving(settings.ready_file.write_text)


def build(settings: SampleSettings, process: Process) -> Sequence[Service]:
    say("loading")
    time.sleep(settings.load_ms / 1000)
    prepare(settings, process)
    return [Service(NAME, rerank_pb2_grpc.add_RerankServiceServicer_to_server, SyncSample())]


async def build_aio(settings: SampleSettings, process: Process) -> Sequence[Service]:
    say("loading")
    await asyncio.sleep(settings.load_ms / 1000)
    prepare(settings, process)
    return [Service(NAME, rerank_pb2_grpc.add_RerankServiceServicer_to_server, AioSample())]


def main(flavour: str, arguments: Sequence[str]) -> int:
    summary = "answers after a while"
    if flavour == "sync":
        program = SyncProgram(name="sample", summary=summary, settings=SampleSettings, build=build)
        return run_sync(program, arguments, os.environ)
    return run_aio(
        AioProgram(name="sample", summary=summary, settings=SampleSettings, build=build_aio),
        arguments,
        os.environ,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
