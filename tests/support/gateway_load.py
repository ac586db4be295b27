"""A gateway with its flags and arms files, callers that do not pause, and what /health says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from retrieval.v1.retrieval_pb2 import SearchRequest, SearchResponse

from tests.support.gateway_stack import GatewayStack

WITHIN_S = 30.0


class Files:
    """Where this test's gateway looks for flags and arms."""

    def __init__(self, folder: Path) -> None:
        self.flags = folder / "flags.json"
        self.arms = folder / "arms.json"

    @property
    def settings(self) -> dict[str, Any]:
        return {"flags_file": self.flags, "arms_file": self.arms, "watch_interval_ms": 20.0}


async def health(stack: GatewayStack, http: aiohttp.ClientSession) -> dict[str, Any]:
    async with http.get(f"http://{stack.http_address}/health") as response:
        body = await response.json()
        assert isinstance(body, dict)
        return body


async def until(
    stack: GatewayStack, http: aiohttp.ClientSession, wanted: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """The first health report that is as wanted."""
    async with asyncio.timeout(WITHIN_S):
        while not wanted(body := await health(stack, http)):  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.01)
    return body


async def ask(stack: GatewayStack, key: str = "", **fields: Any) -> SearchResponse:
    request = SearchRequest(**{"text": "passage 7", "routing_key": key, **fields})
    response: SearchResponse = await stack.stub.Search(request)
    return response


class Load:
    """Asks without pause until it is stopped; every answer and every error is kept."""

    def __init__(self, stack: GatewayStack, caller_count: int = 4) -> None:
        self.answers: list[SearchResponse] = []
        self.errors: list[BaseException] = []
        self._stack = stack
        self._stopped = asyncio.Event()
        self._callers = [
            asyncio.create_task(self._call(f"caller-{index}")) for index in range(caller_count)
        ]

    async def more(self, count: int) -> None:
        """Return once this many more have ended."""
        wanted = len(self.answers) + len(self.errors) + count
        async with asyncio.timeout(WITHIN_S):
            while len(self.answers) + len(self.errors) < wanted:  # noqa: ASYNC110 - a count
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._stopped.set()
        await asyncio.gather(*self._callers)

    async def _call(self, key: str) -> None:
        while not self._stopped.is_set():
            try:
                self.answers.append(await ask(self._stack, key))
            except Exception as error:  # noqa: BLE001 - all of them are failures of the test
                self.errors.append(error)
