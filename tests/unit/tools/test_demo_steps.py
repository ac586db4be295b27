from __future__ import annotations

from pathlib import Path

import pytest

from retrieval_client import Coverage, SearchResult
from retrieval_core.timing import Timings
from tools import demo
from tools.demo import StepFailed, context_start, ensure_release, first_sentence, show


def test_a_question_leaves_the_signature_out() -> None:
    text = "csv.DictReader(f)\n\nRead rows into dictionaries. The rest does not matter."
    assert first_sentence(text) == "Read rows into dictionaries"
    assert first_sentence("Only a sentence. And more.") == "Only a sentence"


def test_a_context_is_taken_from_a_known_article_if_it_is_long_enough() -> None:
    assert context_start(["a"] * 4 + ["csv"] * 4) == 4
    assert context_start(["a"] * 4 + ["csv"] * 3) == 0


def test_a_corpus_without_a_long_article_ends_the_demo_clearly() -> None:
    with pytest.raises(StepFailed, match="more than 3"):
        context_start(["a", "a", "b", "b", "b"])


def test_a_query_without_hits_is_a_failure_and_not_a_quiet_demo() -> None:
    nothing = SearchResult(
        (), Timings((), 0), Coverage(2, 2, 1.0, ()), (), "demo", "", "", False, 8, 0
    )
    with pytest.raises(StepFailed, match="found nothing"):
        show("text", nothing)


def test_a_build_that_fails_ends_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "demo.py"))
    (tmp_path / "build_release.py").write_text("import sys; sys.exit(4)")
    with pytest.raises(StepFailed, match="status 4"):
        ensure_release("demo", shards=2)
