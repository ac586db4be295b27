"""The corpus of today as paragraphs: those of a release, with the questions that they allow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from evaluation.making import opening_sentence
from evaluation.querysets import text_fingerprint
from evaluation.release_passages import ReleasePassages
from releases.bundle import Release
from training.encoder.corpus import Paragraph


def paragraphs_of_release(release: Release) -> list[Paragraph]:
    """Every passage in article order, asked for by its own first sentence.

    Nobody wrote questions for a corpus that is merely served. A file with real ones does better.
    Passages of evaluation articles that stand in other articles too are left out.
    """
    passages = ReleasePassages.open(release)
    rows = sorted(
        range(len(passages)),
        key=lambda row: (passages.article_ids[row], passages.positions[row]),
    )
    found = [
        Paragraph(
            passages.article_ids[row],
            passages.positions[row],
            passages.texts[row],
            tuple(filter(None, [opening_sentence(passages.texts[row])])),
        )
        for row in rows
    ]
    known = {text_fingerprint(each.text) for each in found if each.part != "evaluation"}
    return [
        each
        for each in found
        if each.part != "evaluation" or text_fingerprint(each.text) not in known
    ]


def write_paragraphs(paragraphs: Sequence[Paragraph], path: Path) -> None:
    """One JSON object a line, as training reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as lines:
        for paragraph in paragraphs:
            lines.write(json.dumps(asdict(paragraph), ensure_ascii=False) + "\n")
