"""Which arm answers, and what a change of flags or servers does to it."""

from __future__ import annotations

import pytest

from gateway.arms import ArmTargets, parse_arms
from gateway.query import Tuning
from gateway.routing_key import caller_address, routing_key
from retrieval_core.errors import InvalidInput
from tests.support.gateway_bench import Bench
from tests.support.gateway_routes import Caller, bench_backends, in_force, router_of


def test_the_percentage_counts_for_nothing_without_a_canary() -> None:
    traffic = router_of(bench_backends(Bench()), values={"CANARY_PERCENT": 100}).traffic
    assert traffic.arm_of("anybody") is traffic.baseline
    assert traffic.baseline.percent == 100
    assert not traffic.needs_key


@pytest.mark.parametrize("percent", [0, 25, 100])
def test_arms_share_everybody_between_them(percent: float) -> None:
    router = router_of(
        bench_backends(Bench()), bench_backends(Bench()), {"CANARY_PERCENT": percent}
    )
    traffic = router.traffic
    assert traffic.canary is not None
    assert traffic.baseline.percent + traffic.canary.percent == 100
    assert traffic.needs_key == (percent == 25)


def test_a_request_keeps_the_traffic_it_looked_at() -> None:
    router = router_of(bench_backends(Bench()), values={"FAISS_NPROBE": 4})
    seen = router.traffic
    router.use_flags(in_force({"FAISS_NPROBE": 16}, 2))
    assert seen.baseline.tuning.nprobe == 4
    assert router.traffic.baseline.tuning.nprobe == 16
    assert router.traffic.flags.generation == 2


def test_flags_become_the_tuning_of_each_arm() -> None:
    values = {"RETRIEVER_IMPL": "amn_v0", "RERANKER": "off", "canary": {"RERANKER": "on"}}
    traffic = router_of(bench_backends(Bench()), values=values).traffic
    assert traffic.canary is not None
    assert traffic.baseline.tuning == Tuning("amn_v0", reranks=False, nprobe=0)
    assert traffic.canary.tuning == Tuning("amn_v0", reranks=True, nprobe=0)
    assert traffic.canary.backends is traffic.baseline.backends


def test_percentiles_begin_anew_when_an_arm_answers_differently() -> None:
    router = router_of(bench_backends(Bench()), bench_backends(Bench()), {"CANARY_PERCENT": 5})
    before = router.traffic
    router.use_flags(in_force({"CANARY_PERCENT": 25}, 2))
    same = router.traffic
    assert same.baseline.observer is before.baseline.observer
    router.use_flags(in_force({"CANARY_PERCENT": 25, "FAISS_NPROBE": 1}, 3))
    assert router.traffic.baseline.observer is not before.baseline.observer


async def test_servers_are_closed_only_after_their_last_request() -> None:
    backends = bench_backends(Bench())
    closed: list[str] = []

    async def close() -> None:
        closed.append("closed")

    backends.closes = [close]
    with backends:
        with backends:
            pass
        assert backends.user_count == 1
        assert closed == []
    await backends.close_when_idle()
    assert closed == ["closed"]


@pytest.mark.parametrize(
    ("own", "metadata", "key"),
    [
        ("mine", [("routing-key", "theirs")], "mine"),
        ("", [("user-agent", "x"), ("routing-key", "theirs")], "theirs"),
        ("", [("routing-key-bin", b"theirs")], "ipv4:10.0.0.7"),
        ("", [], "ipv4:10.0.0.7"),
    ],
)
def test_the_key_is_the_requests_then_the_metadatas_then_the_address(
    own: str, metadata: list[tuple[str, str | bytes]], key: str
) -> None:
    assert routing_key(own, Caller(metadata, "ipv4:10.0.0.7:41000")) == key


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:41000", "ipv4:10.0.0.7"),
        ("ipv6:%5B::1%5D:41000", "ipv6:%5B::1%5D"),
        ("ipv6:[::1]:41000", "ipv6:[::1]"),
        ("unix:/run/gateway.sock", "unix:/run/gateway.sock"),
        ("", ""),
    ],
)
def test_a_callers_port_is_no_part_of_its_address(peer: str, address: str) -> None:
    assert caller_address(peer) == address


def test_an_arms_file_names_servers_of_both_arms() -> None:
    plan = parse_arms(
        '{"baseline": {"release": "v0", "encoder": ["e:1"], "shards": [["s:1", "s:2"], ["t:1"]],'
        ' "reranker": ["r:1"]}, "canary": {"encoder": ["e:2"], "shards": [["u:1"]]}}'
    )
    assert plan.baseline == ArmTargets(("e:1",), (("s:1", "s:2"), ("t:1",)), ("r:1",), "v0")
    assert plan.canary == ArmTargets(("e:2",), (("u:1",),))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[]", "arms"),
        ("", "arms"),
        ("{}", "arms"),
        ('{"baseline": null}', "baseline"),
        ('{"baseline": {"shards": [["s:1"]]}}', "baseline.encoder"),
        ('{"baseline": {"encoder": "e:1", "shards": [["s:1"]]}}', "baseline.encoder"),
        ('{"baseline": {"encoder": ["e:1"], "shards": []}}', "baseline.shards"),
        ('{"baseline": {"encoder": ["e:1"], "shards": [["s:1"], []]}}', "baseline.shards[1]"),
        ('{"baseline": {"encoder": ["e:1"], "shards": [["s"]]}}', "baseline.shards[0]"),
        ('{"baseline": {"encoder": ["e:1"], "shards": [["s:1"]], "x": 1}}', "baseline.x"),
        ('{"baseline": {"encoder": ["e:1"], "shards": [["s:1"]], "release": 1}}', "release"),
        ('{"baselin": {}}', "arms.baselin"),
    ],
)
def test_what_is_wrong_with_an_arms_file_is_named(text: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_arms(text)
    assert field in caught.value.violations[0].field
