"""Two arms on sockets: switched under load, split by key, told apart by what they leave behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from retrieval.v1.encoder_pb2 import Context, ContextItem
from retrieval.v1.retrieval_pb2 import (
    BatchSearchRequest,
    SearchRequest,
)

from retrieval_core.errors import Unavailable
from retrieval_core.traffic_split import is_canary
from servicekit.flag_file import write_flags
from tests.support.fake_backends import RELEASE
from tests.support.gateway_arms import (
    own_targets,
    start_other_servers,
    write_arms,
)
from tests.support.gateway_load import WITHIN_S, Files, Load, ask, health, until
from tests.support.gateway_stack import GatewayStack, gateway_stack


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_without_a_canary_everybody_is_on_the_baseline(files: Files) -> None:
    write_flags(files.flags, {"CANARY_PERCENT": 100})
    async with gateway_stack(**files.settings) as stack:
        response = await ask(stack)
        assert (response.arm, response.flags_generation) == ("baseline", 1)


async def test_a_flip_is_in_force_at_once_and_fails_nobody(
    files: Files, http: aiohttp.ClientSession
) -> None:
    async with gateway_stack(**files.settings) as stack:
        load = Load(stack)
        await load.more(20)
        write_flags(files.flags, {"RERANKER": "off", "FAISS_NPROBE": 3})
        await until(stack, http, lambda body: body["flags"]["generation"] == 2)
        await load.more(20)
        await load.stop()
        assert load.errors == []
        for response in load.answers:
            flipped = response.flags_generation == 2
            reasons = [one.reason for one in response.degradations]
            assert reasons == (["RERANKER_OFF"] if flipped else [])
            assert response.nprobe == (3 if flipped else 8)
        assert {response.flags_generation for response in load.answers} == {1, 2}


async def test_a_request_may_ask_for_another_nprobe_than_the_flag(files: Files) -> None:
    write_flags(files.flags, {"FAISS_NPROBE": 3})
    async with gateway_stack(**files.settings) as stack:
        assert (await ask(stack)).nprobe == 3
        assert (await ask(stack, nprobe=5)).nprobe == 5
        assert (await ask(stack, exact=True)).nprobe == 0


async def test_the_flag_names_the_query_model_of_contexts_that_name_none(files: Files) -> None:
    write_flags(files.flags, {"RETRIEVER_IMPL": "gru_v0"})
    context = Context(items=[ContextItem(text="passage 7")])
    async with gateway_stack(**files.settings) as stack:
        await stack.stub.Search(SearchRequest(context=context))
        assert stack.encoder.last_query_model == "gru_v0"
        await stack.stub.Search(SearchRequest(context=context, query_model="mean"))
        assert stack.encoder.last_query_model == "mean"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"RERANKER": "perhaps"}', "RERANKER"),
        ('{"RERANKR": "on"}', "RERANKR"),
        ('{"RERANKER": "on"', "no JSON"),
    ],
)
async def test_a_bad_flags_file_is_told_and_the_last_good_one_stays(
    files: Files, http: aiohttp.ClientSession, content: str, told: str
) -> None:
    write_flags(files.flags, {"FAISS_NPROBE": 3})
    async with gateway_stack(**files.settings) as stack:
        files.flags.write_text(content)
        body = await until(stack, http, lambda body: body["flags"]["error"])
        assert told in body["flags"]["error"]
        assert body["flags"]["generation"] == 1
        assert (await ask(stack)).nprobe == 3
        assert stack.process.metrics.value("gateway_flags_refused_total") == 1
        assert stack.process.metrics.value("gateway_flags_file_bad") == 1
        files.flags.write_text('{"FAISS_NPROBE": 4}')
        body = await until(stack, http, lambda body: body["flags"]["generation"] == 2)
        assert body["flags"]["error"] is None
        assert (await ask(stack)).nprobe == 4
        assert stack.process.metrics.value("gateway_flags_file_bad") == 0


async def test_a_flags_file_that_goes_away_changes_nothing(
    files: Files, http: aiohttp.ClientSession
) -> None:
    write_flags(files.flags, {"FAISS_NPROBE": 3})
    async with gateway_stack(**files.settings) as stack:
        files.flags.unlink()
        body = await until(stack, http, lambda body: body["flags"]["error"])
        assert "gone" in body["flags"]["error"]
        assert (await ask(stack)).nprobe == 3


async def test_callers_are_split_by_key_and_stay_where_they_are(
    files: Files, http: aiohttp.ClientSession
) -> None:
    write_flags(files.flags, {"CANARY_PERCENT": 25})
    keys = [f"caller-{index}" for index in range(60)]
    async with gateway_stack(**files.settings) as stack:
        other = await start_other_servers(stack, "tiny-2")
        write_arms(files.arms, own_targets(stack, RELEASE), other.targets)
        await until(stack, http, lambda body: body["arms"]["canary"])
        for key in (*keys, *keys):
            response = await ask(stack, key)
            on_canary = is_canary(key, 25)
            assert response.arm == ("canary" if on_canary else "baseline")
            assert response.release_id == ("tiny-2" if on_canary else RELEASE)
        counts = arm_counts(stack)
        assert counts["canary"] == 2 * sum(is_canary(key, 25) for key in keys)
        assert counts["baseline"] + counts["canary"] == 2 * len(keys)


def arm_counts(stack: GatewayStack, outcome: str = "ok") -> Counter[str]:
    value = stack.process.metrics.value
    return Counter(
        {
            arm: int(value("gateway_arm_requests_total", arm=arm, outcome=outcome) or 0)
            for arm in ("baseline", "canary")
        }
    )


async def test_the_key_comes_from_the_metadata_where_the_request_has_none(
    files: Files, http: aiohttp.ClientSession
) -> None:
    write_flags(files.flags, {"CANARY_PERCENT": 50})
    key = next(key for key in map(str, range(100)) if is_canary(key, 50))
    other_key = next(key for key in map(str, range(100)) if not is_canary(key, 50))
    async with gateway_stack(**files.settings) as stack:
        other = await start_other_servers(stack, "tiny-2")
        write_arms(files.arms, own_targets(stack), other.targets)
        await until(stack, http, lambda body: body["arms"]["canary"])
        request = SearchRequest(text="passage 7")
        metadata = (("routing-key", key),)
        assert (await stack.stub.Search(request, metadata=metadata)).arm == "canary"
        request.routing_key = other_key
        assert (await stack.stub.Search(request, metadata=metadata)).arm == "baseline"
        batch = BatchSearchRequest(requests=[SearchRequest(text="a"), request])
        results = (await stack.stub.BatchSearch(batch, metadata=metadata)).results
        assert [one.response.arm for one in results] == ["canary", "baseline"]


async def test_flags_alone_make_a_canary_on_the_same_servers(files: Files) -> None:
    write_flags(
        files.flags,
        {"CANARY_PERCENT": 100, "canary": {"RERANKER": "off", "FAISS_NPROBE": 16}},
    )
    async with gateway_stack(**files.settings) as stack:
        response = await ask(stack)
        assert (response.arm, response.release_id, response.nprobe) == ("canary", RELEASE, 16)
        assert [one.reason for one in response.degradations] == ["RERANKER_OFF"]


async def test_a_new_baseline_takes_over_under_load_and_the_old_one_is_let_go(
    files: Files, http: aiohttp.ClientSession
) -> None:
    async with gateway_stack(**files.settings) as stack:
        other = await start_other_servers(stack, "tiny-2")
        load = Load(stack)
        await load.more(30)
        write_arms(files.arms, other.targets)
        body = await until(stack, http, lambda body: body["version"] == "tiny-2")
        assert body["arms"]["baseline"]["release"] == "tiny-2"
        # The old servers are stopped for good as soon as the gateways say so.
        await load.more(10)
        for name in ("encoder", "shard-0", "shard-1", "reranker"):
            await stack.stop(name)
        await load.more(30)
        await load.stop()
        assert load.errors == []
        releases = [response.release_id for response in load.answers]
        assert set(releases) == {RELEASE, "tiny-2"}
        assert all(response.coverage.ratio == 1.0 for response in load.answers)
        assert [one for one in load.answers if one.degradations] == []


async def test_a_canary_becomes_the_baseline_under_load(
    files: Files, http: aiohttp.ClientSession
) -> None:
    write_flags(files.flags, {"CANARY_PERCENT": 50})
    async with gateway_stack(**files.settings) as stack:
        other = await start_other_servers(stack, "tiny-2")
        load = Load(stack)
        write_arms(files.arms, own_targets(stack), other.targets)
        await until(stack, http, lambda body: body["arms"]["canary"])
        await load.more(20)
        write_arms(files.arms, other.targets)
        body = await until(stack, http, lambda body: body["version"] == "tiny-2")
        assert body["arms"]["canary"] is None
        await load.more(20)
        await load.stop()
        assert load.errors == []
        assert (await ask(stack)).release_id == "tiny-2"


async def test_a_request_in_flight_ends_on_the_arm_it_began_on(
    files: Files, http: aiohttp.ClientSession
) -> None:
    async with gateway_stack(**files.settings) as stack:
        other = await start_other_servers(stack, "tiny-2")
        stack.reranker.behaviour.close_gate()
        asked = asyncio.create_task(ask(stack))
        async with asyncio.timeout(WITHIN_S):
            await stack.reranker.behaviour.entered.wait()
        write_arms(files.arms, other.targets)
        await until(stack, http, lambda body: body["version"] == "tiny-2")
        assert (await ask(stack)).release_id == "tiny-2"
        stack.reranker.behaviour.open_gate()
        response = await asked
        assert response.release_id == RELEASE
        assert not response.degradations


@pytest.mark.parametrize("fault", ["other release", "mixed", "shard gone", "other encoder"])
async def test_servers_that_do_not_pass_are_refused_and_the_old_arm_stays(
    files: Files, http: aiohttp.ClientSession, fault: str
) -> None:
    async with gateway_stack(**files.settings) as stack:
        fingerprint = "sha256:other" if fault == "other encoder" else ""
        other = await start_other_servers(stack, "tiny-2", fingerprint=fingerprint)
        if fault == "other release":
            other.targets["release"] = "tiny-3"
        if fault == "mixed":
            other.shards[0].release_id = "tiny-3"
            other.targets["release"] = ""
        if fault == "shard gone":
            await stack.stop("tiny-2/shard-1")
        write_arms(files.arms, other.targets)
        body = await until(stack, http, lambda body: body["arms_error"])
        assert body["arms_error"].startswith("baseline: ")
        assert body["version"] == RELEASE
        assert (await ask(stack)).release_id == RELEASE
        assert stack.process.metrics.value("gateway_arms_refused") == 1


async def test_servers_that_come_up_late_are_taken_by_themselves(
    files: Files, http: aiohttp.ClientSession
) -> None:
    async with gateway_stack(**files.settings) as stack:
        other = await start_other_servers(stack, "tiny-3")
        other.targets["release"] = "tiny-2"
        write_arms(files.arms, own_targets(stack), other.targets)
        await until(stack, http, lambda body: body["arms_error"])
        for shard in other.shards:
            shard.release_id = "tiny-2"
        body = await until(stack, http, lambda body: body["arms"]["canary"])
        assert body["arms_error"] is None
        assert body["arms"]["canary"]["release"] == "tiny-2"


@pytest.mark.parametrize(
    "content", ["{", '{"canary": null}', '{"baseline": {"encoder": ["a:1"], "shards": []}}']
)
async def test_an_arms_file_that_cannot_be_used_is_told(
    files: Files, http: aiohttp.ClientSession, content: str
) -> None:
    files.arms.write_text(content)
    async with gateway_stack(**files.settings) as stack:
        body = await health(stack, http)
        assert body["arms_error"]
        assert (await ask(stack)).release_id == RELEASE


async def test_a_gateway_starts_by_its_arms_file(files: Files, http: aiohttp.ClientSession) -> None:
    async with gateway_stack() as servers:
        other = await start_other_servers(servers, "tiny-2")
        write_arms(files.arms, other.targets, own_targets(servers, RELEASE))
        async with gateway_stack(**files.settings) as stack:
            assert (await ask(stack)).release_id == "tiny-2"
            body = await health(stack, http)
            assert body["arms"]["canary"]["release"] == RELEASE
            assert body["arms"]["canary"]["services"]["shard-1"]["serving"] is True


async def test_addresses_of_a_canary_may_come_from_the_settings() -> None:
    async with gateway_stack() as servers:
        other = await start_other_servers(servers, "tiny-2")
        canary: dict[str, Any] = {
            "canary_encoder": tuple(other.targets["encoder"]),
            "canary_shards": ";".join(one[0] for one in other.targets["shards"]),
            "canary_reranker": tuple(other.targets["reranker"]),
        }
        async with gateway_stack(**canary) as stack:
            assert stack.process.metrics.value("gateway_target_serving", target="canary/shard-1")


async def test_a_failing_canary_is_counted_and_the_baseline_is_not_touched(
    files: Files, http: aiohttp.ClientSession
) -> None:
    write_flags(files.flags, {"CANARY_PERCENT": 50})
    async with gateway_stack(**files.settings) as stack:
        other = await start_other_servers(stack, "tiny-2")
        write_arms(files.arms, own_targets(stack), other.targets)
        await until(stack, http, lambda body: body["arms"]["canary"])
        other.encoder.behaviour.error = Unavailable("gone")
        for index in range(20):
            key = f"caller-{index}"
            if is_canary(key, 50):
                with pytest.raises(Exception, match="gone"):
                    await ask(stack, key)
            else:
                assert (await ask(stack, key)).arm == "baseline"
        failed = sum(is_canary(f"caller-{index}", 50) for index in range(20))
        assert arm_counts(stack, "error") == {"canary": failed, "baseline": 0}


async def test_the_callers_own_mistakes_are_not_errors_of_an_arm(files: Files) -> None:
    async with gateway_stack(**files.settings) as stack:
        wrong: list[dict[str, Any]] = [{"text": " "}, {"key": "k" * 257}, {"limit": 100_000}]
        for fields in wrong:
            with pytest.raises(Exception, match="INVALID_ARGUMENT"):
                await ask(stack, **fields)
        assert arm_counts(stack, "invalid")["baseline"] == 3
        assert arm_counts(stack, "error")["baseline"] == 0


async def test_gauges_of_servers_go_when_the_servers_do(
    files: Files, http: aiohttp.ClientSession
) -> None:
    async with gateway_stack(**files.settings) as stack:
        other = await start_other_servers(stack, "tiny-2")
        write_arms(files.arms, own_targets(stack), other.targets)
        await until(stack, http, lambda body: body["arms"]["canary"])
        value = stack.process.metrics.value
        assert value("gateway_target_serving", target="canary/shard-0") == 1.0
        write_arms(files.arms, own_targets(stack))
        await until(stack, http, lambda body: body["arms"]["canary"] is None)
        assert value("gateway_target_serving", target="canary/shard-0") is None
        assert value("gateway_target_serving", target="shard-0") == 1.0
