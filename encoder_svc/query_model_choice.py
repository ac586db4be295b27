"""Which query model answers: the requested one, or the next in the order when it cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from encoder_svc.query_model_runs import FallbackReason, QueryModelRuns
from encoder_svc.query_models import RULES
from releases.layout import QUERY_MODEL_NAMES
from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import Float32Matrix

LAST_RESORT = "recency"
FALLBACK_ORDER = (*QUERY_MODEL_NAMES, LAST_RESORT)
"""Each is replaced by the one after it; the last needs no model and is always there."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """Why another model than the requested one answered; the first reason that was met."""

    requested: str
    reason: FallbackReason


@dataclass(frozen=True, slots=True)
class Prediction:
    """vector [1, 768], unit norm, the model that gave it, and why it was not the requested one."""

    vector: Float32Matrix
    model: str
    fallback: Fallback | None = None


class QueryModels:
    """Rules and learned models by name.

    `refused` names models whose files are there but must not be served. Without a `default` it is
    the first of the order that is there: one that was refused counts, so that it is reported; one
    that is merely missing does not.
    """

    def __init__(
        self,
        learned: Iterable[QueryModelRuns] = (),
        refused: Mapping[str, str] | None = None,
        default: str = "",
    ) -> None:
        self._learned = {runs.name: runs for runs in learned}
        self._refused = dict(refused or {})
        self._default = default or self._first_there()
        self.check(self._default)

    @property
    def names(self) -> list[str]:
        """All that can answer, the one for requests without a name first."""
        known = [name for name in FALLBACK_ORDER if name in self._learned]
        names = [*known, *RULES]
        first = self._default if self._default in names else names[0]
        return [first, *(name for name in names if name != first)]

    def close(self) -> None:
        """End the threads of the learned models."""
        for runs in self._learned.values():
            runs.close()

    @property
    def refused(self) -> Mapping[str, str]:
        """Models that are not served although their files are there, and why."""
        return self._refused

    def check(self, name: str) -> None:
        """InvalidInput for a name that no query model of any server has; "" passes."""
        if name and name not in RULES and name not in QUERY_MODEL_NAMES:
            known = sorted({*RULES, *QUERY_MODEL_NAMES})
            raise InvalidInput(
                "query_model", f"{name!r} is none of {known}", reason="UNKNOWN_QUERY_MODEL"
            )

    async def predict(self, name: str, context: Float32Matrix) -> Prediction:
        """Ask the model `name` ("" for the default), then those after it in the order.

        context [1..5, 768] unit rows, oldest first. InvalidInput for an unknown name, and where
        the vectors cancel out.
        """
        self.check(name)
        requested = name or self._default
        fallback: Fallback | None = None
        for candidate in _order_from(requested):
            answered = await self._ask(candidate, context)
            if not isinstance(answered, FallbackReason):
                return Prediction(answered, candidate, fallback)
            fallback = fallback or Fallback(requested, answered)
        raise AssertionError("a rule gives a reason for not answering")

    async def _ask(self, name: str, context: Float32Matrix) -> Float32Matrix | FallbackReason:
        if (rule := RULES.get(name)) is not None:
            return rule.predict(context)
        if (runs := self._learned.get(name)) is not None:
            return await runs.predict(context)
        return FallbackReason.REFUSED if name in self._refused else FallbackReason.MISSING

    def _first_there(self) -> str:
        there = {*self._learned, *self._refused, LAST_RESORT}
        return next(name for name in FALLBACK_ORDER if name in there)


def _order_from(requested: str) -> Iterator[str]:
    if requested not in FALLBACK_ORDER:
        yield requested
        return
    yield from FALLBACK_ORDER[FALLBACK_ORDER.index(requested) :]
