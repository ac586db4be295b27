#!/usr/bin/env python3
"""Releases: list, show, verify, seal, promote, roll back, compare, remove, push and pull.

Exit status: 0 done, 1 a release is damaged or the action failed, 2 wrong usage, an unknown name or
a name that is taken, 3 a store cannot be reached.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluation.commands import EXIT_FAILED, errors_as_exits, now, prepare_numerics
from evaluation.json_values import plain, to_line
from evaluation.tables import open_console, show_table
from operations.pairs import show_pairs
from operations.release_rows import change_rows, fate_row, list_row
from releases.bundle import Release, open_release
from releases.catalog import DEFAULT_RELEASES_FOLDER, release_names, resolve_release
from releases.collecting import (
    DEFAULT_KEEP,
    Fate,
    find_leftovers,
    plan_collection,
    remove_leftover,
    remove_release,
)
from releases.comparing import compare_releases, release_metrics
from releases.describing import summarize
from releases.pointers import switch_back, switch_current

app = typer.Typer(
    help=(__doc__ or "").partition("\n\n")[0],
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ReleasesFolder = Annotated[Path, typer.Option("--releases", help="Folder of the releases.")]
Name = Annotated[str, typer.Argument(help="A release's name, `current`, `previous` or a folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
StoreUrl = Annotated[
    str, typer.Argument(help="Where the store is: a folder, s3://…, or any URL that fsspec knows.")
]


@app.command("list")
def list_releases(
    releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER, as_json: AsJson = False
) -> None:
    """All releases with what points at them and whether they are served on this machine."""
    with errors_as_exits():
        summaries = [summarize(releases, name) for name in release_names(releases)]
    if as_json:
        _print_json({"releases": summaries})
        return
    columns = ["release", "created", "passages", "shards", "nprobe", "MB", "state"]
    show_table(open_console(), str(releases), columns, [list_row(each) for each in summaries])


@app.command()
def show(
    name: Name, releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER, as_json: AsJson = False
) -> None:
    """What one release says of itself."""
    with errors_as_exits():
        release = open_release(resolve_release(name, releases))
        facts: dict[str, Any] = plain(summarize(release.folder.parent, release.folder.name))
        facts["manifest"] = {
            **plain(release.manifest),
            "files": {path: plain(record) for path, record in release.manifest.files.items()},
        }
        facts["metrics"] = release_metrics(release)
    if as_json:
        _print_json(facts)
        return
    rows = [[key, str(value)] for key, value in facts["manifest"].items() if key != "files"]
    rows += [
        [path, f"{record['bytes']:,} bytes"] for path, record in facts["manifest"]["files"].items()
    ]
    rows += [[key, f"{value:.4f}"] for key, value in facts["metrics"].items()]
    show_pairs(open_console(), release.release_id, rows)


@app.command()
def verify(
    name: Annotated[
        str, typer.Argument(help="A release's name, a pointer, a folder, or `all`.")
    ] = "current",
    releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Read every file and name each that is not what it must be."""
    from releases.verification import find_problems

    with errors_as_exits():
        names = release_names(releases) if name == "all" else [name]
        found = {each: find_problems(resolve_release(each, releases)) for each in names}
    if as_json:
        _print_json({"releases": found, "verified": not any(found.values())})
    else:
        for each, problems in found.items():
            print(f"{each}: {'damaged' if problems else 'every file is what it must be'}")
            for problem in problems:
                print(f"  {problem.file}: {problem.reason}")
    raise typer.Exit(EXIT_FAILED if any(found.values()) else 0)


