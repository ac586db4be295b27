"""The flags that operators flip while the gateways run: their names, their values, their layers.

Values lie in layers, the environment below the flags file; a name that the upper one lacks is
looked up in the lower one, and in the defaults last. A layer is refused whole when anything in it
is wrong. Nothing here reads the environment or a file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from retrieval_core.errors import FieldViolation, InvalidInput

RETRIEVER_IMPL = "RETRIEVER_IMPL"
RERANKER = "RERANKER"
CANARY_PERCENT = "CANARY_PERCENT"
FAISS_NPROBE = "FAISS_NPROBE"
SHADOW_PERCENT = "SHADOW_PERCENT"
CANARY = "canary"

RETRIEVER_IMPLS = ("amn_v0", "gru_v0", "recency", "mean")
MAX_NPROBE = 4096

FlagValue = str | int | float
FlagValues = Mapping[str, Any]
"""One layer by name, as in the flags file: checked, and only what it says; `canary` is a mapping
of overrides for the canary arm."""

NO_FLAGS: FlagValues = MappingProxyType({})

KILLED: Mapping[str, FlagValue] = MappingProxyType(
    {RERANKER: "off", CANARY_PERCENT: 0, RETRIEVER_IMPL: "recency", SHADOW_PERCENT: 0}
)
"""What the kill switch sets: the simplest path there is, for everybody, and no copies beside it."""


@dataclass(frozen=True, slots=True)
class ArmFlags:
    """How queries of one arm are answered.

    `retriever_impl` is the query model for contexts that name none, "" the encoder's own default;
    `faiss_nprobe` the lists that a shard scans when the query says none, 0 the release's own.
    """

    retriever_impl: str = ""
    reranker: bool = True
    faiss_nprobe: int = 0


@dataclass(frozen=True, slots=True)
class Flags:
    """All flags; `overrides_canary` when the canary is told anything of its own."""

    baseline: ArmFlags = field(default_factory=ArmFlags)
    canary: ArmFlags = field(default_factory=ArmFlags)
    canary_percent: float = 0
    shadow_percent: float = 0
    overrides_canary: bool = False


def flags_of(*layers: FlagValues) -> Flags:
    """Flags out of checked layers, the lowest first."""
    values: dict[str, Any] = {}
    for layer in layers:
        values.update(layer)
    overrides = values.get(CANARY, {})
    return Flags(
        baseline=_arm_flags(values),
        canary=_arm_flags({**values, **overrides}),
        canary_percent=values.get(CANARY_PERCENT, 0),
        shadow_percent=values.get(SHADOW_PERCENT, 0),
        overrides_canary=bool(overrides),
    )


def _arm_flags(values: FlagValues) -> ArmFlags:
    return ArmFlags(
        retriever_impl=values.get(RETRIEVER_IMPL, ""),
        reranker=values.get(RERANKER, "on") == "on",
        faiss_nprobe=values.get(FAISS_NPROBE, 0),
    )


def flag_values(flags: Flags) -> dict[str, FlagValue]:
    """The baseline's flags and the percentages under their names, for people."""
    baseline = flags.baseline
    return {
        RETRIEVER_IMPL: baseline.retriever_impl,
        RERANKER: "on" if baseline.reranker else "off",
        CANARY_PERCENT: flags.canary_percent,
        FAISS_NPROBE: baseline.faiss_nprobe,
        SHADOW_PERCENT: flags.shadow_percent,
    }


def flags_from_environment(environ: Mapping[str, str]) -> FlagValues:
    """The layer of environment variables; an empty one counts as unset.

    Raises InvalidInput with one violation for every variable that is wrong.
    """
    given = {name: environ[name] for name in FLAG_NAMES if environ.get(name, "").strip()}
    return _checked({name: _from_text(name, text) for name, text in given.items()}, FLAG_NAMES)


def flags_from_assignments(assignments: Mapping[str, str]) -> FlagValues:
    """A layer out of NAME=VALUE texts; `canary.NAME` overrides for the canary arm.

    Raises InvalidInput naming each that is wrong.
    """
    values: dict[str, Any] = {}
    for name, text in assignments.items():
        arm, _, own = name.rpartition(".")
        if arm == CANARY:
            values.setdefault(CANARY, {})[own] = _from_text(own, text)
        else:
            values[name] = _from_text(name, text)
    return checked_flags(values)


