#!/usr/bin/env python3
"""Make what a clean evaluation needs: query sets of a release, and the record of training.

`questions` and `windows` write query sets, `training-record` notes what was trained on, and
`paragraphs` writes a corpus that a build keeps paragraph by paragraph. Exit status: 0 written, 2
wrong usage or unusable input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from evaluation.commands import errors_as_exits
from evaluation.corpora import read_paragraphs, write_paragraph_corpus
from evaluation.overlap import (
    DEFAULT_RECORD_FOLDER,
    HEADER_NAME,
    TrainingRecord,
    make_training_record,
    read_training_record,
    write_training_record,
)
from evaluation.split import Part
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release
from retrieval_core.errors import InvalidInput

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__
)

Corpus = Annotated[
    Path, typer.Option(help="Paragraphs with questions, .jsonl or .jsonl.gz, one a line.")
]
Release = Annotated[str, typer.Option(help="Release by name, pointer or folder.")]
Releases = Annotated[Path, typer.Option(help="Folder of the releases.")]
Out = Annotated[Path, typer.Option(help="Folder to write; it must be new or empty.")]
PartName = Annotated[
    str, typer.Option(help="Articles to ask about: evaluation, validation, train or all.")
]
Limit = Annotated[int, typer.Option(help="Most queries, a fixed sample; 0 means all.", min=0)]
Record = Annotated[
    Path | None,
    typer.Option(
        "--training-record",
        help="Leave out what this record knows; default: artifacts/eval/training_record, if there.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def questions(  # noqa: PLR0913, PLR0917 -- the options of a command
    corpus: Corpus,
    out: Out,
    release: Release = "current",
    releases: Releases = DEFAULT_RELEASES_FOLDER,
    part: PartName = "evaluation",
    limit: Limit = 2000,
    record: Record = None,
    as_json: AsJson = False,
) -> None:
    """Questions of a corpus file, answered by the passages of the release built from it."""
    with errors_as_exits():
        from evaluation.making import Selection, make_questions
        from evaluation.querysets import write_query_set

        selection = Selection(out.name, parse_part(part), limit, find_record(record))
        made = make_questions(
            read_paragraphs(corpus), open_passages_of(release, releases), selection
        )
        write_query_set(made.query_set, out)
        report(made, out, as_json=as_json)


@app.command()
def windows(  # noqa: PLR0913, PLR0917 -- the options of a command
    out: Out,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Corpus file whose titles decide the split; default: article ids do."),
    ] = None,
    release: Release = "current",
    releases: Releases = DEFAULT_RELEASES_FOLDER,
    part: PartName = "evaluation",
    limit: Limit = 2000,
    context: Annotated[int, typer.Option(help="Passages before.", min=1, max=5)] = 5,
    record: Record = None,
    as_json: AsJson = False,
) -> None:
    """Next passages: each is asked for by the up to five before it."""
    with errors_as_exits():
        from evaluation.making import Selection, make_windows
        from evaluation.querysets import write_query_set

        selection = Selection(out.name, parse_part(part), limit, find_record(record))
        paragraphs = [] if corpus is None else read_paragraphs(corpus)
        titles = {paragraph.article_id: paragraph.title for paragraph in paragraphs}
        made = make_windows(open_passages_of(release, releases), selection, titles, context)
        write_query_set(made.query_set, out)
        report(made, out, as_json=as_json)


@app.command()
def training_record(
    corpus: Annotated[
        list[Path], typer.Option(help="File of paragraphs that was trained on; may be repeated.")
    ],
    more: Annotated[
        list[Path] | None,
        typer.Option(help="The same, trained on whole, whatever --part says; may be repeated."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the record.")] = DEFAULT_RECORD_FOLDER,
    part: Annotated[
        str, typer.Option(help="Articles that count as trained on: train, or all.")
    ] = "train",
    as_json: AsJson = False,
) -> None:
    """Note titles and fingerprints of what was trained on; no text is kept."""
    with errors_as_exits():
        wanted = parse_part(part)
        paragraphs = [
            paragraph
            for path in corpus
            for paragraph in read_paragraphs(path)
            if wanted in {None, paragraph.part}
        ]
        whole = more or []
        paragraphs += [paragraph for path in whole for paragraph in read_paragraphs(path)]
        names = [f"{path.name} ({part})" for path in corpus] + [path.name for path in whole]
        made = make_training_record(
            ", ".join(names),
            {paragraph.title for paragraph in paragraphs},
            (text for each in paragraphs for text in (each.text, *each.questions)),
        )
        write_training_record(made, out)
        summary = {
            "out": str(out),
            "articles": len(made.articles),
            "fingerprints": len(made.fingerprints),
        }
        show(summary, as_json=as_json)


@app.command()
def paragraphs(
    corpus: Corpus,
    out: Annotated[Path, typer.Option(help="Corpus file to write, .jsonl or .jsonl.gz.")],
    as_json: AsJson = False,
) -> None:
    """A corpus of whole paragraphs, so that every question has exactly one right passage."""
    with errors_as_exits():
        count = write_paragraph_corpus(read_paragraphs(corpus), out)
        show({"out": str(out), "paragraphs": count}, as_json=as_json)


def parse_part(name: str) -> Part | None:
    """The part of the split, None for all; InvalidInput for another word."""
    if name not in {"evaluation", "validation", "train", "all"}:
        raise InvalidInput("--part", f"is {name!r}: evaluation, validation, train or all")
    return None if name == "all" else cast(Part, name)


def find_record(folder: Path | None) -> TrainingRecord | None:
    """The named record, or the default one if it is there."""
    if folder is None and not (DEFAULT_RECORD_FOLDER / HEADER_NAME).is_file():
        return None
    return read_training_record(folder or DEFAULT_RECORD_FOLDER)


def open_passages_of(release: str, releases: Path) -> Any:  # noqa: ANN401 -- loaded late
    """The passages of the release."""
    from evaluation.release_passages import ReleasePassages
    from releases.bundle import open_release

    return ReleasePassages.open(open_release(resolve_release(release, releases)))


def report(made: Any, out: Path, *, as_json: bool) -> None:  # noqa: ANN401 -- loaded late
    """What was written."""
    query_set = made.query_set
    summary = {
        "out": str(out),
        "name": query_set.name,
        "task": query_set.task.value,
        "queries": len(query_set.queries),
        "articles": len({query.article_id for query in query_set.queries}),
        "left_out_as_trained_on": made.known_count,
        "corpus_digest": query_set.corpus_digest,
    }
    show(summary, as_json=as_json)


def show(summary: dict[str, Any], *, as_json: bool) -> None:
    """One JSON object, or a line a fact."""
    if as_json:
        sys.stdout.write(json.dumps(summary, ensure_ascii=False) + "\n")
        return
    for name, value in summary.items():
        sys.stdout.write(f"{name.replace('_', ' '):>24}  {value}\n")


if __name__ == "__main__":
    app()
