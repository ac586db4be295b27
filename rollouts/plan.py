"""The timeline of a rollout and the limits of its gates, as data; a file may say otherwise."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval_core.errors import InvalidInput

MINUTE_S = 60.0
HOUR_S = 3600.0
LEAST_CHECK_S = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One share of the callers.

    percent: of the callers, on the canary. watch_s: watched for this long before the decision.
    until_s: from its start, when the next step may begin; the canary is watched on until then.
    answers: whether the answers are judged (confidence, acceptance), not only errors and times.
    quality: whether both arms answer a query set for the decision.
    """

    percent: float
    watch_s: float
    until_s: float
    answers: bool = False
    quality: bool = False


CHECKLIST_STEPS = (
    Step(5, watch_s=30 * MINUTE_S, until_s=2 * HOUR_S),
    Step(25, watch_s=1 * HOUR_S, until_s=4 * HOUR_S, answers=True),
    Step(50, watch_s=2 * HOUR_S, until_s=18 * HOUR_S, answers=True, quality=True),
    Step(100, watch_s=24 * HOUR_S, until_s=24 * HOUR_S, answers=True),
)
"""48 hours: 5 % at once, 25 % after 2 hours, 50 % after 6, everybody after 24, done after 48."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a canary may do. Shares are 0 to 1, margins in percentage points (pp).

    error_rise_pp: errors above the baseline's. incomplete_rise_pp: answers that lack a shard, above
    the baseline's. p95_ms, p95_rise_ratio: P95 itself, and against the
    baseline's. p95_roll_back_ms: a P95 above it ends the rollout. near_duplicate_ratio: candidates
    that nearly repeat a better one. confident_drop_pp: confident answers below the baseline's;
    confident_roll_back_pp ends the rollout. least_rank1_change: fewer, and reranking helps nobody.
    quality_drop_pp, quality_roll_back_pp: R@5 on the query set. Below least_requests nothing
    passes, and below least_failures no error rate fails. confidence is that of the bounds;
    strict_confidence that of what is looked at again and again, or of few requests.
    """

    error_rise_pp: float = 0.2
    incomplete_rise_pp: float = 5.0
    p95_ms: float = 10.0
    p95_rise_ratio: float = 1.15
    p95_roll_back_ms: float = 20.0
    near_duplicate_ratio: float = 0.03
    confident_drop_pp: float = 3.0
    confident_roll_back_pp: float = 10.0
    least_rank1_change: float = 0.10
    quality_drop_pp: float = 2.0
    quality_roll_back_pp: float = 10.0
    least_requests: int = 100
    least_failures: int = 3
    confidence: float = 0.95
    strict_confidence: float = 0.9999

    def strict(self) -> Limits:
        """The same limits for a look that is one of many, where chance has as many chances."""
        return dataclasses.replace(self, confidence=self.strict_confidence)


