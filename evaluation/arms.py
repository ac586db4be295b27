"""Asking one arm of a gateway on purpose: a routing key that falls to it at any percentage."""

from __future__ import annotations

import itertools
from enum import StrEnum

from retrieval_client import SearchResult
from retrieval_core.errors import FailedPrecondition
from retrieval_core.traffic_split import BUCKET_COUNT, bucket_of


class Arm(StrEnum):
    """What a gateway calls its two arms."""

    BASELINE = "baseline"
    CANARY = "canary"


def key_of_arm(arm: Arm) -> str:
    """A key in the last bucket for the baseline, in the first for the canary.

    So the baseline answers it up to 99.99 %, and the canary from 0.01 % on.
    """
    wanted = BUCKET_COUNT - 1 if arm is Arm.BASELINE else 0
    keys = (f"evaluation-{number}" for number in itertools.count())
    return next(key for key in keys if bucket_of(key) == wanted)


def check_answer(result: SearchResult, release_id: str, arm: Arm) -> None:
    """FailedPrecondition where another arm or another release answered.

    Passages are named by their ids, so that another release's answers mean nothing.
    """
    if result.arm and result.arm != arm.value:
        raise FailedPrecondition(
            f"the {result.arm} arm answered, not the {arm.value}; "
            "the canary answers nothing at 0 %, and the baseline nothing at 100 %",
            reason="ARM_MISMATCH",
        )
    if result.release_id != release_id:
        raise FailedPrecondition(
            f"release {result.release_id!r} answered, but the query set is for {release_id!r}",
            reason="RELEASE_MISMATCH",
        )
