"""A thin writer of ONNX graphs: named constants, nodes with generated names, one checked model."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Attribute: TypeAlias = int | float | str | onnx.TensorProto

OPSET = 23
_IR_VERSION = 11
# Operators of ONNX Runtime's own domain that the stock wheel ships for the CPU.
_CONTRIB = {"MatMulIntegerToFloat", "SkipSimplifiedLayerNormalization"}


class GraphWriter:
    """Collects nodes and constants in order and turns them into one ONNX model."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._counts: Counter[str] = Counter()

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Store an array under `name`; a name given again returns the first array's name."""
        if name not in self._constants:
            contiguous = np.ascontiguousarray(array).reshape(array.shape)
            self._constants[name] = numpy_helper.from_array(contiguous, name)
        return name

    def scalar(self, value: float) -> str:
        """A float32 scalar, shared by everyone who asks for the same value."""
        return self.constant(f"float_{value!r}", np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """A 1-D int64 constant: axes, shapes and split sizes."""
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def add(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Append a node with one output; returns the output's name."""
        return self.add_many(op, inputs, 1, **attributes)[0]

    def add_many(
        self, op: str, inputs: tuple[str, ...], outputs: int, **attributes: Attribute
    ) -> list[str]:
        """Append a node with several outputs; returns their names."""
        name = f"{op}_{self._counts[op]}"
        self._counts[op] += 1
        names = [name] if outputs == 1 else [f"{name}_{index}" for index in range(outputs)]
        domain = "com.microsoft" if op in _CONTRIB else ""
        node = helper.make_node(op, list(inputs), names, name=name, domain=domain)
        node.attribute.extend(helper.make_attribute(*pair) for pair in attributes.items())
        self._nodes.append(node)
        return names

    def name_output(self, tensor: str, name: str) -> None:
        """Rename the tensor that the last node produced, so that a caller can ask for it."""
        outputs = self._nodes[-1].output
        outputs[list(outputs).index(tensor)] = name

    def build(
        self,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
        producer: str,
    ) -> onnx.ModelProto:
        """The finished model, checked against the operators' schemas."""
        graph = helper.make_graph(
            self._nodes, producer, inputs, outputs, list(self._constants.values())
        )
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(
            graph, producer_name=producer, opset_imports=domains, ir_version=_IR_VERSION
        )


def tensor(name: str, kind: type[np.generic], shape: list[str | int]) -> onnx.ValueInfoProto:
    """Declare a graph input or output."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    if element == TensorProto.UNDEFINED:
        raise ValueError(f"{name}: {kind} has no ONNX type")
    return helper.make_tensor_value_info(name, element, shape)
