"""What differs between releases is shown, and what was measured is sealed into a new one."""

import json
from pathlib import Path
from typing import Any

import pytest

from releases.bundle import open_release
from releases.comparing import compare_releases, release_metrics
from releases.deriving import derive_release
from releases.describing import summarize
from releases.manifest import Gate
from releases.operating_point import OperatingPoint, write_operating_point
from releases.pointers import switch_current
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, InvalidInput
from tests.unit.releases.release_files import make_release, overwrite

CREATED = "2026-02-03T04:05:06Z"


def _evaluation(release_id: str, r_at_5: float) -> dict[str, Any]:
    interval = {"mean": r_at_5, "low": r_at_5 - 0.01, "high": r_at_5 + 0.01}
    gate = {"name": "R@5 or MRR", "figure": r_at_5, "limit": 0.3, "verdict": "PASS"}
    return {
        "format": "retrieval-evaluation/1",
        "subject": {"release_id": release_id},
        "query_sets": [{"name": "q", "stages": {"rerank": {"R@5": interval}}, "gates": [gate]}],
        "gates": [{"name": "clean", "figure": None, "limit": 1.0, "verdict": "PASS"}],
    }


def _written(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_a_sealed_evaluation_brings_its_gates_and_the_operating_point(tmp_path: Path) -> None:
    source = make_release(tmp_path, "one", shard_count=2)
    write_operating_point(source, OperatingPoint(1, CREATED, -0.1, 2.5))
    metrics = _written(tmp_path / "m.json", _evaluation("one", 0.41))
    made = derive_release(source, tmp_path, "two", created=CREATED, metrics=metrics)
    assert (made.release_id, made.manifest.nprobe, made.manifest.created) == ("two", 1, CREATED)
    assert made.manifest.gates["q: R@5 or MRR"] == Gate(0.41, 0.3, True)
    assert made.manifest.gates["unit_norm"] == source.manifest.gates["unit_norm"]
    assert (made.folder / "VERSION").read_text() == "two\n"
    assert release_metrics(made) == {"q/rerank/R@5": 0.41}
    assert release_metrics(source) == {}
    made.verify()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (_evaluation("other", 0.4), "is an evaluation of other, not of one"),
        ({"query_sets": []}, "is not an evaluation"),
        ([1], "is not an evaluation"),
    ],
)
def test_other_evaluations_are_refused(tmp_path: Path, value: object, message: str) -> None:
    source = make_release(tmp_path, "one")
    path = _written(tmp_path / "m.json", value)
    with pytest.raises(InvalidInput, match=message):
        derive_release(source, tmp_path, "two", created=CREATED, metrics=path, nprobe=1)
    assert not (tmp_path / "two").exists()


def test_a_damaged_source_is_not_sealed(tmp_path: Path) -> None:
    source = make_release(tmp_path, "one")
    with pytest.raises(InvalidInput, match="--nprobe: is 3"):
        derive_release(source, tmp_path, "two", created=CREATED, nprobe=3)
    with pytest.raises(FailedPrecondition, match="exists"):
        derive_release(source, tmp_path, "one", created=CREATED, nprobe=1)
    overwrite(source.folder / "p_ivf.faiss", b"other")
    with pytest.raises(DamagedArtifact):
        derive_release(source, tmp_path, "two", created=CREATED, nprobe=1)
    assert not (tmp_path / "two").exists()


def test_a_difference_names_facts_files_gates_and_measures(tmp_path: Path) -> None:
    one = make_release(tmp_path, "one")
    metrics = _written(tmp_path / "m.json", _evaluation("one", 0.41))
    two = derive_release(one, tmp_path, "two", created=CREATED, metrics=metrics, nprobe=1)
    found = compare_releases(one, two)
    facts = {change.name: (change.before, change.after) for change in found.facts}
    assert facts == {"nprobe": (8, 1), "nprobe in force": (8, 1)}
    assert [change.name for change in found.files] == ["metrics.json"]
    assert [change.name for change in found.gates] == ["q: R@5 or MRR"]
    assert [(each.name, each.before, each.after) for each in found.metrics] == [
        ("q/rerank/R@5", None, 0.41)
    ]
    same = compare_releases(two, two)
    assert (same.facts, same.files, same.gates) == ((), (), ())
    assert [each.before for each in same.metrics] == [0.41]


def test_files_that_differ_are_told_by_digest(tmp_path: Path) -> None:
    found = compare_releases(make_release(tmp_path, "one"), make_release(tmp_path, "two", 2))
    assert {change.name: change.before is None for change in found.files} == {
        "p_ivf.faiss": False,
        "passages.arrow": False,
        "projections.npy": False,
        **{
            f"shards/{shard}/{name}": True
            for shard in (0, 1)
            for name in ("p_ivf.faiss", "passages.arrow", "projections.npy")
        },
    }


def test_a_summary_says_where_a_release_stands(tmp_path: Path) -> None:
    make_release(tmp_path, "one")
    make_release(tmp_path, "two")
    switch_current(tmp_path, "one")
    found = summarize(tmp_path, "one")
    assert (found.pointers, found.is_served, found.damage) == (("current",), False, "")
    assert found.passage_count == open_release(tmp_path / "one").manifest.passage_count
    overwrite(tmp_path / "two" / "manifest.json", b"{}")
    assert "`format` is missing" in summarize(tmp_path, "two").damage
