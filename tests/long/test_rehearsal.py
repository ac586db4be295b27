"""Five rollouts on a real stack: each ends as it should, for the right reason, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rehearsal.running import play, play_trigger
from tests.rehearsal.scenarios import ALL
from tests.rehearsal.stages import Pace, a_stage
from tests.support.local_stacks import ROOT

pytestmark = pytest.mark.timeout(900)


def test_every_candidate_ends_as_it_should(tmp_path: Path) -> None:
    with a_stage(tmp_path, ROOT / "docs", Pace(time_scale=1440), report=print) as stage:
        played = [play(stage, scenario, print) for scenario in ALL]
        assert play_trigger(stage, print) == ()
    assert {one.scenario.name: one.problems for one in played if one.problems} == {}
