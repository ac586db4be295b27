"""Everything that preflight wants: a release with all its files, evaluations, rehearsals, a tag."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path

from encoder_svc.manifest import open_model_folder
from evaluation.hits_files import QueryHits, write_hits
from operations.preflight_subject import Paths, Pins, PreflightSubject
from releases.manifest import Gate
from releases.pointers import switch_current
from releases.writing import lock_build, publish_release, staging_folder
from tests.support.query_model_files import write_query_model
from tests.support.tiny_release import build_tiny_release, clustered_vectors, tiny_corpus
from tests.unit.building.tiny_encoder import make_encoder_folder

NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.UTC)
ROOT = Path(__file__).parents[2]
STAND_INS = ("reranker_mlp_v0.onnx", "reranker_mlp_v0.json")
CANDIDATES = 50


def make_shippable(folder: Path) -> PreflightSubject:
    """A subject that passes every check but those of a gateway, which it still has to be given."""
    releases = folder / "releases"
    encoder = make_encoder_folder(folder / "model")
    build_tiny_release(releases, name="v-1", corpus=tiny_corpus(120))
    _ship(releases, encoder)
    switch_current(releases, "v-1")
    switch_current(releases, "retriever_v0")
    _write_hits(folder)
    _write_metrics(folder / "metrics.json")
    _write_rehearsals(folder / "rehearsals")
    _make_repository(folder / "repository")
    return subject_of(folder)


def subject_of(folder: Path) -> PreflightSubject:
    """The subject that make_shippable made in the folder, or in one that this is a copy of."""
    paths = Paths(
        releases=folder / "releases",
        hits=folder / "hits50_baseline.jsonl",
        reranked=folder / "hits50_reranked.jsonl",
        metrics=folder / "metrics.json",
        rehearsals=folder / "rehearsals",
        rules=ROOT / "deploy" / "prometheus",
        repository=folder / "repository",
    )
    return PreflightSubject(NOW, paths=paths, pins=Pins(encoder="none"))


def _ship(releases: Path, encoder: Path) -> None:
    """retriever_v0, in two shards, with an encoder and a query model that run."""
    fingerprint = open_model_folder(encoder).manifest.fingerprint
    plain = build_tiny_release(
        releases.parent / "plain",
        name="plain",
        # Vectors without clusters: one list holds few of the nearest, and all lists hold all.
        corpus=dataclasses.replace(tiny_corpus(300), vectors=clustered_vectors(300, clusters=1)),
        shard_count=2,
        fingerprint=fingerprint,
        encoder_folder=encoder,
    )
    manifest = dataclasses.replace(
        plain.release.manifest,
        release_id="retriever_v0",
        created="2026-02-01T00:00:00Z",
        reranker="reranker_mlp_v0",
        gates={"unit_norm": Gate(1e-7, 1e-5, True)},
    )
    with lock_build(releases, "retriever_v0"), staging_folder(releases, "retriever_v0") as staging:
        shutil.copytree(plain.folder, staging, dirs_exist_ok=True)
        for name in ("manifest.json", "checksums.txt", "VERSION"):
            (staging / name).unlink()
        for name in STAND_INS:
            (staging / name).write_bytes(b"stands for a reranker, which preflight does not run")
        write_query_model(staging, "amn_v0", fingerprint)
        publish_release(staging, releases, manifest)


def _write_hits(folder: Path) -> None:
    """60 context queries of 20 articles; reranking brings 30 golds from rank 9 to rank 1."""
    ids = tuple(range(CANDIDATES))
    scores = tuple(1.0 - place / 100 for place in ids)
    before, after = [], []
    for number in range(60):
        gold = 8 if number % 2 else 0
        facts = {"task": "next_passage", "article_id": f"a{number // 3}"}
        ranked = (gold, *(place for place in ids if place != gold))
        before.append(QueryHits(f"q{number}", (gold,), ids, scores, **facts))
        after.append(QueryHits(f"q{number}", (gold,), ranked, scores, **facts))
    write_hits(before, folder / "hits50_baseline.jsonl")
    write_hits(after, folder / "hits50_reranked.jsonl")


def _write_metrics(path: Path, release_id: str = "retriever_v0", verdict: str = "PASS") -> None:
    interval = {"mean": 0.9, "low": 0.88, "high": 0.92}
    measures = dict.fromkeys(("R@5", "MRR", "Contain@50"), interval)
    subject = {"created": "2026-11-25T00:00:00Z", "release_id": release_id, "mode": "in_process"}
    one = {"name": "set", "task": "question", "query_count": 60, "stages": {"search": measures}}
    report = {
        "format": "retrieval-evaluation/1",
        "subject": subject,
        "verdict": verdict,
        "query_sets": [one],
    }
    path.write_text(json.dumps(report))


def _write_rehearsals(folder: Path) -> None:
    folder.mkdir()
    common = {
        "time": "2026-11-25T12:00:00Z",
        "requests": 400,
        "failed_requests": 0,
        "stack_switched": True,
    }
    rollback = {"from_release": "retriever_v0", "to_release": "v-1", "seconds": 1.2}
    (folder / "rollback.json").write_text(json.dumps({**common, **rollback}))
    switch = {"subject": "gateway", "seconds": 0.4}
    (folder / "kill_switch.json").write_text(json.dumps({**common, **switch}))


def _make_repository(folder: Path) -> None:
    folder.mkdir()
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for arguments in (
        ["init", "-q"],
        [*identity, "commit", "-q", "--allow-empty", "-m", "Begin"],
        ["tag", "v0-retriever"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True, timeout=30)
