"""Train a query model: `python -m training.query_models --model amn_v0 --corpus FILE`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from encoder_svc.query_model_loading import DEFAULT_QUERY_MODELS_FOLDER
from releases.layout import QUERY_MODEL_NAMES
from retrieval_core.checksums import sha256_of_file
from training.encoder.corpus import read_paragraphs
from training.query_models.export import Provenance, write_query_model
from training.query_models.fit import fit, validation_of
from training.query_models.material import encode_material, tokenizer_of
from training.query_models.options import add_source_options
from training.query_models.settings import SHIPPED, FitSettings
from training.reranker.encode import ServedEncoder


def main() -> int:
    """Encode, fit, export, check against torch, write graph and manifest."""
    options = _parse_options()
    torch.set_num_threads(options.threads)
    encoder = ServedEncoder(options.encoder, options.threads)
    paragraphs = read_paragraphs(options.corpus)
    names = [options.model] if options.model else [*QUERY_MODEL_NAMES]
    cuts = any(SHIPPED[name].with_pieces for name in names)
    tokenizer = tokenizer_of(options.encoder) if cuts else None
    material = encode_material(paragraphs, encoder, options.cache, tokenizer)
    held_out = validation_of(material)
    corpus_sha256 = sha256_of_file(options.corpus)
    for name in names:
        settings = _settings(name, options.seed)
        passages = material.training_passages(with_pieces=settings.with_pieces)
        fitted = fit(name, passages, held_out, settings, _report)
        provenance = Provenance(
            encoder.fingerprint, encoder.name, corpus_sha256, settings, fitted.figures
        )
        parity = write_query_model(fitted.network, provenance, options.out)
        _report(f"wrote {options.out}/{name}.onnx, at most {parity:.1e} from torch")
    return 0


def _settings(name: str, seed: int | None) -> FitSettings:
    settings = SHIPPED[name]
    return settings if seed is None else dataclasses.replace(settings, seed=seed)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.query_models", description=__doc__)
    add_source_options(parser)
    parser.add_argument(
        "--model", choices=QUERY_MODEL_NAMES, help="which one to train (default: both)"
    )
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_QUERY_MODELS_FOLDER, help="folder to write to"
    )
    parser.add_argument("--seed", type=int, help="another seed than the shipped one")
    return parser.parse_args()


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
