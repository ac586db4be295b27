"""The ledger: what it records adds up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retrieval_core.timing import (
    DEFAULT_BUDGETS_NS,
    RETRIEVAL_STAGES,
    Stage,
    StageTiming,
    TimingLedger,
    Timings,
    stage_totals_ns,
)

Stages = st.sampled_from([stage for stage in Stage if stage is not Stage.TOTAL])
Entries = st.lists(
    st.builds(
        StageTiming, Stages, st.text(max_size=3), st.integers(0, 10**10), st.just(0), st.just(0)
    ),
    max_size=12,
).map(tuple)


class Hand:
    """A clock that somebody moves."""

    def __init__(self) -> None:
        self.now_ns = 1000

    def __call__(self) -> int:
        return self.now_ns


@given(Entries, st.integers(0, 10**9))
def test_the_stages_and_the_remainder_add_up_to_the_total(
    stages: tuple[StageTiming, ...], extra_ns: int
) -> None:
    used = sum(stage_totals_ns(stages).values())
    timings = Timings(stages, used + extra_ns)
    assert timings.unaccounted_ns == extra_ns


@given(Entries)
def test_a_stage_takes_as_long_as_its_longest_entry(stages: tuple[StageTiming, ...]) -> None:
    for stage, total in stage_totals_ns(stages).items():
        assert total == max(one.elapsed_ns for one in stages if one.stage is stage)


@given(Entries)
def test_retrieval_is_everything_before_the_reranker(stages: tuple[StageTiming, ...]) -> None:
    without = tuple(one for one in stages if one.stage is not Stage.RERANK)
    assert Timings(stages, 0).retrieval_ns == sum(stage_totals_ns(without).values())


def test_the_remainder_is_never_negative() -> None:
    stages = (StageTiming(Stage.ENCODE, "encoder", 50, 0, 0),)
    assert Timings(stages, 20).unaccounted_ns == 0


def test_a_ledger_reads_its_clock_and_knows_its_budgets() -> None:
    clock = Hand()
    ledger = TimingLedger({Stage.ENCODE: 400}, clock)
    clock.now_ns += 70
    ledger.record(Stage.ENCODE, "encoder", 60, 5, started_ns=1010)
    ledger.record(Stage.RERANK, "reranker", -3, -1)
    clock.now_ns += 30
    timings = ledger.close()
    assert timings.total_ns == 100
    assert timings.stages == (
        StageTiming(Stage.ENCODE, "encoder", 60, 5, 400, 1010),
        StageTiming(Stage.RERANK, "reranker", 0, 0, 0),
    )
    assert timings.unaccounted_ns == 40


def test_the_default_budgets_are_the_rulers_of_the_design() -> None:
    retrieval = sum(DEFAULT_BUDGETS_NS[stage] for stage in RETRIEVAL_STAGES)
    assert retrieval == 8_000_000
    assert DEFAULT_BUDGETS_NS[Stage.RERANK] == 2_000_000
    assert DEFAULT_BUDGETS_NS[Stage.TOTAL] == 10_000_000
