"""Passages end where sentences do, hold no more than they may, and lose nothing."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from building.cutting import Cutter
from building.records import Markup, Origin, Record
from building.tokens import FastTokenCounter
from tests.unit.building.tiny_encoder import make_tokenizer

TOKENS = FastTokenCounter(make_tokenizer())
MARKUPS: tuple[Markup, ...] = ("plain", "markdown", "rst", "docstring")


class LetterCounter:
    """One token a letter, and one more a text: what a text has is never the sum of its words."""

    is_additive = False
    special_count = 1

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text) + text.count(" ") for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [(at, at + 1) for at in range(len(text))]


def _record(text: str, markup: Markup = "plain", **changes: object) -> Record:
    record = Record(Origin("a.txt"), "a", "default", text, markup)
    return Record(**{**{name: getattr(record, name) for name in record.__slots__}, **changes})


def _cut(text: str, max_tokens: int = 30, markup: Markup = "plain") -> list[str]:
    return Cutter(TOKENS, max_tokens).cut(_record(text, markup))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


PIECES = st.sampled_from(
    [
        *("word", "Dr.", "e.g.", "U.S.", "end.", "End!", "Really?", "3.14", "(a)", "1.", "-", "|"),
        *(
            "# Title\n",
            "Title\n=====\n",
            "```\n",
            "~~~\n",
            "code::\n\n",
            "    indented\n",
            ">>> x\n",
        ),
        *(".. code-block:: python\n\n", "| a | b |\n", "\n", "\n\n", "\t", " ", "\u3002", "\u200b"),
        *("\u6f22\u5b57", "x" * 90, "\U0001f600", "\u00a0", "\u2028", "\f", "name (int): ", "``"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=60).map(" ".join) | st.text(max_size=300)


@settings(max_examples=150, deadline=None)
@example("\u200b \u200b word", "plain", 8)
@given(TEXTS, st.sampled_from(MARKUPS), st.integers(8, 40))
def test_nothing_is_lost_and_nothing_is_too_long(
    text: str, markup: Markup, max_tokens: int
) -> None:
    passages = Cutter(TOKENS, max_tokens).cut(_record(text, markup))
    if passages:
        assert _squeezed("".join(passages)) == _squeezed(text)
    else:
        assert sum(TOKENS.count(text.split())) == 0
    for count, passage in zip(TOKENS.count(passages), passages, strict=True):
        assert 0 < count <= max_tokens
        assert passage == passage.strip()


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(8, 40))
def test_a_tokenizer_that_counts_more_for_the_whole_is_obeyed(text: str, max_tokens: int) -> None:
    counter = LetterCounter()
    passages = Cutter(counter, max_tokens).cut(_record(text))
    assert _squeezed("".join(passages)) == _squeezed(text)
    assert all(count <= max_tokens for count in counter.count(passages))


def test_passages_end_at_sentence_ends() -> None:
    text = "The first one is here. The second one follows it. A third one ends the lot."
    assert _cut(text, max_tokens=40) == [
        "The first one is here.",
        "The second one follows it.",
        "A third one ends the lot.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met Mr. Jones at St. James on Jan. Third",
        "It weighs approx. Two tons, i.e. Too much",
        "J. R. R. Tolkien wrote it",
        "The U.S. Navy sailed",
        "It costs 3.14 pounds",
        "He said no... and left",
    ],
)
def test_full_stops_that_end_no_sentence_are_passed(text: str) -> None:
    from building.sentences import sentence_ends

    assert list(sentence_ends(text, 0, len(text))) == [len(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ('He left. "Why?" Nobody knew.', ["He left. ", '"Why?" ', "Nobody knew."]),
        ("He left.) Then she did.", ["He left.) ", "Then she did."]),
        ("Intro:\n- one item\n- two items", ["Intro:\n", "- one item\n", "- two items"]),
        ("One\n\nTwo", ["One\n\n", "Two"]),
        ("Args:\n    a (int): x\n    b: y", ["Args:\n", "    a (int): x\n", "    b: y"]),
        ("\u6f22\u5b57\u3002\u4e8c\u6587\u3002", ["\u6f22\u5b57\u3002", "\u4e8c\u6587\u3002"]),
        ("1. First step\n2. Second step", ["1. First step\n", "2. Second step"]),
    ],
)
def test_sentences_end_where_a_reader_would_say(text: str, sentences: list[str]) -> None:
    from building.sentences import sentence_ends

    found, start = [], 0
    for end in sentence_ends(text, 0, len(text)):
        found.append(text[start:end].lstrip(" "))
        start = end
    assert [sentence.strip() for sentence in found] == [sentence.strip() for sentence in sentences]


def test_a_long_sentence_is_cut_between_words() -> None:
    text = " ".join(f"word{number}" for number in range(40))
    passages = _cut(text)
    assert len(passages) > 2
    assert " ".join(passages) == text


def test_a_word_without_end_is_cut_where_tokens_end() -> None:
    passages = _cut("x" * 5000)
    assert "".join(passages) == "x" * 5000
    assert all(0 < count <= 30 for count in TOKENS.count(passages))


def test_a_long_run_without_white_space_takes_linear_time() -> None:
    sizes: list[int] = []

    class Counting(LetterCounter):
        def spans(self, text: str) -> list[tuple[int, int]]:
            sizes.append(len(text))
            return super().spans(text)

    Cutter(Counting(), 96).cut(_record("y" * 200_000))
    assert 200_000 <= sum(sizes) < 40 * 200_000


def test_a_heading_opens_a_passage_and_stays_with_its_text() -> None:
    text = "Intro text here.\n\n# Title\n\nBody text.\n\n## Sub\n\nMore text.\n"
    assert _cut(text, 60, "markdown") == [
        "Intro text here.",
        "# Title\n\nBody text.",
        "## Sub\n\nMore text.",
    ]
    assert _cut("Title\n=====\n\nBody text.\n\nSub\n---\n\nMore.", 60, "rst") == [
        "Title\n=====\n\nBody text.",
        "Sub\n---\n\nMore.",
    ]


def test_a_heading_stays_even_with_a_sentence_that_has_to_be_cut() -> None:
    passages = _cut("# Title\n\n" + " ".join(["word"] * 30) + ".", 30, "markdown")
    assert passages[0].startswith("# Title\n\nword")


def test_plain_text_knows_no_headings() -> None:
    assert _cut("Intro.\n\n# Title\n\nBody.", 60) == ["Intro.\n\n# Title\n\nBody."]


@pytest.mark.parametrize(
    ("markup", "code"),
    [
        ("markdown", "```python\na = 1. B = 2.\n\n# c\n```"),
        ("markdown", "~~~\na\n~~~"),
        ("markdown", "| a. B. | c |\n|---|---|\n| d | e |"),
        ("rst", ".. code-block:: python\n\n   a = 1. B = 2.\n\n   c = 3"),
        ("rst", ">>> a = 1. B = 2.\n1"),
    ],
)
def test_code_stays_whole_if_it_fits(markup: Markup, code: str) -> None:
    words = " ".join(["word"] * 12)
    passages = _cut(f"{words}.\n\n{code}\n\n{words}.", 75, markup)
    assert any(code in passage for passage in passages), passages


def test_code_that_does_not_fit_is_cut_between_lines() -> None:
    lines = [f"value_{number} = {number}" for number in range(30)]
    passages = _cut("```\n" + "\n".join(lines) + "\n```", 40, "markdown")
    found = [line.strip() for passage in passages for line in passage.split("\n")]
    assert found == ["```", *lines, "```"]


def test_an_unclosed_fence_reaches_to_the_end() -> None:
    assert _cut("```\n# no heading\nx = 1.", 60, "markdown") == ["```\n# no heading\nx = 1."]


def test_a_passage_with_an_id_is_never_cut() -> None:
    text = "  One. Two.  " * 200
    assert Cutter(TOKENS, 8).cut(_record(text, passage_id=1)) == [text]
    assert Cutter(TOKENS, 8).cut(_record("\u200b", passage_id=1)) == []


def test_later_passages_repeat_the_name() -> None:
    text = "a.name(x)\n\n" + " ".join(f"Sentence number {number}." for number in range(12))
    passages = Cutter(TOKENS, 60).cut(_record(text, "docstring", continuation="a.name"))
    assert len(passages) > 2
    assert passages[0].startswith("a.name(x)\n\n")
    assert all(passage.startswith("a.name\n") for passage in passages[1:])
    rest = [passage.removeprefix("a.name\n") for passage in passages[1:]]
    assert _squeezed("".join([passages[0], *rest])) == _squeezed(text)
    assert all(count <= 60 for count in TOKENS.count(passages))


def test_a_name_that_fills_a_passage_is_not_repeated() -> None:
    text = "One sentence here. " * 10
    with_name = Cutter(TOKENS, 30).cut(_record(text, continuation="n" * 50))
    assert with_name == Cutter(TOKENS, 30).cut(_record(text))


def test_passages_of_hardly_any_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        Cutter(TOKENS, 7)
