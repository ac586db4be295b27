"""The encoder's service benchmark: its requests, its sums and its verdict, without a server."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from retrieval.v1.encoder_pb2 import EncodeQueryRequest, EncodeQueryResponse

from benchmarks.encoder.calls import Samples, query_requests
from benchmarks.encoder.service import format_report, missed_bounds
from servicekit.durations import duration_from_ns

MS = 1_000_000


def samples(count: int, call_ms: float, run_ms: float) -> Samples:
    answer = EncodeQueryResponse()
    answer.timing.run.CopyFrom(duration_from_ns(int(run_ms * MS)))
    answer.timing.batch_size = 4
    made = Samples(elapsed_s=2.0, server_cpu_s=0.3, generator_cpu_s=0.1)
    made.call_ms = [call_ms] * count
    made.answers = [answer.SerializeToString()] * count
    return made


def report(adds: float, ratio: float, beside: float) -> dict[str, Any]:
    row = samples(100, 1.0, 0.25).summary()
    return {
        "one_caller": row,
        "sixteen_callers": row,
        "one_caller_beside_a_build": row,
        "build_texts_per_s": 300.0,
        "empty_rpc_p50_ms": 0.3,
        "rpc_adds_p50_ms": adds,
        "throughput_ratio": ratio,
        "p95_ratio_beside_a_build": beside,
    }


def test_no_text_is_asked_twice() -> None:
    texts = [EncodeQueryRequest.FromString(data).text for data in islice(query_requests(), 500)]
    assert len(set(texts)) == 500


def test_phases_of_a_kind_add_up() -> None:
    total = samples(100, 1.0, 0.25)
    total.add(samples(100, 1.0, 0.25))
    summary = total.summary()
    assert summary["calls"] == 200
    assert summary["calls_per_s"] == 50
    assert summary["added_p50_ms"] == pytest.approx(0.75)
    assert summary["batch_mean"] == 4
    assert summary["server_cpu_ms"] == pytest.approx(3.0)
    assert summary["generator_cpu_ms"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        ((0.8, 2.5, 2.0), []),
        ((0.81, 2.5, 2.0), ["rpc_adds_p50_ms"]),
        ((0.8, 2.49, 2.0), ["throughput_ratio"]),
        ((0.8, 2.5, 2.01), ["p95_ratio_beside_a_build"]),
    ],
)
def test_each_bound_can_be_missed(figures: tuple[float, float, float], missed: list[str]) -> None:
    found = missed_bounds(report(*figures))
    assert [line.split()[0] for line in found] == missed
    assert ("missed" in format_report(report(*figures))) is bool(missed)
