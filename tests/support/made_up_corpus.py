"""Articles of made-up words: each has words of its own, so that its passages belong together."""

from __future__ import annotations

import random
from pathlib import Path

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
_THINGS = ("table", "river", "window", "letter", "garden", "engine", "harbour", "bridge")
_VERBS = ("holds", "shows", "needs", "follows", "carries", "opens", "meets", "keeps")


def write_articles(folder: Path, *, articles: int, paragraphs: int, seed: int = 1) -> Path:
    """Text files in two lanes; the same ones for the same arguments."""
    generator = random.Random(seed)
    for number in range(articles):
        file = folder / ("home", "world")[number % 2] / f"article-{number:03}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        words = ["".join(generator.choices(_SYLLABLES, k=3)) for _ in range(6)]
        file.write_text(
            "\n\n".join(_paragraph(generator, words) for _ in range(paragraphs)), encoding="utf-8"
        )
    return folder


def _paragraph(generator: random.Random, words: list[str]) -> str:
    return " ".join(_sentence(generator, words) for _ in range(2))


def _sentence(generator: random.Random, words: list[str]) -> str:
    first, second, third = generator.sample(words, 3)
    begin, end = generator.sample(_VERBS, 2)
    thing = generator.choice(_THINGS)
    return f"{first.capitalize()} {begin} the {thing} and {second} {end} {third}."