@dataclass(frozen=True, slots=True)
class TriggerLimits:
    """What rolls back on its own, once it has held for `hold_s`."""

    error_ratio: float = 0.01
    p95_ms: float = 20.0
    quality_drop_pp: float = 10.0
    hold_s: float = 10 * MINUTE_S
    least_requests: int = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole rollout. All times in seconds of the timeline, which `scaled` shortens.

    check_every_s: between two looks at the figures. hold_s: a step whose figures do not decide it
    is watched on for this long before the rollout stops and asks. recent_s: the last part of a
    step, in which the canary must have had callers too. error_s: figures that cannot be had for
    this long stop it as well.
    """

    steps: tuple[Step, ...] = CHECKLIST_STEPS
    limits: Limits = field(default_factory=Limits)
    triggers: TriggerLimits = field(default_factory=TriggerLimits)
    check_every_s: float = 60.0
    recent_s: float = 10 * MINUTE_S
    hold_s: float = 12 * HOUR_S
    error_s: float = 10 * MINUTE_S

    def scaled(self, scale: float) -> Plan:
        """The same timeline `scale` times as fast. InvalidInput unless above 0."""
        if not scale > 0:
            raise InvalidInput("--time-scale", f"is {scale:g}, must be above 0")
        return dataclasses.replace(
            self,
            steps=tuple(
                dataclasses.replace(
                    step, watch_s=step.watch_s / scale, until_s=step.until_s / scale
                )
                for step in self.steps
            ),
            triggers=dataclasses.replace(self.triggers, hold_s=self.triggers.hold_s / scale),
            # A look costs the gateways some milliseconds, however fast the time goes by, and what
            # is looked at between two looks has to have happened.
            check_every_s=_shortened(self.check_every_s, scale, LEAST_CHECK_S),
            recent_s=_shortened(self.recent_s, scale, 5 * LEAST_CHECK_S),
            error_s=_shortened(self.error_s, scale, 10 * LEAST_CHECK_S),
            hold_s=self.hold_s / scale,
        )


def _shortened(seconds: float, scale: float, least_s: float) -> float:
    return max(seconds / scale, min(seconds, least_s))


def read_plan(path: Path) -> Plan:
    """A plan from a JSON file that has any of the names above; others keep their values.

    InvalidInput names what is unknown or wrong.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput("--plan", f"{path}: cannot be read ({error})") from error
    return parse_plan(content)


def parse_plan(content: object) -> Plan:
    """The plan that the content of a file makes. InvalidInput names what is unknown or wrong."""
    values = _object("plan", content)
    _check_names("plan", values, Plan)
    fields: dict[str, Any] = {
        name: _number(name, value) for name, value in values.items() if name not in _PARTS
    }
    if "steps" in values:
        fields["steps"] = _steps(values["steps"])
    for name, kind in (("limits", Limits), ("triggers", TriggerLimits)):
        if name in values:
            fields[name] = _numbers(name, values[name], kind)
    return Plan(**fields)


_PARTS = ("steps", "limits", "triggers")
_STEP_FLAGS = ("answers", "quality")


def _steps(content: object) -> tuple[Step, ...]:
    if not isinstance(content, list) or not content:
        raise InvalidInput("plan.steps", "must be a list of at least one step")
    steps = tuple(_step(f"plan.steps[{place}]", each) for place, each in enumerate(content))
    percents = [step.percent for step in steps]
    if percents != sorted(set(percents)) or not 0 < percents[0] <= percents[-1] == 100:
        raise InvalidInput("plan.steps", f"have percents {percents}, must rise and end with 100")
    return steps


def _step(place: str, content: object) -> Step:
    values = _object(place, content)
    _check_names(place, values, Step)
    missing = {"percent", "watch_s", "until_s"} - set(values)
    if missing:
        raise InvalidInput(place, f"lacks {', '.join(sorted(missing))}")
    percent, watch_s, until_s = (
        _number(f"{place}.{name}", values[name]) for name in ("percent", "watch_s", "until_s")
    )
    if until_s < watch_s:
        raise InvalidInput(f"{place}.until_s", "must be at least watch_s")
    answers, quality = (_flag(f"{place}.{name}", values.get(name)) for name in _STEP_FLAGS)
    return Step(percent, watch_s, until_s, answers, quality)


def _numbers(name: str, content: object, kind: type[Any]) -> Any:  # noqa: ANN401
    values = _object(f"plan.{name}", content)
    _check_names(f"plan.{name}", values, kind)
    return kind(**{key: _number(f"plan.{name}.{key}", value) for key, value in values.items()})


def _object(place: str, content: object) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise InvalidInput(place, "must be a JSON object")
    return content


def _check_names(place: str, values: Mapping[str, Any], kind: type[Any]) -> None:
    known = [each.name for each in dataclasses.fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InvalidInput(f"{place}.{unknown[0]}", f"is unknown; there are {', '.join(known)}")


def _number(place: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidInput(place, f"is {value!r}, must be a number from 0")
    return value


def _flag(place: str, value: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidInput(place, f"is {value!r}, must be true or false")
