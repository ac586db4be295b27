"""Every command of the pages that operators follow, typed in order on a small release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checklist.checklist_steps import command_lines, operator_pages
from tests.support.operator_shell import OperatorShell, operator_shell

pytestmark = pytest.mark.timeout(600)

# Made-up words are nothing to judge models by, and a busy machine is no budget to judge times by.
VERDICTS = {0, 1, 4}
ACCEPTED = {
    "python tools/run_clean_eval.py": VERDICTS,
    "python tools/compare_metrics.py": VERDICTS,
    "python tools/compare_rerank.py": VERDICTS,
    "python tools/preflight.py": VERDICTS,
    "python tools/weekly_maintenance.py": VERDICTS,
    "python tools/diagnose_retriever.py": {0, 1},
}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorShell]:
    with operator_shell(tmp_path_factory.mktemp("operator")) as made:
        # The runbook begins the day before: the release before is the one that is current.
        made.ran("python tools/release.py rollback v-1")
        yield made


@pytest.mark.parametrize("page", operator_pages(), ids=lambda page: page.name)
def test_every_command_of_the_page_runs(page: Path, shell: OperatorShell) -> None:
    commands = command_lines(page)
    for command in commands:
        done = shell.type(command)
        accepted = next(
            (statuses for begin, statuses in ACCEPTED.items() if command.startswith(begin)), {0}
        )
        assert done.returncode in accepted, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, command
