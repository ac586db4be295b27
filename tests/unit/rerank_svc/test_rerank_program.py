"""Which model is served: the one named, the release's, or the embedded default."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from releases.layout import RERANKER_MODEL_NAME
from releases.writing import lock_build, publish_release, staging_folder
from rerank_svc.program import DEFAULT_MODEL_FOLDER, model_folder
from rerank_svc.settings import RerankSettings
from retrieval_core.errors import DamagedArtifact, NotFound
from servicekit.settings import SettingsError, load_settings
from tests.support.rerank_samples import write_sample_reranker
from tests.support.tiny_release import TinyRelease, build_tiny_release, tiny_corpus


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    return build_tiny_release(tmp_path_factory.mktemp("releases"), corpus=tiny_corpus(60))


@pytest.fixture
def bundled(plain: TinyRelease, tmp_path: Path) -> Path:
    """The same release with a reranker in it."""
    manifest = dataclasses.replace(
        plain.release.manifest, release_id="bundled", reranker="reranker_mlp_v0"
    )
    with lock_build(tmp_path, "bundled"), staging_folder(tmp_path, "bundled") as staging:
        for name in plain.release.manifest.files:
            shutil.copy(plain.folder / name, staging / name)
        write_sample_reranker(staging)
        return publish_release(staging, tmp_path, manifest).folder


def test_the_embedded_default_is_served_unless_told_otherwise() -> None:
    assert model_folder(RerankSettings()) == DEFAULT_MODEL_FOLDER


def test_a_model_folder_is_taken_as_named(tmp_path: Path) -> None:
    assert model_folder(RerankSettings(model=tmp_path)) == tmp_path


def test_a_releases_reranker_is_served_from_the_release(bundled: Path) -> None:
    assert model_folder(RerankSettings(release=str(bundled))) == bundled.resolve()
    by_name = RerankSettings(release="bundled", releases_folder=bundled.parent)
    assert model_folder(by_name) == bundled.resolve()


def test_a_release_without_one_is_served_by_the_default(
    plain: TinyRelease, caplog: pytest.LogCaptureFixture
) -> None:
    assert model_folder(RerankSettings(release=str(plain.folder))) == DEFAULT_MODEL_FOLDER
    assert "no reranker" in caplog.text


def test_a_damaged_reranker_of_a_release_is_named(bundled: Path) -> None:
    with (bundled / RERANKER_MODEL_NAME).open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(DamagedArtifact, match=RERANKER_MODEL_NAME):
        model_folder(RerankSettings(release=str(bundled)))


def test_an_unknown_release_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        model_folder(RerankSettings(release="nowhere", releases_folder=tmp_path))


def test_model_and_release_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="not both"):
        RerankSettings(model=tmp_path, release="current")


def test_settings_come_from_names_with_their_prefix() -> None:
    settings = load_settings(RerankSettings, {"RERANK_MAX_CANDIDATES": "80", "RERANK_PORT": "0"})
    assert (settings.max_candidates, settings.port) == (80, 0)
    with pytest.raises(SettingsError, match="RERANK_MAX_CANDIDATES"):
        load_settings(RerankSettings, {"RERANK_MAX_CANDIDATES": "0"})
