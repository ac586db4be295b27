"""What was trained on is known again by article and by text, however the text is cut."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from evaluation.overlap import (
    FINGERPRINTS_NAME,
    make_training_record,
    read_training_record,
    refuse_overlap,
    write_training_record,
)
from evaluation.querysets import ContextItem, EvaluationQuery, QuerySet, QuerySetError, Task
from retrieval_core.errors import DamagedArtifact

_GENERATOR = random.Random(5)


def _text(word_count: int) -> str:
    return " ".join(
        "".join(_GENERATOR.choices("abcdefghij", k=_GENERATOR.randint(2, 8)))
        for _ in range(word_count)
    )


TRAINED = [_text(120) for _ in range(20)]
UNSEEN = [_text(60) for _ in range(50)]
RECORD = make_training_record("some articles", ["Trained article"], TRAINED)


def test_a_trained_text_is_known_whatever_its_case_and_spacing() -> None:
    assert RECORD.knows(TRAINED[0])
    assert RECORD.knows(TRAINED[0].upper().replace(" ", "\n  "))


@pytest.mark.parametrize("start", [0, 17, 60])
def test_a_trained_text_is_known_when_cut_at_other_places(start: int) -> None:
    known = [RECORD.knows(" ".join(text.split()[start : start + 60])) for text in TRAINED]
    assert all(known)


def test_other_texts_are_not_known() -> None:
    assert not any(RECORD.knows(text) for text in UNSEEN)


def test_a_text_that_quotes_a_little_is_not_known() -> None:
    quoting = " ".join(TRAINED[0].split()[:12]) + " " + UNSEEN[0]
    assert not RECORD.knows(quoting)


def test_short_texts_are_known_only_as_a_whole() -> None:
    record = make_training_record("short", [], ["Bake a loaf."])
    assert record.knows("bake a LOAF")
    assert not record.knows("bake a loaf today")


def test_an_empty_record_knows_nothing() -> None:
    assert not make_training_record("nothing", [], []).knows("anything at all")


def test_a_record_survives_the_disk_and_holds_no_text(tmp_path: Path) -> None:
    write_training_record(RECORD, tmp_path)
    back = read_training_record(tmp_path)
    assert (back.name, back.articles) == (RECORD.name, RECORD.articles)
    np.testing.assert_array_equal(back.fingerprints, RECORD.fingerprints)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert TRAINED[0].split()[0].encode() + b" " + TRAINED[0].split()[1].encode() not in content


def test_an_altered_record_is_refused(tmp_path: Path) -> None:
    write_training_record(RECORD, tmp_path)
    np.save(tmp_path / FINGERPRINTS_NAME, RECORD.fingerprints[:-1])
    with pytest.raises(DamagedArtifact, match=FINGERPRINTS_NAME):
        read_training_record(tmp_path)


def _query_set(article: str, context_text: str) -> QuerySet:
    query = EvaluationQuery("one", article, (2,), context=(ContextItem(1, context_text),))
    return QuerySet("windows", Task.NEXT_PASSAGE, "sha256:0", (query,))


def test_an_unseen_set_is_not_refused() -> None:
    refuse_overlap(_query_set("Unseen", UNSEEN[0]), {2: UNSEEN[1]}, RECORD)


def test_a_shared_article_is_refused() -> None:
    with pytest.raises(QuerySetError, match="Trained article"):
        refuse_overlap(_query_set("Trained article", UNSEEN[0]), {2: UNSEEN[1]}, RECORD)


@pytest.mark.parametrize(("context", "gold"), [(TRAINED[3], UNSEEN[1]), (UNSEEN[0], TRAINED[3])])
def test_a_shared_text_under_another_title_is_refused(context: str, gold: str) -> None:
    with pytest.raises(QuerySetError, match="shares 1 texts"):
        refuse_overlap(_query_set("Renamed", context), {2: gold}, RECORD)
