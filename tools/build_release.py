#!/usr/bin/env python3
"""Build a release from a corpus: a folder, a file, or the documentation of what is installed.

Exit status: 0 built (or built already, and verified), 2 bad input, 1 any other failure. A build
that was stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from building.corpora import open_corpus
from building.cutting import DEFAULT_MAX_TOKENS
from building.measuring import AGREEMENT_GATE, UNIT_NORM_GATE
from building.plan import DEFAULT_NPROBE, BuildOptions, BuildPlan, find_built
from building.progress import Progress, SilentProgress
from building.query_model_files import QueryModelFolder, read_fitting_query_models
from building.reranker_folder import RerankerFolder, read_fitting_reranker
from encoder_svc.manifest import open_model_folder
from releases.bundle import Release
from releases.catalog import DEFAULT_RELEASES_FOLDER
from releases.layout import QUERY_MODEL_NAMES, query_model_manifest
from releases.pointers import CURRENT, read_pointer, switch_current
from retrieval_core.errors import InvalidInput, RetrievalError
from retrieval_core.projection import projection_digest, projection_matrix

EXIT_FAILURE = 1
EXIT_BAD_INPUT = 2
OLDEST_EPOCH_S = 0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class ModelFolders:
    """Folders given on the command line; None stands for what the packages carry."""

    encoder: Path | None
    reranker: Path | None
    query_models: Path | None


def embedded_folder(package: str, name: str) -> Path:
    """A folder of models that a service's package carries."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise InvalidInput(package, "is not installed")
    return Path(spec.origin).parent / name


