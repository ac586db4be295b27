"""The trained encoder as a folder in the layout of sentence-transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from training.encoder.model import OUTPUT_DIMENSIONS, EncoderShape, SentenceEncoder

MAX_TOKENS = 512
_MODULES = (
    ("", "Transformer"),
    ("1_Pooling", "Pooling"),
    ("2_Dense", "Dense"),
    ("3_Normalize", "Normalize"),
)

_README = """---
license: apache-2.0
---

A T5 encoder with mean pooling, a Dense layer and normalisation, written by training.encoder.
"""


def write_checkpoint(model: SentenceEncoder, folder: Path, tokenizer: Path) -> None:
    """Writes weights, configuration and tokenizer; sentence-transformers can load the folder."""
    for path, _ in _MODULES:
        (folder / path).mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    save_file({"linear.weight": weights.pop("dense.weight")}, folder / "2_Dense/model.safetensors")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    (folder / "README.md").write_text(_README, encoding="utf-8")
    for name, content in _configurations(model.shape).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_checkpoint(folder: Path) -> SentenceEncoder:
    """The model of a folder that `write_checkpoint` wrote."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shape = EncoderShape(**{name: config[name] for name in EncoderShape.__dataclass_fields__})
    weights = load_file(folder / "model.safetensors")
    weights["dense.weight"] = load_file(folder / "2_Dense/model.safetensors")["linear.weight"]
    model = SentenceEncoder(shape)
    model.load_state_dict(weights)
    return model


def _configurations(shape: EncoderShape) -> dict[str, object]:
    sizes = {name: getattr(shape, name) for name in EncoderShape.__dataclass_fields__}
    return {
        "config.json": {
            "architectures": ["T5EncoderModel"],
            "model_type": "t5",
            **sizes,
            "feed_forward_proj": "relu",
            "layer_norm_epsilon": 1e-6,
            "dropout_rate": 0.0,
            "n_positions": MAX_TOKENS,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
            "is_encoder_decoder": False,
            "use_cache": False,
        },
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(_MODULES)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": shape.d_model,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "2_Dense/config.json": {
            "in_features": shape.d_model,
            "out_features": OUTPUT_DIMENSIONS,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
        "sentence_bert_config.json": {"max_seq_length": MAX_TOKENS, "do_lower_case": False},
        "tokenizer_config.json": {
            "tokenizer_class": "T5TokenizerFast",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "extra_ids": 100,
            "model_max_length": MAX_TOKENS,
        },
    }
