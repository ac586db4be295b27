#!/usr/bin/env python3
"""Roll a release out: 5, 25, 50, 100 % of the callers, each step judged by its figures.

Exit status: 0 promoted, 1 rolled back, aborted, held since an analysis failed, or the stack
refused, 2 wrong usage, 3 no stack or no figures, 4 held since the figures settle nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evaluation.commands import errors_as_exits, prepare_numerics
from evaluation.json_values import to_line
from releases.catalog import DEFAULT_RELEASES_FOLDER

if TYPE_CHECKING:
    from rollouts.state import RolloutState

app = typer.Typer(
    help=__doc__, add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True
)

RunFolder = Annotated[Path, typer.Option(help="Where the local stack keeps its state.")]
Releases = Annotated[Path, typer.Option(help="Folder of the releases.")]
Rollouts = Annotated[Path, typer.Option(help="Where state and log of each rollout are.")]
Release = Annotated[str, typer.Option(help="Whose rollout; default: the newest.")]
Gateways = Annotated[
    list[str] | None,
    typer.Option(help="HTTP of a gateway, HOST:PORT; may be repeated. Default: the local stack's."),
]
Prometheus = Annotated[
    str, typer.Option(help="URL of a Prometheus that scrapes the gateways. Default: ask these.")
]
QuerySets = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of a query set; may be repeated. Default: as run_clean_eval.py."),
]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", help="JSON file with other steps, limits or times.")
]
TimeScale = Annotated[float, typer.Option(help="How many times as fast as the plan says.")]
Yes = Annotated[bool, typer.Option("--yes", help="Act without asking.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

DEFAULT_RUN_FOLDER = Path(".run")
DEFAULT_ROLLOUTS = Path("artifacts/rollouts")


@app.command()
def start(  # noqa: PLR0913, PLR0917 -- the options of a command
    release: Annotated[str, typer.Option(help="The release to roll out.")],
    gateway: Gateways = None,
    prometheus: Prometheus = "",
    plan: PlanFile = None,
    time_scale: TimeScale = 1.0,
    query_set: QuerySets = None,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the timeline, look at the figures, do nothing.")
    ] = False,
    run_folder: RunFolder = DEFAULT_RUN_FOLDER,
    releases: Releases = DEFAULT_RELEASES_FOLDER,
    rollouts: Rollouts = DEFAULT_ROLLOUTS,
    as_json: AsJson = False,
) -> None:
    """Start the canary and walk the timeline until it is promoted, held or rolled back."""
    prepare_numerics()
    from rollouts.composition import Place, errors_shown, plan_of, start_rollout
    from rollouts.dry import dry_run as show_what_would_be

    with errors_shown():
        sets = query_set or []
        place = Place(run_folder, releases, rollouts, gateway or [], prometheus, sets)
        wanted = plan_of(plan)
        if dry_run:
            show_what_would_be(place, release, wanted, time_scale)
            return
        state = start_rollout(place, release, wanted, time_scale, yes=yes)
    _finish(state, as_json=as_json)


@app.command()
def resume(  # noqa: PLR0913, PLR0917 -- the options of a command
    release: Release = "",
    retry: Annotated[
        str, typer.Option(help="Why a failed analysis may be begun anew; kept in the log.")
    ] = "",
    gateway: Gateways = None,
    prometheus: Prometheus = "",
    query_set: QuerySets = None,
    yes: Yes = False,
    run_folder: RunFolder = DEFAULT_RUN_FOLDER,
    releases: Releases = DEFAULT_RELEASES_FOLDER,
    rollouts: Rollouts = DEFAULT_ROLLOUTS,
    as_json: AsJson = False,
) -> None:
    """Go on with a rollout that was held or interrupted, from the beginning of its step."""
    prepare_numerics()
    from rollouts.composition import Place, errors_shown, resume_rollout

    with errors_shown():
        sets = query_set or []
        place = Place(run_folder, releases, rollouts, gateway or [], prometheus, sets)
        state = resume_rollout(place, release, retry, yes=yes)
    _finish(state, as_json=as_json)


@app.command()
def abort(  # noqa: PLR0913, PLR0917 -- the options of a command
    release: Release = "",
    reason: Annotated[str, typer.Option(help="Why; kept in the log.")] = "by hand",
    run_folder: RunFolder = DEFAULT_RUN_FOLDER,
    releases: Releases = DEFAULT_RELEASES_FOLDER,
    rollouts: Rollouts = DEFAULT_ROLLOUTS,
    as_json: AsJson = False,
) -> None:
    """End a rollout now: everybody to the baseline, the canary stopped."""
    prepare_numerics()
    from rollouts.composition import Place, abort_rollout, errors_shown

    with errors_shown():
        state = abort_rollout(Place(run_folder, releases, rollouts), release, reason)
    _show(state, as_json=as_json)


@app.command()
def status(
    release: Release = "", rollouts: Rollouts = DEFAULT_ROLLOUTS, as_json: AsJson = False
) -> None:
    """Show where a rollout stands, and what its last decision was made by."""
    prepare_numerics()
    from rollouts.composition import exit_status_of
    from rollouts.state import Outcome, StateFile, newest_rollout

    with errors_as_exits():
        file = StateFile(rollouts, release) if release else newest_rollout(rollouts)
        state = file.read()
    _show(state, as_json=as_json)
    raise typer.Exit(0 if state.outcome is Outcome.RUNNING else exit_status_of(state))


@app.command()
def watch(  # noqa: PLR0913, PLR0917 -- the options of a command
    triggers: Annotated[
        bool, typer.Option("--triggers", help="Roll back when one fires, not only say so.")
    ] = False,
    gateway: Gateways = None,
    prometheus: Prometheus = "",
    plan: PlanFile = None,
    time_scale: TimeScale = 1.0,
    quality_file: Annotated[
        Path, typer.Option(help="Where the nightly evaluation writes how far R@5 dropped.")
    ] = Path("artifacts/eval/quality.prom"),
    run_folder: RunFolder = DEFAULT_RUN_FOLDER,
    releases: Releases = DEFAULT_RELEASES_FOLDER,
    rollouts: Rollouts = DEFAULT_ROLLOUTS,
) -> None:
    """Watch what is served until told to stop: error rate, P95 and R@5, each for its 10 minutes."""
    prepare_numerics()
    from rollouts.composition import Place, errors_shown, guard_stack, plan_of

    with errors_shown():
        place = Place(run_folder, releases, rollouts, gateway or [], prometheus)
        for fired in guard_stack(place, plan_of(plan), time_scale, quality_file, triggers=triggers):
            sys.stdout.write(f"{fired}\n")
            sys.stdout.flush()


def _finish(state: RolloutState, *, as_json: bool) -> None:
    from rollouts.composition import exit_status_of

    _show(state, as_json=as_json)
    raise typer.Exit(exit_status_of(state))


def _show(state: RolloutState, *, as_json: bool) -> None:
    from rollouts.show import show_state

    if as_json:
        sys.stdout.write(to_line(state))
    else:
        show_state(state)


if __name__ == "__main__":
    app()