def parse_flags(text: str) -> FlagValues:
    """The layer of a flags file, one JSON object. Raises InvalidInput, and nothing of it counts."""
    try:
        values = json.loads(text, object_pairs_hook=_without_repetitions)
    except ValueError as error:
        raise InvalidInput("flags", f"is no JSON: {error}", reason="FLAGS_UNPARSABLE") from None
    except RecursionError:
        raise InvalidInput("flags", "is nested too deep", reason="FLAGS_UNPARSABLE") from None
    return checked_flags(values)


def checked_flags(values: object) -> FlagValues:
    """The same values when every name and value is right; InvalidInput with every problem."""
    if not isinstance(values, dict):
        raise InvalidInput("flags", "is no JSON object", reason="FLAGS_UNPARSABLE")
    given = {name: value for name, value in values.items() if (name, value) != (CANARY, None)}
    return _checked(given, (*FLAG_NAMES, CANARY))


def _checked(values: Mapping[str, Any], names: tuple[str, ...], prefix: str = "") -> FlagValues:
    problems = _problems(values, names, prefix)
    if problems:
        first, *more = problems
        raise InvalidInput(first.field, first.description, reason="FLAG_REFUSED", more=tuple(more))
    return MappingProxyType(dict(values))


def _problems(
    values: Mapping[str, Any], names: tuple[str, ...], prefix: str
) -> list[FieldViolation]:
    found: list[FieldViolation] = []
    for name, value in values.items():
        if name not in names:
            known = ", ".join(names)
            found.append(FieldViolation(prefix + name, f"is no flag; there are {known}"))
        elif name == CANARY:
            found += _override_problems(value)
        elif (wrong := _CHECKS[name](value)) is not None:
            found.append(FieldViolation(prefix + name, f"is {value!r}, must be {wrong}"))
    return found


def _override_problems(overrides: object) -> list[FieldViolation]:
    if not isinstance(overrides, Mapping):
        return [FieldViolation(CANARY, "is no JSON object")]
    return _problems(overrides, ARM_FLAG_NAMES, f"{CANARY}.")


def _check_impl(value: object) -> str | None:
    return (
        None
        if isinstance(value, str) and value in RETRIEVER_IMPLS
        else "one of " + ", ".join(RETRIEVER_IMPLS)
    )


def _check_reranker(value: object) -> str | None:
    return None if isinstance(value, str) and value in {"on", "off"} else "on or off"


def _check_percent(value: object) -> str | None:
    if _is_number(value) and 0 <= value <= 100:  # type: ignore[operator]
        return None
    return "a number from 0 to 100"


def _check_nprobe(value: object) -> str | None:
    if isinstance(value, int) and _is_number(value) and 0 <= value <= MAX_NPROBE:
        return None
    return f"a whole number from 0 (the release's own) to {MAX_NPROBE}"


def _is_number(value: object) -> bool:
    # True and False are ints to Python, and NaN is a float to its JSON reader.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_CHECKS: Mapping[str, Callable[[object], str | None]] = {
    RETRIEVER_IMPL: _check_impl,
    RERANKER: _check_reranker,
    CANARY_PERCENT: _check_percent,
    FAISS_NPROBE: _check_nprobe,
    SHADOW_PERCENT: _check_percent,
}
FLAG_NAMES = tuple(_CHECKS)
ARM_FLAG_NAMES = (RETRIEVER_IMPL, RERANKER, FAISS_NPROBE)
"""What the canary arm may be told otherwise."""


def _from_text(name: str, text: str) -> FlagValue:
    text = text.strip()
    if name in {CANARY_PERCENT, FAISS_NPROBE, SHADOW_PERCENT}:
        return _number(text)
    return text


def _number(text: str) -> FlagValue:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            pass
    # Left as it is, so that the check quotes it.
    return text


def _without_repetitions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return values
