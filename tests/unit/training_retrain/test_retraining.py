"""Retraining proposes what is surely better, and nothing else; what is served stays as it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from encoder_svc.query_models import RULES
from evaluation.index_files import read_index
from evaluation.intervals import Bootstrap, Interval, Verdict
from evaluation.rerankers import served_reranker
from releases.bundle import Release, open_release
from releases.layout import FLAT_INDEX_NAME
from rerank_svc.candidates import QueryKind
from rerank_svc.model import RerankModel
from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import Float32Matrix
from tests.support.drifting_corpus import LIMITS, DriftingEncoder, made_up_corpus
from tests.support.rerank_samples import make_ranker
from tests.unit.building.tiny_encoder import make_encoder_folder
from tools import build_release
from training.encoder.corpus import Paragraph, read_paragraphs
from training.reranker.fit import FitOptions, fit_ranker
from training.reranker.graph import Provenance, write_reranker
from training.reranker.material import ContextModels, Material, encode_material
from training.retrain import candidates
from training.retrain.__main__ import main
from training.retrain.comparing import (
    PairComparison,
    RankingPair,
    compare_ranking_pairs,
    judge_no_loss,
    judge_rise,
)
from training.retrain.corpus import paragraphs_of_release, write_paragraphs
from training.retrain.proposals import choose, new_folder

FEW = Bootstrap(resamples=300)
MODELS = ContextModels(RULES["mean"], RULES["mean"])
ARTICLES = 80
PARAGRAPHS = 6


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    cache = tmp_path_factory.mktemp("cache")
    return encode_material(made_up_corpus(110), DriftingEncoder(3.0), cache, MODELS, LIMITS)


@pytest.fixture(scope="module")
def fitted(material: Material, tmp_path_factory: pytest.TempPathFactory) -> RerankModel:
    folder = tmp_path_factory.mktemp("fitted")
    # Without an epoch the order of the search stays: questions neither win nor lose.
    epochs_of = {QueryKind.QUESTION: 0, QueryKind.CONTEXT: 8}
    rankers = {
        kind: fit_ranker(
            material.lists(kind, "train"),
            material.lists(kind, "validation"),
            FitOptions(units=16, epochs=epochs, lists_per_step=32),
            lambda _: None,
        )
        for kind, epochs in epochs_of.items()
    }
    write_reranker(rankers, Provenance("f", "e", "c", {}), folder)
    return RerankModel.load(folder)


@pytest.fixture(scope="module")
def senseless(tmp_path_factory: pytest.TempPathFactory) -> RerankModel:
    folder = tmp_path_factory.mktemp("senseless")
    rankers = {kind: make_ranker(9 + kind.value) for kind in QueryKind}
    write_reranker(rankers, Provenance("f", "e", "c", {}), folder)
    return RerankModel.load(folder)


def _compare(material: Material, served: RankingPair, candidate: RankingPair) -> PairComparison:
    return compare_ranking_pairs("some", material, served, candidate, FEW)


def test_what_ranks_better_passes(material: Material, fitted: RerankModel) -> None:
    served = RankingPair(RULES["mean"], None)
    comparison = _compare(material, served, RankingPair(RULES["mean"], fitted))
    change = comparison.measures["context"]["R@5"]
    assert comparison.verdict is Verdict.PASS
    assert change.difference_pp.low > 0.0
    assert change.difference_pp.mean == pytest.approx(100 * (change.candidate - change.served))
    assert comparison.measures["context"]["Contain@50"].difference_pp == Interval(0.0, 0.0, 0.0)


def test_the_same_again_is_no_reason_to_ship(material: Material, fitted: RerankModel) -> None:
    pair = RankingPair(RULES["mean"], fitted)
    comparison = _compare(material, pair, pair)
    assert comparison.verdict is Verdict.FAIL
    assert [gate.verdict for gate in comparison.gates[2:]] == [Verdict.PASS] * 4


def test_what_ranks_worse_fails(
    material: Material, fitted: RerankModel, senseless: RerankModel
) -> None:
    served = RankingPair(RULES["mean"], fitted)
    assert _compare(material, served, RankingPair(RULES["mean"], senseless)).verdict is Verdict.FAIL


class Opposite:
    """Looks where the next passage surely is not."""

    name = "opposite"

    @staticmethod
    def predict(context: Float32Matrix) -> Float32Matrix:
        return -context[-1:]


def test_a_query_model_that_finds_less_fails_whatever_the_reranker(
    material: Material, fitted: RerankModel
) -> None:
    served = RankingPair(RULES["recency"], None)
    comparison = _compare(material, served, RankingPair(Opposite(), fitted))
    names = [gate.name for gate in comparison.gates if gate.verdict is Verdict.FAIL]
    assert "Contain@50 of context queries, no loss" in names
    assert comparison.query_models == {"served": "recency", "candidate": "opposite"}


@pytest.mark.parametrize(
    ("low", "high", "rise", "no_loss"),
    [
        (0.1, 2.0, Verdict.PASS, Verdict.PASS),
        (0.0, 0.0, Verdict.FAIL, Verdict.PASS),
        (-1.0, 1.0, Verdict.INCONCLUSIVE, Verdict.PASS),
        (-2.0, -0.1, Verdict.FAIL, Verdict.FAIL),
    ],
)
def test_a_rise_has_to_be_sure(low: float, high: float, rise: Verdict, no_loss: Verdict) -> None:
    interval = Interval((low + high) / 2, low, high)
    assert judge_rise("x", interval).verdict is rise
    assert judge_no_loss("x", interval).verdict is no_loss


def test_the_first_that_passes_is_proposed_and_open_is_no_pass() -> None:
    def made(label: str, verdict: Verdict) -> PairComparison:
        return PairComparison(label, {}, {}, {}, [], verdict)

    failed, unsure = made("a", Verdict.FAIL), made("b", Verdict.INCONCLUSIVE)
    passed, later = made("c", Verdict.PASS), made("d", Verdict.PASS)
    assert choose([failed, unsure, passed, later]) == ("c", Verdict.PASS)
    assert choose([failed, unsure]) == ("", Verdict.INCONCLUSIVE)
    assert choose([failed]) == ("", Verdict.FAIL)


def _digest_of(folder: Path) -> str:
    content = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Articles with words of their own; consecutive passages share some more."""
    folder = tmp_path_factory.mktemp("release")
    generator = np.random.default_rng(3)

    def words(count: int) -> list[str]:
        return [
            "".join(generator.choice(list("abcdefghijklmnopqrstuvwxyz"), 4)) for _ in range(count)
        ]

    lines: list[str] = []
    for article in range(ARTICLES):
        theme, shared = words(6), words(3)
        for position in range(PARAGRAPHS):
            following = words(3)
            text = " ".join([*generator.permutation(theme), *shared, *following, *words(5)]) + "."
            shared = following
            fields = {"passage_id": len(lines), "article_id": f"Title {article}"}
            lines.append(json.dumps({**fields, "position": position, "text": text}) + "\n")
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(lines))
    done = CliRunner().invoke(
        build_release.app,
        [
            *("--corpus", str(corpus), "--name", "small", "--releases", str(folder / "releases")),
            *("--encoder", str(make_encoder_folder(folder / "encoder")), "--workers", "1"),
            *("--max-tokens", "60"),
        ],
    )
    assert done.exit_code == 0, done.output
    return open_release(folder / "releases" / "small")


