"""How the matrix products of a layer are written: plain float32, or int8 with one scale per row.

The int8 form is batch-invariant: every token's activations are quantised with a scale of their
own, so no token can change what its batch-mates are rounded to. It uses stock operators only:

    scale  = max(abs(row)) / 127                  one float per token
    values = QuantizeLinear(row, scale, 128)      uint8, because u8 x s8 kernels are the fast ones
    result = MatMulIntegerToFloat(values, weight) * scale

Weights are int8 with one scale per output channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from exporter.onnx_writer import GraphWriter
from exporter.weights import Array, LayerWeights

_SIGNED_STEPS = 127
_UNSIGNED_STEPS = 255
_ZERO_POINT = 128


class Linears(Protocol):
    """Writes the parts of the graph whose precision can be chosen. Rows are [tokens, width]."""

    def embed(self, token_ids: str, embedding: Array) -> str:
        """Look up flat token ids [tokens]; returns rows [tokens, d_model]."""

    def project(self, rows: str, weight: Array, name: str) -> str:
        """Multiply rows [tokens, k] by weight [k, n]; returns [tokens, n]."""

    def feed_forward(self, rows: str, layer: LayerWeights, name: str) -> str:
        """The whole feed-forward part; returns rows [tokens, d_model]."""

    def head(self, texts: str, weight: Array, name: str) -> str:
        """Multiply pooled texts [n, k] by the Dense weight [k, m]; returns [n, m]."""


class Float32Linears:
    """Plain float32; remembers what enters each product, so that a calibration can watch it."""

    def __init__(self, writer: GraphWriter) -> None:
        self._writer = writer
        self.observed: dict[str, str] = {}

    def embed(self, token_ids: str, embedding: Array) -> str:
        """See Linears.embed."""
        return self._writer.add("Gather", self._writer.constant("embedding", embedding), token_ids)

    def project(self, rows: str, weight: Array, name: str) -> str:
        """See Linears.project."""
        self.observed[name] = rows
        return self._writer.add("MatMul", rows, self._writer.constant(name, weight))

    def feed_forward(self, rows: str, layer: LayerWeights, name: str) -> str:
        """See Linears.feed_forward."""
        hidden = self.project(rows, np.concatenate(layer.wi, axis=1), f"{name}.wi")
        if len(layer.wi) == 2:
            hidden = gate(self._writer, hidden)
        else:
            hidden = self._writer.add("Relu", hidden)
        return self.project(hidden, layer.wo, f"{name}.wo")

    def head(self, texts: str, weight: Array, name: str) -> str:
        """See Linears.head."""
        return self._writer.add("MatMul", texts, self._writer.constant(name, weight))


@dataclass(frozen=True)
class _QuantizedRows:
    """Names of uint8 values [tokens, width], their scale [tokens] and their zero point."""

    values: str
    scale: str
    zero_point: int


def distinct_rows(table: Array) -> tuple[Array, NDArray[np.int32]]:
    """The rows of table [v, d] without repetition, in order, and the place of each row in them."""
    _, first, group = np.unique(
        np.ascontiguousarray(table).view(f"V{table.shape[1] * table.itemsize}").ravel(),
        return_index=True,
        return_inverse=True,
    )
    order = np.argsort(first)
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order))
    return table[first[order]], ranks[group.ravel()]


class Int8Linears:
    """int8 weights per output channel, uint8 activations with one scale per token."""

    def __init__(self, writer: GraphWriter, token_ids: str) -> None:
        self._writer = writer
        zero_point = _tensor_constant(_ZERO_POINT)
        self._zero_points = writer.add(
            "ConstantOfShape", writer.add("Shape", token_ids), value=zero_point
        )

    def embed(self, token_ids: str, embedding: Array) -> str:
        """See Linears.embed; one scale per row of the table, rows that are equal stored once."""
        rows, places = distinct_rows(embedding)
        if len(rows) < len(embedding):
            token_rows = self._writer.constant("embedding.row", places)
            token_ids = self._writer.add("Gather", token_rows, token_ids)
        values, scale = quantize_columns(np.ascontiguousarray(rows.T))
        table = self._writer.constant("embedding", np.ascontiguousarray(values.T))
        scales = self._writer.constant("embedding.scale", scale)
        return self._writer.add(
            "DequantizeLinear",
            self._writer.add("Gather", table, token_ids),
            self._writer.add("Gather", scales, token_ids),
            axis=0,
        )

    def project(self, rows: str, weight: Array, name: str) -> str:
        """See Linears.project."""
        quantized = self._quantize_signed(rows)
        product = self._multiply(quantized, weight, name)
        return self._scale_rows(product, quantized.scale)

    def feed_forward(self, rows: str, layer: LayerWeights, name: str) -> str:
        """See Linears.feed_forward."""
        if len(layer.wi) == 2:
            both = self.project(rows, np.concatenate(layer.wi, axis=1), f"{name}.wi")
            return self.project(gate(self._writer, both), layer.wo, f"{name}.wo")
        return self._relu_feed_forward(rows, layer, name)

    def head(self, texts: str, weight: Array, name: str) -> str:
        """See Linears.head; kept in 16 bits, computed in 32: one product a text is no cost."""
        half = self._writer.constant(name, weight.astype(np.float16))
        whole = self._writer.add("Cast", half, to=onnx.TensorProto.FLOAT)
        return self._writer.add("MatMul", texts, whole)

    def _relu_feed_forward(self, rows: str, layer: LayerWeights, name: str) -> str:
        # relu(scale * x) = scale * relu(x): the first scale is applied after the second product,
        # where rows are d_model wide, and quantising to unsigned values is the relu itself.
        entering = self._quantize_signed(rows)
        hidden = self._multiply(entering, layer.wi[0], f"{name}.wi")
        positive = self._quantize_positive(hidden)
        product = self._multiply(positive, layer.wo, f"{name}.wo")
        scale = self._writer.add("Mul", entering.scale, positive.scale)
        return self._scale_rows(product, scale)

    def _quantize_signed(self, rows: str) -> _QuantizedRows:
        largest = self._row_maximum(self._writer.add("Abs", rows))
        scale = self._writer.add("Mul", largest, self._writer.scalar(1 / _SIGNED_STEPS))
        # A row of zeros has scale 0: what it is rounded to is arbitrary, and is multiplied by 0.
        values = self._writer.add("QuantizeLinear", rows, scale, self._zero_points, axis=0)
        return _QuantizedRows(values, scale, _ZERO_POINT)

    def _quantize_positive(self, rows: str) -> _QuantizedRows:
        largest = self._writer.add("Relu", self._row_maximum(rows))
        scale = self._writer.add("Mul", largest, self._writer.scalar(1 / _UNSIGNED_STEPS))
        values = self._writer.add("QuantizeLinear", rows, scale, axis=0)
        return _QuantizedRows(values, scale, 0)

    def _row_maximum(self, rows: str) -> str:
        return self._writer.add("ReduceMax", rows, self._writer.integers(1), keepdims=0)

    def _scale_rows(self, rows: str, scale: str) -> str:
        column = self._writer.add("Unsqueeze", scale, self._writer.integers(1))
        return self._writer.add("Mul", rows, column)

    def _multiply(self, rows: _QuantizedRows, weight: Array, name: str) -> str:
        values, scale = quantize_columns(weight)
        zero_point = np.array(rows.zero_point, np.uint8)
        return self._writer.add(
            "MatMulIntegerToFloat",
            rows.values,
            self._writer.constant(name, values),
            self._writer.scalar(1.0),
            self._writer.constant(f"{name}.scale", scale),
            self._writer.constant(f"zero_point_{rows.zero_point}", zero_point),
        )


def gate(writer: GraphWriter, both: str) -> str:
    """gelu(left half) * right half of rows [tokens, 2 * d_ff], with the tanh form T5 uses."""
    left, right = writer.add_many("Split", (both,), 2, axis=1, num_outputs=2)
    return writer.add("Mul", writer.add("Gelu", left, approximate="tanh"), right)


def quantize_columns(weight: Array) -> tuple[NDArray[np.int8], Array]:
    """Round each column of [k, n] to int8 with a scale of its own; returns values and scale [n]."""
    largest = np.abs(weight).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0).astype(np.float32) / np.float32(_SIGNED_STEPS)
    return np.rint(weight / scale).astype(np.int8), scale


def _tensor_constant(value: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array([value], np.uint8), "value")
