from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.local.arms_file import arms_of, write_arms
from deploy.local.errors import BadFlags, NotUp, StackError, SwitchRefused
from deploy.local.gateways import (
    Arms,
    RequestCounts,
    arms_of_health,
    count_requests,
    wait_until_asked,
)
from deploy.local.layout import Layout, Replicas, ServerSpec
from deploy.local.stack import LocalStack
from deploy.local.state import (
    StackState,
    StartedServer,
    empty_state,
    group_of_layout,
)
from deploy.local.switching import Switching, wanted_arms
from deploy.local.threads import plan_threads

LAYOUT = Layout(
    Path("/releases/v0"), 2, plan_threads(2, 2), replicas=Replicas(gateway=1, encoder=2, shard=2)
)


def started(state: StackState, specs: list[ServerSpec]) -> StackState:
    for spec in specs:
        state = state.replaced(StartedServer(spec, 1, 0.0, Path("log")))
    return state


def two_releases() -> StackState:
    green = replace(LAYOUT, release=Path("/releases/v1"), bundled_reranker=False).in_colour("green")
    state = started(empty_state(LAYOUT), LAYOUT.servers())
    return started(state.with_group(group_of_layout(green)), green.backends())


def test_a_fresh_stack_has_one_arm_with_all_its_replicas() -> None:
    state = started(empty_state(LAYOUT), LAYOUT.servers())
    assert arms_of(state) == {
        "baseline": {
            "release": "v0",
            "encoder": ["127.0.0.1:50051", "127.0.0.1:50151"],
            "shards": [
                ["127.0.0.1:50061", "127.0.0.1:50161"],
                ["127.0.0.1:50062", "127.0.0.1:50162"],
            ],
            "reranker": ["127.0.0.1:50071"],
        },
        "canary": None,
    }


def test_a_canary_has_the_servers_of_its_own_colour(tmp_path: Path) -> None:
    write_arms(tmp_path / "arms.json", replace(two_releases(), canary="green"))
    arms = json.loads((tmp_path / "arms.json").read_text())
    assert arms["baseline"]["release"] == "v0"
    assert arms["canary"]["release"] == "v1"
    assert arms["canary"]["encoder"] == ["127.0.0.1:50551", "127.0.0.1:50651"]
    # A release without a reranker of its own is served without one.
    assert arms["canary"]["reranker"] == []


def test_what_is_neither_baseline_nor_canary_is_a_spare() -> None:
    state = two_releases()
    assert [group.release_id for group in state.spares()] == ["v1"]
    assert replace(state, canary="green").spares() == ()
    switched = replace(state, baseline="green")
    assert [group.release_id for group in switched.spares()] == ["v0"]
    assert switched.release == Path("/releases/v1")


def test_a_group_goes_with_its_servers_and_no_others() -> None:
    state = two_releases()
    left = state.without(["green"])
    assert left == started(empty_state(LAYOUT), LAYOUT.servers())
    assert len(left.gateways) == 1
    with pytest.raises(StackError, match="green"):
        left.group("green")


@dataclass
class FakeGateway:
    """A real HTTP server whose /health and /metrics say what they are told."""

    health: dict[str, Any] = field(default_factory=dict)
    metrics: str = ""
    asked: threading.Event = field(default_factory=threading.Event)


@contextmanager
def served(gateway: FakeGateway) -> Iterator[StartedServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_health = self.path == "/health"
            body = json.dumps(gateway.health) if is_health else gateway.metrics
            self.send_response(503)
            self.end_headers()
            self.wfile.write(body.encode())
            gateway.asked.set()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port = server.server_address[1]
    spec = ServerSpec("gateway", "gateway", "127.0.0.1", 1, "g", {}, (port,))
    try:
        yield StartedServer(spec, 1, 0.0, Path("log"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def health(baseline: str, canary: str | None = None, error: str | None = None) -> dict[str, Any]:
    return {
        "arms": {
            "baseline": {"release": baseline},
            "canary": None if canary is None else {"release": canary},
        },
        "arms_error": error,
    }


def test_a_health_report_says_which_releases_are_asked() -> None:
    assert arms_of_health(health("v0", "v1")) == Arms("v0", "v1")
    assert arms_of_health(health("v0", error="bad")) == Arms("v0", None, "bad")
    assert arms_of_health({}) == Arms(None, None)


def test_a_canary_of_flags_alone_is_no_canary_release() -> None:
    assert Arms("v0", "v0").serve(Arms("v0", None))
    assert not Arms("v0", "v1").serve(Arms("v0", None))
    assert not Arms("v0", "v0").serve(Arms("v0", "v1"))


def test_waiting_ends_when_every_gateway_asks_what_is_wanted() -> None:
    gateway, late = FakeGateway(health("v1")), FakeGateway(health("v0"))

    def change_mind() -> None:
        late.asked.wait(10)
        late.health = health("v1")

    with served(gateway) as one, served(late) as other:
        changing = threading.Thread(target=change_mind)
        changing.start()
        assert wait_until_asked([one, other], Arms("v1", None), timeout_s=10) < 10
        changing.join()


def test_a_gateway_that_stays_with_the_old_one_is_named() -> None:
    with (
        served(FakeGateway(health("v0"))) as gateway,
        pytest.raises(SwitchRefused, match="gateway still asks v0 with canary None"),
    ):
        wait_until_asked([gateway], Arms("v1", None), timeout_s=0.1)


def test_a_refusal_is_quoted() -> None:
    refusing = FakeGateway(health("v0", error="shard-1 does not serve"))
    with (
        served(refusing) as gateway,
        pytest.raises(SwitchRefused, match="shard-1 does not serve"),
    ):
        wait_until_asked([gateway], Arms("v1", None), timeout_s=0.1)


def test_requests_are_counted_over_arms_and_gateways() -> None:
    metrics = """# TYPE gateway_arm_requests_total counter
gateway_arm_requests_total{arm="baseline",outcome="ok"} 90.0
gateway_arm_requests_total{arm="canary",outcome="error"} 3.0
gateway_arm_requests_total{arm="baseline",outcome="refused"} 2.0
gateway_arm_requests_total{arm="baseline",outcome="invalid"} 5.0
"""
    with served(FakeGateway(metrics=metrics)) as one, served(FakeGateway(metrics=metrics)) as other:
        assert count_requests([one, other]) == RequestCounts(answered=200, failed=10)


def test_what_gateways_are_to_say_follows_from_the_state() -> None:
    state = two_releases()
    assert wanted_arms(state) == Arms("v0", None)
    assert wanted_arms(replace(state, canary="green")) == Arms("v0", "v1")
    assert wanted_arms(replace(state, baseline="green")) == Arms("v1", None)


def test_a_wrong_exported_flag_stops_up_before_anything_starts(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path, {"CANARY_PERCENT": "many"}, report=lambda _: None)
    with pytest.raises(BadFlags, match="CANARY_PERCENT"):
        stack.up(LAYOUT)
    assert not (tmp_path / "flags.json").exists()
    assert not (tmp_path / "stack.json").exists()


def test_without_a_stack_there_is_nothing_to_switch(tmp_path: Path) -> None:
    switching = Switching(LocalStack(tmp_path, {}, report=lambda _: None))
    for act in (switching.canary, switching.switch):
        with pytest.raises(NotUp):
            act(LAYOUT)
    with pytest.raises(NotUp):
        switching.drop_canary()
