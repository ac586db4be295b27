"""Source folders of exact T5 architectures with random weights: for timing and for tests only.

What they encode means nothing; they are never published and never called a model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import T5Config, T5EncoderModel

DIMENSIONS = 768
# The published architectures: what the config.json of each checkpoint says.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gtr-t5-base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_heads": 12, "num_layers": 12},
    "gtr-t5-large": {"d_model": 1024, "d_kv": 64, "d_ff": 4096, "num_heads": 16, "num_layers": 24},
    "t5-small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_heads": 8, "num_layers": 6},
}
_COMMON: dict[str, Any] = {
    "vocab_size": 32128,
    "relative_attention_num_buckets": 32,
    "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "relu",
    "pad_token_id": 0,
    "eos_token_id": 1,
}


def write_random_source(
    folder: Path,
    tokenizer: Path,
    architecture: Mapping[str, Any],
    *,
    seed: int = 0,
    max_tokens: int = 512,
) -> Path:
    """Write a sentence-transformers folder: T5 encoder, mean pooling, Dense to 768, normalise.

    `tokenizer` is a tokenizer.json or spiece.model; `architecture` overrides T5Config's keys.
    """
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    config = T5Config(**{**_COMMON, **architecture})
    T5EncoderModel(config).eval().save_pretrained(folder)
    shutil.copyfile(tokenizer, folder / tokenizer.name)
    _write_modules(folder, config.d_model)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens})
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "T5Tokenizer",
            "model_max_length": max_tokens,
            "pad_token": "<pad>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "extra_ids": 0,
        },
    )
    return folder


def _write_modules(folder: Path, width: int) -> None:
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, (path, kind) in enumerate((*kinds, ("3_Normalize", "Normalize")))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for name in ("1_Pooling", "2_Dense", "3_Normalize"):
        (folder / name).mkdir()
    _write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True},
    )
    _write_json(
        folder / "2_Dense" / "config.json",
        {
            "in_features": width,
            "out_features": DIMENSIONS,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    dense = {"linear.weight": torch.randn(DIMENSIONS, width) / width**0.5}
    torch.save(dense, folder / "2_Dense" / "pytorch_model.bin")


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values))
