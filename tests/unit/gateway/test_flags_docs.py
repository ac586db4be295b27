"""docs/flags.md and the arms of docs/gateway.md say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from gateway.arms import parse_arms
from gateway.explain_log import ExplainPolicy
from gateway.explain_record import explain_record
from gateway.query import SearchQuery
from gateway.recording import Answered
from retrieval_core.flags import FLAG_NAMES, MAX_NPROBE, RETRIEVER_IMPLS, parse_flags
from servicekit.flag_file import DEFAULT_FLAGS_FILE
from servicekit.watched_file import MAX_BYTES
from tests.support.gateway_bench import TEXT, Bench
from tests.support.gateway_routes import bench_backends, router_of
from tools.flags import app

DOCS = Path(__file__).resolve().parents[3] / "docs"
FLAGS_PAGE = (DOCS / "flags.md").read_text("utf-8")
GATEWAY_PAGE = (DOCS / "gateway.md").read_text("utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def code_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.mark.parametrize("name", FLAG_NAMES)
def test_every_flag_has_its_row(name: str) -> None:
    assert FLAGS_PAGE.count(f"| `{name}` |") == 1


def test_the_values_of_flags_are_documented() -> None:
    (row,) = [line for line in FLAGS_PAGE.splitlines() if line.startswith("| `RETRIEVER_IMPL` |")]
    assert ", ".join(f"`{impl}`" for impl in RETRIEVER_IMPLS) in row
    assert f"0 to {MAX_NPROBE}" in FLAGS_PAGE
    assert f"{MAX_BYTES // 1024} KiB" in FLAGS_PAGE
    assert f"`{DEFAULT_FLAGS_FILE}`" in FLAGS_PAGE


def test_the_examples_are_files_that_are_accepted() -> None:
    (flags,) = code_blocks(FLAGS_PAGE, "json")
    assert set(parse_flags(flags)) == {*FLAG_NAMES, "canary"}
    (arms,) = code_blocks(GATEWAY_PAGE, "json")
    assert parse_arms(arms).canary is not None


def test_every_command_and_option_is_documented() -> None:
    assert set(COMMANDS) == {"show", "set", "apply", "kill", "restore"}
    for name, command in COMMANDS.items():
        assert re.search(rf"^\| `{name}[` ]", FLAGS_PAGE, re.MULTILINE), name
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert f"`{option}" in FLAGS_PAGE, option


async def test_every_key_of_the_explain_log_is_documented() -> None:
    bench = Bench()
    traffic = router_of(bench_backends(bench)).traffic
    answer = await bench.ask()
    answered = Answered(SearchQuery(TEXT), traffic, traffic.baseline, answer, bench.timings())
    hits = ExplainPolicy().hit_count
    record = explain_record(answered, hit_count=hits, with_text=True)
    section = GATEWAY_PAGE.partition("## The explain log")[2].partition("\n## ")[0]
    for key in {*record, *record["hits"][0], "time"}:
        assert f"`{key}`" in section, key
