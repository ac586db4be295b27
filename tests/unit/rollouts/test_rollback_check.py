from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deploy.local.layout import Layout
from deploy.local.state import StartedServer, empty_state, write_state
from deploy.local.threads import plan_threads
from evaluation.intervals import Verdict
from evaluation.querysets import ContextItem, EvaluationQuery
from retrieval_client import Query, RetrievalClient
from retrieval_core.errors import FailedPrecondition, InvalidInput
from rollouts.quality import Arm
from rollouts.rollback_check import check_gateway, make_rollback_report
from rollouts.stack_addresses import find_gateways, split_address


def health(**changes: Any) -> dict[str, Any]:
    return {
        "version": "v-1",
        "status": "ok",
        "arms": {"baseline": {"release": "v-1"}, "canary": None},
        "arms_error": None,
        "flags": {"error": None},
        "stages": {"TOTAL": {"p95_ms": 7.5, "count": 1024}},
        **changes,
    }


def verdicts(body: dict[str, Any], max_p95_ms: float | None = None) -> dict[str, Verdict]:
    checks = check_gateway("gw", body, "v-1", max_p95_ms)
    return {check.name.removeprefix("gw: "): check.verdict for check in checks}


def test_a_gateway_that_is_as_before_passes() -> None:
    assert set(verdicts(health()).values()) == {Verdict.PASS}
    assert set(verdicts(health(), max_p95_ms=7.5).values()) == {Verdict.PASS}


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"version": "v0"}, "version"),
        ({"status": "degraded"}, "health"),
        ({"arms": {"canary": {"release": "v0", "percent": 5}}}, "canary"),
        ({"arms_error": "no such shard"}, "flags and arms"),
        ({"flags": {"error": "unknown key"}}, "flags and arms"),
    ],
)
def test_each_check_fails_alone(changes: dict[str, Any], failed: str) -> None:
    found = verdicts(health(**changes))
    assert [name for name, verdict in found.items() if verdict is Verdict.FAIL] == [failed]


def test_a_canary_without_callers_is_none_to_worry_about() -> None:
    arms = {"canary": {"release": "v0", "percent": 0}}
    assert verdicts(health(arms=arms))["canary"] is Verdict.PASS


def test_p95_is_judged_only_where_asked_for_and_never_passed_unmeasured() -> None:
    assert verdicts(health(), max_p95_ms=5.0)["P95"] is Verdict.FAIL
    assert verdicts(health(stages={}), max_p95_ms=5.0)["P95"] is Verdict.INCONCLUSIVE
    assert verdicts(health(stages={}))["P95"] is Verdict.PASS


def test_the_report_is_as_good_as_its_worst_check() -> None:
    good = check_gateway("a", health(), "v-1", None)
    bad = check_gateway("b", health(version="v0"), "v-1", None)
    assert make_rollback_report("v-1", good).verdict is Verdict.PASS
    assert make_rollback_report("v-1", [*good, *bad]).verdict is Verdict.FAIL
    assert make_rollback_report("v-1", []).verdict is Verdict.INCONCLUSIVE


def test_gateways_are_those_named_or_of_the_stack_or_at_the_usual_ports(tmp_path: Path) -> None:
    usual = find_gateways(tmp_path)
    assert (usual.grpc, usual.http) == (("127.0.0.1:50050",), ("127.0.0.1:8080",))
    layout = Layout(Path("/releases/v0"), shard_count=1, threads=plan_threads(2, 1))
    gateway = layout.in_colour("blue").gateways()[0]
    state = empty_state(layout).replaced(StartedServer(gateway, 1, 0.0, Path("log")))
    write_state(tmp_path, state)
    assert find_gateways(tmp_path).http == ("127.0.0.1:8080",)
    assert find_gateways(tmp_path, http=["a:1", "b:2"]).http == ("a:1", "b:2")


@pytest.mark.parametrize("address", ["8080", "host:", "host:port", ":80"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(InvalidInput, match=address):
        split_address(address)


@dataclass
class Answering:
    """A client whose gateway answers as this arm and release, and remembers what it was asked."""

    arm: str
    release: str
    asked: list[Query] = field(default_factory=list)

    def ask(self, query: Query) -> Any:
        self.asked.append(query)
        hit = SimpleNamespace(passage_id=7, score=0.5)
        return SimpleNamespace(arm=self.arm, release_id=self.release, hits=[hit])


QUERY = EvaluationQuery("q", "article", (7,), context=(ContextItem(3, "before"),))


def test_an_arm_answers_as_a_caller_gets_it_without_the_context() -> None:
    client = Answering("canary", "v0")
    hits = Arm("canary", "v0", 50).ask(cast("RetrievalClient", client), QUERY)
    assert (hits.ids, hits.gold_ids, hits.article_id) == ((7,), (7,), "article")
    (asked,) = client.asked
    assert list(asked.excluded_passage_ids) == [3]
    assert asked.context == ["before"]
    assert asked.routing_key


@pytest.mark.parametrize(("arm", "release"), [("baseline", "v0"), ("canary", "v-1")])
def test_an_answer_of_somebody_else_is_an_error_and_no_figure(arm: str, release: str) -> None:
    client = cast("RetrievalClient", Answering(arm, release))
    with pytest.raises(FailedPrecondition, match=f"release {release} answered as {arm}"):
        Arm("canary", "v0", 50).ask(client, QUERY)
