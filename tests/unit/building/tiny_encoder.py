"""A real model folder of a few kilobytes: means of fixed token vectors, and a real tokenizer."""

from __future__ import annotations

import json
import string
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from retrieval_core.checksums import fingerprint_of, sha256_of_file

CHARACTERS = string.ascii_letters + string.digits + string.punctuation
COMMON_PIECES = ("the", "ing", "▁the", "▁a", "▁of", "er", "on", "an")


def make_tokenizer() -> Tokenizer:
    pieces = ["<pad>", "</s>", "<unk>", "▁", *CHARACTERS, *COMMON_PIECES]
    scores = [0.0 if index < 3 else -float(index) / 10 for index in range(len(pieces))]
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=2))
    # Zero-width spaces vanish, as they do in the real one: characters without a token.
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("\u200b", "")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def make_encoder_folder(folder: Path, seed: int = 0, max_tokens: int = 64) -> Path:
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    onnx.save(_graph(tokenizer.get_vocab_size(), seed), str(folder / "model.onnx"))
    files = {
        name: {"sha256": sha256_of_file(folder / name), "bytes": (folder / name).stat().st_size}
        for name in ("model.onnx", "tokenizer.json")
    }
    manifest = {
        "format": "retrieval-encoder/1",
        "name": f"tiny-{seed}",
        "fingerprint": fingerprint_of({name: str(file["sha256"]) for name, file in files.items()}),
        "dimensions": 768,
        "max_tokens": max_tokens,
        "precision": "fp32",
        "batch_invariant": True,
        "source": "made by a test",
        "license": "Apache-2.0",
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text("# Tiny\n", encoding="utf-8")
    return folder


def _graph(vocabulary: int, seed: int) -> onnx.ModelProto:
    table = np.random.default_rng(seed).normal(size=(vocabulary, 768)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide_mask"]),
        helper.make_node("Mul", ["embedded", "wide_mask"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "second"], ["summed"], keepdims=0),
        helper.make_node("ReduceL2", ["summed", "second"], ["norm"], keepdims=1),
        helper.make_node("Div", ["summed", "norm"], ["sentence_embedding"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["n", 768])]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
        numpy_helper.from_array(np.array([1], np.int64), "second"),
    ]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
