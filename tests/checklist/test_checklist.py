"""Every command of the checklist runs as written, in its order, and does what it is for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.checklist.checklist_steps import Step, checklist
from tests.support.operator_shell import OperatorShell

Done = subprocess.CompletedProcess[str]
STEPS = checklist()

# Made-up words are nothing to judge models by: any verdict will do, but it has to be one.
VERDICTS = {0, 1, 4}
ACCEPTED = {
    "python tools/run_clean_eval.py": VERDICTS,
    "python tools/compare_rerank.py": VERDICTS,
    "python tools/diagnose_retriever.py": {0, 1},
}
PREPARED = """
evaluate() { python tools/run_clean_eval.py "$@" || test $? -eq 1 -o $? -eq 4; }
evaluate --release v-1 --out artifacts/eval/baseline_metrics.json
evaluate --out artifacts/eval/metrics.json --hits artifacts/eval/hits50
python -m deploy.local up --release retriever_v0
"""


@dataclass
class Checklist:
    """Runs the steps in order, each once; asked for one, it runs those before it."""

    shell: OperatorShell
    done: list[Done] = field(default_factory=list)

    def result(self, step: Step) -> Done:
        if not self.done:
            self.shell.ran(PREPARED)
        while len(self.done) <= step.number:
            self.done.append(self.shell.type(STEPS[len(self.done)].command))
        return self.done[step.number]


@pytest.fixture(scope="module")
def run(shell: OperatorShell) -> Checklist:
    return Checklist(shell)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_command_runs_as_written(step: Step, run: Checklist) -> None:
    done = run.result(step)
    accepted = next(
        (statuses for begin, statuses in ACCEPTED.items() if step.command.startswith(begin)), {0}
    )
    assert done.returncode in accepted, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for begin, check in CHECKS.items():
        if step.command.startswith(begin):
            check(run.shell, done)


def is_verdict(shell: OperatorShell, done: Done) -> None:
    assert "verdict: " in done.stdout


def both_indexes_are_summed(shell: OperatorShell, done: Done) -> None:
    names = [line.split("/")[-1] for line in done.stdout.splitlines()]
    assert names == ["p_flat_ip.faiss", "p_ivf.faiss"]
    listed = (shell.root / "artifacts/releases/retriever_v0/checksums.txt").read_text("utf-8")
    assert all(line.split()[0] in listed for line in done.stdout.splitlines())


def the_share_is_carried(shell: OperatorShell, done: Done) -> None:
    percent = int(shell.exported["CANARY_PERCENT"])
    if percent < 100:
        assert shell.cluster.traffic() == {"v-1": 100 - percent, "retriever_v0": percent}
    else:
        assert shell.cluster.traffic() == {"retriever_v0": 100}


def the_release_before_answers_everybody(shell: OperatorShell, done: Done) -> None:
    assert shell.cluster.traffic()["v-1"] == 100


def the_version_is_the_release_before(shell: OperatorShell, done: Done) -> None:
    assert done.stdout == '"v-1"\n'


def pointers_went_back(shell: OperatorShell, done: Done) -> None:
    assert (shell.root / "artifacts/releases/current").resolve().name == "v-1"


def a_value_is_picked(shell: OperatorShell, done: Done) -> None:
    sweep = json.loads((shell.root / "artifacts/tuning/nprobe_sweep.json").read_text("utf-8"))
    assert [point["nprobe"] for point in sweep["points"]] == [4, 8, 12, 16]
    assert sweep["verdict"] == "PASS"


def the_history_is_json_lines(shell: OperatorShell, done: Done) -> None:
    lines = (shell.root / "artifacts/eval/history.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["subject"]["release_id"] for line in lines] == ["v-1"]


CHECKS: dict[str, Callable[[OperatorShell, Done], None]] = {
    "sha256sum": both_indexes_are_summed,
    "python tools/ivf_vs_flat_check.py": is_verdict,
    "python tools/compare_rerank.py": is_verdict,
    "python tools/run_clean_eval.py": is_verdict,
    "python tools/compare_metrics.py": is_verdict,
    "kubectl apply": the_share_is_carried,
    "kubectl rollout undo": the_release_before_answers_everybody,
    "bash scripts/rollback_retriever.sh": pointers_went_back,
    "curl": the_version_is_the_release_before,
    "python tools/check_rollback.py": is_verdict,
    "python tools/nprobe_sweep.py": a_value_is_picked,
    "cat artifacts/eval/weekly": the_history_is_json_lines,
}


def test_every_check_belongs_to_a_command() -> None:
    for begin in (*CHECKS, *ACCEPTED):
        assert any(step.command.startswith(begin) for step in STEPS), begin
