"""What the parts of the gateway are told of its settings."""

from __future__ import annotations

from gateway.arm_observing import QualityPolicy
from gateway.arms import ArmsPlan, ArmTargets
from gateway.explain_log import ExplainPolicy
from gateway.fanout import FanOutPolicy
from gateway.pipeline import PipelinePolicy
from gateway.query import QueryLimits
from gateway.reranking import RerankPolicy
from gateway.servicer import RequestPolicy
from gateway.settings import GatewaySettings, shard_replicas
from gateway.shadowing import ShadowPolicy
from retrieval_core.timing import Stage

_NS_PER_MS = 1_000_000


def shadow_policy(settings: GatewaySettings) -> ShadowPolicy:
    """How many copies for the canary, and for how long."""
    return ShadowPolicy(settings.shadow_concurrency, settings.shadow_timeout_ms)


def explain_policy(settings: GatewaySettings) -> ExplainPolicy:
    """What the explain log holds."""
    return ExplainPolicy(
        settings.explain_log_ratio, settings.explain_log_hits, settings.explain_log_text
    )


def arms_plan(settings: GatewaySettings) -> ArmsPlan:
    """The servers of both arms as long as no arms file names others."""
    canary = None
    if settings.canary_encoder:
        canary = ArmTargets(
            settings.canary_encoder,
            shard_replicas(settings.canary_shards),
            settings.canary_reranker,
        )
    baseline = ArmTargets(settings.encoder, shard_replicas(settings.shards), settings.reranker)
    return ArmsPlan(baseline, canary)


def quality_policy(settings: GatewaySettings) -> QualityPolicy:
    """What counts as confident, and how many candidates are compared."""
    return QualityPolicy(
        settings.confident_cosine, settings.context_confident_cosine, settings.rerank_candidates
    )


def query_limits(settings: GatewaySettings) -> QueryLimits:
    """Bounds of one request."""
    return QueryLimits(
        max_limit=settings.max_limit,
        max_nprobe=settings.max_nprobe,
        max_lanes=settings.max_lanes,
        max_excluded=settings.max_excluded,
        max_text_characters=settings.max_text_characters,
    )


def request_policy(settings: GatewaySettings) -> RequestPolicy:
    """Soft budgets and bounds of requests."""
    return RequestPolicy(
        budgets_ns=stage_budgets_ns(settings),
        limits=query_limits(settings),
        max_batch=settings.max_batch,
        batch_concurrency=settings.batch_concurrency,
    )


def stage_budgets_ns(settings: GatewaySettings) -> dict[Stage, int]:
    """Soft budget of every stage."""
    budgets_ms = {
        Stage.ENCODE: settings.encode_budget_ms,
        Stage.QUERY_MODEL: settings.query_model_budget_ms,
        Stage.SEARCH: settings.search_budget_ms,
        Stage.MERGE: settings.merge_budget_ms,
        Stage.RERANK: settings.rerank_budget_ms,
        Stage.TOTAL: settings.total_budget_ms,
    }
    return {stage: ns_from_ms(budget_ms) for stage, budget_ms in budgets_ms.items()}


def pipeline_policy(settings: GatewaySettings) -> PipelinePolicy:
    """How the pipeline waits and what it accepts."""
    fan_out = FanOutPolicy(
        timeout_ns=ns_from_ms(settings.shard_timeout_ms),
        exact_timeout_ns=ns_from_ms(settings.exact_timeout_ms),
        grace_floor_ns=ns_from_ms(settings.shard_grace_ms),
        grace_factor=settings.shard_grace_factor,
    )
    return PipelinePolicy(
        fan_out=fan_out,
        min_coverage=settings.min_coverage,
        candidate_count=settings.rerank_candidates,
        reserve_ns=ns_from_ms(settings.answer_reserve_ms),
    )


def rerank_policy(settings: GatewaySettings) -> RerankPolicy:
    """When to rerank and how long to wait."""
    return RerankPolicy(
        is_on=settings.rerank_enabled,
        candidate_count=settings.rerank_candidates,
        timeout_ns=ns_from_ms(settings.rerank_timeout_ms),
        expected_ns=ns_from_ms(settings.rerank_budget_ms),
    )


def ns_from_ms(milliseconds: float) -> int:
    """Nanoseconds."""
    return int(milliseconds * _NS_PER_MS)
