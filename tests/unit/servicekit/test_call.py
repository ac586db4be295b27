"""The current call: its deadline, who waits for it, what it hands on."""

from __future__ import annotations

import threading

import pytest

from retrieval_core.errors import Cancelled, DeadlineExceeded
from servicekit.call import Call, current_call, current_trace_id, entered_call, make_call
from servicekit.tracing import Trace, parse_traceparent

MS = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 5_000 * MS

    def __call__(self) -> int:
        return self.now_ns


def test_times_follow_the_clock() -> None:
    clock = Clock()
    call = make_call(time_left_ms=20, clock=clock)
    clock.now_ns += 8 * MS
    assert call.elapsed_ns() == 8 * MS
    assert call.time_left_ns() == 12 * MS
    assert call.time_left_s() == pytest.approx(0.012)
    assert not call.cancelled()
    call.raise_if_over()


def test_after_the_deadline_nobody_waits() -> None:
    clock = Clock()
    call = make_call(time_left_ms=20, clock=clock)
    clock.now_ns += 20 * MS
    assert call.cancelled()
    assert call.time_left_s() == 0
    clock.now_ns += MS
    assert call.time_left_ns() == -MS
    with pytest.raises(DeadlineExceeded):
        call.raise_if_over()


def test_a_caller_that_left_is_told_from_a_deadline() -> None:
    call = make_call(gone=lambda: True)
    assert call.cancelled()
    with pytest.raises(Cancelled):
        call.raise_if_over()


def test_there_is_no_call_outside_of_one() -> None:
    with pytest.raises(LookupError):
        current_call()
    assert current_trace_id() is None


def test_the_current_call_is_that_of_its_thread() -> None:
    seen: list[str | None] = []
    with entered_call(make_call()) as call:
        assert current_call() is call
        assert current_trace_id() == call.trace_id
        thread = threading.Thread(target=lambda: seen.append(current_trace_id()))
        thread.start()
        thread.join(10)
    assert seen == [None]
    assert current_trace_id() is None


def test_trailing_metadata_keeps_its_order_and_checks_its_keys() -> None:
    call = make_call()
    assert not call.trailing_metadata
    call.add_trailing_metadata("timings-bin", b"\x01")
    call.add_trailing_metadata("note", "text")
    assert call.trailing_metadata == (("timings-bin", b"\x01"), ("note", "text"))
    with pytest.raises(ValueError, match="-bin"):
        call.add_trailing_metadata("timings", b"\x01")
    with pytest.raises(ValueError, match="-bin"):
        call.add_trailing_metadata("timings-bin", "text")


def test_the_trace_is_handed_on() -> None:
    call = make_call()
    ((key, value),) = call.outgoing_metadata()
    parent = parse_traceparent(value)
    assert key == "traceparent"
    assert parent is not None
    assert (parent.trace_id, parent.sampled) == (call.trace_id, False)


def test_on_end_wakes_at_once_when_the_call_is_over_already() -> None:
    woken: list[int] = []

    def on_end(wake: object) -> bool:
        return False

    trace = Trace("1" * 32, sampled=False)
    call = Call("m", 0, trace=trace, gone=lambda: True, on_end=on_end)
    call.on_end(lambda: woken.append(1))
    assert woken == [1]


def test_spans_of_calls_that_are_not_sampled_cost_nothing() -> None:
    make_call().add_span("SEARCH", 0, 1, {"k": 3})
