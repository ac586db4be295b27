"""Typed reading of JSON objects on disk; whatever is missing or of another type names its key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from retrieval_core.errors import DamagedArtifact

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class JsonFields:
    """One JSON object of a file; `prefix` is the dotted key that leads to it."""

    path: Path
    values: dict[str, Any]
    prefix: str = ""

    def text(self, key: str) -> str:
        """A string. Like all readers here, raises DamagedArtifact naming file and key."""
        return self._typed(key, str, "a string")

    def integer(self, key: str) -> int:
        """A whole number; true and false are none."""
        return self._typed(key, int, "a whole number")

    def boolean(self, key: str) -> bool:
        """True or false."""
        return self._typed(key, bool, "true or false")

    def number(self, key: str) -> float:
        """Any number."""
        value = self._required(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a number")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self._typed(key, list, "a list of strings")
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "a list of strings")
        return tuple(values)

    def child(self, key: str) -> JsonFields:
        """The object under `key`."""
        values: dict[str, Any] = self._typed(key, dict, "an object")
        return JsonFields(self.path, values, f"{self.prefix}{key}.")

    def children(self) -> Iterator[tuple[str, JsonFields]]:
        """Every key of this object with the object under it."""
        for key in self.values:
            yield key, self.child(key)

    def optional_text(self, key: str) -> str | None:
        """A string, or None where the key holds null; the key itself is required."""
        return None if self._required(key) is None else self.text(key)

    def wrong(self, key: str, expected: str) -> DamagedArtifact:
        """The error for a key whose value is not what is expected."""
        return DamagedArtifact(
            f"{self.path}: key `{self.prefix}{key}` must be {expected}, is {self.values.get(key)!r}"
        )

    def _required(self, key: str) -> object:
        if key not in self.values:
            raise DamagedArtifact(f"{self.path}: key `{self.prefix}{key}` is missing")
        return self.values[key]

    def _typed(self, key: str, kind: type[_Value], expected: str) -> _Value:
        value = self._required(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(key, expected)
        return value


def read_json_object(path: Path) -> JsonFields:
    """The object that the file holds. DamagedArtifact where there is none."""
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise DamagedArtifact(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DamagedArtifact(f"{path}: is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise DamagedArtifact(f"{path}: is not a JSON object")
    return JsonFields(path, values)
