"""A real but tiny T5 encoder with random weights, and the model folder that serves it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from exporter.model_folder import (
    GRAPH,
    MANIFEST,
    TOKENIZER,
    Description,
    write_manifest,
)
from exporter.t5_graph import Precision, write_encoder
from exporter.weights import Array, EncoderShape, EncoderWeights, LayerWeights

WORDS = ("read", "a", "csv", "file", "into", "dictionaries", "open", "the", "door", "of", "house")
_SPECIAL = ("<pad>", "</s>", "<unk>")
MAX_TOKENS = 32


def tiny_shape(*, gated: bool = False, layers: int = 2, vocabulary: int = 40) -> EncoderShape:
    """Sizes whose heads (3 * 8) are not as wide as the model (20)."""
    return EncoderShape(
        d_model=20,
        d_kv=8,
        d_ff=48,
        heads=3,
        layers=layers,
        vocabulary=vocabulary,
        norm_epsilon=1e-6,
        buckets=32,
        max_distance=128,
        gated=gated,
        dimensions=768,
    )


def random_weights(shape: EncoderShape, seed: int = 0) -> EncoderWeights:
    """Weights of about the spread that T5 is initialised with."""
    generator = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, spread: float) -> Array:
        return generator.normal(0, spread, (rows, columns)).astype(np.float32)

    def norm() -> Array:
        return generator.uniform(0.5, 1.5, shape.d_model).astype(np.float32)

    def layer() -> LayerWeights:
        wide, d_model = shape.attention_width, shape.d_model
        inward = d_model**-0.5
        return LayerWeights(
            attention_norm=norm(),
            query=matrix(d_model, wide, inward * shape.d_kv**-0.5),
            key=matrix(d_model, wide, inward),
            value=matrix(d_model, wide, inward),
            output=matrix(wide, d_model, wide**-0.5),
            feed_forward_norm=norm(),
            wi=tuple(matrix(d_model, shape.d_ff, inward) for _ in range(1 + shape.gated)),
            wo=matrix(shape.d_ff, d_model, shape.d_ff**-0.5),
        )

    return EncoderWeights(
        shape=shape,
        embedding=matrix(shape.vocabulary, shape.d_model, 1.0),
        relative_bias=matrix(shape.buckets, shape.heads, 0.5),
        layers=tuple(layer() for _ in range(shape.layers)),
        final_norm=norm(),
        dense=matrix(shape.d_model, shape.dimensions, shape.d_model**-0.5),
        dense_bias=None,
        dense_tanh=False,
    )


def word_tokenizer() -> Tokenizer:
    """One token a known word, `</s>` at the end; zero-width spaces vanish, as T5's rule has it."""
    vocabulary = {token: index for index, token in enumerate((*_SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, _SPECIAL[2]))
    tokenizer.normalizer = normalizers.Replace("\u200b", " ")
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def write_tiny_folder(
    folder: Path, *, precision: Precision = "int8", seed: int = 0, max_tokens: int = MAX_TOKENS
) -> Path:
    """A complete model folder, checksums and all."""
    folder.mkdir(parents=True)
    weights = random_weights(tiny_shape(vocabulary=len(_SPECIAL) + len(WORDS)), seed)
    onnx.save(write_encoder(weights, precision), folder / GRAPH)
    word_tokenizer().save(str(folder / TOKENIZER))
    write_manifest(
        folder,
        Description(
            name="tiny",
            dimensions=768,
            max_tokens=max_tokens,
            precision=precision,
            batch_invariant=True,
            source="random weights",
            license="Apache-2.0",
        ),
    )
    return folder


def edit_manifest(folder: Path, **changes: object) -> None:
    """Overwrite keys of a folder's manifest."""
    path = folder / MANIFEST
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**fields, **changes}), encoding="utf-8")
