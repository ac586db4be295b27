"""Modules of a textbook become paragraphs in order, without what is not running text."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from training.encoder.corpus import Paragraph, read_paragraphs
from training.textbooks import BookError, book_paragraphs, module_paragraphs, write_paragraphs

WORDS = " ".join(f"word{number}" for number in range(30))


def module(*paragraphs: str) -> str:
    body = "".join(paragraphs)
    return (
        '<document xmlns="http://cnx.rice.edu/cnxml" xmlns:m="http://www.w3.org/1998/Math/MathML">'
        f"<title>A title</title><content>{body}</content></document>"
    )


def repository(folder: Path, **modules: str) -> Path:
    for name, content in modules.items():
        path = folder / "modules" / name / "index.cnxml"
        path.parent.mkdir(parents=True)
        path.write_text(content, encoding="utf-8")
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "book"]):
        subprocess.run([*git, *command], check=True)
    return folder


def test_marked_up_words_stay_and_figures_footnotes_and_exercises_go() -> None:
    content = module(
        f"<para>First <emphasis>of</emphasis> <term>all</term>{WORDS}"
        "<footnote>not this</footnote> it <m:math><m:mi>x</m:mi></m:math> ends.</para>",
        "<para>Too short.</para>",
        f'<section class="exercises"><para>Why {WORDS}?</para></section>',
        f"<section><title>More</title><para>Then {WORDS}.</para></section>",
        f"<figure><para>Seen {WORDS}.</para></figure>",
    )
    first, second = module_paragraphs(content.encode())
    assert first == f"First of all{WORDS} it ends."
    assert second == f"Then {WORDS}."


def test_a_module_is_an_article_and_a_short_one_is_left_out(tmp_path: Path) -> None:
    paragraphs = [f"<para>{n} {WORDS}</para>" for n in range(3)]
    book = repository(tmp_path / "book", m1=module(*paragraphs), m2=module(paragraphs[0]))
    found = list(book_paragraphs(book))
    expected = [Paragraph("book/m1", n, f"{n} {WORDS}", (), is_extra=True) for n in range(3)]
    assert found == expected


def test_the_file_has_each_text_once_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    paragraph = Paragraph("book/m1", 0, f"café {WORDS}", (), is_extra=True)
    first, second = tmp_path / "one.jsonl.gz", tmp_path / "two.jsonl.gz"
    assert write_paragraphs(iter([paragraph, paragraph]), first) == 1
    write_paragraphs(iter([paragraph]), second)
    assert first.read_bytes() == second.read_bytes()
    assert [each.text for each in read_paragraphs(first)] == [paragraph.text]


def test_says_which_repository_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="missing"):
        list(book_paragraphs(tmp_path / "missing"))
    with pytest.raises(BookError, match="not a module"):
        module_paragraphs(b"<document>")
    with pytest.raises(BookError, match="entities"):
        module_paragraphs(b'<!DOCTYPE d [<!ENTITY a "aaaa">]><d>&a;</d>')
