"""The same evaluation in process and through running services gives the same rankings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local.stack import LocalStack
from evaluation.arms import Arm, key_of_arm
from evaluation.hits_files import read_hits
from evaluation.querysets import read_query_set
from retrieval_client import RetrievalClient
from tests.support.local_stacks import addresses_of, build_text_release, running_stack
from tools import ab_reranker, make_query_set, run_clean_eval

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_text_release(tmp_path_factory.mktemp("release"), shard_count=2)


@pytest.fixture(scope="module")
def windows(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "windows"
    done = CliRunner().invoke(
        make_query_set.app,
        ["windows", "--release", str(release), "--part", "all", "--out", str(out)],
    )
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture(scope="module")
def stack(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with running_stack(release, tmp_path_factory.mktemp("run")) as stack:
        yield stack


def _evaluate(release: Path, windows: Path, out: Path, *more: str) -> tuple[int, str]:
    arguments = ["--release", str(release), "--query-set", str(windows), "--out", str(out)]
    done = CliRunner().invoke(
        run_clean_eval.app, [*arguments, "--resamples", "200", "--timeout-ms", "30000", *more]
    )
    assert done.exit_code in {0, 1, 2, 4}, done.output
    return done.exit_code, done.stderr


def test_services_rank_as_the_release_does_in_process(
    release: Path, windows: Path, stack: LocalStack, tmp_path: Path
) -> None:
    (address,) = addresses_of(stack, "gateway")
    _evaluate(release, windows, tmp_path / "services.json", "--address", address)
    _evaluate(release, windows, tmp_path / "process.json")
    reports = [
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("services", "process")
    ]
    assert [report["subject"]["mode"] for report in reports] == ["services", "in_process"]
    served, here = (report["query_sets"][0] for report in reports)
    assert served["incomplete_count"] == served["degraded_count"] == 0
    assert served["query_model"] == here["query_model"]
    assert set(served["stages"]) == set(here["stages"])
    for stage, measures in here["stages"].items():
        assert served["stages"][stage] == measures, stage
    for stage in reports[0]["subject"]["hits"]:
        suffix = {"search": "baseline", "rerank": "reranked"}[stage]
        pairs = zip(
            read_hits(tmp_path / f"services_hits50_{suffix}.jsonl"),
            read_hits(tmp_path / f"process_hits50_{suffix}.jsonl"),
            strict=True,
        )
        for over_the_wire, in_process in pairs:
            assert over_the_wire.ids == in_process.ids
            assert over_the_wire.scores == pytest.approx(in_process.scores, abs=1e-3)


def test_the_reranker_is_weighed_on_a_slice(
    release: Path, windows: Path, stack: LocalStack, tmp_path: Path
) -> None:
    (address,) = addresses_of(stack, "gateway")
    out = tmp_path / "ab.json"
    arguments = ["--address", address, "--release", str(release), "--query-set", str(windows)]
    done = CliRunner().invoke(
        ab_reranker.app, [*arguments, "--out", str(out), "--timeout-ms", "30000", "--json"]
    )
    count = len(read_query_set(windows).queries)
    # A handful of queries of six articles decides nothing, unless the machine is too slow.
    assert done.exit_code in {1, 4}, done.output
    (found,) = json.loads(done.stdout)["query_sets"]
    assert out.read_text() == done.stdout
    assert found["query_count"] == count
    assert found["rerank_ms"]["count"] == count
    assert found["added_ms"]["mean"] > 0.0
    gates = {gate["name"]: gate["verdict"] for gate in found["gates"]}
    assert (gates["enough queries"], gates["reranked"]) == ("INCONCLUSIVE", "PASS")


def test_the_arms_of_a_gateway_are_asked_on_purpose(
    release: Path, windows: Path, stack: LocalStack, tmp_path: Path
) -> None:
    """A canary that differs in the reranker alone: an A/B by arms, and an evaluation of either."""
    (address,) = addresses_of(stack, "gateway")
    flags = stack.folder / "flags.json"
    before = flags.read_text()
    flags.write_text(json.dumps({"CANARY_PERCENT": 10, "canary": {"RERANKER": "off"}}))
    key = key_of_arm(Arm.CANARY)
    try:
        with RetrievalClient(address, timeout_ms=30_000) as client:
            while client.search("bake", routing_key=key).arm != Arm.CANARY.value:
                pass
        asked = ["--address", address, "--release", str(release), "--query-set", str(windows)]
        done = CliRunner().invoke(
            ab_reranker.app, [*asked, "--by-arms", "--timeout-ms", "30000", "--json"]
        )
        assert done.exit_code in {1, 4}, done.output
        assert "on both arms" in json.loads(done.stdout)["how"]
        _evaluate(
            release, windows, tmp_path / "r.json", "--address", address, "--arm", Arm.CANARY.value
        )
        (found,) = json.loads((tmp_path / "r.json").read_text())["query_sets"]
        assert "rerank" not in found["stages"]
    finally:
        flags.write_text(before)
    with RetrievalClient(address, timeout_ms=30_000) as client:
        while client.search("bake", routing_key=key).arm == Arm.CANARY.value:
            pass
    status, error = _evaluate(
        release, windows, tmp_path / "s.json", "--address", address, "--arm", Arm.CANARY.value
    )
    assert (status, "ARM_MISMATCH" in error) == (2, True)


def test_no_gateway_is_told_apart(release: Path, windows: Path) -> None:
    arguments = ["--address", "127.0.0.1:9", "--release", str(release)]
    done = CliRunner().invoke(ab_reranker.app, [*arguments, "--query-set", str(windows)])
    assert done.exit_code == 3


def test_services_of_another_release_are_refused(
    windows: Path, stack: LocalStack, tmp_path: Path
) -> None:
    """The same corpus in one shard is another release: what answers is still not it."""
    (address,) = addresses_of(stack, "gateway")
    other = build_text_release(tmp_path, shard_count=1)
    status, error = _evaluate(other, windows, tmp_path / "r.json", "--address", address)
    assert status == 2
    assert "RELEASE_MISMATCH" in error
    assert not (tmp_path / "r.json").exists()
