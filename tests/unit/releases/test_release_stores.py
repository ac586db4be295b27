"""Releases travel through any store: verified, resumed, and never seen before they are whole."""

from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]
import pytest

from releases.bundle import open_release
from releases.catalog import release_names
from releases.operating_point import OperatingPoint, read_operating_point, write_operating_point
from releases.stores import Store
from releases.transfers import pull_release, push_release, stored_releases
from releases.verification import find_problems
from retrieval_core.errors import (
    DamagedArtifact,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Unavailable,
)
from tests.unit.releases.release_files import make_release, overwrite
from tests.unit.releases.s3_server import BUCKET, S3Server, needs_s3, s3_environment

POINT = OperatingPoint(2, "2026-02-03T04:05:06Z", -0.2, 3.5)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    needs_s3()
    with S3Server.running() as server:
        yield server


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that is empty, on this machine."""
    return _local_url(request.param, tmp_path)


def _local_url(kind: str, folder: Path) -> str:
    if kind == "folder":
        return str(folder / "store")
    fsspec.filesystem("memory").store.clear()
    return "memory://store/releases"


@pytest.fixture(params=["folder", "memory", "s3"])
def any_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, and one behind HTTP: a real S3 server, which is slower to ask."""
    if request.param != "s3":
        return _local_url(request.param, tmp_path)
    server: S3Server = request.getfixturevalue("s3")
    for name, value in s3_environment(server.url).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def test_a_release_comes_back_as_it_was(any_url: str, here: Path, there: Path) -> None:
    release = make_release(here, "one", shard_count=2)
    write_operating_point(release, POINT)
    store = Store(any_url)
    assert stored_releases(store) == []
    pushed = push_release(store, release)
    assert sorted(pushed.copied) == sorted(release.manifest.files)
    assert stored_releases(store) == ["one"]
    pulled = pull_release(store, "one", there)
    assert pulled.copied_bytes == pushed.copied_bytes > 0
    assert find_problems(there / "one") == []
    assert open_release(there / "one").manifest == release.manifest
    assert read_operating_point(open_release(there / "one")) == POINT
    assert (there / "one" / "VERSION").stat().st_mode & 0o777 == 0o444


def test_what_is_there_already_is_left_alone(url: str, here: Path, there: Path) -> None:
    release = make_release(here, "one")
    store = Store(url)
    push_release(store, release)
    assert push_release(store, release).copied == []
    pull_release(store, "one", there)
    assert pull_release(store, "one", there).copied == []


def test_another_release_of_that_name_is_never_replaced(url: str, here: Path, there: Path) -> None:
    store = Store(url)
    push_release(store, make_release(here, "one"))
    other = make_release(there, "one", shard_count=2)
    with pytest.raises(FailedPrecondition, match="another release 'one'"):
        push_release(store, other)
    with pytest.raises(FailedPrecondition, match="another release 'one'"):
        pull_release(store, "one", there)
    assert open_release(there / "one").manifest.shard_count == 2


def test_damage_in_the_store_is_named_and_nothing_appears(
    url: str, here: Path, there: Path
) -> None:
    store = Store(url)
    push_release(store, make_release(here, "one"))
    intact = here / "one" / "p_ivf.faiss"
    (here / "bad").write_bytes(b"x" * intact.stat().st_size)
    store.put(here / "bad", "one/p_ivf.faiss")
    with pytest.raises(DamagedArtifact, match=r"one/p_ivf\.faiss: sha256 is"):
        pull_release(store, "one", there)
    assert release_names(there) == []
    store.put(intact, "one/p_ivf.faiss")
    pulled = pull_release(store, "one", there)
    assert "p_ivf.faiss" in pulled.copied
    assert pulled.present, "files that were verified before are not fetched again"
    assert find_problems(there / "one") == []


class CutOff(Store):
    """A store whose connection breaks after some files; downloads stop in the middle of one."""

    files_left = 2

    def put(self, source: Path, path: str) -> None:
        self._count()
        super().put(source, path)

    def download(self, path: str, target: Path) -> None:
        try:
            self._count()
        except Unavailable:
            target.write_bytes(self.read(path)[:5])
            raise
        super().download(path, target)

    def _count(self) -> None:
        self.files_left -= 1
        if self.files_left < 0:
            raise Unavailable("the connection broke")


def test_an_interrupted_push_goes_on_and_shows_nothing_before(
    any_url: str, here: Path, there: Path
) -> None:
    release = make_release(here, "one", shard_count=2)
    with pytest.raises(Unavailable):
        push_release(CutOff(any_url), release)
    store = Store(any_url)
    assert stored_releases(store) == []
    with pytest.raises(NotFound, match=r"no release 'one' at .* \(there: none\)"):
        pull_release(store, "one", there)
    done = push_release(store, release)
    assert len(done.present) == 2
    assert len(done.copied) == len(release.manifest.files) - 2
    pull_release(store, "one", there)
    assert find_problems(there / "one") == []


def test_a_file_that_was_pushed_in_part_is_pushed_again(url: str, here: Path) -> None:
    release = make_release(here, "one")
    store = Store(url)
    (here / "part").write_bytes(b"part")
    store.put(here / "part", "one/p_ivf.faiss")
    assert "p_ivf.faiss" in push_release(store, release).copied
    assert store.sha256("one/p_ivf.faiss") == release.manifest.files["p_ivf.faiss"].sha256


def test_an_interrupted_pull_goes_on_within_a_file(any_url: str, here: Path, there: Path) -> None:
    release = make_release(here, "one", shard_count=2)
    push_release(Store(any_url), release)
    with pytest.raises(Unavailable):
        pull_release(CutOff(any_url), "one", there)
    assert release_names(there) == []
    (part,) = there.rglob("*.part")
    assert len(part.read_bytes()) == 5
    pulled = pull_release(Store(any_url), "one", there)
    assert len(pulled.present) == 2
    assert find_problems(there / "one") == []
    assert list(there.glob(".pulling-*")) == []


def test_a_damaged_release_is_not_pushed(url: str, here: Path) -> None:
    release = make_release(here, "one")
    overwrite(release.folder / "p_ivf.faiss", b"other")
    with pytest.raises(DamagedArtifact):
        push_release(Store(url), release)
    assert stored_releases(Store(url)) == []


def test_a_release_stored_under_another_name_is_refused(here: Path, there: Path) -> None:
    push_release(Store(str(here / "store")), make_release(here, "one"))
    (here / "store" / "one").rename(here / "store" / "two")
    with pytest.raises(DamagedArtifact, match="is of 'one'"):
        pull_release(Store(str(here / "store")), "two", there)
    assert release_names(there) == []


def test_stores_that_cannot_be_used_are_named(here: Path) -> None:
    with pytest.raises(InvalidInput, match="nosuch"):
        Store("nosuch://place")
    (here / "file").write_text("in the way")
    with pytest.raises(Unavailable, match=r"here/file"):
        push_release(Store(str(here / "file")), make_release(here, "one"))


def test_an_s3_store_that_is_gone_is_unavailable(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_s3()
    for name, value in s3_environment("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable, match=r"s3://gone/x"):
        stored_releases(Store("s3://gone/x"))