@app.command()
def build(  # noqa: PLR0913, PLR0917 -- the options of a command
    corpus: Annotated[
        str,
        typer.Option(
            help="Folder or file (.txt .md .rst .jsonl .jsonl.gz .parquet), or the word `docs` for "
            "the documentation of the standard library and of this project's packages."
        ),
    ],
    name: Annotated[str, typer.Option(help="The release's name; it must be new.")],
    shards: Annotated[int, typer.Option(help="Parts that separate servers hold.")] = 1,
    encoder: Annotated[
        Path | None, typer.Option(help="Model folder; by default the embedded one.")
    ] = None,
    reranker: Annotated[
        Path | None,
        typer.Option(help="Reranker to bundle if it fits the encoder; default: the embedded one."),
    ] = None,
    query_models: Annotated[
        Path | None,
        typer.Option(help="Folder of query models to bundle if they fit; default: embedded."),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(help="Longest passage in tokens of the encoder.")
    ] = DEFAULT_MAX_TOKENS,
    nlist: Annotated[
        int | None, typer.Option(help="Lists of the index; default: square root of the passages.")
    ] = None,
    nprobe: Annotated[
        int, typer.Option(help="Lists that a search scans unless it says otherwise.")
    ] = DEFAULT_NPROBE,
    seed: Annotated[int, typer.Option(help="Seed of the index's training.")] = 0,
    workers: Annotated[
        int, typer.Option(help="Threads that encode; 0 means one a core.", min=0, max=256)
    ] = 0,
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    activate: Annotated[
        bool, typer.Option("--activate/--no-activate", help="Point `current` at the release.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Build a release, verify it and make it the current one."""
    started = time.monotonic()
    try:
        options = BuildOptions(shards, max_tokens, nlist, nprobe, seed)
        models = ModelFolders(encoder, reranker, query_models)
        plan = make_plan(corpus, name, releases, models, options)
        release, was_built = build_or_find(plan, workers or os.cpu_count() or 1, quiet=as_json)
        if activate:
            # Before the switch, which takes the link to the corpus's vectors along.
            write_corpus(release)
            switch_current(releases, name)
    except RetrievalError as error:
        sys.stderr.write(f"error: {error.message} [{error.reason}]\n")
        raise typer.Exit(EXIT_BAD_INPUT if isinstance(error, InvalidInput) else 1) from None
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on where it was\n")
        raise typer.Exit(EXIT_FAILURE) from None
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(EXIT_FAILURE) from None
    summary = summarize(release, releases, was_built, time.monotonic() - started)
    if as_json:
        sys.stdout.write(json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
    else:
        show(summary, Console())


def make_plan(
    corpus: str, name: str, releases: Path, models: ModelFolders, options: BuildOptions
) -> BuildPlan:
    """Read and check everything that decides the release, without building anything."""
    options.check()
    encoder = open_model_folder(models.encoder or embedded_folder("encoder_svc", "default_model"))
    fingerprint = encoder.manifest.fingerprint
    return BuildPlan(
        name=name,
        releases_folder=releases,
        corpus=open_corpus(corpus),
        encoder=encoder,
        reranker=fitting_reranker(models.reranker, fingerprint),
        options=options,
        query_models=fitting_query_models(models.query_models, fingerprint),
    )


def fitting_reranker(given: Path | None, fingerprint: str) -> RerankerFolder | None:
    """The given reranker, which must fit the encoder, or the embedded one if it does."""
    folder = given or embedded_folder("rerank_svc", "default_model")
    fitting = read_fitting_reranker(folder, fingerprint, projection_digest(projection_matrix()))
    if given is not None and fitting is None:
        raise InvalidInput("--reranker", f"{given} holds none that fits encoder {fingerprint}")
    return fitting


def fitting_query_models(given: Path | None, fingerprint: str) -> tuple[QueryModelFolder, ...]:
    """The given query models, one of which must fit the encoder, or those embedded that do."""
    folder = given or embedded_folder("encoder_svc", "default_query_models")
    fitting = read_fitting_query_models(folder, fingerprint)
    if given is not None and not fitting:
        raise InvalidInput("--query-models", f"{given} holds none that fits encoder {fingerprint}")
    return fitting


def build_or_find(plan: BuildPlan, workers: int, *, quiet: bool) -> tuple[Release, bool]:
    """The release, and whether it was built now rather than found already built."""
    if (built := find_built(plan, plan.inputs_digest())) is not None:
        return built, False
    if plan.corpus.ignored_count:
        sys.stderr.write(f"note: files of other kinds, ignored: {plan.corpus.ignored_count}\n")
    prefer_wide_kernels()
    # Loading FAISS, Arrow and ONNX Runtime takes longer than finding a release already built.
    from building.console import ConsoleProgress
    from building.pipeline import Tools, build_release, load_token_counter
    from encoder_svc.encoder import Encoder

    tokens = load_token_counter(plan)
    model = Encoder.load(plan.encoder.path)
    progress: Progress = SilentProgress() if quiet else ConsoleProgress(Console(stderr=True))
    tools = Tools(lambda texts: model.encode(texts).vectors, tokens, progress, workers)
    return build_release(plan, tools, created_at()), True


def write_corpus(release: Release) -> None:
    """The vectors as a file of their own, which truths are rebuilt from."""
    from releases.corpus_files import has_corpus_file

    if not has_corpus_file(release):
        # This loads FAISS.
        from building.corpus_vectors import ensure_corpus_file

        ensure_corpus_file(release)


def created_at() -> dt.datetime:
    """Now, or the moment that SOURCE_DATE_EPOCH gives, for builds that are to be compared."""
    stated = os.environ.get("SOURCE_DATE_EPOCH")
    if stated is None:
        return dt.datetime.now(dt.UTC)
    if not stated.isdigit():
        raise InvalidInput("SOURCE_DATE_EPOCH", f"is {stated!r}, must be seconds since 1970")
    return dt.datetime.fromtimestamp(int(stated), dt.UTC)


def prefer_wide_kernels() -> None:
    """Name the processor to the OpenBLAS inside FAISS, which does not know recent ones.

    It would fall back to kernels that train and add several times slower. It reads this variable
    when it is loaded, so that this has to come before.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return
    if " avx512f" in flags and " avx512vl" in flags:
        os.environ.setdefault("OPENBLAS_CORETYPE", "SKYLAKEX")


def summarize(
    release: Release, releases: Path, was_built: bool, elapsed_s: float
) -> dict[str, Any]:
    """What was built, as `--json` prints it."""
    manifest = release.manifest
    return {
        "release_id": release.release_id,
        "folder": str(releases / release.release_id),
        "status": "built" if was_built else "already built",
        "is_current": read_pointer(releases, CURRENT) == release.release_id,
        "elapsed_s": round(elapsed_s, 3),
        "corpus": manifest.corpus.name,
        "article_count": manifest.article_count,
        "passage_count": manifest.passage_count,
        "truncated_count": manifest.cut.truncated_count,
        "lanes": list(manifest.lanes),
        "shard_count": manifest.shard_count,
        "nlist": manifest.nlist,
        "nprobe": manifest.nprobe,
        "max_tokens": manifest.cut.max_tokens,
        "encoder": manifest.encoder.name,
        "encoder_fingerprint": manifest.encoder.fingerprint,
        "reranker": manifest.reranker,
        "query_models": [
            name for name in QUERY_MODEL_NAMES if query_model_manifest(name) in manifest.files
        ],
        "file_count": len(manifest.files),
        "bytes": sum(record.bytes for record in manifest.files.values()),
        "gates": {
            gate_name: {"figure": gate.figure, "limit": gate.limit, "passed": gate.passed}
            for gate_name, gate in manifest.gates.items()
        },
    }


def show(summary: dict[str, Any], console: Console) -> None:
    """The summary as a table of two columns."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    for label, value in readable_rows(summary):
        table.add_row(label, value)
    console.print(table)


def readable_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Label and text of each line of the table."""
    lanes = summary["lanes"]
    shown_lanes = ", ".join(lanes[:6]) + (f" and {len(lanes) - 6} more" if len(lanes) > 6 else "")
    current = " (current)" if summary["is_current"] else ""
    norm, agreement = summary["gates"][UNIT_NORM_GATE], summary["gates"][AGREEMENT_GATE]
    advice = "" if agreement["passed"] else ": tools/nprobe_sweep.py finds the nprobe for it"
    return [
        ("release", f"{summary['release_id']}, {summary['status']}{current}"),
        ("folder", summary["folder"]),
        ("corpus", f"{summary['corpus']}: {summary['article_count']:,} articles"),
        ("passages", f"{summary['passage_count']:,} of at most {summary['max_tokens']} tokens"),
        ("lanes", shown_lanes),
        (
            "index",
            f"{summary['shard_count']} shards, nlist {summary['nlist']}, "
            f"nprobe {summary['nprobe']}",
        ),
        ("encoder", f"{summary['encoder']} ({summary['encoder_fingerprint'][:19]})"),
        ("reranker", summary["reranker"] or "none that fits the encoder"),
        ("query models", ", ".join(summary["query_models"]) or "none that fit the encoder"),
        ("unit norm", f"off by {norm['figure']:.1e} at most (limit {norm['limit']:.0e})"),
        (
            "IVF-FLAT agreement",
            f"{agreement['figure']:.3f} (at least {agreement['limit']:.2f} is wanted{advice})",
        ),
        ("size", f"{summary['bytes'] / 2**20:,.1f} MiB in {summary['file_count']} files"),
        ("time", f"{summary['elapsed_s']:.1f} s"),
    ]


if __name__ == "__main__":
    app()
