"""Exports held against sentence-transformers itself, on exact architectures with random weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import sentencepiece
import torch
from sentence_transformers import SentenceTransformer
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Attention

from benchmarks.encoder.random_source import ARCHITECTURES, write_random_source
from encoder_svc.encoder import DEFAULT_MODEL_FOLDER, Encoder
from exporter.__main__ import main as export_main
from exporter.errors import ParityMissed, SourceInvalid, UnsupportedModel
from exporter.export import ExportPlan, Writer, compare_with_source, export
from exporter.fidelity import Bounds, row_cosines
from exporter.parity import main as parity_main
from exporter.reference import find_reference
from exporter.source import read_source, resolve_folder, weights_digest
from exporter.t5_graph import Precision
from exporter.texts import docstring_texts
from exporter.weights import relative_buckets
from tests.support.tiny_encoder import tiny_shape

TOKENIZER = DEFAULT_MODEL_FOLDER / "tokenizer.json"
SMALL: dict[str, Any] = {"d_model": 96, "d_kv": 32, "d_ff": 192, "num_heads": 4, "num_layers": 2}
LENGTHS = (1, 2, 5, 15, 31, 63, 127, 255, 511, 700)


def texts_by_length() -> list[str]:
    """Texts of 1 word up to more than the model takes; "the" is one token."""
    words = docstring_texts(15, seed=5)
    return ["the " * length for length in LENGTHS] + words[:8]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_source(tmp_path_factory.mktemp("small") / "source", TOKENIZER, SMALL)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "source"
    return write_random_source(folder, TOKENIZER, ARCHITECTURES["gtr-t5-base"])


def plan(precision: Precision, writer: Writer = "lean") -> ExportPlan:
    return ExportPlan(precision, writer, docstring_texts(60), "test", bounds=None)


def worst_cosine(source: Path, model: Path, texts: list[str]) -> float:
    """Against sentence-transformers, each text alone and all of them padded together."""
    reference = SentenceTransformer(str(source), device="cpu")
    expected = reference.encode(texts, batch_size=1)
    encoder = Encoder.load(model, threads=2)
    alone = np.concatenate([encoder.encode([text]).vectors for text in texts])
    together = encoder.encode(texts).vectors
    return float(min(row_cosines(expected, alone).min(), row_cosines(expected, together).min()))


@pytest.mark.parametrize("writer", ["optimum", "lean"])
@pytest.mark.parametrize("architecture", ["gtr-t5-base", "gated", "narrow heads"])
def test_float32_equals_sentence_transformers(
    tmp_path: Path, base: Path, writer: Writer, architecture: str
) -> None:
    source = base
    if architecture != "gtr-t5-base":
        changes = {"feed_forward_proj": "gated-gelu"} if architecture == "gated" else {"d_kv": 16}
        source = write_random_source(tmp_path / "source", TOKENIZER, {**SMALL, **changes})
    export(read_source(source), tmp_path / "model", plan("fp32", writer))
    assert worst_cosine(source, tmp_path / "model", texts_by_length()) >= 0.9999


def test_padding_and_batch_mates_do_not_matter_in_the_float32_graph(
    tmp_path: Path, small: Path
) -> None:
    export(read_source(small), tmp_path / "model", plan("fp32", "optimum"))
    session = ort.InferenceSession(str(tmp_path / "model" / "model.onnx"))
    ids = np.zeros((2, 30), np.int64)
    mask = np.zeros((2, 30), np.int64)
    ids[:, :6], mask[:, :6] = [8, 9, 10, 11, 12, 1], 1
    ids[1, :], mask[1, :] = 7, 1
    short = {"input_ids": ids[:1, :6], "attention_mask": mask[:1, :6]}
    padded = {"input_ids": ids, "attention_mask": mask}
    (expected,), (found,) = session.run(None, short), session.run(None, padded)
    assert [output.name for output in session.get_outputs()] == ["sentence_embedding"]
    assert row_cosines(expected[:1], found[:1])[0] >= 0.99999


def test_int8_of_the_exact_architecture_holds_with_planted_outliers(base: Path) -> None:
    source = read_source(base)
    generator = np.random.default_rng(0)
    layers = []
    for layer in source.weights.layers:
        channels = generator.choice(layer.wo.shape[0], 6, replace=False)
        wi, wo = layer.wi[0].copy(), layer.wo.copy()
        wi[:, channels] *= 50
        wo[channels] /= 10
        layers.append(replace(layer, wi=(wi,), wo=wo))
    planted = replace(source, weights=replace(source.weights, layers=tuple(layers)))
    texts = docstring_texts(30, seed=1)
    folder = base.parent / "planted"
    export(planted, folder, plan("int8"))
    fidelity = compare_with_source(planted, folder, texts, 512)
    assert fidelity.worst_cosine >= 0.99
    assert fidelity.invariance >= 0.99999


def test_a_folder_with_only_a_sentencepiece_model_and_bin_weights(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(docstring_texts(200)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(tmp_path / "spiece"), vocab_size=500,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    source = write_random_source(
        tmp_path / "source", tmp_path / "spiece.model", {**SMALL, "vocab_size": 500}
    )
    from safetensors.torch import load_file

    torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()
    export(read_source(source), tmp_path / "model", plan("fp32"))
    assert worst_cosine(source, tmp_path / "model", docstring_texts(15)) >= 0.9999


def test_buckets_are_those_of_transformers() -> None:
    attention = T5Attention(T5Config(**SMALL), has_relative_attention_bias=True)
    distance = torch.arange(-128, 129)
    expected = attention._relative_position_bucket(distance, bidirectional=True)
    np.testing.assert_array_equal(relative_buckets(tiny_shape()), expected.numpy())
    far = attention._relative_position_bucket(torch.tensor([-512, 511]), bidirectional=True)
    assert far.tolist() == [15, 31]


def test_the_command_publishes_what_parity_then_confirms(
    tmp_path: Path, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.jsonl"
    lines = [json.dumps({"text": text}) for text in docstring_texts(90, seed=2)]
    texts.write_text("\n".join(lines))
    out = tmp_path / "model"
    base = ["--texts", str(texts)]
    # Random weights put all texts close together: their neighbours mean nothing, so no check.
    assert export_main(["--model", str(small), "--out", str(out), "--unchecked", *base]) == 0
    capsys.readouterr()
    parity_main(["--model", str(out), "--reference", str(small), "--json", *base])
    report = json.loads(capsys.readouterr().out)
    assert report["fidelity"]["worst_cosine"] >= 0.99
    assert report["fidelity"]["invariance"] >= 0.99999
    assert sum(row["texts"] for row in report["fidelity"]["by_length"]) == 90


def test_parity_finds_the_checkpoint_a_model_was_made_of(tmp_path: Path, small: Path) -> None:
    out, checkpoints = tmp_path / "model", tmp_path / "runs"
    manifest = export(read_source(small), out, plan("int8"))
    assert manifest["source_weights"] == weights_digest(small)
    manifest["source"] = "made elsewhere"
    assert find_reference(out, manifest, None, checkpoints).source is None
    shutil.copytree(small, checkpoints / "good" / "checkpoint")
    other = shutil.copytree(small, checkpoints / "other" / "checkpoint")
    with (other / "model.safetensors").open("ab") as stream:
        stream.write(b" ")
    found = find_reference(out, manifest, None, checkpoints)
    assert found.source is not None
    assert found.where == str(checkpoints / "good" / "checkpoint")
    manifest["source_weights"] = "sha256:of others"
    assert "not those" in find_reference(out, manifest, small).where


def test_parity_without_the_source_says_so_and_checks_the_rest(
    tmp_path: Path,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = tmp_path / "texts.jsonl"
    texts.write_text("\n".join(json.dumps({"text": text}) for text in docstring_texts(30)))
    given = ["--texts", str(texts)]
    # The shipped default carries its figures; its source is not shipped.
    assert parity_main(["--model", str(DEFAULT_MODEL_FOLDER), *given]) == 0
    assert "NOT measured" in capsys.readouterr().out
    export(read_source(small), tmp_path / "model", plan("int8"))
    assert parity_main(["--model", str(tmp_path / "model"), "--json", *given]) == 4
    assert json.loads(capsys.readouterr().out)["soundness"]["repeatable"] is True
    with (tmp_path / "model" / "model.onnx").open("ab") as stream:
        stream.write(b" ")
    assert parity_main(["--model", str(tmp_path / "model"), *given]) == 1
    assert "model.onnx" in capsys.readouterr().err


def test_a_model_that_misses_is_not_published(tmp_path: Path, small: Path) -> None:
    out = tmp_path / "model"
    export(read_source(small), out, plan("fp32"))
    before = (out / "model.onnx").read_bytes()
    # What float32 reaches and int8 cannot.
    strict = replace(plan("int8"), bounds=Bounds(0.9999999, 0.9999999, 0.0, 0.0))
    with pytest.raises(ParityMissed, match="worst_cosine"):
        export(read_source(small), out, strict)
    assert (out / "model.onnx").read_bytes() == before


@pytest.mark.parametrize(
    ("path", "changes", "error", "message"),
    [
        ("config.json", {"model_type": "bert"}, UnsupportedModel, "model_type"),
        ("config.json", {"feed_forward_proj": "silu"}, UnsupportedModel, "feed_forward_proj"),
        ("config.json", {"d_ff": 64}, SourceInvalid, "wi.weight has shape"),
        ("config.json", {"num_layers": 3}, SourceInvalid, "encoder.block.2"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, UnsupportedModel, "pooling"),
        ("2_Dense/config.json", {"activation_function": "x.GELU"}, UnsupportedModel, "GELU"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, path: str, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    source = write_random_source(tmp_path / "source", TOKENIZER, SMALL)
    fields = json.loads((source / path).read_text())
    (source / path).write_text(json.dumps({**fields, **changes}))
    with pytest.raises(error, match=message):
        read_source(source)


def test_a_name_that_is_neither_folder_nor_hub_name_is_refused() -> None:
    with pytest.raises(SourceInvalid, match="no such folder"):
        resolve_folder("./nowhere")
