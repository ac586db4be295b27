"""What fires each alert and what must leave it silent, as data.

Series are promtool's notation: `start+step x count`, one value every 15 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BUCKETS = ("0.005", "0.008", "0.01", "0.02", "0.05", "+Inf")
ARM = {"arm": "canary"}


@dataclass(frozen=True, slots=True)
class Case:
    """Series fed to the rules, and what must be firing at `minute`.

    firing: (labels beside alertname and severity, summary) of each alert; empty for silence.
    """

    alert: str
    says: str
    series: Mapping[str, str]
    minute: int
    firing: tuple[tuple[Mapping[str, str], str], ...] = field(default=())


def requests(*, ok: int, error: int = 0, refused: int = 0, invalid: int = 0) -> dict[str, str]:
    """Requests of the canary arm, per 15 s."""
    counts = {"ok": ok, "error": error, "refused": refused, "invalid": invalid}
    return {
        f'gateway_arm_requests_total{{arm="canary", outcome="{outcome}"}}': f"0+{count}x400"
        for outcome, count in counts.items()
    }


def durations(shares: str) -> dict[str, str]:
    """Requests of the canary arm by bucket: `shares` has a count per 15 s up to each bucket."""
    counts = [f"0+{count}x400" for count in shares.split()]
    return durations_of(counts)


def durations_of(series: list[str]) -> dict[str, str]:
    """One series a bucket."""
    return {
        f'gateway_arm_duration_seconds_bucket{{arm="canary", le="{le}"}}': values
        for le, values in zip(BUCKETS, series, strict=True)
    }


def drop(points: float, against: str, measure: str = "R@5") -> dict[str, str]:
    """A fall of a measure of the question set."""
    labels = f'set="question", measure="{measure}", against="{against}"'
    return {f"retrieval_quality_drop_points{{{labels}}}": f"{points}x400"}


def containment(ratio: float, stage: str = "served") -> dict[str, str]:
    """Contain@50 of the question set."""
    labels = f'set="question", measure="Contain@50", stage="{stage}"'
    return {f"retrieval_quality_ratio{{{labels}}}": f"{ratio}x400"}


def memory(used: int, baseline: int) -> dict[str, str]:
    """Resident memory of a shard and what it was once warm, in MB."""
    labels = 'job="index", instance="shard-0"'
    return {
        f"process_resident_memory_bytes{{{labels}}}": f"{used}000000x400",
        f"process_memory_baseline_bytes{{{labels}}}": f"{baseline}000000x400",
    }


def reranked(changed: int, of: int) -> dict[str, str]:
    """Queries whose rank 1 the reranker changed, of those reranked, per 15 s."""
    return {
        'gateway_arm_rank1_changed_total{arm="baseline"}': f"0+{changed}x400",
        'gateway_arm_reranked_total{arm="baseline"}': f"0+{of}x400",
    }


AT_15_MS = "0 0 0 100 100 100"
AT_30_MS = "0 0 0 0 100 100"
# 16 minutes at 15 ms, 4 above 20 ms (nothing is added up to 0.02), and at 15 ms again.
WITH_EXCURSION = [
    *["0x400"] * 3,
    "0+100x64 6400x15 6500+100x300",
    "0+100x400",
    "0+100x400",
]

LATENCY_SUMMARY = "P95 of the canary arm is "

CASES: tuple[Case, ...] = (
    Case(
        "RetrievalErrorRate",
        "2 % for 16 minutes",
        requests(ok=98, error=2),
        16,
        ((ARM, "2% of the requests of the canary arm fail"),),
    ),
    Case("RetrievalErrorRate", "2 %, not yet for 10 minutes", requests(ok=98, error=2), 9),
    Case("RetrievalErrorRate", "0.9 %", requests(ok=991, error=9), 60),
    Case(
        "RetrievalErrorRate",
        "what callers did wrong and what was refused are no errors",
        requests(ok=50, invalid=40, refused=10),
        60,
    ),
    Case("RetrievalErrorRate", "no traffic", requests(ok=0), 60),
    Case(
        "RetrievalLatencyCritical",
        "every request takes 20 to 50 ms",
        durations(AT_30_MS),
        16,
        ((ARM, LATENCY_SUMMARY + "48.5ms"),),
    ),
    Case("RetrievalLatencyCritical", "not yet for 10 minutes", durations(AT_30_MS), 9),
    Case("RetrievalLatencyCritical", "4 % above 20 ms", durations("0 0 90 96 100 100"), 60),
    Case(
        "RetrievalLatencyHigh",
        "every request takes 10 to 20 ms",
        durations(AT_15_MS),
        36,
        ((ARM, LATENCY_SUMMARY + "19.5ms"),),
    ),
    Case("RetrievalLatencyHigh", "not yet for 30 minutes", durations(AT_15_MS), 29),
    Case("RetrievalLatencyHigh", "4 % above 10 ms", durations("90 95 96 100 100 100"), 60),
    Case("RetrievalLatencyHigh", "the critical one fires instead", durations(AT_30_MS), 60),
    Case(
        "RetrievalLatencyHigh",
        "some minutes above 20 ms do not begin the 30 minutes anew",
        durations_of(WITH_EXCURSION),
        36,
        ((ARM, LATENCY_SUMMARY + "19.5ms"),),
    ),
    Case(
        "RetrievalRequestsRefused",
        "5 % refused",
        requests(ok=95, refused=5),
        16,
        (({}, "5% of the requests are refused for overload"),),
    ),
    Case("RetrievalRequestsRefused", "0.5 % refused", requests(ok=995, refused=5), 60),
    Case(
        "RetrievalTargetDown",
        "a shard is gone",
        {'gateway_target_serving{target="shard-1", instance="gateway-0"}': "1x8 0x392"},
        5,
        (
            (
                {"target": "shard-1", "instance": "gateway-0"},
                "The gateway gateway-0 does not ask shard-1",
            ),
        ),
    ),
    Case(
        "RetrievalTargetDown",
        "it restarts within a minute",
        {'gateway_target_serving{target="shard-1", instance="gateway-0"}': "1x8 0x3 1x380"},
        5,
    ),
    Case(
        "RetrievalMetricsMissing",
        "the last gateway stops answering",
        {'up{job="gateway", instance="gateway-0"}': "1x8 0x392"},
        10,
        (({}, "No gateway can be scraped"),),
    ),
    Case(
        "RetrievalMetricsMissing",
        "one of two gateways is left",
        {
            'up{job="gateway", instance="gateway-0"}': "0x400",
            'up{job="gateway", instance="gateway-1"}': "1x400",
        },
        60,
    ),
    Case(
        "RetrievalFlagsRefused",
        "the file stays as it is",
        {'gateway_flags_file_bad{instance="gateway-0"}': "0x8 1x392"},
        5,
        (({"instance": "gateway-0"}, "The gateway gateway-0 refuses its flags file"),),
    ),
    Case(
        "RetrievalFlagsRefused",
        "it is mended within half a minute",
        {'gateway_flags_file_bad{instance="gateway-0"}': "0x8 1x2 0x390"},
        3,
    ),
    Case(
        "RetrievalArmsRefused",
        "the servers never pass their checks",
        {'gateway_arms_refused{instance="gateway-0"}': "0x8 1x392"},
        5,
        (({"instance": "gateway-0"}, "The gateway gateway-0 refuses the servers of an arm"),),
    ),
    Case(
        "RetrievalArmsRefused",
        "they pass within a minute",
        {'gateway_arms_refused{instance="gateway-0"}': "0x8 1x4 0x388"},
        4,
    ),
    Case(
        "RetrievalRecallCritical",
        "12 pp below the baseline",
        drop(12, "baseline"),
        15,
        (({"set": "question"}, "R@5 of question fell by 12.0 pp"),),
    ),
    Case("RetrievalRecallCritical", "10 pp", drop(10, "baseline"), 60),
    Case("RetrievalRecallCritical", "another measure", drop(12, "baseline", "MRR"), 60),
    Case(
        "RetrievalRecallLow",
        "7 pp below the run before",
        {**drop(1, "baseline"), **drop(7, "previous")},
        15,
        (({"set": "question"}, "R@5 of question fell by 7.0 pp"),),
    ),
    Case("RetrievalRecallLow", "5 pp", drop(5, "baseline"), 60),
    Case("RetrievalRecallLow", "11 pp are critical", drop(11, "baseline"), 60),
    Case("RetrievalRecallLow", "7 pp better", drop(-7, "baseline"), 60),
    Case(
        "RetrievalRecallTrend",
        "4 pp below the week",
        drop(4, "median_7d"),
        15,
        (({"set": "question"}, "R@5 of question is 4.0 pp below its week"),),
    ),
    Case("RetrievalRecallTrend", "3 pp", drop(3, "median_7d"), 60),
    Case("RetrievalRecallTrend", "against the baseline", drop(4, "baseline"), 60),
    Case(
        "RetrievalContainmentLow",
        "75 %",
        containment(0.75),
        15,
        (({"set": "question"}, "Contain@50 of question is 75%"),),
    ),
    Case("RetrievalContainmentLow", "80 %", containment(0.80), 60),
    Case("RetrievalContainmentLow", "before the rerank", containment(0.75, "search"), 60),
    Case(
        "RetrievalQualityStale",
        "no evaluation at all",
        {},
        70,
        (({}, "The nightly evaluation is missing"),),
    ),
    Case(
        "RetrievalQualityStale",
        "the last one is 40 hours old",
        {'retrieval_quality_evaluated_timestamp_seconds{set="question"}': "-144000x400"},
        70,
        (({}, "The nightly evaluation is missing"),),
    ),
    Case(
        "RetrievalQualityStale",
        "one of a day ago",
        {'retrieval_quality_evaluated_timestamp_seconds{set="question"}': "-86400x400"},
        70,
    ),
    Case(
        "RerankerNotHelping",
        "5 % of rank 1 changed",
        reranked(5, 100),
        40,
        (({"arm": "baseline"}, "The reranker changes rank 1 of 5% of the queries"),),
    ),
    Case("RerankerNotHelping", "30 %", reranked(30, 100), 90),
    Case("RerankerNotHelping", "too few queries to tell", reranked(0, 0), 90),
    Case(
        "RetrievalMemoryGrowth",
        "half as much again",
        memory(600, 400),
        40,
        (
            (
                {"job": "index", "instance": "shard-0"},
                "shard-0 uses 1.50 times its baseline memory",
            ),
        ),
    ),
    Case("RetrievalMemoryGrowth", "19 % more", memory(476, 400), 90),
    Case("RetrievalMemoryGrowth", "no baseline yet", memory(600, 0), 90),
    Case(
        "RetrievalCorpusGrowth",
        "15 % more passages",
        {'index_corpus_growth_ratio{instance="shard-0"}': "0.15x400"},
        40,
        (({"instance": "shard-0"}, "The corpus of shard-0 grew by 15%"),),
    ),
    Case(
        "RetrievalCorpusGrowth",
        "9 % more",
        {'index_corpus_growth_ratio{instance="shard-0"}': "0.09x400"},
        90,
    ),
)
