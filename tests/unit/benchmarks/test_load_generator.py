from __future__ import annotations

import threading
import time

import pytest

from benchmarks.load.generator import ask_once, closed_loop, endless, open_loop
from benchmarks.load.queries import LoadQuery
from benchmarks.load.samples import OK
from retrieval_client import Coverage, Query, SearchResult
from retrieval_core.errors import Overloaded
from retrieval_core.timing import Stage, StageTiming, Timings

MS = 1_000_000
TIMINGS = Timings((StageTiming(Stage.ENCODE, "encoder", MS, 0, 4 * MS),), 2 * MS)
RESULT = SearchResult((), TIMINGS, Coverage(2, 1, 0.5, ()), (), "demo", "", "", False, 8, 3 * MS)
QUERIES = [LoadQuery("text", Query(text=str(number))) for number in range(5)]


class ScriptedClient:
    """Answers in `pause_s`; the first `company` queries only once all of them are there."""

    def __init__(self, pause_s: float = 0.0, *, company: int = 0) -> None:
        self.pause_s = pause_s
        self.company = company
        self.meeting = threading.Barrier(company or 1)
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.asked: list[str] = []

    def ask(self, query: Query) -> SearchResult:
        with self.lock:
            self.asked.append(query.text or "")
            meets = len(self.asked) <= self.company
            self.running += 1
            self.most = max(self.most, self.running)
        if meets:
            self.meeting.wait(30)
        time.sleep(self.pause_s)
        with self.lock:
            self.running -= 1
        return RESULT


class RefusingClient:
    def ask(self, query: Query) -> SearchResult:
        error = Overloaded("full", reason="QUEUE_FULL")
        error.timings = TIMINGS
        raise error


def test_an_open_loop_sends_every_query_no_earlier_than_it_is_due() -> None:
    samples = open_loop(ScriptedClient(), QUERIES, [index * 5 * MS for index in range(5)], 3)
    assert len(samples) == 5
    assert all(sample.lag_ns >= 0 for sample in samples)
    dues = sorted(sample.due_ns for sample in samples)
    assert [due - dues[0] for due in dues] == [index * 5 * MS for index in range(5)]


def test_an_open_loop_does_not_wait_for_slow_answers() -> None:
    client = ScriptedClient(company=5)
    open_loop(client, QUERIES, [index * MS for index in range(5)], caller_count=5)
    assert client.most == 5


def test_waiting_for_a_server_that_is_busy_counts_from_when_the_request_was_due() -> None:
    # All are due at once and are answered one by one, with a single caller to send them.
    samples = open_loop(ScriptedClient(pause_s=0.02), QUERIES, [0] * 5, caller_count=1)
    responses = sorted(sample.response_ns for sample in samples)
    assert responses[-1] >= 5 * 20 * MS
    assert min(sample.client_ns for sample in samples) < 3 * 20 * MS


def test_a_closed_loop_has_as_many_requests_in_flight_as_callers() -> None:
    client = ScriptedClient(pause_s=0.01, company=4)
    samples = closed_loop(client, endless(QUERIES, 0), caller_count=4, duration_s=0.4)
    assert client.most == 4
    assert len(samples) == len(client.asked) >= 8


def test_callers_share_the_queries_and_never_repeat_one() -> None:
    client = ScriptedClient(pause_s=0.002)
    closed_loop(client, endless(QUERIES, 3), caller_count=2, duration_s=0.1)
    assert client.asked[:2] in (["0 3", "1 3"], ["1 3", "0 3"])
    assert "0 4" in client.asked
    assert len(set(client.asked)) == len(client.asked)


def test_an_answer_is_kept_with_its_ledger_and_coverage() -> None:
    sample = ask_once(ScriptedClient(), QUERIES[0], due_ns=0)
    assert (sample.outcome, sample.kind, sample.release_id) == (OK, "text", "demo")
    assert sample.timings is TIMINGS
    assert sample.coverage_ratio == 0.5
    assert sample.done_ns >= sample.sent_ns > sample.due_ns


def test_an_error_is_an_outcome_with_the_timings_it_brought() -> None:
    sample = ask_once(RefusingClient(), QUERIES[0], due_ns=0)
    assert sample.outcome == "Overloaded QUEUE_FULL"
    assert sample.timings is TIMINGS


def test_a_defect_of_the_generator_ends_the_run_instead_of_losing_samples() -> None:
    class BrokenClient:
        def ask(self, query: Query) -> SearchResult:
            raise AttributeError("broken")

    with pytest.raises(AttributeError, match="broken"):
        closed_loop(BrokenClient(), endless(QUERIES, 0), caller_count=2, duration_s=1.0)
