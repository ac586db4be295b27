"""Where the time of one shard search goes: FAISS, the rest of the server, and the hop.

    python -m benchmarks.index.search_latency --release current
    python -m benchmarks.index.search_latency --synthetic 20000

One caller, one shard server as a process of its own. The queries are passages with noise, drawn
with a fixed seed; the first tenth of the calls is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import psutil
from retrieval.v1.shard_pb2 import ShardServiceSearchRequest
from retrieval.v1.shard_pb2_grpc import ShardServiceStub

from releases.bundle import Release, open_release
from releases.catalog import resolve_release
from retrieval_core.latency import summarize_ms
from retrieval_core.vectors import Float32Matrix, normalize_rows
from servicekit.matrices import matrix_to_message
from tests.support.server_process import server_process

_NS_PER_MS = 1e6


@dataclass(frozen=True)
class Samples:
    """Milliseconds of each call, by where they went; they do not overlap."""

    faiss: list[float]
    server: list[float]
    hop: list[float]
    whole: list[float]
    server_cpu_ms: float


def main() -> int:
    options = _options()
    # The training and the checks of this process; the server sets its own.
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    with _release(options) as release, _server(release, options.shard) as (address, process):
        queries = _queries(release, options.shard, options.count)
        samples = _measure(address, process, queries, options)
    _print(samples, release, options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Latency of one shard, by where it goes.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--release", help="name, pointer or folder of a release")
    source.add_argument("--synthetic", type=int, metavar="N", help="N clustered random vectors")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--nprobe", type=int, default=0, help="0 is the release's")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--count", type=int, default=1000, help="calls")
    parser.add_argument("--bare", action="store_true", help="without passages and projections")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


@contextmanager
def _release(options: argparse.Namespace) -> Iterator[Release]:
    if options.release:
        yield open_release(resolve_release(options.release))
        return
    from tests.support.tiny_release import build_tiny_release, tiny_corpus

    with tempfile.TemporaryDirectory() as folder:
        yield build_tiny_release(Path(folder), corpus=tiny_corpus(options.synthetic)).release


@contextmanager
def _server(release: Release, shard: int) -> Iterator[tuple[str, psutil.Process]]:
    environ = {
        "INDEX_PORT": "0",
        "INDEX_RELEASE": str(release.folder),
        "INDEX_SHARD": str(shard),
        "INDEX_LAME_DUCK_MS": "0",
    }
    with server_process("index_svc", environ) as server:
        yield server.wait_serving(), psutil.Process(server.process.pid)
        server.terminate()
        server.wait_exit()


def _queries(release: Release, shard: int, count: int) -> Float32Matrix:
    import faiss

    index = faiss.read_index(str(release.shard_files(shard).index))
    if not isinstance(index, faiss.IndexIVFFlat):
        raise TypeError(f"{release.release_id} has no IVF-Flat index")
    index.make_direct_map(True)
    generator = np.random.default_rng(7)
    vectors = index.reconstruct_batch(generator.integers(0, index.ntotal, count))
    return normalize_rows(vectors + 0.01 * generator.normal(size=vectors.shape))


def _measure(
    address: str, process: psutil.Process, queries: Float32Matrix, options: argparse.Namespace
) -> Samples:
    samples = Samples([], [], [], [], 0.0)
    warm_count = len(queries) // 10
    with grpc.insecure_channel(address) as channel:
        stub = ShardServiceStub(channel)
        for row in range(warm_count):
            stub.Search(_request(queries[row : row + 1], options), timeout=10)
        before = _cpu_s(process)
        for row in range(warm_count, len(queries)):
            _measure_one(stub, _request(queries[row : row + 1], options), samples)
        cpu_ms = (_cpu_s(process) - before) * 1e3 / max(1, len(samples.whole))
    return Samples(samples.faiss, samples.server, samples.hop, samples.whole, cpu_ms)


def _measure_one(
    stub: ShardServiceStub, request: ShardServiceSearchRequest, samples: Samples
) -> None:
    started_ns = time.monotonic_ns()
    response = stub.Search(request, timeout=10)
    whole_ns = time.monotonic_ns() - started_ns
    search_ns = response.search.ToNanoseconds()
    elapsed_ns = response.server.elapsed.ToNanoseconds()
    samples.faiss.append(search_ns / _NS_PER_MS)
    samples.server.append((elapsed_ns - search_ns) / _NS_PER_MS)
    samples.hop.append((whole_ns - elapsed_ns) / _NS_PER_MS)
    samples.whole.append(whole_ns / _NS_PER_MS)


def _request(query: Float32Matrix, options: argparse.Namespace) -> ShardServiceSearchRequest:
    return ShardServiceSearchRequest(
        query=matrix_to_message(query),
        k=options.k,
        nprobe=options.nprobe,
        exact=options.exact,
        include_passages=not options.bare,
        include_projections=not options.bare,
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _print(samples: Samples, release: Release, options: argparse.Namespace) -> None:
    parts = {"faiss": samples.faiss, "server": samples.server, "hop": samples.hop}
    rows = {
        name: summarize_ms(values) for name, values in {**parts, "whole": samples.whole}.items()
    }
    figures = {
        name: {"p50_ms": row.p50_ms, "p95_ms": row.p95_ms, "p99_ms": row.p99_ms}
        for name, row in rows.items()
        if row is not None
    }
    if options.json:
        print(json.dumps({**figures, "server_cpu_ms": samples.server_cpu_ms}))
        return
    manifest = release.manifest
    lists = "all" if options.exact else options.nprobe or manifest.nprobe
    print(
        f"{release.release_id}: {manifest.passage_count} passages in {manifest.shard_count} "
        f"shards, nlist {manifest.nlist}, lists scanned {lists}, k {options.k}, "
        f"{len(samples.whole)} calls"
    )
    for name, row in figures.items():
        cells = "  ".join(f"{key[:3]} {value:6.3f} ms" for key, value in row.items())
        print(f"  {name:7} {cells}")
    print(f"  server CPU {samples.server_cpu_ms:.3f} ms a call")


if __name__ == "__main__":
    sys.exit(main())
