"""Reads a T5 encoder in the sentence-transformers folder layout into plain arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from exporter.errors import SourceInvalid, UnsupportedModel
from exporter.weights import Array, EncoderShape, EncoderWeights, LayerWeights
from retrieval_core.checksums import fingerprint_of, sha256_of_file

Tensors = Mapping[str, torch.Tensor]
_WEIGHT_FILES = ("*.safetensors", "*.bin")
_MODULES = ["Transformer", "Pooling", "Dense", "Normalize"]


@dataclass(frozen=True)
class SourceModel:
    """One source folder: the encoder's weights and the folder's own limit on tokens."""

    folder: Path
    name: str
    license: str
    max_tokens: int
    weights: EncoderWeights


def resolve_folder(model: str) -> Path:
    """The folder itself, or the hub's snapshot of a model name (downloaded where needed)."""
    if Path(model).is_dir():
        return Path(model)
    if model.startswith((".", "/")) or model.count("/") != 1:
        raise SourceInvalid(f"{model}: no such folder, and not a hub name (owner/name)")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model, ignore_patterns=["*.h5", "*.msgpack", "*.ot", "onnx/*"]))


def read_source(
    folder: Path, name: str | None = None, max_tokens: int | None = None
) -> SourceModel:
    """Read and check a whole source folder.

    Raises SourceInvalid for a missing file or tensor, UnsupportedModel for another architecture.
    """
    paths = _module_paths(folder)
    transformer = folder / paths["Transformer"]
    _check_pooling(folder / paths["Pooling"])
    config = _read_json(transformer / "config.json")
    dense, bias, tanh = _read_dense(folder / paths["Dense"])
    shape = _read_shape(config, dimensions=dense.shape[1])
    weights = _read_encoder(_load_tensors(transformer), shape, dense, bias, tanh)
    limit = max_tokens or _read_max_tokens(transformer, config)
    return SourceModel(folder, name or folder.resolve().name, _read_license(folder), limit, weights)


def weights_digest(folder: Path) -> str:
    """The fingerprint of a source folder's weight files, wherever the folder lies."""
    paths = [path for kind in _WEIGHT_FILES for path in folder.rglob(kind)]
    return fingerprint_of({str(path.relative_to(folder)): sha256_of_file(path) for path in paths})


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SourceInvalid(f"{path}: missing")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def _module_paths(folder: Path) -> dict[str, str]:
    path = folder / "modules.json"
    if not path.is_file():
        raise SourceInvalid(f"{path}: missing")
    modules = json.loads(path.read_text(encoding="utf-8"))
    paths = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in modules}
    if list(paths) != _MODULES:
        raise UnsupportedModel(f"{path}: modules are {list(paths)}, expected {_MODULES}")
    return paths


def _check_pooling(folder: Path) -> None:
    config = _read_json(folder / "config.json")
    modes = [
        key.removeprefix("pooling_mode_")
        for key, on in config.items()
        if key.startswith("pooling_mode_") and on is True
    ]
    if isinstance(config.get("pooling_mode"), str):
        modes.append(config["pooling_mode"])
    if modes not in (["mean_tokens"], ["mean"]):
        raise UnsupportedModel(f"{folder}: pooling {modes}, only mean over tokens is supported")
    if config.get("include_prompt") is False:
        raise UnsupportedModel(f"{folder}: pooling that leaves out a prompt is not supported")


def _read_shape(config: dict[str, Any], dimensions: int) -> EncoderShape:
    if config.get("model_type") != "t5":
        raise UnsupportedModel(f"model_type is {config.get('model_type')!r}, expected 't5'")
    projection = config.get("feed_forward_proj", "relu")
    if projection not in ("relu", "gated-gelu"):
        raise UnsupportedModel(f"feed_forward_proj {projection!r}: only relu and gated-gelu")
    return EncoderShape(
        d_model=config["d_model"],
        d_kv=config["d_kv"],
        d_ff=config["d_ff"],
        heads=config["num_heads"],
        layers=config["num_layers"],
        vocabulary=config["vocab_size"],
        norm_epsilon=config.get("layer_norm_epsilon", 1e-6),
        buckets=config.get("relative_attention_num_buckets", 32),
        max_distance=config.get("relative_attention_max_distance", 128),
        gated=projection == "gated-gelu",
        dimensions=dimensions,
    )


