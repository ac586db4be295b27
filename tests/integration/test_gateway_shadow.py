"""Copies for the canary and the explain log of a real gateway: beside the live answers, never in
their way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from retrieval_core.errors import Unavailable
from servicekit.flag_file import write_flags
from tests.support.fake_backends import RELEASE
from tests.support.gateway_arms import own_targets, start_other_servers, write_arms
from tests.support.gateway_load import WITHIN_S, Files, Load, ask, health, until
from tests.support.gateway_stack import GatewayStack, gateway_stack


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_live_queries_are_copied_to_the_canary_and_compared(
    files: Files, http: aiohttp.ClientSession
) -> None:
    write_flags(files.flags, {"SHADOW_PERCENT": 100})
    async with gateway_stack(**files.settings) as stack:
        other = await start_other_servers(stack, "tiny-2")
        write_arms(files.arms, own_targets(stack), other.targets)
        await until(stack, http, lambda body: body["arms"]["canary"])
        for number in range(5):
            response = await ask(stack, text=f"passage {number}")
            assert (response.arm, response.release_id) == ("baseline", RELEASE)
            await until_copied(stack, http, number + 1)
        shadow = (await health(stack, http))["shadow"]
        # The same passages behind both.
        assert (shadow["overlap"], shadow["rank1_equal"], shadow["compared"]) == (1.0, 1.0, 5)
        assert other.encoder.behaviour.call_count == 5


async def until_copied(stack: GatewayStack, http: aiohttp.ClientSession, count: int) -> None:
    await until(stack, http, lambda body: body["shadow"]["answered"] >= count)


async def test_a_canary_that_hangs_or_fails_holds_no_live_query_up(
    files: Files, http: aiohttp.ClientSession
) -> None:
    write_flags(files.flags, {"SHADOW_PERCENT": 100})
    async with gateway_stack(**files.settings, shadow_timeout_ms=200.0) as stack:
        other = await start_other_servers(stack, "tiny-2")
        write_arms(files.arms, own_targets(stack), other.targets)
        await until(stack, http, lambda body: body["arms"]["canary"])
        other.encoder.behaviour.close_gate()
        load = Load(stack)
        await load.more(50)
        body = await until(stack, http, lambda body: body["shadow"]["failed"] >= 2)
        assert body["shadow"]["dropped"] > 0
        other.encoder.behaviour.error = Unavailable("gone")
        other.encoder.behaviour.open_gate()
        failed = body["shadow"]["failed"]
        await until(stack, http, lambda body: body["shadow"]["failed"] > failed + 5)
        await load.stop()
        assert load.errors == []
        assert {response.release_id for response in load.answers} == {RELEASE}


async def test_the_gateway_explains_its_answers_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "explain.jsonl"
    async with gateway_stack(explain_log_file=path, explain_log_ratio=1.0) as stack:
        response = await ask(stack, text="passage 7", limit=3)
        assert not response.hits[0].HasField("explanation")
        async with asyncio.timeout(WITHIN_S):
            while not path.read_text():  # noqa: ASYNC110 - written by a thread
                await asyncio.sleep(0.01)
        line = json.loads(path.read_text())
        ids = [hit["passage_id"] for hit in line["hits"]]
        assert ids[:3] == [hit.passage.passage_id for hit in response.hits]
        assert set(line["hits"][0]["features"]) == {"cosine", "negated"}
        assert line["arm"] == "baseline"
        assert "passage 7" not in path.read_text()
