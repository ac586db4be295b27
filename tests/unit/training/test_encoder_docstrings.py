"""Documented definitions are found in source text, under their full names, without importing."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.encoder.docstrings import DocumentedName, read_packages, split_docstring
from training.encoder.texts import documentation_texts

SOURCE = '''
raise RuntimeError("importing this module fails")

class Box:
    """Holds one
    thing."""

    def open(self, key, *rest, quietly=False, **more):
        """Opens the box.

        With a key.
        """

    def undocumented(self):
        pass

async def fetch(url, /):
    "Fetches."
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "parcel"
    (root / "tests").mkdir(parents=True)
    (root / "__init__.py").write_text(SOURCE, encoding="utf-8")
    (root / "broken.py").write_text("def (:", encoding="utf-8")
    (root / "tests" / "check.py").write_text('def t():\n    "A test."\n', encoding="utf-8")
    return root


def test_reads_names_headers_summaries_and_bodies(package: Path) -> None:
    assert read_packages([package]) == [
        DocumentedName("parcel", "Box", "class parcel.Box", "Holds one thing.", ""),
        DocumentedName(
            "parcel",
            "Box.open",
            "parcel.Box.open(self, key, *rest, quietly, **more)",
            "Opens the box.",
            "With a key.",
        ),
        DocumentedName("parcel", "fetch", "parcel.fetch(url)", "Fetches.", ""),
    ]


def test_passage_leaves_out_what_is_empty(package: Path) -> None:
    box = read_packages([package])[0]
    assert box.passage == "class parcel.Box\nHolds one thing."


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("One line.", ("One line.", "")),
        ("\n  Two\n  lines.\n\n  Rest.\n", ("Two lines.", "Rest.")),
        ("A.\n\nB.\n\nC.", ("A.", "B.\n\nC.")),
    ],
)
def test_summary_is_the_first_paragraph_on_one_line(
    docstring: str, expected: tuple[str, str]
) -> None:
    assert split_docstring(docstring) == expected


def test_sample_has_one_name_a_summary_and_nothing_private_or_too_short() -> None:
    names = [
        DocumentedName("p.a", "f", "p.a.f()", "Does one thing well.", "Long."),
        DocumentedName("p.b", "g", "p.b.g()", "Does one thing well.", ""),
        DocumentedName("p.b", "_h", "p.b._h()", "Does quite another thing.", ""),
        DocumentedName("p.b", "i", "p.b.i()", "Short one.", ""),
        DocumentedName("q", "j", "q.j()", "Does one thing well.", ""),
    ]
    texts = documentation_texts(names)
    assert sorted(texts.names) == ["p.f", "q.j"]
    row = texts.names.index("q.j")
    assert texts.bodies[row] == texts.passages[row] == "q.j()\nDoes one thing well."
