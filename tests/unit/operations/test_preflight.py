"""Every box of preflight can be ticked, and every one of them can fail, for its own reason."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.intervals import Verdict
from operations.findings import CheckResult, exit_status_of, overall
from operations.preflight import CHECKS, run_preflight
from operations.preflight_subject import PreflightSubject
from operations.rehearsals import read_rehearsal
from releases.checksums import checksum_lines
from releases.pointers import switch_current
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact, InvalidInput
from tests.support.http_gateway import (
    HttpGateway,
    good_health,
    good_metrics,
    http_gateway,
    service,
    stage,
)
from tests.support.query_model_files import write_query_model
from tests.support.shippable import make_shippable, subject_of


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shippable") / "made"
    folder.mkdir()
    make_shippable(folder)
    return folder


@pytest.fixture
def gateway() -> Iterator[HttpGateway]:
    with http_gateway(good_health(), good_metrics()) as made:
        yield made


@pytest.fixture
def subject(master: Path, tmp_path: Path, gateway: HttpGateway) -> PreflightSubject:
    """A subject of its own to spoil; everything passes until a test does."""
    folder = tmp_path / "made"
    shutil.copytree(master, folder, symlinks=True, copy_function=shutil.copyfile)
    return dataclasses.replace(subject_of(folder), gateway=gateway.address)


def _one(subject: PreflightSubject, name: str) -> CheckResult:
    (result,) = run_preflight(subject, [name])
    return result


def test_everything_passes_where_all_is_well(subject: PreflightSubject) -> None:
    results = run_preflight(subject)
    assert [result for result in results if result.verdict is not Verdict.PASS] == []
    assert [result.name for result in results] == [check.name for check in CHECKS]
    assert overall(results) is Verdict.PASS
    assert exit_status_of(results) == 0
    assert [result.remedy for result in results if result.remedy] == []
    assert all(result.figure and result.limit for result in results)


Spoil = Callable[[PreflightSubject, HttpGateway], PreflightSubject | None]


def _without_query_model(subject: PreflightSubject, gateway: HttpGateway) -> PreflightSubject:
    pins = dataclasses.replace(subject.pins, retriever_impl="gru_v0")
    return dataclasses.replace(subject, pins=pins)


def _without_release(subject: PreflightSubject, gateway: HttpGateway) -> PreflightSubject:
    return dataclasses.replace(subject, release_name="gone")


def _other_tag(subject: PreflightSubject, gateway: HttpGateway) -> PreflightSubject:
    return dataclasses.replace(subject, tag="v9")


def _flip_a_byte(subject: PreflightSubject, gateway: HttpGateway) -> None:
    path = subject.paths.releases / "retriever_v0" / "shards" / "1" / "p_ivf.faiss"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _scan_too_little(subject: PreflightSubject, gateway: HttpGateway) -> PreflightSubject:
    return dataclasses.replace(subject, pins=dataclasses.replace(subject.pins, nprobe=1))


def _halve_queries(subject: PreflightSubject, gateway: HttpGateway) -> None:
    """A query model whose vectors are not of unit norm, in a release that is whole otherwise."""
    folder = subject.paths.releases / "retriever_v0"
    fingerprint = subject.release.manifest.encoder.fingerprint
    write_query_model(folder, "amn_v0", fingerprint, unit=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("amn_v0.onnx", "amn_v0.json"):
        content = {"sha256": sha256_of_file(folder / name), "bytes": (folder / name).stat().st_size}
        manifest["files"][name] = content
    (folder / "manifest.json").write_text(json.dumps(manifest))
    names = [*manifest["files"], "manifest.json"]
    digests = {name: sha256_of_file(folder / name) for name in names}
    (folder / "checksums.txt").write_bytes(checksum_lines(digests))
    del subject.__dict__["release"]


def _swap_hits(subject: PreflightSubject, gateway: HttpGateway) -> PreflightSubject:
    paths = dataclasses.replace(
        subject.paths, hits=subject.paths.reranked, reranked=subject.paths.hits
    )
    return dataclasses.replace(subject, paths=paths)


def _remove_hits(subject: PreflightSubject, gateway: HttpGateway) -> None:
    subject.paths.hits.unlink()


def _break_hits(subject: PreflightSubject, gateway: HttpGateway) -> None:
    subject.paths.hits.write_text("{}\n")


def _other_encoder(subject: PreflightSubject, gateway: HttpGateway) -> PreflightSubject:
    pins = dataclasses.replace(subject.pins, encoder="GTR-T5-768D")
    return dataclasses.replace(subject, pins=pins)


def _health(*keys: str, value: object) -> Spoil:
    """Change one value of /health."""

    def spoil(subject: PreflightSubject, gateway: HttpGateway) -> None:
        place: dict[str, Any] = gateway.health
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return spoil


def _coarse_buckets(subject: PreflightSubject, gateway: HttpGateway) -> None:
    gateway.metrics = "\n".join(
        line for line in gateway.metrics.splitlines() if 'le="0.008"' not in line
    )


def _no_histograms(subject: PreflightSubject, gateway: HttpGateway) -> None:
    gateway.metrics = "# nothing\n"


def _no_rules(subject: PreflightSubject, gateway: HttpGateway) -> PreflightSubject:
    paths = dataclasses.replace(subject.paths, rules=subject.paths.rehearsals)
    return dataclasses.replace(subject, paths=paths)


def _one_rule_milder(subject: PreflightSubject, gateway: HttpGateway) -> PreflightSubject:
    folder = subject.paths.rehearsals / "rules"
    folder.mkdir()
    text = (subject.paths.rules / "rules.yml").read_text()
    (folder / "rules.yml").write_text(text.replace("severity: critical", "severity: info"))
    paths = dataclasses.replace(subject.paths, rules=folder)
    return dataclasses.replace(subject, paths=paths)


def _no_previous(subject: PreflightSubject, gateway: HttpGateway) -> None:
    (subject.paths.releases / "previous").unlink()


def _damaged_previous(subject: PreflightSubject, gateway: HttpGateway) -> None:
    (subject.paths.releases / "v-1" / "p_ivf.faiss").write_bytes(b"short")


def _removed_previous(subject: PreflightSubject, gateway: HttpGateway) -> None:
    shutil.rmtree(subject.paths.releases / "v-1")


def _rehearsal(name: str, **changes: object) -> Spoil:
    def spoil(subject: PreflightSubject, gateway: HttpGateway) -> None:
        path = subject.paths.rehearsals / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def _forget(name: str) -> Spoil:
    def spoil(subject: PreflightSubject, gateway: HttpGateway) -> None:
        (subject.paths.rehearsals / name).unlink()

    return spoil


def _metrics(**changes: object) -> Spoil:
    def spoil(subject: PreflightSubject, gateway: HttpGateway) -> None:
        path = subject.paths.metrics
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def _no_metrics(subject: PreflightSubject, gateway: HttpGateway) -> None:
    subject.paths.metrics.unlink()


OTHER_SUBJECT = {"created": "2026-11-25T00:00:00Z", "release_id": "demo", "mode": "in_process"}
BASELINE = ("arms", "baseline")

FAULTS: list[tuple[str, Spoil, str, str]] = [
    ("release_files", _without_query_model, "FAIL", "missing: gru_v0.onnx, gru_v0.json"),
    ("release_files", _without_release, "FAIL", "no release 'gone'"),
    ("checksums", _without_release, "INCONCLUSIVE", "no release 'gone'"),
    ("git_tag", _other_tag, "FAIL", ""),
    ("checksums", _flip_a_byte, "FAIL", "shards/1/p_ivf.faiss sha256"),
    ("ivf_agreement", _scan_too_little, "FAIL", "at nprobe 1"),
    ("unit_norms", _halve_queries, "ERROR", "unit norm"),
    ("reranker_lift", _swap_hits, "FAIL", "rank 1 changes for 50%"),
    ("reranker_lift", _remove_hits, "INCONCLUSIVE", "is not there"),
    ("reranker_lift", _break_hits, "ERROR", "line 1: "),
    ("encoder_pin", _other_encoder, "FAIL", "pinned is GTR-T5-768D"),
    ("index_pin", _health(*BASELINE, "nprobe", value=3), "FAIL", "is the release's"),
    ("reranker_pin", _health(*BASELINE, "reranker", value="off"), "FAIL", ""),
    ("retriever_pin", _health(*BASELINE, "retriever_impl", value="gru_v0"), "FAIL", ""),
    ("retriever_pin", _health(*BASELINE, "retriever_impl", value=""), "FAIL", "own default"),
    ("retriever_pin", _health("arms", value={}), "INCONCLUSIVE", "does not say"),
    ("health", _health("status", value="degraded"), "FAIL", ""),
    ("health", _health("version", value="v-1"), "FAIL", "retriever_v0 is to be shipped"),
    ("health", _health("coverage", value=0.5), "FAIL", ""),
    ("health", _health("flags", value={"error": "unknown key X"}), "FAIL", "unknown key X"),
    ("histograms", _coarse_buckets, "FAIL", "gateway_stage_duration_seconds le=0.008"),
    ("histograms", _no_histograms, "FAIL", "missing: gateway_stage_duration_seconds"),
    ("budgets", _health("stages", "RERANK", value=stage(2.1)), "FAIL", "over budget: RERANK"),
    ("budgets", _health("stages", "RETRIEVAL", value=stage(8.5)), "FAIL", "RETRIEVAL"),
    ("budgets", _health("stages", "TOTAL", value=stage(5, 20)), "INCONCLUSIVE", "TOTAL 20"),
    ("budgets", _health("stages", value={}), "INCONCLUSIVE", "too few requests"),
    ("alerts", _no_rules, "FAIL", "holds no *.yml"),
    ("alerts", _one_rule_milder, "FAIL", "missing: RetrievalErrorRate (critical)"),
    ("previous_release", _no_previous, "FAIL", "nothing to go back to"),
    ("previous_release", _damaged_previous, "FAIL", "p_ivf.faiss has 5 bytes"),
    ("previous_release", _removed_previous, "FAIL", "is not there"),
    ("rollback_rehearsed", _rehearsal("rollback.json", seconds=9), "FAIL", "took too long"),
    ("rollback_rehearsed", _rehearsal("rollback.json", failed_requests=2), "FAIL", "2 requests"),
    ("rollback_rehearsed", _rehearsal("rollback.json", stack_switched=False), "FAIL", "no stack"),
    ("rollback_rehearsed", _forget("rollback.json"), "INCONCLUSIVE", "nothing was rehearsed"),
    ("rollback_rehearsed", _rehearsal("rollback.json", time="late"), "ERROR", "is no time"),
    (
        "kill_switch_rehearsed",
        _rehearsal("kill_switch.json", time="2026-11-01T00:00:00Z"),
        "FAIL",
        "it is 26 days old",
    ),
    ("kill_switch_rehearsed", _rehearsal("kill_switch.json", seconds=1.5), "FAIL", "too long"),
    ("ship_gates", _metrics(verdict="FAIL"), "FAIL", "evaluated"),
    ("ship_gates", _metrics(verdict="INCONCLUSIVE"), "INCONCLUSIVE", "evaluated"),
    ("ship_gates", _metrics(subject=OTHER_SUBJECT), "FAIL", "is an evaluation of demo"),
    ("ship_gates", _no_metrics, "INCONCLUSIVE", "is not there"),
]


@pytest.mark.parametrize(("name", "spoil", "verdict", "detail"), FAULTS)
def test_each_fault_is_found_by_its_check(  # noqa: PLR0917
    subject: PreflightSubject,
    gateway: HttpGateway,
    name: str,
    spoil: Spoil,
    verdict: str,
    detail: str,
) -> None:
    spoiled = spoil(subject, gateway) or subject
    result = _one(spoiled, name)
    assert result.verdict.value == verdict, result
    assert detail in result.detail
    assert result.remedy
    assert exit_status_of([result]) == {"FAIL": 1, "ERROR": 1, "INCONCLUSIVE": 4}[verdict]


def test_every_check_is_seen_to_fail() -> None:
    assert {name for name, *_ in FAULTS} == {check.name for check in CHECKS}


def test_a_gateway_that_is_gone_is_unreachable_and_not_a_pass(subject: PreflightSubject) -> None:
    gone = dataclasses.replace(subject, gateway="127.0.0.1:9")
    results = run_preflight(gone)
    unreachable = {result.name for result in results if result.is_unreachable}
    assert unreachable == {
        "index_pin",
        "reranker_pin",
        "retriever_pin",
        "health",
        "histograms",
        "budgets",
    }
    assert exit_status_of(results) == 3
    assert overall(results) is Verdict.ERROR
    assert "make up" in _one(gone, "health").remedy


def test_before_the_switch_the_way_back_is_what_is_current(subject: PreflightSubject) -> None:
    switch_current(subject.paths.releases, "v-1")
    shipping = dataclasses.replace(subject, release_name="retriever_v0")
    assert _one(shipping, "previous_release").figure == "v-1"


def test_a_check_that_breaks_does_not_hide_the_others(subject: PreflightSubject) -> None:
    subject.paths.metrics.write_text("{}")
    results = run_preflight(subject, ["ship_gates", "git_tag"])
    assert [result.verdict.value for result in results] == ["PASS", "ERROR"]


def test_names_of_no_check_are_refused(subject: PreflightSubject) -> None:
    with pytest.raises(InvalidInput, match="'nothing' is none of release_files"):
        run_preflight(subject, ["nothing"])


def test_other_files_are_no_rehearsals(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"time": "2026-01-01T00:00:00Z"}')
    with pytest.raises(DamagedArtifact, match="no record of a rehearsal"):
        read_rehearsal(tmp_path / "x.json")
    assert service()["serving"]
