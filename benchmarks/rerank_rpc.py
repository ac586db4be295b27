"""What a rerank of 50 candidates costs: `python -m benchmarks.rerank_rpc`.

A reranker is started as a process of its own. Calls of three sorts take turns on one channel: a
health check, which does nothing and so is the price of a hop, a question, and a context of five.
Computed in this process, features and network show what of it is arithmetic.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from retrieval.v1.rerank_pb2 import QUERY_KIND_CONTEXT, QUERY_KIND_QUESTION, RerankRequest
from retrieval.v1.rerank_pb2_grpc import RerankServiceStub

from benchmarks.load.origin import commit_of, machine, versions
from rerank_svc.candidates import QueryKind, RerankInput
from rerank_svc.model import RerankModel
from rerank_svc.program import DEFAULT_MODEL_FOLDER
from retrieval_core.latency import LatencySummary, summarize_ms
from retrieval_core.projection import project, projection_matrix
from retrieval_core.vectors import DIMENSIONS, normalize_rows
from servicekit.matrices import matrix_to_message

CANDIDATES = 50
CONTEXT_ITEMS = 5
BUDGET_MS = 2.0

_ROOT = Path(__file__).parents[1]
_TIMEOUT_S = 10.0
_WARM_CALLS = 100


def main() -> int:
    """Measure, print the table, write the JSON; exit code 1 when the budget is missed."""
    options = _parse_options()
    inputs = {kind: made_up_input(kind) for kind in QueryKind}
    with _reranker(options.model) as address, grpc.insecure_channel(address) as channel:
        calls = _remote_calls(channel, inputs) | _local_calls(options.model, inputs)
        summaries = measure(calls, options.rounds)
    print(_table(summaries))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(_result(summaries), indent=2) + "\n", "utf-8")
    worst = max(summaries[f"rerank {kind.name.lower()}"].p95_ms for kind in QueryKind)
    print(f"rerank P95 {worst:.2f} ms against {BUDGET_MS:.0f} ms")
    return 0 if worst <= BUDGET_MS else 1


def made_up_input(kind: QueryKind) -> RerankInput:
    """50 candidates around a query, best first, of a dozen articles."""
    generator = np.random.default_rng(1)
    topic = generator.standard_normal((1, DIMENSIONS))
    context = normalize_rows(topic + generator.standard_normal((CONTEXT_ITEMS, DIMENSIONS)))
    query = normalize_rows(context.mean(axis=0, keepdims=True))
    vectors = normalize_rows(query + generator.normal(0, 0.04, (CANDIDATES, DIMENSIONS)))
    vectors = vectors[np.argsort(-(vectors @ query[0]))]
    return RerankInput(
        kind=kind,
        scores=(vectors @ query[0]).astype(np.float32),
        article_keys=generator.integers(0, 12, CANDIDATES).astype(np.uint64),
        projections=project(vectors, projection_matrix()),
        query=query,
        context=context if kind is QueryKind.CONTEXT else None,
    )


def make_request(given: RerankInput, fingerprint: str) -> RerankRequest:
    """The message for it."""
    is_context = given.kind is QueryKind.CONTEXT
    request = RerankRequest(
        query_kind=QUERY_KIND_CONTEXT if is_context else QUERY_KIND_QUESTION,
        passage_ids=range(len(given)),
        scores=given.scores.tolist(),
        article_keys=given.article_keys.tolist(),
        projections=matrix_to_message(given.projections),
        query=matrix_to_message(given.query),
        fingerprint=fingerprint,
    )
    if given.context is not None:
        request.context_vectors.CopyFrom(matrix_to_message(given.context))
    return request


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, LatencySummary]:
    """Time every call `rounds` times, taking turns, so that a noisy moment hits all alike."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(_WARM_CALLS + rounds):
        for name, call in calls.items():
            started = time.perf_counter_ns()
            call()
            if number >= _WARM_CALLS:
                samples[name].append((time.perf_counter_ns() - started) / 1e6)
    summaries = {name: summarize_ms(values) for name, values in samples.items()}
    return {name: summary for name, summary in summaries.items() if summary is not None}


def _remote_calls(
    channel: grpc.Channel, inputs: dict[QueryKind, RerankInput]
) -> dict[str, Callable[[], object]]:
    health, stub = health_pb2_grpc.HealthStub(channel), RerankServiceStub(channel)
    calls: dict[str, Callable[[], object]] = {
        "health check": lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
    }
    for kind, given in inputs.items():
        calls[f"rerank {kind.name.lower()}"] = _rerank_call(stub, given)
    return calls


def _rerank_call(stub: RerankServiceStub, given: RerankInput) -> Callable[[], object]:
    # The message is built anew each time, as a gateway has to.
    return lambda: stub.Rerank(make_request(given, ""), timeout=_TIMEOUT_S)


def _local_calls(
    folder: Path, inputs: dict[QueryKind, RerankInput]
) -> dict[str, Callable[[], object]]:
    model = RerankModel.load(folder)
    return {
        f"in process {kind.name.lower()}": lambda given=given: model.score(given)  # type: ignore[misc]
        for kind, given in inputs.items()
    }


@contextmanager
def _reranker(folder: Path) -> Iterator[str]:
    environ = {**os.environ, "RERANK_PORT": "0", "RERANK_MODEL": str(folder)}
    environ["RERANK_LAME_DUCK_MS"] = "0"
    process = subprocess.Popen(
        [sys.executable, "-m", "rerank_svc"],
        cwd=_ROOT,
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield _address(process)
    finally:
        process.terminate()
        process.communicate(timeout=_TIMEOUT_S)


def _address(process: subprocess.Popen[str]) -> str:
    lines = []
    for line in process.stderr or ():
        lines.append(line)
        address = json.loads(line).get("address") if line.startswith("{") else None
        if address:
            return str(address)
    raise RuntimeError("the reranker does not serve:\n" + "".join(lines))


def _table(summaries: dict[str, LatencySummary]) -> str:
    lines = [f"{'call':<22}{'P50 ms':>9}{'P95 ms':>9}{'P99 ms':>9}"]
    lines.extend(
        f"{name:<22}{found.p50_ms:>9.3f}{found.p95_ms:>9.3f}{found.p99_ms:>9.3f}"
        for name, found in summaries.items()
    )
    return "\n".join(lines)


def _result(summaries: dict[str, LatencySummary]) -> dict[str, object]:
    return {
        "commit": commit_of(_ROOT),
        "machine": machine(),
        "versions": versions(),
        "candidates": CANDIDATES,
        "context_items": CONTEXT_ITEMS,
        "latency": {name: dataclasses.asdict(found) for name, found in summaries.items()},
    }


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rerank_rpc", description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL_FOLDER)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
