"""Retrain on the corpus of today: `python -m training.retrain [--corpus FILE] [--only reranker]`.

Trains query models and reranker, holds them against what the release is served with, and proposes
them only when the comparison passes; nothing that is served is touched. Exit code: 0 proposed, 1
nothing better, 2 wrong usage or unusable input, 4 inconclusive.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.commands import EXIT_FAILED, EXIT_USAGE, exit_status, now
from evaluation.querysets import QuerySetError
from releases.bundle import Release, open_release
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release
from releases.layout import QUERY_MODEL_NAMES, query_model_graph, query_model_manifest
from retrieval_core.errors import FailedPrecondition, InvalidInput, NotFound, RetrievalError
from training.encoder.corpus import CorpusError, read_paragraphs
from training.reranker.encode import ServedEncoder
from training.reranker.material import check_disjoint
from training.reranker.options import DEFAULT_CACHE
from training.retrain.candidates import (
    Candidate,
    TrainingSource,
    train_candidate,
    train_query_models,
)
from training.retrain.comparing import compare_ranking_pairs
from training.retrain.corpus import paragraphs_of_release, write_paragraphs
from training.retrain.proposals import (
    FORMAT,
    REJECTED_FOLDER,
    Retraining,
    choose,
    new_folder,
    write_outcome,
)
from training.retrain.served import Served, open_served

BOTH = "query_models_and_reranker"
RERANKER_ALONE = "reranker"
UNUSABLE = (InvalidInput, NotFound, FailedPrecondition, CorpusError, QuerySetError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, compare, propose; see the module for the exit code."""
    options = _parse_options(arguments)
    try:
        return _retrain(options)
    except (RetrievalError, CorpusError, QuerySetError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_USAGE if isinstance(error, UNUSABLE) else EXIT_FAILED


def _retrain(options: argparse.Namespace) -> int:
    release = open_release(resolve_release(options.release, options.releases))
    out = new_folder(
        options.out or Path("artifacts/proposals") / now().replace(":", ""), options.releases
    )
    served = open_served(release)
    source = _open_source(options, release, served, out)
    candidates = _train(options, source, served, out / REJECTED_FOLDER)
    comparisons = [
        compare_ranking_pairs(each.label, each.material, served.pair, each.pair)
        for each in candidates
    ]
    proposed, verdict = choose(comparisons)
    found = Retraining(
        format=FORMAT,
        created=now(),
        release_id=release.release_id,
        corpus=options.corpus.name if options.corpus else f"passages of {release.release_id}",
        encoder_fingerprint=source.encoder.fingerprint,
        comparisons=comparisons,
        proposed=proposed,
        verdict=verdict,
    )
    write_outcome(found, out)
    print((out / "report.md").read_text("utf-8"))
    return exit_status(verdict)


def _open_source(
    options: argparse.Namespace, release: Release, served: Served, out: Path
) -> TrainingSource:
    corpus = options.corpus
    if corpus is None:
        corpus = out / "corpus.jsonl"
        write_paragraphs(paragraphs_of_release(release), corpus)
    elif not corpus.is_file():
        raise InvalidInput("--corpus", f"{corpus}: there is no such file")
    paragraphs = read_paragraphs(corpus)
    check_disjoint(paragraphs)
    encoder = ServedEncoder(served.encoder_folder, options.threads)
    return TrainingSource(
        corpus, paragraphs, served.encoder_folder, encoder, options.cache, options.threads
    )


def _train(
    options: argparse.Namespace, source: TrainingSource, served: Served, folder: Path
) -> list[Candidate]:
    """Query models with their reranker first; a reranker for what is served as well."""
    candidates = []
    if options.only is None:
        both = folder / BOTH
        train_query_models(source, both)
        candidates.append(train_candidate(BOTH, source, both, both, _report))
    alone = folder / RERANKER_ALONE
    known = served.query_models.folder
    candidates.append(train_candidate(RERANKER_ALONE, source, known, alone, _report))
    _copy_query_models(known, alone)
    return candidates


def _copy_query_models(source: Path, target: Path) -> None:
    """What a reranker was trained with goes along with it."""
    for name in QUERY_MODEL_NAMES:
        for file in (query_model_graph(name), query_model_manifest(name)):
            if (source / file).is_file():
                shutil.copyfile(source / file, target / file)


def _parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.retrain", description=__doc__)
    parser.add_argument(
        "--corpus",
        type=Path,
        help="paragraphs with questions, .jsonl or .jsonl.gz; default: the release's own passages",
    )
    parser.add_argument("--release", default="current", help="what is served: name or folder")
    parser.add_argument(
        "--releases", type=Path, default=DEFAULT_RELEASES_FOLDER, help="folder of the releases"
    )
    parser.add_argument("--out", type=Path, help="new folder; default under artifacts/proposals")
    parser.add_argument("--only", choices=[RERANKER_ALONE], help="leave the query models alone")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where vectors are kept")
    parser.add_argument("--threads", type=int, default=2, help="threads that encode and train")
    return parser.parse_args(arguments)


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
