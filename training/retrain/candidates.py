"""Trains what may be proposed, each candidate into a folder of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rerank_svc.candidates import QueryKind
from rerank_svc.model import RerankModel
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import InternalError
from training.encoder.corpus import Paragraph
from training.reranker.encode import ServedEncoder
from training.reranker.fit import FitOptions, fit_ranker
from training.reranker.graph import Provenance, write_reranker
from training.reranker.material import ContextModels, Material, encode_material
from training.reranker.models import context_models
from training.retrain.comparing import RankingPair

FIT_OPTIONS = FitOptions()

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainingSource:
    """The corpus as file and as paragraphs, and the encoder whose vectors are learned from."""

    corpus: Path
    paragraphs: Sequence[Paragraph]
    encoder_folder: Path
    encoder: ServedEncoder
    cache: Path
    threads: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained pair, the folder that holds its files, and the material it was made of."""

    label: str
    folder: Path
    pair: RankingPair
    material: Material


def train_query_models(source: TrainingSource, folder: Path) -> None:
    """Run the training of the query models, which needs torch, in a process of its own."""
    command = [
        *(sys.executable, "-m", "training.query_models", "--corpus", str(source.corpus)),
        *("--encoder", str(source.encoder_folder), "--out", str(folder)),
        *("--cache", str(source.cache), "--threads", str(source.threads)),
    ]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise InternalError(f"training.query_models ended with status {done.returncode}")


def train_candidate(
    label: str, source: TrainingSource, query_models: Path, folder: Path, report: Report
) -> Candidate:
    """Fit a reranker on what the query models of a folder find; its files go to `folder`."""
    fingerprint = source.encoder.fingerprint
    models = context_models(query_models, fingerprint)
    report(f"{label}: contexts are searched with {models.served.name}")
    material = encode_material(source.paragraphs, source.encoder, source.cache, models)
    _write_fitted(source, material, models, folder, report)
    reranker = RerankModel.load(folder)
    return Candidate(label, folder, RankingPair(models.served, reranker), material)


def _write_fitted(
    source: TrainingSource,
    material: Material,
    models: ContextModels,
    folder: Path,
    report: Report,
) -> None:
    rankers, counts = {}, {}
    for kind in QueryKind:
        training = material.training_lists(kind)
        validation = material.lists(kind, "validation")
        rankers[kind] = fit_ranker(training, validation, FIT_OPTIONS, report)
        counts[f"{kind.name.lower()}_lists"] = len(training.found())
    provenance = Provenance(
        source.encoder.fingerprint,
        source.encoder.name,
        sha256_of_file(source.corpus),
        counts,
        models.names,
    )
    write_reranker(rankers, provenance, folder)
