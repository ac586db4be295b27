"""Settings of the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings, setting, split_commas

Replicas = Annotated[tuple[str, ...], BeforeValidator(split_commas)]


class GatewaySettings(ServiceSettings):
    """Settings of the gateway."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    port: int = setting(50050, unit="port", meaning="gRPC port; 0 takes a free one", ge=0, le=65535)
    http_enabled: bool = setting(
        True, unit="flag", meaning="serve /health, /metrics and the status page over HTTP"
    )
    http_port: int = setting(
        8080, unit="port", meaning="HTTP port; 0 takes a free one", ge=0, le=65535
    )
    encoder: Replicas = setting(
        ("127.0.0.1:50051",), unit="addresses", meaning="encoder replicas, a:1,b:1"
    )
    shards: str = setting(
        "127.0.0.1:50061",
        unit="addresses",
        meaning="shards separated by ; and replicas of a shard by , as in a:1,b:1;c:2",
    )
    reranker: Replicas = setting(
        ("127.0.0.1:50071",), unit="addresses", meaning="reranker replicas; empty for none"
    )
    canary_encoder: Replicas = setting(
        (), unit="addresses", meaning="encoder replicas of the canary arm; empty for none"
    )
    canary_shards: str = setting(
        "", unit="addresses", meaning="shards of the canary arm; empty for none"
    )
    canary_reranker: Replicas = setting(
        (), unit="addresses", meaning="reranker replicas of the canary arm; empty for none"
    )
    arms_file: Path | None = setting(
        None,
        unit="path",
        meaning="JSON file that names the servers of both arms; watched, and above the addresses",
    )
    flags_file: Path | None = setting(
        None, unit="path", meaning="JSON file of flags; watched, and above the environment's"
    )
    watch_interval_ms: float = setting(
        200.0, unit="ms", meaning="between looks at the flags file and the arms file", gt=0
    )
    confident_cosine: float = setting(
        0.24,
        unit="cosine",
        meaning="a question whose best cosine is at least this counts as answered confidently",
        ge=-1,
        le=1,
    )
    context_confident_cosine: float = setting(
        0.30, unit="cosine", meaning="the same for a context", ge=-1, le=1
    )
    shadow_concurrency: int = setting(
        2, unit="queries", meaning="copies for the canary at the same time; more are dropped", ge=1
    )
    shadow_timeout_ms: float = setting(1000.0, unit="ms", meaning="longest time for one copy", gt=0)
    explain_log_file: Path | None = setting(
        None, unit="path", meaning="JSON lines about a share of the answers; unset writes none"
    )
    explain_log_ratio: float = setting(
        0.01, unit="ratio", meaning="share of the answers that are explained in the log", ge=0, le=1
    )
    explain_log_max_bytes: int = setting(
        16 * 1024 * 1024, unit="bytes", meaning="size at which the log is rotated", ge=1024
    )
    explain_log_backups: int = setting(3, unit="files", meaning="rotated logs that are kept", ge=0)
    explain_log_hits: int = setting(
        10, unit="hits", meaning="hits of an answer that the log explains", ge=1
    )
    explain_log_text: bool = setting(
        False, unit="flag", meaning="write the words of queries into the log too"
    )
    backend_ca_file: Path | None = setting(
        None, unit="path", meaning="PEM roots of the servers behind; unset means plain text"
    )
    backend_cert_file: Path | None = setting(
        None, unit="path", meaning="PEM certificate shown to the servers behind"
    )
    backend_key_file: Path | None = setting(
        None, unit="path", meaning="PEM private key of backend_cert_file"
    )

    backend_server_name: str = setting(
        "",
        unit="name",
        meaning="name in the certificates of the servers behind; empty: the target's",
    )

    max_limit: int = setting(1000, unit="hits", meaning="largest limit of a request", ge=1)
    max_nprobe: int = setting(4096, unit="lists", meaning="largest nprobe of a request", ge=1)
    max_lanes: int = setting(64, unit="lanes", meaning="most lanes of a request", ge=1)
    max_excluded: int = setting(
        1000, unit="passages", meaning="most excluded passages of a request", ge=0
    )
    max_text_characters: int = setting(
        32_768, unit="characters", meaning="longest text of a query", ge=1
    )
    max_batch: int = setting(32, unit="requests", meaning="most requests of a batch", ge=1)
    batch_concurrency: int = setting(
        4, unit="requests", meaning="requests of one batch answered at the same time", ge=1
    )

    encode_budget_ms: float = setting(4.0, unit="ms", meaning="soft budget of ENCODE", ge=0)
    query_model_budget_ms: float = setting(
        0.5, unit="ms", meaning="soft budget of QUERY_MODEL", ge=0
    )
    search_budget_ms: float = setting(3.0, unit="ms", meaning="soft budget of SEARCH", ge=0)
    merge_budget_ms: float = setting(0.5, unit="ms", meaning="soft budget of MERGE", ge=0)
    rerank_budget_ms: float = setting(2.0, unit="ms", meaning="soft budget of RERANK", ge=0)
    total_budget_ms: float = setting(
        10.0, unit="ms", meaning="soft budget of the whole request", ge=0
    )

    min_coverage: float = setting(
        0.25,
        unit="ratio",
        meaning="shards that must answer, of all; below it, and below one shard, UNAVAILABLE",
        ge=0,
        le=1,
    )
    shard_timeout_ms: float = setting(
        250.0, unit="ms", meaning="longest wait for a shard, within the deadline", gt=0
    )
    exact_timeout_ms: float = setting(
        5000.0, unit="ms", meaning="longest wait for a shard that scans everything", gt=0
    )
    shard_grace_ms: float = setting(
        50.0,
        unit="ms",
        meaning="once half of the shards have answered, wait at least this for the rest; "
        "0 waits for all until the timeout",
        ge=0,
    )
    shard_grace_factor: float = setting(
        4.0, unit="ratio", meaning="the grace in multiples of what the answers took", ge=0
    )
    set_aside_after: int = setting(
        5, unit="calls", meaning="failures in a row before a target is set aside", ge=1
    )
    rerank_enabled: bool = setting(True, unit="flag", meaning="rerank at all")
    rerank_candidates: int = setting(
        50, unit="candidates", meaning="merged and reranked; limit asks for more", ge=1
    )
    rerank_timeout_ms: float = setting(
        25.0, unit="ms", meaning="longest wait for the reranker, within the deadline", gt=0
    )
    answer_reserve_ms: float = setting(
        2.0, unit="ms", meaning="of the deadline, kept for writing the answer", ge=0
    )
    check_interval_ms: float = setting(
        1000.0, unit="ms", meaning="between checks of the servers behind", gt=0
    )
    check_timeout_ms: float = setting(
        1000.0, unit="ms", meaning="longest wait for the answer to a check", gt=0
    )

    @model_validator(mode="after")
    def _check_gateway(self) -> Self:
        if not self.encoder:
            raise ValueError("encoder needs an address")
        if not all(shard_replicas(self.shards)):
            raise ValueError("shards needs an address for every shard")
        if self.canary_shards and not all(shard_replicas(self.canary_shards)):
            raise ValueError("canary_shards needs an address for every shard")
        if bool(self.canary_encoder) != bool(self.canary_shards):
            raise ValueError("canary_encoder and canary_shards go together")
        if self.canary_reranker and not self.canary_encoder:
            raise ValueError("canary_reranker needs canary_encoder and canary_shards")
        if (self.backend_cert_file is None) != (self.backend_key_file is None):
            raise ValueError("backend_cert_file and backend_key_file go together")
        if self.max_batch > self.in_flight_limit:
            raise ValueError("max_batch above in_flight_limit could never be admitted")
        return self


def shard_replicas(shards: str) -> tuple[tuple[str, ...], ...]:
    """Addresses of every shard's replicas: "a:1,b:1;c:2" is (("a:1", "b:1"), ("c:2",))."""
    parts = shards.strip().rstrip(";").split(";")
    return tuple(
        tuple(part.strip() for part in shard.split(",") if part.strip()) for shard in parts
    )