@app.command()
def seal(  # noqa: PLR0913, PLR0917 -- the options of a command
    name: Annotated[str, typer.Argument(help="The new release's name.")],
    source: Annotated[str, typer.Option("--from", help="The release it is made of.")] = "current",
    metrics: Annotated[
        Path | None, typer.Option(help="Evaluation of that release, to be sealed in.")
    ] = None,
    nprobe: Annotated[
        int | None, typer.Option(help="Default: that of the operating point, or the release's own.")
    ] = None,
    releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Make a new release of the same files with its evaluation and operating point sealed in."""
    from releases.deriving import derive_release

    with errors_as_exits():
        opened = open_release(resolve_release(source, releases))
        derive_release(opened, releases, name, created=now(), metrics=metrics, nprobe=nprobe)
        summary = summarize(releases, name)
    _print_outcome(f"{name} is sealed, from {opened.release_id}", summary, as_json=as_json)


@app.command()
def promote(
    name: Annotated[str, typer.Argument(help="A release's name.")],
    releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Verify a release whole and point `current` at it; `previous` keeps the way back."""
    with errors_as_exits():
        release = switch_current(releases, name)
        _follow_with_corpus(release)
        summary = summarize(releases, release.release_id)
    _print_outcome(f"current is {release.release_id}", summary, as_json=as_json)


@app.command()
def rollback(
    name: Annotated[
        str | None, typer.Argument(help="A release's name; default: the previous one.")
    ] = None,
    releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Verify the previous release, or the named one, and point `current` at it."""
    with errors_as_exits():
        # A pointer's word is as good as the name behind it.
        target = name if name != "previous" else None
        release = switch_current(releases, target) if target else switch_back(releases)
        _follow_with_corpus(release)
        summary = summarize(releases, release.release_id)
    _print_outcome(f"rolled back: current is {release.release_id}", summary, as_json=as_json)


@app.command()
def diff(
    before: Name,
    after: Name,
    releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """What differs: how they were made, files, gates, and the evaluations sealed in."""
    with errors_as_exits():
        found = compare_releases(
            *(open_release(resolve_release(each, releases)) for each in (before, after))
        )
    if as_json:
        _print_json(found)
        return
    console = open_console()
    for title, changes in (
        ("facts", found.facts),
        ("files", found.files),
        ("gates", found.gates),
        ("metrics", found.metrics),
    ):
        show_table(console, title, ["", found.before, found.after], change_rows(title, changes))


@app.command()
def gc(
    keep: Annotated[int, typer.Option(min=0, help="Newest releases that stay.")] = DEFAULT_KEEP,
    apply: Annotated[bool, typer.Option("--apply", help="Remove; without it only say.")] = False,
    run_folder: Annotated[
        Path, typer.Option(help="Of the local stack, whose releases stay.")
    ] = Path(".run"),
    releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Remove releases that are not current, not previous, not served and not among the newest."""
    from operations.served import served_releases

    with errors_as_exits():
        fates = plan_collection(releases, keep, served_releases(run_folder, releases))
        leftovers = find_leftovers(releases)
        if apply:
            _remove(fates, lambda name: remove_release(releases, name))
            _remove(leftovers, lambda name: remove_leftover(releases, name))
    if as_json:
        _print_json({"applied": apply, "releases": fates, "leftovers": leftovers})
        return
    word = "removed" if apply else "would be removed"
    rows = [fate_row(fate, word) for fate in [*fates, *leftovers]]
    show_table(open_console(), str(releases), ["release", "created", "MB", ""], rows)


@app.command()
def push(
    name: Name,
    url: StoreUrl,
    releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Copy a release to an artifact store; given again it goes on where it stopped."""
    from releases.stores import Store
    from releases.transfers import push_release

    with errors_as_exits():
        release = open_release(resolve_release(name, releases))
        transfer = push_release(Store(url), release, _report_copy)
    _print_outcome(f"{release.release_id} is at {url}", transfer, as_json=as_json)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A release's name in the store.")],
    url: StoreUrl,
    releases: ReleasesFolder = DEFAULT_RELEASES_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Copy a release out of an artifact store; it appears once all of it is verified."""
    from releases.stores import Store
    from releases.transfers import pull_release

    with errors_as_exits():
        releases.mkdir(parents=True, exist_ok=True)
        transfer = pull_release(Store(url), name, releases, _report_copy)
    _print_outcome(f"{name} is in {releases}", transfer, as_json=as_json)


def _follow_with_corpus(release: Release) -> None:
    """The vectors of what is current now, for truths to be rebuilt from; written if missing."""
    prepare_numerics()
    from building.corpus_vectors import ensure_corpus_file
    from releases.corpus_files import point_corpus

    ensure_corpus_file(release)
    point_corpus(release.folder.parent, release.release_id)


def _remove(fates: Sequence[Fate], remove: Callable[[str], None]) -> None:
    for fate in fates:
        if not fate.kept_because:
            remove(fate.name)


def _print_json(value: object) -> None:
    sys.stdout.write(to_line(value))


def _print_outcome(line: str, facts: object, *, as_json: bool) -> None:
    if as_json:
        _print_json(facts)
        return
    print(line)
    values: Mapping[str, Any] = plain(facts)
    for key, value in values.items():
        shown = len(value) if isinstance(value, list) else value
        print(f"  {key}: {shown}")


def _report_copy(name: str, size: int) -> None:
    sys.stderr.write(f"{name}: {size:,} bytes\n")


if __name__ == "__main__":
    app()
