"""What a query model costs inside the encoder service: `python -m benchmarks.query_models`.

An encoder is started as a process of its own. Contexts of five vectors, which need no text to be
encoded, take turns between the models on one channel; the time inside the model is the service's
own account of it. Exit code 1 when a model misses its budget or another one answered for it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
from retrieval.v1.encoder_pb2 import Context, ContextItem, EncodeQueryRequest, EncodeQueryResponse
from retrieval.v1.encoder_pb2_grpc import EncoderServiceStub

from benchmarks.load.origin import commit_of, machine, versions
from encoder_svc.encoder import DEFAULT_MODEL_FOLDER
from encoder_svc.query_model_loading import DEFAULT_QUERY_MODELS_FOLDER
from retrieval_core.latency import LatencySummary, summarize_ms
from retrieval_core.vectors import DIMENSIONS, normalize_rows
from servicekit.durations import duration_to_ns
from servicekit.matrices import matrix_to_message

MODELS = ("amn_v0", "gru_v0", "recency", "mean")
BUDGETS_MS = {"amn_v0": 1.0, "gru_v0": 3.0}
CONTEXT_ITEMS = 5

_ROOT = Path(__file__).parents[1]
_TIMEOUT_S = 10.0
_WARM_CALLS = 100


@dataclass
class Samples:
    """Of one model: milliseconds inside it and of the whole call, and who answered."""

    inside_ms: list[float] = field(default_factory=list)
    call_ms: list[float] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Measure, print the table, write the JSON; see the module for the exit code."""
    options = _parse_options()
    with (
        _encoder(options.encoder, options.models) as address,
        grpc.insecure_channel(address) as channel,
    ):
        samples = measure(EncoderServiceStub(channel), options.rounds)
    print(_table(samples))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(_result(samples), indent=2) + "\n", "utf-8")
    misses = [*_misses(samples)]
    print("\n".join(misses) or "every budget is kept")
    return 1 if misses else 0


def measure(stub: EncoderServiceStub, rounds: int) -> dict[str, Samples]:
    """Ask every model `rounds` times, taking turns, so that a noisy moment hits all alike."""
    requests = {name: make_request(name) for name in MODELS}
    samples = {name: Samples() for name in MODELS}
    for number in range(_WARM_CALLS + rounds):
        for name, request in requests.items():
            started_ns = time.perf_counter_ns()
            answer: EncodeQueryResponse = stub.EncodeQuery(request, timeout=_TIMEOUT_S)
            elapsed_ns = time.perf_counter_ns() - started_ns
            if number >= _WARM_CALLS:
                samples[name].inside_ms.append(duration_to_ns(answer.query_model_elapsed) / 1e6)
                samples[name].call_ms.append(elapsed_ns / 1e6)
                samples[name].answered[answer.query_model] += 1
    return samples


def make_request(query_model: str) -> EncodeQueryRequest:
    """Five vectors of one topic."""
    generator = np.random.default_rng(1)
    topic = generator.standard_normal((1, DIMENSIONS))
    vectors = normalize_rows(topic + generator.standard_normal((CONTEXT_ITEMS, DIMENSIONS)))
    items = [ContextItem(vector=matrix_to_message(vector[None])) for vector in vectors]
    return EncodeQueryRequest(context=Context(items=items), query_model=query_model)


@contextmanager
def _encoder(model: Path, query_models: Path) -> Iterator[str]:
    environ = {
        **os.environ,
        "ENCODER_PORT": "0",
        "ENCODER_MODEL": str(model),
        "ENCODER_QUERY_MODELS_FOLDER": str(query_models),
        "ENCODER_LAME_DUCK_MS": "0",
    }
    command = [sys.executable, "-m", "encoder_svc"]
    process = subprocess.Popen(command, cwd=_ROOT, env=environ, stderr=subprocess.PIPE, text=True)
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
    raise RuntimeError("the encoder does not serve:\n" + "".join(lines))


def _misses(samples: dict[str, Samples]) -> Iterator[str]:
    for name, budget_ms in BUDGETS_MS.items():
        p95_ms = _summary(samples[name].inside_ms).p95_ms
        if p95_ms > budget_ms:
            yield f"{name}: P95 {p95_ms:.2f} ms against {budget_ms:g} ms"
        others = {who: count for who, count in samples[name].answered.items() if who != name}
        if others:
            yield f"{name}: others answered for it: {others}"


def _summary(values: Sequence[float]) -> LatencySummary:
    summary = summarize_ms(values)
    if summary is None:
        raise ValueError("nothing was measured; --rounds must be 1 or more")
    return summary


def _table(samples: dict[str, Samples]) -> str:
    lines = [
        f"{'query model':<12}{'P50 ms':>9}{'P95 ms':>9}{'P99 ms':>9}{'call P50':>10}{'P95':>8}"
    ]
    for name, found in samples.items():
        inside, call = _summary(found.inside_ms), _summary(found.call_ms)
        lines.append(
            f"{name:<12}{inside.p50_ms:>9.3f}{inside.p95_ms:>9.3f}{inside.p99_ms:>9.3f}"
            f"{call.p50_ms:>10.3f}{call.p95_ms:>8.3f}"
        )
    return "\n".join(lines)


def _result(samples: dict[str, Samples]) -> dict[str, object]:
    return {
        "commit": commit_of(_ROOT),
        "machine": machine(),
        "versions": versions(),
        "context_items": CONTEXT_ITEMS,
        "budgets_ms": BUDGETS_MS,
        "inside": {
            name: dataclasses.asdict(_summary(found.inside_ms)) for name, found in samples.items()
        },
        "call": {
            name: dataclasses.asdict(_summary(found.call_ms)) for name, found in samples.items()
        },
    }


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.query_models", description=__doc__)
    parser.add_argument("--encoder", type=Path, default=DEFAULT_MODEL_FOLDER)
    parser.add_argument("--models", type=Path, default=DEFAULT_QUERY_MODELS_FOLDER)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
