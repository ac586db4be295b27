"""Two real gateways under load: a flip is in force on both within a second and fails nobody."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from retrieval.v1.retrieval_pb2 import SearchRequest
from retrieval.v1.retrieval_pb2_grpc import RetrievalServiceStub

from servicekit.flag_file import write_flags
from tests.support.gateway_stack import GatewayStack, gateway_stack
from tests.support.server_process import ROOT, ServerProcess, server_process

IN_FORCE_WITHIN_S = 1.0


@pytest.fixture
async def stack() -> AsyncIterator[GatewayStack]:
    async with gateway_stack() as started:
        yield started


@pytest.fixture
def flags_file(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


@contextmanager
def two_gateways(stack: GatewayStack, environ: dict[str, str]) -> Iterator[list[ServerProcess]]:
    settings = {
        "GATEWAY_PORT": "0",
        "GATEWAY_HTTP_PORT": "0",
        "GATEWAY_ENCODER": stack.servers["encoder"].address,
        "GATEWAY_SHARDS": ";".join(stack.servers[f"shard-{one}"].address for one in range(2)),
        "GATEWAY_RERANKER": stack.servers["reranker"].address,
        # Two processes and their fakes on a busy machine.
        "GATEWAY_SHARD_TIMEOUT_MS": "5000",
        "GATEWAY_SHARD_GRACE_MS": "5000",
        "GATEWAY_RERANK_TIMEOUT_MS": "5000",
        "GATEWAY_LAME_DUCK_MS": "0",
        **environ,
    }
    with ExitStack() as exits:
        yield [exits.enter_context(server_process("gateway", settings)) for _ in range(2)]


def http_address(server: ServerProcess) -> str:
    for line in server.lines:
        if "http_address" in line:
            return str(json.loads(line)["http_address"])
    raise AssertionError(server.log)


def flags_of(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{address}/health", timeout=10) as response:
        found: dict[str, Any] = json.load(response)["flags"]
        return found


class Load:
    """Callers of every gateway, without pause."""

    def __init__(self, addresses: list[str]) -> None:
        self.generations: dict[str, list[int]] = {address: [] for address in addresses}
        self.errors: list[BaseException] = []
        self._channels = [grpc.aio.insecure_channel(address) for address in addresses]
        self._callers = [
            asyncio.create_task(self._call(address, channel))
            for address, channel in zip(addresses, self._channels, strict=True)
            for _ in range(2)
        ]
        self._stopped = asyncio.Event()

    async def more(self, count: int) -> None:
        wanted = {address: len(seen) + count for address, seen in self.generations.items()}
        async with asyncio.timeout(60):
            while any(len(self.generations[one]) < least for one, least in wanted.items()):  # noqa: ASYNC110 - a count
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._stopped.set()
        await asyncio.gather(*self._callers)
        for channel in self._channels:
            await channel.close()

    async def _call(self, address: str, channel: grpc.aio.Channel) -> None:
        stub: Any = RetrievalServiceStub(channel)
        while not self._stopped.is_set():
            try:
                response = await stub.Search(SearchRequest(text="passage 7"), timeout=20)
            except Exception as error:  # noqa: BLE001 - all of them are failures of the test
                self.errors.append(error)
                continue
            self.generations[address].append(response.flags_generation)


async def test_a_flip_is_in_force_on_every_gateway_within_a_second(
    stack: GatewayStack, flags_file: Path
) -> None:
    with two_gateways(stack, {"GATEWAY_FLAGS_FILE": str(flags_file)}) as gateways:
        addresses = [await asyncio.to_thread(one.wait_serving) for one in gateways]
        https = [http_address(one) for one in gateways]
        load = Load(addresses)
        for generation in (2, 3, 4):
            await load.more(10)
            await asyncio.to_thread(write_flags, flags_file, {"FAISS_NPROBE": generation})
            took_s = await asyncio.to_thread(seconds_until, https, generation)
            assert took_s < IN_FORCE_WITHIN_S
        await load.more(10)
        await load.stop()
        assert load.errors == []
        for seen in load.generations.values():
            assert set(seen) == {1, 2, 3, 4}
            # Two callers at once: an answer may overtake the one before, the flags never go back.
            assert seen[-1] == 4


def seconds_until(addresses: list[str], generation: int) -> float:
    began_s = time.monotonic()
    while any(flags_of(address)["generation"] < generation for address in addresses):
        assert time.monotonic() - began_s < 30
        time.sleep(0.01)
    return time.monotonic() - began_s


def run_command(*arguments: str, **environ: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "tools/flags.py", *arguments, "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else {}


async def test_the_command_flips_kills_and_restores_on_every_gateway(
    stack: GatewayStack, flags_file: Path
) -> None:
    environ = {"GATEWAY_FLAGS_FILE": str(flags_file), "RERANKER": "on", "FAISS_NPROBE": "5"}
    with two_gateways(stack, environ) as gateways:
        for one in gateways:
            await asyncio.to_thread(one.wait_serving)
        https = [http_address(one) for one in gateways]
        waits = [part for address in https for part in ("--wait", address)]
        run = [*waits, "--file", str(flags_file)]
        assert flags_of_source(https[0]) == ("environment", 5)

        code, body = await asyncio.to_thread(run_command, "set", "CANARY_PERCENT=5", *run)
        assert code == 0
        assert set(body["in_force"]) == set(https)

        code, body = await asyncio.to_thread(run_command, "kill", *run)
        assert (code, body["killed"]) == (0, True)
        values = flags_values(https)
        assert all(one["RERANKER"] == "off" for one in values)
        assert all(one["RETRIEVER_IMPL"] == "recency" for one in values)
        assert all(one["CANARY_PERCENT"] == 0 for one in values)

        code, body = await asyncio.to_thread(run_command, "restore", *run)
        assert (code, body["values"]) == (0, {"CANARY_PERCENT": 5})
        assert all(one["RERANKER"] == "on" for one in flags_values(https))

        code, body = await asyncio.to_thread(run_command, "apply", *run, RETRIEVER_IMPL="gru_v0")
        assert code == 0
        assert all(one["RETRIEVER_IMPL"] == "gru_v0" for one in flags_values(https))


def flags_of_source(address: str) -> tuple[str, int]:
    found = flags_of(address)
    return found["source"], found["values"]["FAISS_NPROBE"]


def flags_values(addresses: list[str]) -> list[dict[str, Any]]:
    return [flags_of(address)["values"] for address in addresses]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["set", "CANARY_PERCENT=500"], 2),
        (["set", "NO_FLAG=1"], 2),
        (["set", "RERANKER"], 2),
        (["restore"], 2),
        (["show"], 0),
        (["show", "--wait", "127.0.0.1:9", "--timeout", "0.1"], 2),
        (["set", "RERANKER=off", "--wait", "127.0.0.1:9", "--timeout", "0.1"], 3),
        (["set", "RERANKER=off", "--wait", "nowhere"], 2),
    ],
)
def test_the_commands_exit_status_tells_what_went_wrong(
    flags_file: Path, arguments: list[str], code: int
) -> None:
    assert run_command(*arguments, "--file", str(flags_file))[0] == code


def test_a_gateway_refuses_to_start_with_a_wrong_variable() -> None:
    environ = {"GATEWAY_PORT": "0", "GATEWAY_HTTP_PORT": "0", "RERANKER": "perhaps"}
    with server_process("gateway", environ) as server:
        assert server.wait_exit() == 2
        assert "RERANKER" in server.log
