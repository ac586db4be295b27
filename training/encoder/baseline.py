"""The teacher as a system of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from training.encoder.run import LazyTeacher
from training.encoder.teacher import TEACHER_NAME, Vectors


class TeacherEmbedder:
    """MiniLM-L6 with its vectors kept on disk between evaluations."""

    name = TEACHER_NAME

    def __init__(self, cache: Path) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._teacher = LazyTeacher(cache, device)

    def encode(self, texts: Sequence[str], label: str) -> Vectors:
        """Texts: n strings. Returns [n, 384] float16, unit norm."""
        return self._teacher(texts, f"evaluation-{label}")
