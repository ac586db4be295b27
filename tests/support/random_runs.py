"""Random rankings with known relevance, and what a public implementation says about them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

PUBLIC_FIGURES = Path(__file__).parents[1] / "golden" / "public_measures.json"

PUBLIC_NAMES = {
    **{f"R@{k}": f"R@{k}" for k in (1, 3, 5, 10, 20, 50)},
    "MRR": "RR",
    "MRR@10": "RR@10",
    "nDCG@10": "nDCG@10",
    "Contain@20": "Success@20",
    "Contain@50": "Success@50",
}
"""What ir-measures calls our measures."""


@dataclass(frozen=True)
class RandomRun:
    """One ranking a query, best first, and the relevant ids."""

    rankings: list[list[int]]
    golds: list[list[int]]


def random_run(seed: int, query_count: int = 60) -> RandomRun:
    """Rankings of 0 to 50 of 80 passages, with 1 to 6 relevant ones each, some never found."""
    generator = random.Random(seed)
    rankings, golds = [], []
    for _ in range(query_count):
        length = generator.choice([0, 1, 5, 10, 30, 50, 50])
        rankings.append(generator.sample(range(80), length))
        golds.append(generator.sample(range(80), generator.randint(1, 6)))
    return RandomRun(rankings, golds)


def public_values(run: RandomRun) -> dict[str, list[float]]:
    """Every measure of every query by ir-measures, which has to be installed."""
    import ir_measures
    from ir_measures import Qrel, ScoredDoc

    qrels = [
        Qrel(str(query), str(gold), 1) for query, golds in enumerate(run.golds) for gold in golds
    ]
    scored = [
        ScoredDoc(str(query), str(passage), float(-rank))
        for query, ranking in enumerate(run.rankings)
        for rank, passage in enumerate(ranking)
    ]
    found: dict[str, list[float]] = {}
    for ours, theirs in PUBLIC_NAMES.items():
        measure = ir_measures.parse_measure(theirs)
        values = {
            each.query_id: float(each.value)
            for each in ir_measures.iter_calc([measure], qrels, scored)
        }
        found[ours] = [values.get(str(query), 0.0) for query in range(len(run.golds))]
    return found


def write_public_figures(seeds: tuple[int, ...] = (1, 2, 3)) -> None:
    """Write the golden file again; run this where ir-measures is installed."""
    figures = {str(seed): public_values(random_run(seed)) for seed in seeds}
    rounded = {
        seed: {name: [round(value, 9) for value in values] for name, values in found.items()}
        for seed, found in figures.items()
    }
    PUBLIC_FIGURES.parent.mkdir(exist_ok=True)
    PUBLIC_FIGURES.write_text(json.dumps(rounded) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_public_figures()
