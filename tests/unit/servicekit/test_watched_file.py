"""A watched file: every way to change it is noticed, and none is noticed twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from servicekit.watched_file import MAX_BYTES, Reading, WatchedFile


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text("one")
    watched = WatchedFile(path)
    assert watched.look() == Reading("one")
    assert watched.look() is None
    path.write_text("two")
    assert watched.look() == Reading("two")
    assert watched.look() is None


def test_a_file_that_is_replaced_is_read(tmp_path: Path) -> None:
    path, other = tmp_path / "flags.json", tmp_path / "other"
    path.write_text("one")
    watched = WatchedFile(path)
    watched.look()
    other.write_text("two")
    other.replace(path)
    assert watched.look() == Reading("two")


def test_a_link_that_is_switched_is_read(tmp_path: Path) -> None:
    # As Kubernetes updates a mounted ConfigMap.
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    link, staged = tmp_path / "flags.json", tmp_path / "staged"
    link.symlink_to("one")
    watched = WatchedFile(link)
    assert watched.look() == Reading("one")
    staged.symlink_to("two")
    staged.replace(link)
    assert watched.look() == Reading("two")


def test_two_writes_within_one_tick_of_the_clock_are_both_noticed(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text("one")
    before = path.stat()
    watched = WatchedFile(path)
    assert watched.look() == Reading("one")
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watched.look() == Reading("two")


def test_the_same_text_written_again_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text("one")
    watched = WatchedFile(path)
    watched.look()
    path.write_text("one")
    assert watched.look() is None


def test_a_file_may_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    watched = WatchedFile(path)
    assert watched.look() == Reading()
    assert watched.look() is None
    path.write_text("one")
    assert watched.look() == Reading("one")
    path.unlink()
    assert watched.look() == Reading()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (MAX_BYTES + 1)])
def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "flags.json"
    path.write_bytes(content)
    reading = WatchedFile(path).look()
    assert reading is not None
    assert reading.text is None
    assert reading.error


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    reading = WatchedFile(tmp_path).look()
    assert reading is not None
    assert reading.error
    assert "cannot be read" in reading.error
