"""Which query model answers: the order of fallbacks, their reasons, and time limits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from encoder_svc.query_model_choice import Fallback, QueryModels
from encoder_svc.query_model_runs import FallbackReason, QueryModelRuns, RunLimits
from encoder_svc.query_models import RULES
from retrieval_core.errors import InternalError, InvalidInput
from retrieval_core.vectors import Float32Matrix, normalize_rows

CONTEXT = normalize_rows(np.random.default_rng(0).normal(size=(3, 768)))
SLOW_NS = 10**12
MS = 1_000_000
QUICK = RunLimits(limit_ns=10_000 * MS)
SHORT = RunLimits(limit_ns=20 * MS, rest_ns=1_000 * MS)


class Model:
    """Answers with the first item; waits or fails where it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.may_end = threading.Event()
        self.may_end.set()
        self.fails = False
        self.take: Callable[[], object] = bool
        self.threads: list[int] = []

    def predict(self, context: Float32Matrix) -> Float32Matrix:
        self.threads.append(threading.get_ident())
        assert self.may_end.wait(30)
        self.take()
        if self.fails:
            raise InternalError("no unit vector")
        return context[:1]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * MS

    def __call__(self) -> int:
        return self.now_ns

    def move(self, ns: int) -> None:
        self.now_ns += ns


@pytest.fixture
def amn() -> Iterator[Model]:
    model = Model("amn_v0")
    yield model
    model.may_end.set()


def chosen(*models: Model, limits: RunLimits = QUICK, **options: object) -> QueryModels:
    learned = [QueryModelRuns(model, limits, last_run_ns=0) for model in models]
    refused = options.get("refused")
    return QueryModels(
        learned,
        refused if isinstance(refused, dict) else None,
        str(options.get("default", "")),
    )


async def test_the_first_of_the_order_answers_for_no_name(amn: Model) -> None:
    models = chosen(Model("gru_v0"), amn)
    prediction = await models.predict("", CONTEXT)
    assert (prediction.model, prediction.fallback) == ("amn_v0", None)
    np.testing.assert_array_equal(prediction.vector, CONTEXT[:1])
    assert models.names == ["amn_v0", "gru_v0", "recency", "mean", "last"]


async def test_a_model_that_is_merely_not_there_is_missed_only_by_name() -> None:
    models = chosen()
    unnamed = await models.predict("", CONTEXT)
    assert (unnamed.model, unnamed.fallback) == ("recency", None)
    np.testing.assert_array_equal(unnamed.vector, RULES["recency"].predict(CONTEXT))
    named = await models.predict("amn_v0", CONTEXT)
    assert named.model == "recency"
    assert named.fallback == Fallback("amn_v0", FallbackReason.MISSING)


async def test_the_next_in_the_order_answers_and_the_first_reason_is_told() -> None:
    gru = Model("gru_v0")
    models = chosen(gru, refused={"amn_v0": "altered"})
    prediction = await models.predict("", CONTEXT)
    assert prediction.model == "gru_v0"
    assert prediction.fallback == Fallback("amn_v0", FallbackReason.REFUSED)
    gru.fails = True
    prediction = await models.predict("amn_v0", CONTEXT)
    assert prediction.model == "recency"
    assert prediction.fallback == Fallback("amn_v0", FallbackReason.REFUSED)
    # There is no way back up the order.
    prediction = await models.predict("gru_v0", CONTEXT)
    assert prediction.fallback == Fallback("gru_v0", FallbackReason.REFUSED)


@pytest.mark.parametrize("rule", sorted(RULES))
async def test_a_rule_that_is_asked_for_answers(rule: str, amn: Model) -> None:
    prediction = await chosen(amn).predict(rule, CONTEXT)
    assert (prediction.model, prediction.fallback) == (rule, None)
    assert amn.threads == []


async def test_the_default_may_be_a_rule_and_must_be_known(amn: Model) -> None:
    models = chosen(amn, default="mean")
    assert models.names[0] == "mean"
    assert (await models.predict("", CONTEXT)).model == "mean"
    with pytest.raises(InvalidInput, match="amn_v9"):
        chosen(default="amn_v9")


async def test_an_unknown_name_is_refused_and_names_the_field() -> None:
    with pytest.raises(InvalidInput) as caught:
        await chosen().predict("amn_v9", CONTEXT)
    assert caught.value.violations[0].field == "query_model"
    assert caught.value.reason == "UNKNOWN_QUERY_MODEL"


async def test_a_quick_model_runs_where_it_is_asked_and_a_slow_one_elsewhere(amn: Model) -> None:
    await chosen(amn).predict("", CONTEXT)
    slow = QueryModels([QueryModelRuns(amn, QUICK, last_run_ns=SLOW_NS)])
    await slow.predict("", CONTEXT)
    slow.close()
    here, elsewhere = amn.threads
    assert here == threading.get_ident() != elsewhere


async def test_a_late_model_is_replaced_and_rests(amn: Model) -> None:
    clock = Clock()
    runs = QueryModelRuns(amn, SHORT, last_run_ns=SLOW_NS, clock=clock)
    models = QueryModels([runs, QueryModelRuns(Model("gru_v0"), QUICK, 0)])
    amn.may_end.clear()
    late = await models.predict("", CONTEXT)
    assert late.model == "gru_v0"
    assert late.fallback == Fallback("amn_v0", FallbackReason.LATE)
    # While it rests nobody asks it, although it would answer now.
    amn.may_end.set()
    assert (await models.predict("", CONTEXT)).fallback == Fallback("amn_v0", FallbackReason.LATE)
    assert len(amn.threads) == 1
    clock.now_ns += SHORT.rest_ns
    again = await models.predict("", CONTEXT)
    assert (again.model, again.fallback) == ("amn_v0", None)
    models.close()


async def test_a_model_that_never_ends_holds_nobody_up_and_collects_no_queue(amn: Model) -> None:
    limits = RunLimits(limit_ns=5 * MS, rest_ns=0)
    models = QueryModels([QueryModelRuns(amn, limits, last_run_ns=SLOW_NS)])
    amn.may_end.clear()
    for _ in range(4):
        assert (await models.predict("", CONTEXT)).model == "recency"
    amn.may_end.set()
    models.close()
    assert len(amn.threads) == 1


async def test_one_slow_run_is_forgiven_and_two_are_not(amn: Model) -> None:
    clock = Clock()
    models = QueryModels([QueryModelRuns(amn, QUICK, last_run_ns=0, clock=clock)])
    amn.take = lambda: clock.move(QUICK.limit_ns)
    for _ in range(3):
        assert (await models.predict("", CONTEXT)).model == "amn_v0"
    here = threading.get_ident()
    assert [thread == here for thread in amn.threads] == [True, True, False]
    models.close()


async def test_a_model_that_becomes_quick_again_needs_no_thread(amn: Model) -> None:
    models = QueryModels([QueryModelRuns(amn, QUICK, last_run_ns=SLOW_NS)])
    await models.predict("", CONTEXT)
    await models.predict("", CONTEXT)
    first, second = amn.threads
    assert first != second == threading.get_ident()
    models.close()


async def test_only_a_name_is_checked_before_texts_are_encoded(amn: Model) -> None:
    models = chosen(amn)
    models.check("")
    models.check("last")
    with pytest.raises(InvalidInput):
        models.check("LAST")
