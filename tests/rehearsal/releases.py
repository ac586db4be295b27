"""The releases of a rehearsal: the one that is served, good ones, and one with wrong vectors."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from building.assembly import Contents, train_coarse_quantizer, write_indexes
from evaluation.index_files import read_index
from evaluation.own_queries import make_own_sets
from evaluation.querysets import write_query_set
from evaluation.release_passages import ReleasePassages
from releases.bundle import Release, open_release
from releases.deriving import derive_release
from releases.layout import FLAT_INDEX_NAME, PASSAGES_NAME, SHARDS_FOLDER
from releases.passages import open_passages
from releases.writing import lock_build, publish_release, staging_folder
from tests.support.local_stacks import ROOT

CREATED = "2026-01-01T00:00:00Z"


def build_first(corpus: Path, releases: Path, name: str, shard_count: int) -> Release:
    """A release of the corpus, with the embedded models."""
    command = [
        *(sys.executable, str(ROOT / "tools" / "build_release.py"), "--corpus", str(corpus)),
        *("--name", name, "--shards", str(shard_count), "--releases", str(releases)),
        *("--max-tokens", "48", "--no-activate"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return open_release(releases / name)


def derive_good(source: Release, name: str) -> Release:
    """The same release under another name."""
    return derive_release(source, source.folder.parent, name, created=CREATED)


def derive_disturbed(source: Release, name: str, seed: int = 5) -> Release:
    """A valid release, sealed and checksummed, in which every passage has another one's vector.

    Its answers come as fast and are as confident as those of the source, and they are wrong.
    """
    releases = source.folder.parent
    manifest = dataclasses.replace(source.manifest, release_id=name, created=CREATED)
    flat = read_index(source.path(FLAT_INDEX_NAME))
    vectors = flat.vectors()[np.random.default_rng(seed).permutation(len(flat))]
    centroids = train_coarse_quantizer(vectors, manifest.nlist, manifest.seed)
    contents = Contents(open_passages(source.path(PASSAGES_NAME)), vectors, centroids)
    with lock_build(releases, name), staging_folder(releases, name) as staging:
        write_indexes(staging, contents, manifest.shard_count)
        _copy_models(source, staging)
        return publish_release(staging, releases, manifest)


def make_query_sets(source: Release, folder: Path, how_many: int) -> Sequence[Path]:
    """Query sets out of the release's own passages, of so many queries each; their folders."""
    made = make_own_sets(ReleasePassages.open(source), None, folder / "all")
    for query_set in made:
        few = dataclasses.replace(query_set, queries=query_set.queries[:how_many])
        write_query_set(few, folder / query_set.name)
    return [folder / query_set.name for query_set in made]


def questions_of(source: Release, how_many: int, seed: int = 3) -> list[str]:
    """Beginnings of passages, as somebody who looks for them might type."""
    texts = open_passages(source.path(PASSAGES_NAME))["text"].to_pylist()
    order = np.random.default_rng(seed).permutation(len(texts))
    return [" ".join(texts[row].split()[:8]) for row in order[:how_many]]


def _copy_models(source: Release, staging: Path) -> None:
    for name in source.manifest.files:
        if (staging / name).exists() or name.startswith(f"{SHARDS_FOLDER}/"):
            continue
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        (staging / name).write_bytes((source.folder / name).read_bytes())
