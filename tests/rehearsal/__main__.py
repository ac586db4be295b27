"""`python -m tests.rehearsal`: the 48 hours in minutes, on this machine, with five candidates.

Exit status 0 when every rollout ended as it should, for the right reason, and its log says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.rehearsal.running import Played, play, play_trigger
from tests.rehearsal.scenarios import ALL
from tests.rehearsal.stages import Pace, a_stage
from tests.support.local_stacks import ROOT

RECORD = Path("artifacts/rehearsals/rollout.json")


def main() -> int:
    """Play every scenario and show what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time-scale", type=float, default=1440.0, help="48 h in 120 s")
    parser.add_argument("--keep", type=Path, help="keep the logs of the rollouts in this folder")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        played, trigger_problems = rehearse(Path(scratch), Pace(options.time_scale))
        if options.keep:
            shutil.copytree(Path(scratch) / "rollouts", options.keep, dirs_exist_ok=True)
    elapsed_s = time.monotonic() - began
    for one in played:
        show(one)
    print(f"{'FAIL' if trigger_problems else 'ok':<4} a broken service, rolled back by its watch")
    for problem in trigger_problems:
        print(f"     but {problem}")
    print(f"{elapsed_s:.0f} s, of them {sum(one.seconds for one in played):.0f} s of rollouts")
    write_record(played, trigger_problems, elapsed_s)
    return 1 if trigger_problems or any(one.problems for one in played) else 0


def rehearse(folder: Path, pace: Pace) -> tuple[list[Played], tuple[str, ...]]:
    """All scenarios, one after the other, on one stack; then the trigger, and what it got wrong."""
    with a_stage(folder, ROOT / "docs", pace, report=say) as stage:
        played = [play(stage, scenario, say) for scenario in ALL]
        problems = play_trigger(stage, say)
        say(f"{stage.callers.count('ok')} requests answered, {dict(stage.callers.outcomes)}")
        return played, problems


def say(line: str) -> None:
    """Progress goes to standard error."""
    print(line, file=sys.stderr, flush=True)


def show(one: Played) -> None:
    """A few lines for people."""
    steps = ", ".join(f"{percent:g} %" for percent in one.percents)
    print(f"{'FAIL' if one.problems else 'ok':<4} {one.scenario.name} ({one.seconds:.0f} s)")
    print(f"     {one.outcome} after {steps}: {one.verdict}, {one.reason}")
    for problem in one.problems:
        print(f"     but {problem}")


def write_record(played: list[Played], trigger_problems: tuple[str, ...], elapsed_s: float) -> None:
    """What was rehearsed and when, for preflight."""
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(elapsed_s, 1),
        "passed": not trigger_problems and not any(one.problems for one in played),
        "trigger_problems": list(trigger_problems),
        "scenarios": {
            one.scenario.name: {
                "outcome": one.outcome,
                "verdict": one.verdict,
                "reason": one.reason,
                "problems": list(one.problems),
            }
            for one in played
        },
    }
    RECORD.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
