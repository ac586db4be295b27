#!/usr/bin/env python3
"""Ask the gateway one query: a text, a vector, or the last passages of an article.

Exit status: 0 answered, 2 bad input, 3 no gateway reachable, 1 any other failure.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retrieval_client import (
    DEFAULT_TARGET,
    ChannelTls,
    Hit,
    Query,
    RetrievalClient,
    SearchResult,
)
from retrieval_client.query_files import read_context, read_vector
from retrieval_core.errors import InvalidInput, RetrievalError, Unavailable

EXIT_FAILURE = 1
EXIT_BAD_INPUT = 2
EXIT_UNREACHABLE = 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def search(  # noqa: PLR0913, PLR0917 -- the options of a command
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    context: Annotated[
        Path | None,
        typer.Option(
            help="File of the last 1 to 5 passages of an article, oldest first: lines of "
            '{"text": …} or {"vector": […]}, or lines of plain text.'
        ),
    ] = None,
    query_model: Annotated[
        str,
        typer.Option(
            help="What predicts the next passage of --context: amn_v0, gru_v0, recency, mean or "
            "last; by default what the gateway is told to use."
        ),
    ] = "",
    vector: Annotated[
        Path | None, typer.Option(help="NumPy file (.npy) of one vector, [768] or [1, 768].")
    ] = None,
    limit: Annotated[int, typer.Option(help="Hits to return.")] = 10,
    lane: Annotated[
        list[str] | None, typer.Option(help="Only passages of this lane; may be repeated.")
    ] = None,
    nprobe: Annotated[
        int, typer.Option(help="Lists each shard scans; 0 means the release's own.")
    ] = 0,
    exact: Annotated[bool, typer.Option("--exact", help="Scan everything.")] = False,
    exclude: Annotated[
        list[int] | None, typer.Option(help="Never return this passage id; may be repeated.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why each hit stands where it stands.")
    ] = False,
    skip_rerank: Annotated[
        bool, typer.Option("--skip-rerank", help="Keep the order of the search.")
    ] = False,
    routing_key: Annotated[
        str, typer.Option(help="Whose query it is; decides between baseline and canary.")
    ] = "",
    address: Annotated[
        str, typer.Option(help="Gateway as HOST:PORT; several with commas.")
    ] = DEFAULT_TARGET,
    timeout_ms: Annotated[float, typer.Option(help="Deadline of the request.")] = 2000.0,
    connect_timeout_ms: Annotated[
        float, typer.Option(help="Limit for the connection, before the request is sent.")
    ] = 3000.0,
    tls_ca_file: Annotated[
        Path | None, typer.Option(help="PEM roots to know the gateway by; turns TLS on.")
    ] = None,
    tls_cert_file: Annotated[
        Path | None, typer.Option(help="PEM certificate to show, where the gateway asks for one.")
    ] = None,
    tls_key_file: Annotated[Path | None, typer.Option(help="PEM key of the certificate.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search, and show the hits and where the time went."""
    try:
        query = Query(
            text=text,
            vector=None if vector is None else read_vector(vector),
            context=None if context is None else read_context(context),
            limit=limit,
            lanes=lane or [],
            nprobe=nprobe,
            exact=exact,
            excluded_passage_ids=exclude or [],
            explain=explain,
            skip_rerank=skip_rerank,
            query_model=query_model,
            routing_key=routing_key,
        )
        tls = tls_options(tls_ca_file, tls_cert_file, tls_key_file)
        with RetrievalClient(address, timeout_ms=timeout_ms, tls=tls) as client:
            client.wait_until_ready(connect_timeout_ms / 1000.0)
            result = client.ask(query)
    except RetrievalError as error:
        sys.stderr.write("\n".join(error_lines(error)) + "\n")
        raise typer.Exit(exit_code_of(error)) from None
    if as_json:
        sys.stdout.write(json.dumps(json_object(result), ensure_ascii=False, indent=2) + "\n")
    else:
        show(result, Console())


def tls_options(
    ca_file: Path | None, cert_file: Path | None, key_file: Path | None
) -> ChannelTls | None:
    """TLS as the files say; None without any. A file that is absent raises InvalidInput."""
    files = {"--tls-ca-file": ca_file, "--tls-cert-file": cert_file, "--tls-key-file": key_file}
    for option, file in files.items():
        if file is not None and not file.is_file():
            raise InvalidInput(option, f"{file}: no such file", reason="UNREADABLE_FILE")
    if (cert_file is None) != (key_file is None):
        raise InvalidInput("--tls-cert-file", "goes together with --tls-key-file", reason="TLS")
    if not any(files.values()):
        return None
    return ChannelTls(ca_file=ca_file, cert_file=cert_file, key_file=key_file)