def test_a_release_is_a_corpus_of_its_own(release: Release, tmp_path: Path) -> None:
    paragraphs = paragraphs_of_release(release)
    assert len(paragraphs) == ARTICLES * PARAGRAPHS
    assert [each.position for each in paragraphs[:PARAGRAPHS]] == [*range(PARAGRAPHS)]
    assert all(each.text.startswith(each.questions[0]) for each in paragraphs)
    write_paragraphs(paragraphs, tmp_path / "new" / "corpus.jsonl")
    assert read_paragraphs(tmp_path / "new" / "corpus.jsonl") == paragraphs


def test_the_command_trains_compares_and_leaves_what_is_served_alone(
    release: Release,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "FIT_OPTIONS", FitOptions(units=8, epochs=1))
    before = _digest_of(release.folder)
    out = tmp_path / "proposal"
    arguments = [
        *("--release", str(release.folder), "--releases", str(release.folder.parent)),
        *("--only", "reranker", "--out", str(out), "--cache", str(tmp_path / "cache")),
    ]
    status = main(arguments)
    report = json.loads((out / "report.json").read_text())
    assert {0: "PASS", 1: "FAIL", 4: "INCONCLUSIVE"}[status] == report["verdict"]
    assert (out / "models").is_dir() == (status == 0) == bool(report["proposed"])
    assert (out / "rejected" / "reranker").is_dir() == (status != 0)
    trained = out / ("models" if status == 0 else "rejected/reranker")
    assert RerankModel.load(trained).manifest.encoder_fingerprint == report["encoder_fingerprint"]
    assert report["comparisons"][0]["query_models"]["served"] == "recency"
    assert (out / "report.md").read_text() in capsys.readouterr().out
    assert _digest_of(release.folder) == before
    assert served_reranker(release) is None
    again = main(arguments)
    assert (again, "never overwrites" in capsys.readouterr().err) == (2, True)


def test_wrong_usage_is_told_apart(
    release: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--release", str(release.folder), "--releases", str(release.folder.parent)]
    missing = [*asked, "--out", str(tmp_path / "a"), "--corpus", str(tmp_path / "absent.jsonl")]
    assert main(missing) == 2
    assert "--corpus" in capsys.readouterr().err
    assert main(["--release", "no-such", "--releases", str(tmp_path)]) == 2
    with pytest.raises(InvalidInput, match="among the releases"):
        new_folder(release.folder.parent / "proposal", release.folder.parent)


def test_copied_texts_are_refused(release: Release, tmp_path: Path) -> None:
    paragraphs = paragraphs_of_release(release)
    seen = next(each for each in paragraphs if each.part == "train")
    own = next(each for each in paragraphs if each.part == "evaluation")
    copy = Paragraph(own.article, 99, seen.text, ())
    corpus = tmp_path / "corpus.jsonl"
    write_paragraphs([*paragraphs, copy], corpus)
    asked = ["--release", str(release.folder), "--releases", str(release.folder.parent)]
    assert main([*asked, "--out", str(tmp_path / "a"), "--corpus", str(corpus)]) == 2


def test_the_release_of_these_tests_has_distinct_vectors(release: Release) -> None:
    vectors = read_index(release.path(FLAT_INDEX_NAME)).vectors()
    assert len(np.unique(vectors.round(4), axis=0)) == ARTICLES * PARAGRAPHS