def _load_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder, from safetensors or, without any pickled code, from .bin files."""
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = folder / f"{stem}.{suffix}.index.json"
        names = [f"{stem}.{suffix}"]
        if index.is_file():
            names = sorted(set(_read_json(index)["weight_map"].values()))
        if all((folder / name).is_file() for name in names):
            return {key: value for name in names for key, value in _load(folder / name).items()}
    raise SourceInvalid(f"{folder}: neither model.safetensors nor pytorch_model.bin")


def _load(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        tensors: dict[str, torch.Tensor] = load_file(path)
        return tensors
    loaded: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def _read_dense(folder: Path) -> tuple[Array, Array | None, bool]:
    config = _read_json(folder / "config.json")
    activation = str(config.get("activation_function", "")).rsplit(".", 1)[-1]
    if activation not in ("Identity", "Tanh"):
        raise UnsupportedModel(f"{folder}: activation {activation!r}, only Identity and Tanh")
    tensors = _load_tensors(folder)
    weight = _take(tensors, "linear.weight", (config["out_features"], config["in_features"]))
    bias = _take(tensors, "linear.bias", (config["out_features"],)) if config.get("bias") else None
    return _transposed(weight), bias, activation == "Tanh"


def _take(tensors: Tensors, name: str, shape: tuple[int, ...]) -> Array:
    if name not in tensors:
        raise SourceInvalid(f"tensor {name} is missing")
    array: Array = tensors[name].to(torch.float32).numpy()
    if array.shape != shape:
        raise SourceInvalid(f"tensor {name} has shape {array.shape}, expected {shape}")
    return array


def _transposed(weight: Array) -> Array:
    return np.ascontiguousarray(weight.T)


def _read_encoder(
    tensors: Tensors, shape: EncoderShape, dense: Array, bias: Array | None, tanh: bool
) -> EncoderWeights:
    embedding = "shared.weight" if "shared.weight" in tensors else "encoder.embed_tokens.weight"
    relative = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    if dense.shape[0] != shape.d_model:
        raise SourceInvalid(
            f"Dense takes {dense.shape[0]} features, the encoder has {shape.d_model}"
        )
    return EncoderWeights(
        shape=shape,
        embedding=_take(tensors, embedding, (shape.vocabulary, shape.d_model)),
        relative_bias=_take(tensors, relative, (shape.buckets, shape.heads)),
        layers=tuple(_read_layer(tensors, shape, index) for index in range(shape.layers)),
        final_norm=_take(tensors, "encoder.final_layer_norm.weight", (shape.d_model,)),
        dense=dense,
        dense_bias=bias,
        dense_tanh=tanh,
    )


def _read_layer(tensors: Tensors, shape: EncoderShape, index: int) -> LayerWeights:
    attention = f"encoder.block.{index}.layer.0"
    forward = f"encoder.block.{index}.layer.1"
    wide = (shape.attention_width, shape.d_model)
    wi_names = ("wi_0", "wi_1") if shape.gated else ("wi",)

    def matrix(name: str, size: tuple[int, int]) -> Array:
        return _transposed(_take(tensors, f"{name}.weight", size))

    return LayerWeights(
        attention_norm=_take(tensors, f"{attention}.layer_norm.weight", (shape.d_model,)),
        query=matrix(f"{attention}.SelfAttention.q", wide),
        key=matrix(f"{attention}.SelfAttention.k", wide),
        value=matrix(f"{attention}.SelfAttention.v", wide),
        output=matrix(f"{attention}.SelfAttention.o", (wide[1], wide[0])),
        feed_forward_norm=_take(tensors, f"{forward}.layer_norm.weight", (shape.d_model,)),
        wi=tuple(
            matrix(f"{forward}.DenseReluDense.{name}", (shape.d_ff, shape.d_model))
            for name in wi_names
        ),
        wo=matrix(f"{forward}.DenseReluDense.wo", (shape.d_model, shape.d_ff)),
    )


def _read_max_tokens(folder: Path, config: dict[str, Any]) -> int:
    path = folder / "sentence_bert_config.json"
    declared = _read_json(path).get("max_seq_length") if path.is_file() else None
    return int(declared or config.get("n_positions") or 512)


def _read_license(folder: Path) -> str:
    """The licence named in the front matter of the folder's README, else 'unknown'."""
    card = folder / "README.md"
    if card.is_file():
        for line in card.read_text(encoding="utf-8").splitlines()[1:]:
            if line.startswith("license:"):
                return line.partition(":")[2].strip()
            if line.strip() == "---":
                break
    return "unknown"
