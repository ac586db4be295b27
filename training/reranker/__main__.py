"""Train the reranker: `python -m training.reranker --corpus FILE --model FOLDER --out FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rerank_svc.candidates import QueryKind
from retrieval_core.checksums import sha256_of_file
from training.encoder.corpus import read_paragraphs
from training.reranker.encode import ServedEncoder
from training.reranker.fit import FitOptions, Ranker, fit_ranker
from training.reranker.graph import Provenance, write_reranker
from training.reranker.material import Material, encode_material
from training.reranker.models import context_models
from training.reranker.options import add_source_options


def main() -> int:
    """Encode, search, fit both kinds of query, write graph and manifest."""
    options = _parse_options()
    encoder = ServedEncoder(options.model, options.threads)
    paragraphs = read_paragraphs(options.corpus)
    models = context_models(options.query_models, encoder.fingerprint)
    print(f"contexts are searched with {models.names}", flush=True)
    material = encode_material(paragraphs, encoder, options.cache, models)
    rankers = {}
    counts = {}
    for kind in QueryKind:
        rankers[kind], counts[f"{kind.name.lower()}_lists"] = _fit(material, kind, options.seed)
    provenance = Provenance(
        encoder.fingerprint,
        encoder.name,
        sha256_of_file(options.corpus),
        counts,
        models.names,
    )
    write_reranker(rankers, provenance, options.out)
    print(f"wrote {options.out} for encoder {encoder.fingerprint}")
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.reranker", description=__doc__)
    add_source_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=FitOptions().seed)
    return parser.parse_args()


def _fit(material: Material, kind: QueryKind, seed: int) -> tuple[Ranker, int]:
    training = material.training_lists(kind)
    validation = material.lists(kind, "validation")
    print(
        f"{kind.name}: {len(training)} lists to train on, {len(training.found())} with the answer",
        flush=True,
    )
    ranker = fit_ranker(training, validation, FitOptions(seed=seed), print)
    return ranker, len(training.found())


if __name__ == "__main__":
    sys.exit(main())
