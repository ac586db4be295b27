"""Admission: never more than the limit, refusal at once, batches held to the same limit."""

from __future__ import annotations

import threading

import pytest

from retrieval_core.errors import Overloaded
from servicekit.admission import Admission


def test_the_limit_holds_and_refusal_says_so() -> None:
    admission = Admission(2, "index")
    admission.acquire()
    admission.acquire()
    with pytest.raises(Overloaded, match="index has 2 calls in flight") as raised:
        admission.acquire()
    assert raised.value.reason == "OVERLOADED"
    assert (admission.in_flight, admission.refused_count) == (2, 1)
    admission.release()
    admission.acquire()


def test_a_batch_takes_all_or_nothing() -> None:
    admission = Admission(4, "gateway")
    with admission.admitted(3):
        with pytest.raises(Overloaded):
            admission.acquire(2)
        assert admission.in_flight == 3
        admission.acquire()
    assert admission.in_flight == 1


def test_an_error_in_the_body_gives_the_place_back() -> None:
    admission = Admission(1, "x")
    with pytest.raises(KeyError), admission.admitted():
        raise KeyError
    assert admission.in_flight == 0


def test_releasing_too_much_is_a_defect() -> None:
    with pytest.raises(ValueError, match="released more"):
        Admission(1, "x").release()


def test_a_limit_below_one_is_a_defect() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Admission(0, "x")


def test_threads_never_pass_the_limit_together() -> None:
    admission = Admission(3, "x")
    inside: list[int] = []
    over: list[int] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait(10)
        for _ in range(2000):
            try:
                admission.acquire()
            except Overloaded:
                continue
            inside.append(1)
            if len(inside) > 3:
                over.append(len(inside))
            inside.pop()
            admission.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not over
    assert admission.in_flight == 0
