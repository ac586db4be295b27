"""From what came of every shard to the answers that count, the coverage, or an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.fanout import ShardOutcome
from gateway.ports import ShardAnswer
from retrieval_core.coverage import Coverage, MissingReason, MissingShard
from retrieval_core.errors import (
    FailedPrecondition,
    InvalidInput,
    Overloaded,
    RetrievalError,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class CorpusView:
    """What the last checks say about the corpus behind the gateway.

    `shard_count` is what the shards themselves say, at least the number configured; `lanes` maps a
    target's name to the lanes it had when last seen.
    """

    release_id: str = ""
    shard_count: int = 0
    lanes: Mapping[str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The answers of one release, in the order of the shards, and what is missing."""

    answers: tuple[ShardAnswer, ...]
    coverage: Coverage
    release_id: str


def settle_outcomes(
    outcomes: Sequence[ShardOutcome], view: CorpusView, min_coverage: float
) -> Settled:
    """Keep the answers of one release and count the rest as missing.

    Raises what all shards agree on when none answered (FailedPrecondition, InvalidInput,
    Overloaded), and Unavailable when the coverage is below `min_coverage` or zero.
    """
    release_id = _release_of(outcomes, view.release_id)
    answers: list[ShardAnswer] = []
    missing: list[MissingShard] = []
    for outcome in outcomes:
        if outcome.answer is None:
            missing.append(outcome.missing or _silent(outcome.target))
        elif outcome.answer.release_id != release_id:
            missing.append(_other_release(outcome.target, outcome.answer.release_id, release_id))
        else:
            answers.append(outcome.answer)
    asked = max(len(outcomes), view.shard_count)
    missing.extend(_without_address(index) for index in range(len(outcomes), asked))
    coverage = Coverage(asked, tuple(missing))
    if not answers or coverage.ratio < min_coverage:
        raise _refusal(outcomes, coverage)
    return Settled(tuple(answers), coverage, release_id)


def check_lanes_known(lanes: Sequence[str], settled: Settled, view: CorpusView) -> None:
    """Raise InvalidInput naming the first lane that no shard has.

    A lane that only a missing shard may have is no error: nobody is there to deny it.
    """
    if not lanes or not settled.answers:
        return
    unknown = set.intersection(*(set(answer.unknown_lanes) for answer in settled.answers))
    if not unknown:
        return
    lanes_seen = view.lanes or {}
    for shard in settled.coverage.missing:
        if shard.target not in lanes_seen:
            return
        unknown -= set(lanes_seen[shard.target])
    for index, lane in enumerate(lanes):
        if lane in unknown:
            raise InvalidInput(f"lanes[{index}]", "no such lane", reason="UNKNOWN_LANE")


def _release_of(outcomes: Sequence[ShardOutcome], current: str) -> str:
    # The release that most shards answered from; ties go to the one served so far, then by name.
    counts = Counter(outcome.answer.release_id for outcome in outcomes if outcome.answer)
    if not counts:
        return current
    return max(counts, key=lambda name: (counts[name], name == current, name))


def _silent(target: str) -> MissingShard:
    return MissingShard(target, MissingReason.TIMED_OUT)


def _other_release(target: str, release_id: str, wanted: str) -> MissingShard:
    detail = f"RELEASE_MISMATCH: serves {release_id}, this answer is of {wanted}"
    return MissingShard(target, MissingReason.FAILED, detail)


def _without_address(index: int) -> MissingShard:
    detail = "the corpus has this shard, the gateway has no address for it"
    return MissingShard(f"shard-{index}", MissingReason.UNREACHABLE, detail)


def _refusal(outcomes: Sequence[ShardOutcome], coverage: Coverage) -> RetrievalError:
    if not coverage.answered:
        agreed = _agreed_error([outcome.error for outcome in outcomes])
        if agreed is not None:
            return agreed
    reasons = ", ".join(
        f"{shard.target} {shard.reason.value} ({shard.detail})" for shard in coverage.missing
    )
    return Unavailable(
        f"{coverage.answered} of {coverage.asked} shards answered: {reasons}",
        reason="COVERAGE_TOO_LOW" if coverage.answered else "NO_SHARD_ANSWERED",
    )


def _agreed_error(errors: Sequence[RetrievalError | None]) -> RetrievalError | None:
    kinds = {(type(error), error.reason if error else "") for error in errors}
    first = errors[0] if errors else None
    agreeable = isinstance(first, FailedPrecondition | InvalidInput | Overloaded)
    return first if agreeable and len(kinds) == 1 else None
