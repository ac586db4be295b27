"""Measures a model folder: `python -m training.encoder.evaluate --model FOLDER --corpus FILE`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from building.documentation import read_standard_library
from training.encoder.baselines import Baselines
from training.encoder.card import MEASURES, Row, markdown_table, update_card
from training.encoder.corpus import read_paragraphs
from training.encoder.measures import retrieval_measures
from training.encoder.next_passage import RULES, NextPassageTask, next_passage_task, next_ranks
from training.encoder.systems import Bm25System, FolderEmbedder, System, VectorSystem
from training.encoder.tasks import NamedPassage, Task, documentation_tasks, question_tasks

SHORTEST_SUMMARY_WORDS = 3
REPOSITORY = Path(__file__).resolve().parents[2]


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.encoder.evaluate",
        description="Exact search on articles and documentation that the model never saw.",
    )
    parser.add_argument("--model", type=Path, required=True, help="a model folder")
    parser.add_argument("--corpus", type=Path, required=True, help="paragraphs with questions")
    parser.add_argument(
        "--card",
        type=Path,
        action="append",
        default=[],
        help="model card to write the figures into; may be given again",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--threads", type=int, default=1, help="threads of the model's session")
    parser.add_argument("--without-bm25", action="store_true")
    parser.add_argument("--without-teacher", action="store_true", help="leave MiniLM out")
    parser.add_argument(
        "--cache",
        type=Path,
        default=REPOSITORY / "artifacts/training/encoder/teacher",
        help="where MiniLM's vectors and the figures of the baselines are kept",
    )
    return parser.parse_args(arguments)


def make_systems(options: argparse.Namespace) -> list[System]:
    """The model, then what it is compared with."""
    systems: list[System] = [VectorSystem(FolderEmbedder(options.model, options.threads))]
    if not options.without_bm25:
        systems.append(Bm25System())
    if not options.without_teacher:
        from training.encoder.baseline import TeacherEmbedder

        systems.append(VectorSystem(TeacherEmbedder(options.cache)))
    return systems


def standard_library_names() -> list[NamedPassage]:
    """Documented names of the standard library with a summary of some words."""
    named = (NamedPassage(r.continuation, r.text) for r in read_standard_library())
    chosen: dict[str, NamedPassage] = {}
    for item in named:
        if len(item.summary.split()) >= SHORTEST_SUMMARY_WORDS:
            chosen.setdefault(item.passage, item)
    return list(chosen.values())


def measure_all(
    tasks: Iterable[Task], systems: Sequence[System], baselines: Baselines
) -> list[Row]:
    """One row a task and system, with the four measures; known baselines are not measured again."""
    rows: list[Row] = []
    for task in tasks:
        for place, system in enumerate(systems):
            sys.stderr.write(f"{task.title}: {system.name}\n")
            measures = baselines.get(task, system.name) if place else None
            if measures is None:
                measures = retrieval_measures(
                    system.ranks(task.queries, task.passages, task.owners)
                )
                if place:
                    baselines.put(task, system.name, measures)
            rows.append({"task": task.title, "system": system.name, **measures})
    return rows


def measure_next_passage(task: NextPassageTask, systems: Iterable[System]) -> list[Row]:
    """One row a system that has vectors, and rule that makes a query of five of them."""
    rows: list[Row] = []
    for system in systems:
        if isinstance(system, VectorSystem):
            sys.stderr.write(f"{task.title}: {system.name}\n")
            vectors = system.vectors(task.passages, "passages")
            for rule, weights in RULES.items():
                measures = retrieval_measures(next_ranks(vectors, task, weights))
                name = f"{system.name}, {rule}"
                rows.append({"task": task.title, "system": name, **measures})
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when measured."""
    options = parse_arguments(arguments)
    paragraphs, systems = read_paragraphs(options.corpus), make_systems(options)
    baselines = Baselines(options.cache / "baselines.json")
    rows = measure_all(question_tasks(paragraphs), systems, baselines)
    rows += measure_next_passage(next_passage_task(paragraphs), systems)
    rows += measure_all(documentation_tasks(standard_library_names()), systems, baselines)
    for card in options.card:
        update_card(card, markdown_table(rows))
    sys.stdout.write((json.dumps(rows, indent=2) if options.json else _plain_table(rows)) + "\n")
    return 0


def _plain_table(rows: Sequence[Row]) -> str:
    lines = []
    task = ""
    for row in rows:
        if row["task"] != task:
            task = str(row["task"])
            lines.append(task)
        figures = "  ".join(f"{name} {row[name]:.3f}" for name in MEASURES)
        lines.append(f"  {row['system']:<28} {figures}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
