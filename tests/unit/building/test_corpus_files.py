"""Folders of texts: names, lanes, order, and what is passed over or refused."""

import os
from pathlib import Path

import pytest

from building import text_files
from building.corpora import FileCorpus, open_corpus
from building.corpus_files import find_files
from building.reading import read_records
from building.records import Record
from retrieval_core.errors import InvalidInput


def _fill(folder: Path, **files: bytes) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _records(corpus: Path) -> list[Record]:
    return list(read_records(find_files(corpus).files))


def test_a_file_is_an_article_and_its_first_folder_the_lane(tmp_path: Path) -> None:
    _fill(
        tmp_path,
        **{
            "top.txt": b"Top.",
            "guides/deep/b.md": b"# B\n\nText.",
            "guides/a.RST": b"A.",
            "api/c.txt": b"C.",
        },
    )
    found = [(record.article_id, record.lane, record.markup) for record in _records(tmp_path)]
    assert found == [
        ("api/c.txt", "api", "plain"),
        ("guides/a.RST", "guides", "rst"),
        ("guides/deep/b.md", "guides", "markdown"),
        ("top.txt", "default", "plain"),
    ]


def test_one_file_is_a_corpus(tmp_path: Path) -> None:
    _fill(tmp_path, **{"a.md": b"Text."})
    (record,) = _records(tmp_path / "a.md")
    assert (record.article_id, record.lane, record.text) == ("a.md", "default", "Text.")


def test_tables_in_a_folder_take_its_lane_unless_they_state_one(tmp_path: Path) -> None:
    _fill(tmp_path, **{"news/a.jsonl": b'{"text": "1"}\n{"text": "2", "lane": "own"}\n'})
    assert [(record.lane, record.article_id) for record in _records(tmp_path)] == [
        ("news", "news/a.jsonl:1"),
        ("own", "news/a.jsonl:2"),
    ]


def test_marks_and_line_ends_are_made_plain(tmp_path: Path) -> None:
    _fill(tmp_path, **{"a.txt": b"\xef\xbb\xbfOne\r\ntwo\rthree\n"})
    assert _records(tmp_path)[0].text == "One\ntwo\nthree\n"


def test_hidden_empty_and_other_files_are_passed_over(tmp_path: Path) -> None:
    _fill(
        tmp_path,
        **{
            "a.txt": b"A.",
            "blank.txt": b" \n\t\n",
            "picture.png": b"\x89PNG",
            ".hidden.txt": b"H.",
            ".git/b.txt": b"B.",
        },
    )
    assert [record.article_id for record in _records(tmp_path)] == ["a.txt"]
    assert find_files(tmp_path).ignored_count == 1


def test_things_that_are_no_files_are_passed_over(tmp_path: Path) -> None:
    _fill(tmp_path, **{"a.txt": b"A."})
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "dangling.txt").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [record.article_id for record in _records(tmp_path)] == ["a.txt"]


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    _fill(tmp_path, **{"sub/a.txt": b"One\ntwo\nthr\xe9e\n"})
    with pytest.raises(InvalidInput, match=r"^sub/a\.txt, line 3: is not UTF-8 \(byte 0xe9\)"):
        _records(tmp_path)


def test_long_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MAX_FILE_BYTES", 10)
    _fill(tmp_path, **{"a.txt": b"x" * 11})
    with pytest.raises(InvalidInput, match=r"a\.txt: has 11 bytes, at most 10"):
        _records(tmp_path)


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))).write_bytes(b"A.")
    with pytest.raises(InvalidInput, match="name that is not UTF-8"):
        find_files(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent", "does not exist"),
        (lambda folder: folder, "holds no file of"),
        (lambda folder: folder / "a.pdf", "is none of .txt"),
    ],
)
def test_a_corpus_without_files_is_refused(tmp_path: Path, make: object, message: str) -> None:
    assert callable(make)
    _fill(tmp_path, **{"a.pdf": b"%PDF"})
    with pytest.raises(InvalidInput, match=message):
        find_files(make(tmp_path))


def test_the_description_follows_names_and_contents(tmp_path: Path) -> None:
    _fill(tmp_path, **{"a.txt": b"A.", "b.txt": b"B."})
    before = open_corpus(str(tmp_path)).describe()
    assert open_corpus(str(tmp_path)).describe() == before
    (tmp_path / "b.txt").write_bytes(b"C.")
    assert open_corpus(str(tmp_path)).describe() != before
    (tmp_path / "b.txt").write_bytes(b"B.")
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    assert open_corpus(str(tmp_path)).describe() != before


def test_only_the_bare_word_means_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(tmp_path, **{"docs/a.txt": b"A."})
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_corpus("./docs"), FileCorpus)
    assert not isinstance(open_corpus("docs"), FileCorpus)
