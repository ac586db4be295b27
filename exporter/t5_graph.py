"""Writes a T5 sentence encoder as one lean ONNX graph: ids and mask in, unit vectors out.

Lean means: query, key and value are one product; residual add and norm are one operator, as is
attention; the relative bias is looked up once per run, not once per layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from exporter.linears import Float32Linears, Int8Linears, Linears
from exporter.onnx_writer import GraphWriter, tensor
from exporter.weights import EncoderShape, EncoderWeights, LayerWeights, relative_buckets

Precision = Literal["fp32", "int8"]
OBSERVED_PREFIX = "largest:"
# Far below any logit T5 produces, far above where adding a bias would overflow.
_MASKED_LOGIT = -1e9
_SMALLEST_COUNT = 1e-9


@dataclass(frozen=True)
class _Scene:
    """What every part of the body needs: who writes, the sizes, and names of shared tensors."""

    writer: GraphWriter
    linears: Linears
    shape: EncoderShape
    bias: str
    batch_shape: str


def write_encoder(weights: EncoderWeights, precision: Precision) -> onnx.ModelProto:
    """The serving graph: input_ids, attention_mask [n, t] int64 -> sentence_embedding [n, 768]."""
    writer = GraphWriter()
    flat = _flat_ids(writer)
    linears: Linears
    linears = Float32Linears(writer) if precision == "fp32" else Int8Linears(writer, flat)
    _write_body(writer, linears, flat, weights)
    return writer.build(_graph_inputs(), _graph_outputs(weights.shape), f"t5_encoder_{precision}")


def write_observer(weights: EncoderWeights) -> onnx.ModelProto:
    """The float32 graph with more outputs: the largest magnitude per channel entering a product.

    Output `largest:<product>` is [channels] float32, over all tokens of the call.
    """
    writer = GraphWriter()
    flat = _flat_ids(writer)
    linears = Float32Linears(writer)
    _write_body(writer, linears, flat, weights)
    outputs = _graph_outputs(weights.shape)
    for product, rows in linears.observed.items():
        name = OBSERVED_PREFIX + product
        largest = writer.add("ReduceMax", writer.add("Abs", rows), writer.integers(0), keepdims=0)
        writer.name_output(largest, name)
        outputs.append(tensor(name, np.float32, ["channels_" + product]))
    return writer.build(_graph_inputs(), outputs, "t5_encoder_observer")


def _graph_inputs() -> list[onnx.ValueInfoProto]:
    names = ("input_ids", "attention_mask")
    return [tensor(name, np.int64, ["texts", "tokens"]) for name in names]


def _graph_outputs(shape: EncoderShape) -> list[onnx.ValueInfoProto]:
    return [tensor("sentence_embedding", np.float32, ["texts", shape.dimensions])]


def _flat_ids(writer: GraphWriter) -> str:
    return writer.add("Reshape", "input_ids", writer.integers(-1))


def _write_body(writer: GraphWriter, linears: Linears, flat: str, weights: EncoderWeights) -> None:
    scene = _Scene(
        writer=writer,
        linears=linears,
        shape=weights.shape,
        bias=_write_attention_bias(writer, weights),
        batch_shape=writer.add("Shape", "input_ids"),
    )
    residual = linears.embed(flat, weights.embedding)
    rows = _write_first_norm(writer, residual, weights)
    for index, layer in enumerate(weights.layers):
        name = f"layer{index}"
        attended = _write_attention(scene, rows, layer, name)
        norm = writer.constant(f"{name}.feed_forward_norm", layer.feed_forward_norm)
        rows, residual = _write_add_norm(scene, attended, residual, norm)
        fed = linears.feed_forward(rows, layer, name)
        rows, residual = _write_add_norm(scene, fed, residual, _next_norm(writer, weights, index))
    _write_head(scene, rows, weights)


def _next_norm(writer: GraphWriter, weights: EncoderWeights, index: int) -> str:
    if index + 1 == len(weights.layers):
        return writer.constant("final_norm", weights.final_norm)
    return writer.constant(
        f"layer{index + 1}.attention_norm", weights.layers[index + 1].attention_norm
    )


def _write_attention_bias(writer: GraphWriter, weights: EncoderWeights) -> str:
    """What is added to every layer's logits [n, heads, t, t]: relative bias and padding."""
    mask = writer.add("Cast", "attention_mask", to=onnx.TensorProto.FLOAT)
    absent = writer.add("Sub", mask, writer.scalar(1.0))
    padding = writer.add("Mul", absent, writer.scalar(-_MASKED_LOGIT))
    by_key = writer.add("Unsqueeze", padding, writer.integers(1, 2))
    return writer.add("Add", _write_relative_bias(writer, weights), by_key)


