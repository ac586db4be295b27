"""Figures of systems that no training changes, kept between evaluations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from training.encoder.tasks import Task


class Baselines:
    """A JSON file of measures by system and by the contents of the task."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, float]] = {}
        if path.exists():
            self._known = json.loads(path.read_text(encoding="utf-8"))

    def get(self, task: Task, system: str) -> Mapping[str, float] | None:
        """The measures of `system` on exactly this task, or None."""
        return self._known.get(_key(task, system))

    def put(self, task: Task, system: str, measures: Mapping[str, float]) -> None:
        """Keeps the measures, and writes the file whole or not at all."""
        self._known[_key(task, system)] = dict(measures)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._known, indent=2) + "\n", encoding="utf-8")
        partial.replace(self._path)


def _key(task: Task, system: str) -> str:
    content = json.dumps([list(task.queries), list(task.passages), task.owners.tolist()])
    return f"{system}: {task.name}: {hashlib.sha256(content.encode()).hexdigest()[:16]}"
