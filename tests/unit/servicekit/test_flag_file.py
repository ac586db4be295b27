"""The flags file as commands change it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from retrieval_core.errors import InvalidInput, NotFound
from retrieval_core.flags import KILLED, parse_flags
from servicekit.flag_file import is_killed, kill_flags, read_flags, restore_flags, write_flags


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "flags.json"


def test_a_change_keeps_what_it_does_not_name(path: Path) -> None:
    write_flags(path, {"RERANKER": "off", "CANARY_PERCENT": 5})
    assert write_flags(path, {"CANARY_PERCENT": 25}) == {"RERANKER": "off", "CANARY_PERCENT": 25}
    assert read_flags(path) == {"RERANKER": "off", "CANARY_PERCENT": 25}


def test_none_takes_a_flag_out(path: Path) -> None:
    write_flags(path, {"RERANKER": "off", "canary": {"RERANKER": "on", "FAISS_NPROBE": 4}})
    write_flags(path, {"RERANKER": None, "canary": {"FAISS_NPROBE": None}})
    assert read_flags(path) == {"canary": {"RERANKER": "on"}}
    write_flags(path, {"canary": {"RERANKER": None}})
    assert read_flags(path) == {}


def test_the_canary_can_be_taken_out_as_a_whole(path: Path) -> None:
    write_flags(path, {"canary": {"RERANKER": "on", "FAISS_NPROBE": 4}})
    assert write_flags(path, {"canary": None}) == {}


def test_a_wrong_change_leaves_the_file_alone(path: Path) -> None:
    write_flags(path, {"RERANKER": "off"})
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match="CANARY_PERCENT"):
        write_flags(path, {"RERANKER": "on", "CANARY_PERCENT": 500})
    assert path.read_bytes() == before
    assert sorted(one.name for one in path.parent.iterdir()) == [".flags.json.lock", "flags.json"]


def test_a_reader_never_sees_half_a_file(path: Path) -> None:
    write_flags(path, {"CANARY_PERCENT": 0})
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(int(parse_flags(path.read_text())["CANARY_PERCENT"]))

    reader = threading.Thread(target=read)
    reader.start()
    for percent in range(1, 51):
        write_flags(path, {"CANARY_PERCENT": percent})
    stop.set()
    reader.join()
    assert seen == sorted(seen)


def test_writers_do_not_lose_each_others_changes(path: Path) -> None:
    changes = [{"RERANKER": "off"}, {"FAISS_NPROBE": 4}, {"CANARY_PERCENT": 5}]
    writers = [threading.Thread(target=write_flags, args=(path, change)) for change in changes]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert read_flags(path) == {"RERANKER": "off", "FAISS_NPROBE": 4, "CANARY_PERCENT": 5}


def test_what_stood_before_the_kill_comes_back(path: Path) -> None:
    before = write_flags(path, {"RERANKER": "on", "CANARY_PERCENT": 25, "FAISS_NPROBE": 4})
    killed = kill_flags(path)
    assert killed == {**KILLED, "FAISS_NPROBE": 4}
    assert is_killed(path)
    assert kill_flags(path) == killed
    assert restore_flags(path) == before
    assert read_flags(path) == before
    assert not is_killed(path)


def test_a_kill_after_later_changes_keeps_those(path: Path) -> None:
    kill_flags(path)
    later = write_flags(path, {"RERANKER": "on", "CANARY_PERCENT": 5})
    kill_flags(path)
    assert restore_flags(path) == later


def test_nothing_killed_is_nothing_to_restore(path: Path) -> None:
    with pytest.raises(NotFound, match="nothing to restore"):
        restore_flags(path)


def test_the_kill_switch_works_on_a_damaged_file_and_others_say_so(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"RERANKER": "per')
    with pytest.raises(InvalidInput):
        write_flags(path, {"RERANKER": "on"})
    assert kill_flags(path) == KILLED