def exit_code_of(error: RetrievalError) -> int:
    """What the process ends with for an error."""
    if isinstance(error, InvalidInput):
        return EXIT_BAD_INPUT
    return EXIT_UNREACHABLE if isinstance(error, Unavailable) else EXIT_FAILURE


def error_lines(error: RetrievalError) -> list[str]:
    """The error as text, with where the time went when the gateway said so."""
    lines = [f"error: {error.message} [{error.reason}]"]
    if error.timings is not None:
        lines += [
            f"  {timing.stage.value} {timing.target}: {timing.elapsed_ns / 1e6:.2f} ms"
            for timing in error.timings.stages
        ]
        lines.append(f"  total: {error.timings.total_ns / 1e6:.2f} ms")
    return lines


def json_object(result: SearchResult) -> dict[str, Any]:
    """The result as `--json` prints it; durations in milliseconds."""
    return {
        "hits": [_hit_object(hit) for hit in result.hits],
        "timings": [
            {
                "stage": timing.stage.value,
                "target": timing.target,
                "elapsed_ms": timing.elapsed_ns / 1e6,
                "queued_ms": timing.queued_ns / 1e6,
                "budget_ms": timing.budget_ns / 1e6,
            }
            for timing in result.timings.stages
        ],
        "total_ms": result.timings.total_ns / 1e6,
        "unaccounted_ms": result.timings.unaccounted_ns / 1e6,
        "coverage": asdict(result.coverage),
        "degradations": [asdict(item) for item in result.degradations],
        "release_id": result.release_id,
        "query_model": result.query_model,
        "arm": result.arm,
        "flags_generation": result.flags_generation,
    }


def _hit_object(hit: Hit) -> dict[str, Any]:
    entry = asdict(hit)
    if hit.explanation is None:
        del entry["explanation"]
    return entry


def show(result: SearchResult, console: Console) -> None:
    """Hits, what was left out, and the waterfall; a table on a terminal, plain lines elsewhere."""
    if console.is_terminal:
        console.print(_hit_table(result.hits))
    else:
        _print_plain(console, _hit_lines(result.hits))
    _print_plain(console, completeness_lines(result))
    _print_plain(console, ["", *result.waterfall().lines()])


def _print_plain(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _hit_table(hits: tuple[Hit, ...]) -> Table:
    table = Table("", "score", "article", "pos", "lane", "text", box=None, pad_edge=False)
    for rank, hit in enumerate(hits, start=1):
        table.add_row(
            str(rank),
            f"{hit.score:.3f}",
            escape(hit.article_id),
            str(hit.position),
            escape(hit.lane),
            escape(_one_line(hit.text, 160) + _explained(hit)),
        )
    return table


def _hit_lines(hits: tuple[Hit, ...]) -> list[str]:
    return [
        line
        for rank, hit in enumerate(hits, start=1)
        for line in (
            f"{rank:>3}  {hit.score:.3f}  {hit.article_id} #{hit.position} "
            f"({hit.lane}, passage {hit.passage_id})",
            f"     {_one_line(hit.text, 160)}{_explained(hit)}",
        )
    ]


def _explained(hit: Hit) -> str:
    why = hit.explanation
    if why is None:
        return ""
    features = "".join(f" {name}={value:.3f}" for name, value in why.features.items())
    return (
        f" [cosine {why.cosine:.3f}, margin {why.margin:.3f}, rank {why.rank_before} -> "
        f"{why.rank_after}, same article {why.same_article_count}{features}]"
    )


def _one_line(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def completeness_lines(result: SearchResult) -> list[str]:
    """How complete the answer is, and what was left out to give it in time."""
    coverage = result.coverage
    lines = [
        f"{len(result.hits)} hits from release {result.release_id}; "
        f"{coverage.shards_answered} of {coverage.shards_asked} shards answered"
    ]
    if result.query_model:
        lines.append(f"the context's next passage was predicted by {result.query_model}")
    lines += [
        f"missing: {shard.target} {shard.reason} {shard.detail}".rstrip()
        for shard in coverage.missing
    ]
    lines += [
        f"degraded: {item.step} because {item.reason} {item.detail}".rstrip()
        for item in result.degradations
    ]
    if result.truncated:
        lines.append("the query was longer than the encoder reads and was cut")
    return lines


if __name__ == "__main__":
    app()
