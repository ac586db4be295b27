"""python -m benchmarks.encoder.graphs: one text on the exact architecture, by length and threads.

Random weights of the architecture: what is measured is time, not quality.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.encoder.contenders import (
    NAMES,
    OPTIMUM,
    TORCH,
    export_graphs,
    serve_contender,
)
from benchmarks.encoder.random_source import ARCHITECTURES, write_random_source
from benchmarks.load.origin import commit_of, machine, versions
from encoder_svc.encoder import DEFAULT_MODEL_FOLDER
from exporter.texts import docstring_texts

ROOT = Path(__file__).resolve().parents[2]
_ORDINARY_IDS = 31_000
_SPIN_S = 0.05
_NAME_WIDTH = 50
_CONTENDERS = ("torch", "sentence-transformers", "transformers", "optimum-onnx")
# How many times faster ours has to be, with this many threads and tokens.
_BOUNDS = {OPTIMUM: 2.5, TORCH: 5.0}
_BOUND_THREADS, _BOUND_TOKENS = 2, 16


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and keep everything as JSON."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.work or Path(scratch)
        source = folder / "source"
        if not source.exists():
            tokenizer = DEFAULT_MODEL_FOLDER / "tokenizer.json"
            write_random_source(source, tokenizer, ARCHITECTURES[options.architecture])
        export_graphs(source, folder, docstring_texts(60))
        tables = [_measure(source, folder, threads, options) for threads in options.threads]
    report = {
        "architecture": options.architecture,
        "weights": "random",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "origin": {**commit_of(ROOT), **machine(), "versions": versions(*_CONTENDERS)},
        "tables": tables,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print("\n\n".join(format_table(table) for table in tables))
    missed = missed_bounds(tables)
    print("\n" + "\n".join([*(f"missed: {bound}" for bound in missed), str(options.out)]))
    return 1 if options.check and missed else 0


def _measure(
    source: Path, scratch: Path, threads: int, options: argparse.Namespace
) -> dict[str, Any]:
    with _contenders(source, scratch, threads) as (turns, problems):
        rows = []
        for length in options.lengths:
            rows.append({"tokens": length, "timings": _time(turns, length, options.rounds)})
            print(f"{threads} threads, {length} tokens: done", file=sys.stderr)
    return {"threads": threads, "rounds": options.rounds, "rows": rows, "problems": problems}


@contextmanager
def _contenders(
    source: Path, scratch: Path, threads: int
) -> Iterator[tuple[dict[str, Connection], dict[str, str]]]:
    """A process each; those that run by name, and why the others do not."""
    context = multiprocessing.get_context("spawn")
    turns: dict[str, Connection] = {}
    problems: dict[str, str] = {}
    processes = []
    for name in NAMES:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve_contender, args=(name, source, scratch, threads, theirs)
        )
        process.start()
        processes.append(process)
        if problem := ours.recv():
            problems[name] = problem
        else:
            turns[name] = ours
    try:
        yield turns, problems
    finally:
        for turn in turns.values():
            turn.send(None)
        for process in processes:
            process.join(60)


def _time(turns: dict[str, Connection], length: int, rounds: int) -> dict[str, Any]:
    ids = [3 + (7919 * place) % _ORDINARY_IDS for place in range(length - 1)] + [1]
    samples: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            turn.send(ids)
            samples[name].append(turn.recv())
            # Until the threads of this one have stopped spinning.
            time.sleep(_SPIN_S)
    return {
        name: {"median_ms": median(times), "fastest_ms": min(times)}
        for name, times in samples.items()
    }


def format_table(table: dict[str, Any]) -> str:
    """Medians in milliseconds, a line a contender, and how many times faster the last one is."""
    rows = table["rows"]
    names = list(rows[0]["timings"])
    lines = [
        f"batch 1, {table['threads']} thread(s), P50 ms of {table['rounds']} interleaved rounds",
        f"{'':{_NAME_WIDTH}}" + "".join(f"{row['tokens']:>9}" for row in rows),
    ]
    for name in names:
        cells = [f"{row['timings'][name]['median_ms']:>9.1f}" for row in rows]
        lines.append(f"{name:{_NAME_WIDTH}}" + "".join(cells))
    for name in names[:-1]:
        ratios = [
            row["timings"][name]["median_ms"] / row["timings"][names[-1]]["median_ms"]
            for row in rows
        ]
        lines.append(
            f"{'ours against ' + name:{_NAME_WIDTH}}" + "".join(f"{r:>8.1f}x" for r in ratios)
        )
    lines += [f"{name}: does not run: {why}" for name, why in table["problems"].items()]
    return "\n".join(lines)


def missed_bounds(tables: Sequence[dict[str, Any]]) -> list[str]:
    """What is asked of ours against the others and was not reached, or not measured."""
    rows = [
        row["timings"]
        for table in tables
        for row in table["rows"]
        if (table["threads"], row["tokens"]) == (_BOUND_THREADS, _BOUND_TOKENS)
    ]
    if not rows:
        return [f"{_BOUND_TOKENS} tokens with {_BOUND_THREADS} threads were not measured"]
    ours = rows[0][NAMES[-1]]["median_ms"]
    ratios = {name: rows[0][name]["median_ms"] / ours for name in _BOUNDS if name in rows[0]}
    return [
        f"{ratios.get(name, 0):.1f} times as fast as {name}, at least {bound} is asked for"
        for name, bound in _BOUNDS.items()
        if not ratios.get(name, 0) >= bound
    ]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoder.graphs")
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="gtr-t5-base")
    parser.add_argument("--lengths", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", type=Path, help="keep the exported graphs here for another run")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "artifacts" / "bench" / "encoder-graphs.json"
    )
    parser.add_argument(
        "--check", action="store_true", help="exit 1 where one of the bounds is missed"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
