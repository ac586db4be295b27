"""The load benchmark: `python -m benchmarks.load`, or `make bench`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from benchmarks.load.origin import commit_of, machine, versions
from benchmarks.load.queries import (
    LoadQuery,
    contexts,
    mixed,
    parse_mix,
    questions,
    read_passages,
    vectors_of,
)
from benchmarks.load.report import json_object, table_lines
from benchmarks.load.runner import (
    GeneratorFailed,
    LoadSettings,
    Target,
    closed_phase,
    open_phase,
)
from benchmarks.load.schedule import Arrivals
from benchmarks.load.summary import PhaseSummary
from deploy.local.errors import StackError
from deploy.local.releases import layout_of_release
from deploy.local.stack import DEFAULT_FOLDER, LocalStack
from deploy.local.state import StackState
from retrieval_client import Query
from retrieval_core.errors import RetrievalError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class _Options:
    release: str
    run_folder: Path
    rates: Sequence[float]
    callers: Sequence[int]
    mix: dict[str, int]
    query_count: int


@app.command()
def bench(  # noqa: PLR0913, PLR0917 -- the options of a command
    release: Annotated[
        str, typer.Option(help="Served for the benchmark when no stack is up.")
    ] = "current",
    rate: Annotated[
        list[float] | None, typer.Option(help="Open loop at this many requests/s; repeatable.")
    ] = None,
    callers: Annotated[
        list[int] | None, typer.Option(help="Closed loop with this many callers; repeatable.")
    ] = None,
    duration_s: Annotated[float, typer.Option(min=0.1, help="Length of every phase.")] = 15.0,
    warmup: Annotated[
        int, typer.Option(min=0, help="Requests sent before every phase and not counted.")
    ] = 100,
    arrivals: Annotated[
        Arrivals, typer.Option(help="How requests of an open loop are spread.")
    ] = Arrivals.POISSON,
    mix: Annotated[
        str, typer.Option(help="Kinds of query and how often, e.g. text=8,context=1,vector=1.")
    ] = "text=1",
    queries: Annotated[
        int, typer.Option(min=1, help="Different queries of a kind, drawn from the corpus.")
    ] = 1000,
    timeout_ms: Annotated[float, typer.Option(help="Deadline of every request.")] = 1000.0,
    processes: Annotated[int, typer.Option(min=1, help="Generator processes.")] = 1,
    seed: Annotated[int, typer.Option(help="Of arrivals and of the choice of queries.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("artifacts/bench"),
    run_folder: Annotated[Path, typer.Option(help="Of the running stack.")] = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON, no table.")] = False,
) -> None:
    """Measure every stage under load; writes JSON and a table.

    Drives the stack that is up, or starts one for the time being. Rates of 10 and 25 requests/s
    and 1, 4 and 16 callers unless told otherwise.
    """
    options = _Options(
        release,
        run_folder,
        rate or [] if rate or callers else [10.0, 25.0],
        callers or [] if rate or callers else [1, 4, 16],
        _checked_mix(mix),
        queries,
    )
    load = LoadSettings(
        address="",
        timeout_ms=timeout_ms,
        duration_s=duration_s,
        warmup_count=warmup,
        arrivals=arrivals,
        seed=seed,
        process_count=processes,
    )
    # Being told to end must stop a stack started here too, as an interrupt does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result, lines = _measured(options, load)
    except (StackError, GeneratorFailed, RetrievalError, ValueError) as error:
        _progress(f"error: {error}")
        raise typer.Exit(1) from None
    path = _write(out, result, lines)
    print(json.dumps(result, indent=2) if as_json else "\n".join(lines))
    _progress(f"written: {path}")
    if not all(phase["outcomes"].get("OK") for phase in result["phases"]):
        raise typer.Exit(1)


def _interrupt(*_signal: object) -> NoReturn:
    raise KeyboardInterrupt


def _checked_mix(text: str) -> dict[str, int]:
    try:
        return parse_mix(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--mix") from None


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _measured(options: _Options, load: LoadSettings) -> tuple[dict[str, Any], list[str]]:
    with _stack(options) as state:
        gateway = ",".join(_addresses(state, "gateway"))
        load = replace(load, address=gateway)
        load_queries = _queries(options, load.seed, state)
        _progress(f"{len(load_queries)} queries against {gateway}, release {state.release.name}")
        phases = list(_phases(options, load, Target(load_queries, state.servers)))
        origin = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "source": commit_of(Path(__file__).parent),
            "machine": machine(),
            "versions": versions(),
            "release": state.release.name,
            "servers": {server.spec.name: dict(server.spec.settings) for server in state.servers},
        }
    settings = {**asdict(load), "mix": options.mix, "query_count": len(load_queries)}
    return json_object(phases, origin, settings), table_lines(phases)


def _phases(options: _Options, load: LoadSettings, target: Target) -> Iterator[PhaseSummary]:
    numbers = count()
    for rate in options.rates:
        _progress(f"open loop at {rate:g}/s for {load.duration_s:g} s")
        yield open_phase(load, replace(target, phase_number=next(numbers)), rate)
    for callers in options.callers:
        _progress(f"closed loop with {callers} for {load.duration_s:g} s")
        yield closed_phase(load, replace(target, phase_number=next(numbers)), callers)


@contextmanager
def _stack(options: _Options) -> Iterator[StackState]:
    """The stack that is up, left as it is; or one of our own, stopped in the end."""
    stack = LocalStack(options.run_folder, os.environ, _progress)
    if stack.status():
        yield stack.state()
        return
    layout = layout_of_release(options.release, os.cpu_count() or 1)
    _progress(f"no stack is up; starting one with release {layout.release.name}")
    try:
        yield stack.up(layout)
    finally:
        if stack.status():
            stack.down()


def _addresses(state: StackState, module: str) -> list[str]:
    return [server.spec.address for server in state.servers if server.spec.module == module]


def _queries(options: _Options, seed: int, state: StackState) -> list[LoadQuery]:
    passages = read_passages(state.release)
    texts = questions(passages, options.query_count, seed)
    pools: dict[str, list[Query]] = {"text": [Query(text=text) for text in texts]}
    if options.mix.get("context"):
        pools["context"] = contexts(passages, options.query_count, seed)
    if options.mix.get("vector"):
        vectors = vectors_of(texts, _addresses(state, "encoder_svc")[0])
        pools["vector"] = [Query(vector=vector) for vector in vectors]
    return mixed(pools, options.mix)


def _write(folder: Path, result: dict[str, Any], lines: Sequence[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    commit = str(result["source"].get("commit", "nocommit"))[:10]
    path = folder / f"load-{moment}-{commit}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    path.with_suffix(".txt").write_text("\n".join(lines) + "\n")
    return path


if __name__ == "__main__":
    app()
