"""Loading a shard from a release: what is damaged or does not fit together is refused by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest

from index_svc.artifacts import load_artifacts
from index_svc.ivf import build_flat, build_ivf
from index_svc.shard import Shard, ShardQuery
from index_svc.truth import FlatTruth
from releases.bundle import Release
from releases.layout import IVF_INDEX_NAME, PASSAGES_NAME, PROJECTIONS_NAME
from releases.manifest import FileRecord
from releases.passages import open_passages, write_passages
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact, NotFound
from retrieval_core.hits import merge_hit_lists
from retrieval_core.vectors import Float32Matrix
from tests.support.tiny_release import TinyRelease, build_tiny_release, queries_near, tiny_corpus

COUNT = 90


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    folder = tmp_path_factory.mktemp("releases")
    return build_tiny_release(folder, corpus=tiny_corpus(COUNT))


def copy_of(source: TinyRelease, folder: Path) -> Release:
    """The same release elsewhere, to be damaged."""
    for name in (IVF_INDEX_NAME, PASSAGES_NAME, PROJECTIONS_NAME):
        (folder / name).write_bytes((source.folder / name).read_bytes())
    return Release(folder, source.release.manifest)


def resealed(release: Release) -> Release:
    """The release with checksums of what its files are now: a build that went wrong."""
    names = (IVF_INDEX_NAME, PASSAGES_NAME, PROJECTIONS_NAME)
    files = {
        name: FileRecord(
            sha256_of_file(release.folder / name), (release.folder / name).stat().st_size
        )
        for name in names
    }
    return Release(release.folder, dataclasses.replace(release.manifest, files=files))


def read_ivf(folder: Path) -> faiss.IndexIVFFlat:
    index = faiss.read_index(str(folder / IVF_INDEX_NAME))
    assert isinstance(index, faiss.IndexIVFFlat)
    return index


def rebuilt(folder: Path, change: Callable[[Float32Matrix], Float32Matrix]) -> None:
    index = read_ivf(folder)
    vectors = change(index.reconstruct_n(0, index.ntotal))
    centroids = index.quantizer.reconstruct_n(0, index.nlist)
    faiss.write_index(build_ivf(centroids, vectors), str(folder / IVF_INDEX_NAME))


def test_a_sound_release_loads_and_says_what_it_is(source: TinyRelease) -> None:
    shard = Shard.load(source.release, 0)
    shard.warm()
    manifest = source.release.manifest
    assert shard.facts.release_id == "tiny"
    assert shard.facts.passage_count == COUNT
    assert shard.facts.nlist == manifest.nlist == 2
    # The release asks for 8 lists, of which there are two.
    assert shard.facts.nprobe == 2
    assert shard.facts.lanes == ("guide", "news")
    assert shard.facts.fingerprint == manifest.encoder.fingerprint
    assert 1.0 <= shard.facts.imbalance_ratio < 2.0


def test_nprobe_of_the_server_goes_before_that_of_the_release(source: TinyRelease) -> None:
    assert Shard.load(source.release, 0, nprobe=1).facts.nprobe == 1


@pytest.mark.parametrize("shard_count", [2, 4])
def test_shards_on_disk_equal_the_flat_index(tmp_path: Path, shard_count: int) -> None:
    made = build_tiny_release(tmp_path, corpus=tiny_corpus(COUNT), shard_count=shard_count)
    shards = [Shard.load(made.release, number) for number in range(shard_count)]
    truth = FlatTruth.of_vectors(made.corpus.vectors, made.corpus.passage_ids)
    for query in queries_near(made.corpus.vectors, 10):
        row = query[None]
        found = [shard.search(ShardQuery(row, 20, exact=True)).hits for shard in shards]
        merged = merge_hit_lists(found, 20).hits
        expected = truth.search(row, 20)[0]
        np.testing.assert_array_equal(merged.passage_ids, expected.passage_ids)
        np.testing.assert_array_equal(merged.scores, expected.scores)


def test_a_shard_that_is_not_there_is_not_found(source: TinyRelease) -> None:
    with pytest.raises(NotFound, match=r"0\.\.0, not 1"):
        Shard.load(source.release, 1)


@pytest.mark.parametrize("name", [IVF_INDEX_NAME, PASSAGES_NAME, PROJECTIONS_NAME])
def test_one_changed_byte_is_noticed_before_anything_is_parsed(
    source: TinyRelease, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = copy_of(source, tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    parsed: list[str] = []
    monkeypatch.setattr(faiss, "read_index", parsed.append)
    with pytest.raises(DamagedArtifact, match=name):
        load_artifacts(release, 0)
    assert parsed == []


def flat_instead(folder: Path) -> None:
    vectors = read_ivf(folder).reconstruct_n(0, COUNT)
    faiss.write_index(build_flat(vectors), str(folder / IVF_INDEX_NAME))


def with_quantizer(folder: Path, centroids: Float32Matrix, metric: int) -> None:
    quantizer = faiss.IndexFlatIP(768)
    quantizer.add(centroids)
    changed = faiss.IndexIVFFlat(quantizer, 768, len(centroids), metric)
    changed.add(read_ivf(folder).reconstruct_n(0, COUNT))
    faiss.write_index(changed, str(folder / IVF_INDEX_NAME))


def centroids_of(folder: Path) -> Float32Matrix:
    # The index owns its quantiser, so it has to outlive the reading.
    index = read_ivf(folder)
    centroids: Float32Matrix = index.quantizer.reconstruct_n(0, 2)
    return centroids


def other_metric(folder: Path) -> None:
    with_quantizer(folder, centroids_of(folder), faiss.METRIC_L2)


def other_nlist(folder: Path) -> None:
    vectors = read_ivf(folder).reconstruct_n(0, COUNT)
    faiss.write_index(build_ivf(vectors[:3], vectors), str(folder / IVF_INDEX_NAME))


def other_dimension(folder: Path) -> None:
    vectors = np.eye(COUNT, dtype=np.float32)
    faiss.write_index(build_ivf(vectors[:2], vectors), str(folder / IVF_INDEX_NAME))


def foreign_row_numbers(folder: Path) -> None:
    index = read_ivf(folder)
    vectors = index.reconstruct_n(0, COUNT)
    index.reset()
    index.add_with_ids(vectors, np.arange(5, COUNT + 5))
    faiss.write_index(index, str(folder / IVF_INDEX_NAME))


def doubled_row_numbers(folder: Path) -> None:
    index = read_ivf(folder)
    vectors = index.reconstruct_n(0, COUNT)
    index.reset()
    index.add_with_ids(vectors, np.arange(COUNT) // 2)
    faiss.write_index(index, str(folder / IVF_INDEX_NAME))


def infinite_centroid(folder: Path) -> None:
    centroids = centroids_of(folder)
    centroids[1, 4] = np.inf
    with_quantizer(folder, centroids, faiss.METRIC_INNER_PRODUCT)


def write_garbage(folder: Path) -> None:
    (folder / IVF_INDEX_NAME).write_bytes(b"IwFl" + bytes(range(256)))


def change_passages(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        # Copied out first: the file that is mapped is the one that is written.
        table = pa.table(open_passages(folder / PASSAGES_NAME).to_pydict())
        write_passages(change(table), folder / PASSAGES_NAME)

    return apply


def with_column(
    name: str, change: Callable[[list[object]], list[object]]
) -> Callable[[Path], object]:
    def apply(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        return table.set_column(place, name, [change(table[name].to_pylist())])

    return change_passages(apply)


def save_projections(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        np.save(folder / PROJECTIONS_NAME, change(np.load(folder / PROJECTIONS_NAME)))

    return apply


MISFITS: list[tuple[str, Callable[[Path], object]]] = [
    (f"{IVF_INDEX_NAME}: FAISS cannot read it", write_garbage),
    (f"{IVF_INDEX_NAME}: is a IndexFlat", flat_instead),
    (f"{IVF_INDEX_NAME}: metric is 1", other_metric),
    (f"{IVF_INDEX_NAME}: nlist is 3", other_nlist),
    (f"{IVF_INDEX_NAME}: dimensions is {COUNT}", other_dimension),
    (f"{IVF_INDEX_NAME}: a row number is outside", foreign_row_numbers),
    (f"{IVF_INDEX_NAME}: a row is held twice", doubled_row_numbers),
    (f"{IVF_INDEX_NAME}: a centroid is not finite", infinite_centroid),
    (f"{IVF_INDEX_NAME} has 89", lambda folder: rebuilt(folder, lambda v: v[:-1])),
    (
        f"{IVF_INDEX_NAME}: a vector is not of unit",
        lambda folder: rebuilt(folder, lambda v: 1.01 * v),
    ),
    (
        f"{PASSAGES_NAME}: is not an Arrow file",
        lambda folder: (folder / PASSAGES_NAME).write_text("x"),
    ),
    (f"{PASSAGES_NAME} has 89", change_passages(lambda table: table.slice(1))),
    (f"{PASSAGES_NAME}: a passage id is", with_column("passage_id", lambda ids: [*ids[:-1], 0])),
    (f"{PASSAGES_NAME}: a passage id is", with_column("passage_id", lambda ids: [-1, *ids[1:]])),
    (f"{PASSAGES_NAME}: a position is", with_column("position", lambda places: [-1, *places[1:]])),
    (f"{PASSAGES_NAME}: has lanes", with_column("lane", lambda lanes: ["other", *lanes[1:]])),
    (f"{PROJECTIONS_NAME}: is not a float16", save_projections(lambda p: p.astype(np.float32))),
    (f"{PROJECTIONS_NAME}: has 63 columns", save_projections(lambda p: p[:, 1:])),
    (f"{PROJECTIONS_NAME} has 89", save_projections(lambda p: p[1:])),
    (f"{PROJECTIONS_NAME}: has NaN", save_projections(lambda p: p * np.float16(np.inf))),
    (
        f"{PROJECTIONS_NAME}: is not an array",
        lambda folder: (folder / PROJECTIONS_NAME).write_text("x"),
    ),
]


@pytest.mark.parametrize(("complaint", "spoil"), MISFITS)
def test_files_that_do_not_fit_together_are_refused(
    source: TinyRelease, tmp_path: Path, complaint: str, spoil: Callable[[Path], object]
) -> None:
    release = copy_of(source, tmp_path)
    spoil(tmp_path)
    with pytest.raises(DamagedArtifact, match=complaint):
        load_artifacts(resealed(release), 0)


def test_vectors_that_are_no_numbers_are_refused(source: TinyRelease, tmp_path: Path) -> None:
    # The builder refuses them, so they are written into the lists behind its back.
    release = copy_of(source, tmp_path)
    content = bytearray((tmp_path / IVF_INDEX_NAME).read_bytes())
    vector = source.corpus.vectors[3].tobytes()
    place = content.rfind(vector)
    assert place > 0
    content[place : place + 4] = np.float32(np.nan).tobytes()
    (tmp_path / IVF_INDEX_NAME).write_bytes(content)
    with pytest.raises(DamagedArtifact, match="a vector is not of unit norm"):
        load_artifacts(resealed(release), 0)


def test_a_pickle_in_place_of_projections_is_never_run(source: TinyRelease, tmp_path: Path) -> None:
    release = copy_of(source, tmp_path)
    np.save(tmp_path / PROJECTIONS_NAME, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DamagedArtifact, match=PROJECTIONS_NAME):
        load_artifacts(resealed(release), 0)


def test_passages_of_another_shard_are_refused(tmp_path: Path) -> None:
    made = build_tiny_release(tmp_path, corpus=tiny_corpus(COUNT), shard_count=2)
    files = dict(made.release.manifest.files)
    for name in (IVF_INDEX_NAME, PASSAGES_NAME, PROJECTIONS_NAME):
        own, other = (made.folder / "shards" / shard / name for shard in "01")
        own.write_bytes(other.read_bytes())
        files[f"shards/0/{name}"] = files[f"shards/1/{name}"]
    swapped = Release(made.folder, dataclasses.replace(made.release.manifest, files=files))
    with pytest.raises(DamagedArtifact, match="belongs to another shard than 0"):
        load_artifacts(swapped, 0)