def _write_relative_bias(writer: GraphWriter, weights: EncoderWeights) -> str:
    """Attention bias [1, heads, t, t], the same for every layer."""
    reach = weights.shape.max_distance
    by_distance = weights.relative_bias[relative_buckets(weights.shape)].T
    table = writer.constant("relative_bias", np.ascontiguousarray(by_distance))
    token_count = writer.add("Shape", "input_ids", start=1, end=2)
    zero = writer.constant("zero", np.array(0, np.int64))
    one = writer.constant("one", np.array(1, np.int64))
    count = writer.add("Squeeze", token_count)
    position = writer.add("Range", zero, count, one)
    query = writer.add("Unsqueeze", position, writer.integers(1))
    distance = writer.add("Sub", position, query)
    lowest = writer.constant("lowest", np.array(-reach, np.int64))
    highest = writer.constant("highest", np.array(reach, np.int64))
    clipped = writer.add("Clip", distance, lowest, highest)
    row = writer.add("Add", clipped, highest)
    bias = writer.add("Gather", table, row, axis=1)
    return writer.add("Unsqueeze", bias, writer.integers(0))


def _write_first_norm(writer: GraphWriter, residual: str, weights: EncoderWeights) -> str:
    norm = writer.constant("layer0.attention_norm", weights.layers[0].attention_norm)
    return writer.add(
        "RMSNormalization", residual, norm, axis=-1, epsilon=weights.shape.norm_epsilon
    )


def _write_add_norm(scene: _Scene, rows: str, residual: str, norm: str) -> tuple[str, str]:
    """Add to the residual and normalise; returns the normalised rows and the new residual."""
    names = scene.writer.add_many(
        "SkipSimplifiedLayerNormalization",
        (rows, residual, norm),
        4,
        epsilon=scene.shape.norm_epsilon,
    )
    return names[0], names[3]


def _write_attention(scene: _Scene, rows: str, layer: LayerWeights, name: str) -> str:
    weight = np.concatenate([layer.query, layer.key, layer.value], axis=1)
    fused = scene.linears.project(rows, weight, f"{name}.qkv")
    batched = _write_batched(scene, fused, 3 * scene.shape.attention_width)
    query, key, value = scene.writer.add_many("Split", (batched,), 3, axis=-1, num_outputs=3)
    # T5 does not divide by sqrt(d_kv): that factor is part of its trained weights.
    attended = scene.writer.add(
        "Attention",
        *(query, key, value, scene.bias),
        q_num_heads=scene.shape.heads,
        kv_num_heads=scene.shape.heads,
        scale=1.0,
    )
    flat_shape = scene.writer.integers(-1, scene.shape.attention_width)
    flat = scene.writer.add("Reshape", attended, flat_shape)
    return scene.linears.project(flat, layer.output, f"{name}.output")


def _write_batched(scene: _Scene, rows: str, width: int) -> str:
    """Rows [n * t, width] as [n, t, width]."""
    writer = scene.writer
    shape = writer.add("Concat", scene.batch_shape, writer.integers(width), axis=0)
    return writer.add("Reshape", rows, shape)


def _write_head(scene: _Scene, rows: str, weights: EncoderWeights) -> None:
    writer = scene.writer
    pooled = _write_mean(scene, rows)
    vector = scene.linears.head(pooled, weights.dense, "dense")
    if weights.dense_bias is not None:
        vector = writer.add("Add", vector, writer.constant("dense.bias", weights.dense_bias))
    if weights.dense_tanh:
        vector = writer.add("Tanh", vector)
    unit = writer.add("LpNormalization", vector, axis=-1, p=2)
    writer.name_output(unit, "sentence_embedding")


def _write_mean(scene: _Scene, rows: str) -> str:
    """Mean over each text's own tokens; returns [n, d_model]."""
    writer = scene.writer
    batched = _write_batched(scene, rows, scene.shape.d_model)
    mask = writer.add("Cast", "attention_mask", to=onnx.TensorProto.FLOAT)
    row_mask = writer.add("Unsqueeze", mask, writer.integers(1))
    total = writer.add("Squeeze", writer.add("MatMul", row_mask, batched), writer.integers(1))
    count = writer.add("ReduceSum", mask, writer.integers(1), keepdims=1)
    at_least = writer.add("Max", count, writer.scalar(_SMALLEST_COUNT))
    return writer.add("Div", total, at_least)
