"""What is laid out belongs together: one set of centroids, and the encoder that ran."""

import dataclasses
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest

from building.assembly import (
    Contents,
    copy_models,
    shard_rows,
    train_coarse_quantizer,
    write_indexes,
)
from building.corpora import open_corpus
from building.passages import passage_table
from building.plan import BuildOptions, BuildPlan
from building.query_model_files import read_fitting_query_models
from building.records import Passage
from encoder_svc.manifest import open_model_folder
from encoder_svc.query_model_files import load_query_model
from releases.passages import open_passages
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, InvalidInput
from retrieval_core.vectors import Float32Matrix, normalize_rows
from tests.support.query_model_files import write_query_model
from tests.unit.building.tiny_encoder import make_encoder_folder


def _contents(passage_ids: list[int]) -> Contents:
    vectors = normalize_rows(np.random.default_rng(0).normal(size=(len(passage_ids), 768)))
    table = passage_table([Passage(i, "a", row, "x", "t") for row, i in enumerate(passage_ids)])
    return Contents(table, vectors, train_coarse_quantizer(vectors, 2, seed=1))


def test_every_id_has_one_shard() -> None:
    ids = np.array([0, 7, 2**63 - 1, 12, 5], np.int64)
    rows = [shard_rows(ids, shard, 3) for shard in range(3)]
    assert sorted(np.concatenate(rows)) == [0, 1, 2, 3, 4]
    assert all((ids[part] % 3 == shard).all() for shard, part in enumerate(rows))


def test_shards_share_centroids_and_may_be_empty(tmp_path: Path) -> None:
    write_indexes(tmp_path, _contents([2, 4, 6, 8]), shard_count=2)
    parts = [tmp_path, tmp_path / "shards" / "0", tmp_path / "shards" / "1"]
    indexes = [faiss.read_index(str(part / "p_ivf.faiss")) for part in parts]
    assert [index.ntotal for index in indexes] == [4, 4, 0]
    assert [len(open_passages(part / "passages.arrow")) for part in parts] == [4, 4, 0]
    assert [np.load(part / "projections.npy").shape for part in parts] == [
        (4, 64),
        (4, 64),
        (0, 64),
    ]
    centroids = [_centroids(index) for index in indexes]
    assert all((found == centroids[0]).all() for found in centroids)


def _centroids(index: faiss.Index) -> Float32Matrix:
    assert isinstance(index, faiss.IndexIVFFlat)
    found: Float32Matrix = index.quantizer.reconstruct_n(0, index.nlist)
    return found


def test_more_lists_than_passages_are_refused() -> None:
    vectors = normalize_rows(np.eye(3, 768, dtype=np.float32))
    assert train_coarse_quantizer(vectors, None, 0).shape == (1, 768)
    with pytest.raises(InvalidInput, match="--nlist: is 4, but there are 3"):
        train_coarse_quantizer(vectors, 4, 0)


def test_an_encoder_that_was_replaced_meanwhile_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    folder = make_encoder_folder(tmp_path / "encoder", seed=0)
    corpus = open_corpus(str(tmp_path / "a.txt"))
    plan = BuildPlan(
        "one", tmp_path, corpus, open_model_folder(folder), None, BuildOptions(shard_count=1)
    )
    (tmp_path / "same").mkdir()
    copy_models(tmp_path / "same", plan)
    assert (tmp_path / "same" / "model_cards" / "encoder.md").is_file()
    shutil.rmtree(folder)
    make_encoder_folder(folder, seed=1)
    (tmp_path / "other").mkdir()
    with pytest.raises(FailedPrecondition, match="changed during the build"):
        copy_models(tmp_path / "other", plan)


def test_query_models_of_the_encoder_are_bundled_with_their_cards(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    encoder = open_model_folder(make_encoder_folder(tmp_path / "encoder"))
    models = tmp_path / "models"
    write_query_model(models, "amn_v0", encoder.manifest.fingerprint)
    write_query_model(models, "gru_v0", "sha256:another")
    (models / "amn_v0.md").write_text("# AMN\n")
    fitting = read_fitting_query_models(models, encoder.manifest.fingerprint)
    assert [model.name for model in fitting] == ["amn_v0"]
    corpus = open_corpus(str(tmp_path / "a.txt"))
    bare = BuildPlan("one", tmp_path, corpus, encoder, None, BuildOptions())
    plan = dataclasses.replace(bare, query_models=fitting)
    assert plan.inputs_digest() != bare.inputs_digest()
    (tmp_path / "release").mkdir()
    copy_models(tmp_path / "release", plan)
    loaded = load_query_model(tmp_path / "release", "amn_v0", encoder.manifest.fingerprint)
    assert loaded.name == "amn_v0"
    assert not (tmp_path / "release" / "gru_v0.json").exists()
    assert (tmp_path / "release" / "model_cards" / "amn_v0.md").read_text() == "# AMN\n"


def test_a_damaged_query_model_stops_a_build(tmp_path: Path) -> None:
    write_query_model(tmp_path, "gru_v0", "sha256:here")
    (tmp_path / "gru_v0.onnx").write_bytes(b"other")
    with pytest.raises(DamagedArtifact, match=r"gru_v0\.onnx"):
        read_fitting_query_models(tmp_path, "sha256:here")


def test_the_digest_follows_every_option_and_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    corpus = open_corpus(str(tmp_path / "a.txt"))
    encoder = open_model_folder(make_encoder_folder(tmp_path / "encoder"))
    plan = BuildPlan("one", tmp_path, corpus, encoder, None, BuildOptions())
    digests = {plan.inputs_digest()}
    assert dataclasses.replace(plan, name="two").inputs_digest() in digests
    for field in dataclasses.fields(BuildOptions):
        changed = dataclasses.replace(plan.options, **{field.name: 77})
        digests.add(dataclasses.replace(plan, options=changed).inputs_digest())
    assert len(digests) == 1 + len(dataclasses.fields(BuildOptions))
