"""What is to be built: options, inputs, and the digest that tells whether it is built already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from building.corpora import Corpus
from building.cutting import DEFAULT_MAX_TOKENS, SMALLEST_MAX_TOKENS
from building.query_model_files import QueryModelFolder
from building.reranker_folder import RerankerFolder
from encoder_svc.manifest import ModelFolder
from releases.bundle import Release, open_release
from releases.catalog import check_release_name
from retrieval_core.errors import FailedPrecondition, InvalidInput
from retrieval_core.projection import projection_digest, projection_matrix

BUILDER_VERSION = 2
"""Raised whenever the same inputs would give another release."""

DEFAULT_NPROBE = 8
MAX_SHARDS = 1024


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The choices of a build; nlist None means the square root of the number of passages."""

    shard_count: int = 1
    max_tokens: int = DEFAULT_MAX_TOKENS
    nlist: int | None = None
    nprobe: int = DEFAULT_NPROBE
    seed: int = 0

    def check(self) -> None:
        """Raise InvalidInput naming the first option that is out of range."""
        ranges = (
            ("--shards", self.shard_count, 1, MAX_SHARDS),
            ("--max-tokens", self.max_tokens, SMALLEST_MAX_TOKENS, 2**16),
            ("--nlist", self.nlist or 1, 1, 2**20),
            ("--nprobe", self.nprobe, 1, 2**20),
            ("--seed", self.seed, 0, 2**31 - 1),
        )
        for name, value, low, high in ranges:
            if not low <= value <= high:
                raise InvalidInput(name, f"is {value}, must lie between {low} and {high}")


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Everything that decides a release, read and checked; building it needs nothing else."""

    name: str
    releases_folder: Path
    corpus: Corpus
    encoder: ModelFolder
    reranker: RerankerFolder | None
    options: BuildOptions
    query_models: tuple[QueryModelFolder, ...] = ()

    def inputs_digest(self) -> str:
        """`sha256:` and the digest of corpus, models and options; the name is no part of it."""
        inputs = {
            "builder": BUILDER_VERSION,
            "corpus": dict(self.corpus.describe()),
            "corpus_name": self.corpus.name,
            "encoder": self.encoder.manifest.fingerprint,
            "reranker": self.reranker.digest if self.reranker else None,
            "query_models": {model.name: model.digest for model in self.query_models},
            "projection": projection_digest(projection_matrix()),
            "shard_count": self.options.shard_count,
            "max_tokens": self.options.max_tokens,
            "nlist": self.options.nlist,
            "nprobe": self.options.nprobe,
            "seed": self.options.seed,
        }
        return "sha256:" + hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def find_built(plan: BuildPlan, inputs_digest: str) -> Release | None:
    """The release of that name, if it exists, verifies whole and was built from the same inputs.

    Raises FailedPrecondition if it was built from others, DamagedArtifact if it does not verify:
    in both cases the name cannot be used. InvalidInput for a name that cannot be a release's.
    """
    check_release_name(plan.name)
    folder = plan.releases_folder / plan.name
    if not folder.exists() and not folder.is_symlink():
        return None
    release = open_release(folder)
    if release.manifest.corpus.inputs_digest != inputs_digest:
        raise FailedPrecondition(
            f"release {plan.name!r} exists and was built from other inputs or options; releases "
            "never change, so choose another name or remove it first",
            reason="RELEASE_EXISTS",
        )
    release.verify()
    return release
