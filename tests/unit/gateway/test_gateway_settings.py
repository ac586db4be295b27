"""Settings of the gateway."""

from __future__ import annotations

import pytest

from gateway.policies import pipeline_policy, request_policy, rerank_policy
from gateway.settings import GatewaySettings, shard_replicas
from retrieval_core.timing import DEFAULT_BUDGETS_NS
from servicekit.settings import SettingsError, load_settings, settings_rows


def load(**environ: str) -> GatewaySettings:
    return load_settings(
        GatewaySettings, {f"GATEWAY_{key}": value for key, value in environ.items()}
    )


def test_shards_and_replicas_are_read_from_one_line() -> None:
    settings = load(SHARDS="a:1, b:1 ;c:2;", ENCODER="d:3,e:3", RERANKER="")
    assert shard_replicas(settings.shards) == (("a:1", "b:1"), ("c:2",))
    assert settings.encoder == ("d:3", "e:3")
    assert settings.reranker == ()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"SHARDS": ""}, "shards"),
        ({"SHARDS": "a:1;;b:1"}, "shards"),
        ({"ENCODER": ""}, "encoder"),
        ({"MIN_COVERAGE": "1.5"}, "MIN_COVERAGE"),
        ({"BACKEND_CERT_FILE": "x.pem"}, "backend_key_file"),
        ({"MAX_BATCH": "65"}, "max_batch"),
        ({"CANARY_ENCODER": "a:1"}, "canary_shards"),
        ({"CANARY_SHARDS": "a:1;;b:1", "CANARY_ENCODER": "a:1"}, "canary_shards"),
        ({"CANARY_RERANKER": "a:1"}, "canary_reranker"),
        ({"SHARD_TIMEOUT": "5"}, "GATEWAY_SHARD_TIMEOUT_MS"),
        ({"HTTP_PORT": "http"}, "HTTP_PORT"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(environ: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**environ)
    assert any(name in problem for problem in caught.value.problems)


def test_the_defaults_are_those_of_the_parts() -> None:
    settings = GatewaySettings()
    assert request_policy(settings).budgets_ns == dict(DEFAULT_BUDGETS_NS)
    assert pipeline_policy(settings).fan_out.timeout_ns == 250_000_000
    assert pipeline_policy(settings).candidate_count == rerank_policy(settings).candidate_count


def test_milliseconds_become_nanoseconds() -> None:
    settings = GatewaySettings(rerank_timeout_ms=2.5, answer_reserve_ms=0.25)
    assert rerank_policy(settings).timeout_ns == 2_500_000
    assert pipeline_policy(settings).reserve_ns == 250_000


def test_every_setting_says_its_unit_and_meaning() -> None:
    assert all(row.unit and row.meaning for row in settings_rows(GatewaySettings))
