"""Each fault is named first, with its evidence and what to do; a healthy stack has no cause."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from operations.causes import RULES, find_causes
from operations.observations import Observations, ReleaseView, ServerView
from operations.observing import Place, observe
from operations.release_look import look_at_release
from releases.corpus_files import write_corpus_file
from releases.pointers import switch_current
from servicekit.flag_file import kill_flags
from tests.support.http_gateway import good_health, http_gateway, service, stage
from tests.support.tiny_release import build_tiny_release, clustered_vectors, tiny_corpus

MB = 1_000_000
OTHER = "sha256:" + "11" * 32


def _server(name: str, **changes: Any) -> ServerView:
    view = ServerView(name, "127.0.0.1:1", "baseline", True, True, 100 * MB, 95 * MB)
    return dataclasses.replace(view, **changes)


def _healthy() -> Observations:
    release = ReleaseView(
        name="retriever_v0",
        passage_count=300,
        nprobe=8,
        fingerprint="sha256:" + "7e" * 32,
        agreement=0.97,
        agreement_bounds=(0.955, 0.98),
        worst_norm_deviation=1e-7,
        imbalance_ratio=3.3,
        growth_ratio=0.0,
    )
    names = ("encoder", "shard-0", "shard-1", "reranker", "gateway")
    return Observations(
        gateway="127.0.0.1:8080",
        release=release,
        health=good_health(),
        servers=[_server(name) for name in names],
        in_flight_ratio=0.1,
        refused_ratio=0.0,
    )


Change = Callable[[Observations], Observations]


def _health(change: Callable[[dict[str, Any]], object]) -> Change:
    def spoil(seen: Observations) -> Observations:
        health = json.loads(json.dumps(seen.health))
        change(health)
        return dataclasses.replace(seen, health=health)

    return spoil


def _service(name: str, **changes: Any) -> Change:
    return _health(lambda health: health["services"][name].update(changes))


def _stages(**stages: Mapping[str, float | int]) -> Change:
    return _health(lambda health: health["stages"].update(stages))


def _release(**changes: Any) -> Change:
    return lambda seen: dataclasses.replace(
        seen, release=dataclasses.replace(seen.release, **changes)
    )


def _processes(*servers: ServerView) -> Change:
    return lambda seen: dataclasses.replace(seen, servers=servers)


def _seen(**changes: Any) -> Change:
    return lambda seen: dataclasses.replace(seen, **changes)


def _all(*changes: Change) -> Change:
    def spoil(seen: Observations) -> Observations:
        for change in changes:
            seen = change(seen)
        return seen

    return spoil


def _canary_shard_gone(health: dict[str, Any]) -> None:
    gone = service(serving=False, detail="refused the connection")
    health["arms"]["canary"] = {"release": "v1", "percent": 5, "services": {"shard-0": gone}}


REFUSED = {"serving": False, "detail": "connection refused"}
DEAD_SHARD = _server("shard-1", is_alive=False, is_healthy=False, memory_bytes=0)

FAULTS: list[tuple[str, Change, str]] = [
    ("damaged_release", _release(problem="p_ivf.faiss is missing"), "p_ivf.faiss is missing"),
    (
        "nothing_started",
        _seen(health={}, health_error="no route", servers=()),
        "no stack was started",
    ),
    (
        "gateway_gone",
        _seen(health={}, health_error="no route", servers=[_server("gateway", is_alive=False)]),
        "no route; gone: gateway",
    ),
    ("arms_refused", _health(lambda h: h.update(arms_error="shard 1 is of v-1")), "shard 1"),
    ("other_fingerprint", _service("shard-1", fingerprint=OTHER), "shard-1: sha256:1111"),
    ("encoder_gone", _service("encoder", **REFUSED), "encoder (127.0.0.1:1): connection refused"),
    (
        "shard_gone",
        _all(_service("shard-1", **REFUSED), _processes(DEAD_SHARD)),
        "connection refused; its process has ended: shard-1",
    ),
    ("shard_gone", _health(_canary_shard_gone), "shard-0 of the canary"),
    ("reranker_gone", _service("reranker", **REFUSED), "connection refused"),
    (
        "flags_refused",
        _health(lambda h: h["flags"].update(error="RERANKER: is 'maybe'")),
        "RERANKER: is 'maybe'",
    ),
    ("kill_switch", _seen(is_killed=True), "in force"),
    ("norms", _release(worst_norm_deviation=0.3), "off by 3.0e-01"),
    ("norms", _release(worst_norm_deviation=float("nan")), "off by nan"),
    ("overload", _seen(in_flight_ratio=0.95), "95% of the calls"),
    ("overload", _seen(refused_ratio=0.2), "20.0% of all requests"),
    (
        "encode_over_budget",
        _stages(ENCODE=stage(9.0, budget_ms=4.0), TOTAL=stage(15.0)),
        "ENCODE has P95 9.00 ms over 500 requests, its budget is 4 ms",
    ),
    ("query_model_over_budget", _stages(QUERY_MODEL=stage(2.0, budget_ms=1.0)), "QUERY_MODEL"),
    ("search_over_budget", _stages(SEARCH=stage(5.0, budget_ms=4.0)), "SEARCH has P95 5.00"),
    ("rerank_over_budget", _stages(RERANK=stage(2.5, budget_ms=2.0)), "RERANK has P95 2.50"),
    ("total_over_budget", _stages(TOTAL=stage(12.0)), "TOTAL has P95 12.00"),
    ("recall", _release(agreement=0.8, agreement_bounds=(0.75, 0.85)), "80.0% of exact search"),
    ("imbalance", _release(imbalance_ratio=12.0), "12.0 times the mean"),
    (
        "memory",
        _processes(_server("shard-0", memory_bytes=150 * MB, baseline_bytes=100 * MB)),
        "shard-0 uses 150 MB, 50% more than once warm",
    ),
    ("corpus_growth", _release(growth_ratio=0.25), "25% more passages"),
    ("other_release", _health(lambda h: h.update(version="v-1")), "serves v-1, `current` is"),
]


def test_a_healthy_stack_has_no_cause() -> None:
    assert find_causes(_healthy()) == []


@pytest.mark.parametrize(("name", "spoil", "evidence"), FAULTS)
def test_each_fault_is_the_likely_cause(name: str, spoil: Change, evidence: str) -> None:
    first = find_causes(spoil(_healthy()))[0]
    assert first.name == name
    assert evidence in first.evidence
    assert first.cause
    assert first.remedy


def test_every_rule_is_seen_to_apply() -> None:
    assert {name for name, *_ in FAULTS} == {rule.name for rule in RULES}


def test_a_dead_shard_comes_before_the_lateness_it_causes() -> None:
    spoil = _all(_service("shard-0", **REFUSED), _stages(SEARCH=stage(99.0), TOTAL=stage(120.0)))
    assert [cause.name for cause in find_causes(spoil(_healthy()))] == [
        "shard_gone",
        "search_over_budget",
        "total_over_budget",
    ]


@pytest.mark.parametrize(
    "change",
    [
        _stages(SEARCH=stage(99.0, count=5)),
        _stages(SEARCH=stage(99.0, budget_ms=0.0)),
        _release(agreement=0.94, agreement_bounds=(0.92, 0.96)),
        _release(growth_ratio=None, imbalance_ratio=None, worst_norm_deviation=None),
        _processes(_server("shard-0", memory_bytes=900 * MB, baseline_bytes=0)),
        _processes(_server("shard-1", is_alive=False, role="spare")),
    ],
)
def test_what_cannot_be_told_is_no_cause(change: Change) -> None:
    assert find_causes(change(_healthy())) == []


def test_everything_is_looked_at_where_it_is(tmp_path: Path) -> None:
    """A real release and a real HTTP server; no process was started from the run folder."""
    releases, run = tmp_path / "releases", tmp_path / "run"
    build_tiny_release(releases, name="retriever_v0", corpus=tiny_corpus(120))
    switch_current(releases, "retriever_v0")
    run.mkdir()
    (run / "flags.json").write_text("{}")
    kill_flags(run / "flags.json")
    metrics = (
        "rpc_server_in_flight 3\nrpc_server_in_flight_limit 4\n"
        'gateway_arm_requests_total{arm="baseline",outcome="ok"} 30\n'
        'gateway_arm_requests_total{arm="baseline",outcome="refused"} 10\n'
    )
    with http_gateway(good_health(), metrics) as gateway:
        seen = observe(Place(gateway.address, run, "current", releases, query_count=40))
    assert (seen.in_flight_ratio, seen.refused_ratio) == (0.75, 0.25)
    assert (seen.release.name, seen.release.passage_count) == ("retriever_v0", 120)
    assert seen.release.agreement is not None
    assert seen.release.agreement > 0.9
    assert seen.release.worst_norm_deviation is not None
    assert seen.release.worst_norm_deviation < 1e-5
    assert [cause.name for cause in find_causes(seen)] == ["kill_switch", "overload"]
    gone = observe(Place(gateway.address, run, "current", releases, query_count=40))
    assert find_causes(gone)[0].name == "nothing_started"


def test_a_state_that_cannot_be_read_names_no_process(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "stack.json").write_text('{"format": "another/1"}')
    seen = observe(Place("127.0.0.1:9", run, "none", tmp_path, query_count=1))
    assert seen.servers == []
    assert [cause.name for cause in find_causes(seen)] == ["damaged_release", "nothing_started"]


def test_a_damaged_or_missing_release_is_a_view_that_says_so(tmp_path: Path) -> None:
    folder = build_tiny_release(tmp_path, name="one", corpus=tiny_corpus(120)).folder
    (folder / "p_ivf.faiss").chmod(0o644)
    (folder / "p_ivf.faiss").write_bytes(b"short")
    assert "p_ivf.faiss has 5 bytes" in look_at_release("one", tmp_path, 10).problem
    assert "no release 'two'" in look_at_release("two", tmp_path, 10).problem


def test_growth_is_that_of_the_current_corpus(tmp_path: Path) -> None:
    releases = tmp_path / "releases"
    made = build_tiny_release(releases, name="one", corpus=tiny_corpus(100)).release
    assert look_at_release("one", releases, 10).growth_ratio is None
    grown = tiny_corpus(125)
    write_corpus_file(made, clustered_vectors(125), grown.passage_ids)
    switch_current(releases, "one")
    assert look_at_release("one", releases, 10).growth_ratio == pytest.approx(0.25)
