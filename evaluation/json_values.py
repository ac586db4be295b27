"""What commands write: one JSON object a line, and nothing that JSON does not know."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from releases.durable import write_bytes_durably
from retrieval_core.errors import InvalidInput

FIGURE_DIGITS = 6


def plain(value: Any) -> Any:  # noqa: ANN401 -- whatever a report is made of
    """The value as JSON knows it: dataclasses as objects, enumerations by value, NaN as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float):
        return _shortened(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def to_line(value: Any) -> str:  # noqa: ANN401
    """One line, so that files of reports can be joined into a history with `cat`."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False) + "\n"


def write_object(path: Path, value: Any) -> None:  # noqa: ANN401
    """Write one line in one step, making the folder; InvalidInput where that is impossible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_durably(path, to_line(value).encode())
    except OSError as error:
        raise InvalidInput("--out", f"{path}: cannot be written ({error.strerror})") from error


def _shortened(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    # Figures in fixed places, but norms that are off by 1e-8 in significant ones.
    return round(value, FIGURE_DIGITS) if abs(value) >= 1e-3 else float(f"{value:.4g}")
