"""Targets and arguments of channels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from servicekit.channels import ChannelOptions, channel_arguments, service_config, target_uri


@pytest.mark.parametrize(
    ("targets", "uri"),
    [
        (["127.0.0.1:1"], "ipv4:127.0.0.1:1"),
        (["localhost:1", "127.0.0.1:2"], "ipv4:127.0.0.1:1,127.0.0.1:2"),
        (["[::1]:1", "[fe80::2]:2"], "ipv6:[::1]:1,[fe80::2]:2"),
        (["encoder.internal:50051"], "dns:///encoder.internal:50051"),
        (["dns:///encoder:50051"], "dns:///encoder:50051"),
        (["unix:/run/encoder.sock"], "unix:/run/encoder.sock"),
    ],
)
def test_replicas_become_one_target(targets: list[str], uri: str) -> None:
    assert target_uri(targets) == uri


@pytest.mark.parametrize(
    "targets", [[], ["a:1", "b:2"], ["127.0.0.1:1", "[::1]:2"], ["127.0.0.1:1", "name:2"]]
)
def test_what_cannot_be_one_channel_is_refused(targets: list[str]) -> None:
    with pytest.raises(ValueError, match="target"):
        target_uri(targets)


def test_the_service_config_balances_checks_health_and_retries_unavailable_only() -> None:
    config = service_config(ChannelOptions(health_service="x.Y", attempt_count=3))
    assert config["healthCheckConfig"] == {"serviceName": "x.Y"}
    (balancing,) = config["loadBalancingConfig"]
    assert balancing["outlier_detection_experimental"]["childPolicy"] == [{"round_robin": {}}]
    (method,) = config["methodConfig"]
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert method["retryPolicy"]["maxAttempts"] == 3
    # A timeout here makes every call fail at once.
    assert "timeout" not in method


def test_each_part_can_be_left_out() -> None:
    options = ChannelOptions(health_service=None, attempt_count=1, outlier_detection=False)
    assert service_config(options) == {"loadBalancingConfig": [{"round_robin": {}}]}


def test_reconnects_stay_within_a_second() -> None:
    arguments: dict[str, Any] = dict(channel_arguments(ChannelOptions()))
    assert arguments["grpc.max_reconnect_backoff_ms"] <= 1000
    assert arguments["grpc.min_reconnect_backoff_ms"] <= 1000
    assert json.loads(arguments["grpc.service_config"]) == service_config(ChannelOptions())
