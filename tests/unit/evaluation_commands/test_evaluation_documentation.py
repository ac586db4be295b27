"""docs/evaluation.md names every command and every option, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from tools import (
    ab_reranker,
    check_l2_norms,
    compare_metrics,
    compare_rerank,
    ivf_vs_flat_check,
    make_query_set,
    nightly_eval,
    nprobe_sweep,
    rebuild_flat_truth,
    run_clean_eval,
)

PAGE = Path(__file__).parents[3] / "docs" / "evaluation.md"
APPS = {
    "run_clean_eval": run_clean_eval.app,
    "compare_metrics": compare_metrics.app,
    "compare_rerank": compare_rerank.app,
    "ivf_vs_flat_check": ivf_vs_flat_check.app,
    "nprobe_sweep": nprobe_sweep.app,
    "rebuild_flat_truth": rebuild_flat_truth.app,
    "check_l2_norms": check_l2_norms.app,
    "make_query_set": make_query_set.app,
    "nightly_eval": nightly_eval.app,
    "ab_reranker": ab_reranker.app,
}


def _options(app: typer.Typer) -> set[str]:
    command = typer.main.get_command(app)
    commands = getattr(command, "commands", {"": command}).values()
    return {
        each.opts[0]
        for sub in commands
        for each in sub.params
        if each.opts[0].startswith("--") and each.opts[0] != "--help"
    }


def _documented(name: str) -> set[str]:
    section = re.search(rf"### tools/{name}\.py\n(.*?)(?=\n##)", PAGE.read_text("utf-8"), re.DOTALL)
    assert section, f"no section about tools/{name}.py"
    listed = re.search(r"\nOptions: (.*?)\n\n", section[1] + "\n\n", re.DOTALL)
    assert listed
    return set(re.findall(r"`(--[a-z0-9-]+)`", listed[1]))


@pytest.mark.parametrize("name", sorted(APPS))
def test_every_option_is_documented_and_no_other(name: str) -> None:
    assert _documented(name) == _options(APPS[name])


@pytest.mark.parametrize("name", sorted(APPS))
def test_every_command_has_json_and_says_what_its_options_mean(name: str) -> None:
    assert "--json" in _options(APPS[name])
    command = typer.main.get_command(APPS[name])
    commands = getattr(command, "commands", {"": command}).values()
    silent = [
        option.opts[0]
        for sub in commands
        for option in sub.params
        if not getattr(option, "help", None)
    ]
    assert silent == []
