"""Writes the file of a release's vectors, which truths are rebuilt from, where it is missing."""

from __future__ import annotations

from pathlib import Path

from index_svc.ivf import read_flat_vectors
from releases.bundle import Release
from releases.corpus_files import corpus_path, has_corpus_file, write_corpus_file
from releases.layout import FLAT_INDEX_NAME, PASSAGES_NAME
from releases.passages import open_passages


def ensure_corpus_file(release: Release) -> Path:
    """The path of the vectors' file, written out of the release's FLAT truth if there is none.

    DamagedArtifact where the truth or the passages are not what the manifest says.
    """
    if has_corpus_file(release):
        return corpus_path(release.folder.parent, release.release_id)
    release.verify([FLAT_INDEX_NAME, PASSAGES_NAME])
    vectors = read_flat_vectors(release.path(FLAT_INDEX_NAME))
    passage_ids = open_passages(release.path(PASSAGES_NAME))["passage_id"].to_numpy()
    return write_corpus_file(release, vectors, passage_ids)
