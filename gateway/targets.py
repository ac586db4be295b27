"""The servers behind the gateway: a client, a name for people, and whether to ask it now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.ports import Describable, Description, EncoderClient, RerankerClient, ShardClient
from retrieval_core.breaker import Breaker
from retrieval_core.coverage import MissingReason, MissingShard
from retrieval_core.errors import (
    DeadlineExceeded,
    InternalError,
    Overloaded,
    RetrievalError,
    Unavailable,
)

DEFAULT_SET_ASIDE_AFTER = 5

Client_co = TypeVar("Client_co", bound=Describable, covariant=True)


def _ignore() -> None:
    pass


@dataclass(slots=True)
class Target(Generic[Client_co]):
    """One server or one set of replicas, and what is known about it.

    `bar` is set while the server must not be asked although it answers (it serves another shard
    than it should). `description` and `last_seen_ns` are those of the last check that succeeded,
    `failure` is why the last check did not; `failed_ns` when the last failure that counts ended.
    """

    name: str
    address: str
    client: Client_co
    breaker: Breaker = field(default_factory=lambda: Breaker(DEFAULT_SET_ASIDE_AFTER))
    on_set_aside: Callable[[], None] = _ignore
    bar: str = ""
    description: Description | None = None
    last_seen_ns: int | None = None
    failure: str = "not checked yet"
    last_reason: MissingReason = MissingReason.UNREACHABLE
    failed_ns: int = 0

    @property
    def is_serving(self) -> bool:
        """The last check succeeded."""
        return not self.failure

    def why_not_asked(self) -> MissingShard | None:
        """The reason to leave the target alone, or None when it is to be asked."""
        if self.bar:
            return MissingShard(self.name, MissingReason.FAILED, self.bar)
        if self.breaker.is_open:
            return MissingShard(self.name, self.last_reason, "set aside until a check succeeds")
        return None

    def record_success(self) -> None:
        """The target answered a request."""
        self.breaker.record_success()

    def record_failure(self, reason: MissingReason, started_ns: int, ended_ns: int) -> None:
        """The target did not answer a request. Only silence and absence count against it.

        Requests that were under way at the same time count once: a machine that stands still for
        a moment fails many of them and has failed once.
        """
        if reason not in _SILENCE or started_ns < self.failed_ns:
            return
        self.failed_ns = ended_ns
        self.last_reason = reason
        if self.breaker.record_failure():
            self.on_set_aside()


EncoderTarget = Target[EncoderClient]
ShardTarget = Target[ShardClient]
RerankerTarget = Target[RerankerClient]
AnyTarget = Target[Describable]

_SILENCE = (MissingReason.TIMED_OUT, MissingReason.UNREACHABLE)


def is_asked(target: AnyTarget) -> bool:
    """Whether the target passed its last check and is not set aside."""
    return target.is_serving and target.why_not_asked() is None


def missing_reason(error: RetrievalError) -> MissingReason:
    """Tell the four ways apart in which a server fails to contribute."""
    if isinstance(error, DeadlineExceeded):
        return MissingReason.TIMED_OUT
    if isinstance(error, Unavailable):
        return MissingReason.UNREACHABLE
    if isinstance(error, Overloaded):
        return MissingReason.OVERLOADED
    return MissingReason.FAILED


def public_detail(error: RetrievalError) -> str:
    """What a caller may read about an error of a server behind the gateway."""
    if isinstance(error, InternalError):
        return error.reason
    return f"{error.reason}: {error.message}"
