"""python -m benchmarks.peers.infinity: infinity's server beside our service, one caller each.

Runs in the serving environment. Infinity lives in an environment of its own, because it pins other
versions of nearly everything: make one as benchmarks/peers/README.md says and name its
`infinity_emb` with --infinity. Both servers encode the same texts on the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
from retrieval.v1.encoder_pb2 import EncodeQueryRequest
from retrieval.v1.encoder_pb2_grpc import EncoderServiceStub

from benchmarks.encoder.calls import query_texts
from benchmarks.encoder.interleaved import time_interleaved
from benchmarks.encoder.service import free_port, running_server

START_TIMEOUT_S = 300.0
MODEL_NAME = "source"


@contextmanager
def infinity_server(command: Path, source: Path, threads: int) -> Iterator[str]:
    """Infinity over a source folder with its torch engine; yields its base address once up."""
    port = free_port()
    arguments = [
        *(str(command), "v2", "--model-id", str(source), "--served-model-name", MODEL_NAME),
        *("--engine", "torch", "--device", "cpu", "--port", str(port), "--host", "127.0.0.1"),
        *("--no-bettertransformer", "--no-model-warmup", "--dtype", "float32"),
    ]
    environ = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }
    process = subprocess.Popen(arguments, env=environ, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_healthy(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _wait_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise RuntimeError(f"infinity ended with {process.returncode} before it was healthy")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise RuntimeError("infinity did not become healthy in time")


def infinity_embedding(address: str, text: str) -> list[float]:
    """One text through infinity's HTTP interface."""
    body = json.dumps({"model": MODEL_NAME, "input": [text]}).encode()
    request = urllib.request.Request(  # noqa: S310 - a loopback address of our own
        f"{address}/embeddings", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        embedding: list[float] = json.load(answer)["data"][0]["embedding"]
    return embedding


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Interleaved calls of one caller to both servers, another text each time."""
    with ExitStack() as stack:
        ours, _ = stack.enter_context(running_server(options.model, options.threads))
        channel = stack.enter_context(grpc.insecure_channel(ours))
        stub = EncoderServiceStub(channel)
        theirs = stack.enter_context(
            infinity_server(options.infinity, options.source, options.threads)
        )
        texts = iter(list(islice(query_texts(), 10 * options.rounds + 100)))
        dimensions = len(infinity_embedding(theirs, next(texts)))
        timings = time_interleaved(
            {
                "infinity (torch), over HTTP": lambda: infinity_embedding(theirs, next(texts)),
                "ours (int8), over gRPC": lambda: stub.EncodeQuery(
                    EncodeQueryRequest(text=next(texts)), timeout=60
                ),
            },
            options.rounds,
        )
    return {
        "infinity_dimensions": dimensions,
        "timings": {name: timing.median_ms for name, timing in timings.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.infinity")
    parser.add_argument("--infinity", type=Path, required=True, help="its infinity_emb command")
    parser.add_argument("--source", type=Path, required=True, help="source folder of the model")
    parser.add_argument("--model", type=Path, required=True, help="our model folder of that source")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    report = measure(parser.parse_args(arguments))
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
