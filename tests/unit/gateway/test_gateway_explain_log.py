"""The explain log: what a line says, what it keeps to itself, and that the file stays bounded."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.explain_log import ExplainLog, ExplainPolicy, RotatingFile
from gateway.explain_record import explain_record
from gateway.metrics import METRICS
from gateway.query import ContextQuery, SearchQuery, TextQuery, VectorQuery
from gateway.recording import Answered
from servicekit.telemetry import ServiceMetrics
from tests.support.gateway_bench import Bench
from tests.support.gateway_ports import unit_vector
from tests.support.gateway_routes import bench_backends, router_of

SECRET = TextQuery("the words of the query")


async def answered(query: SearchQuery, *, keeps_features: bool = True) -> Answered:
    bench = Bench()
    traffic = router_of(bench_backends(bench)).traffic
    deadline_ns = bench.ledger.clock() + 5_000_000_000
    answer = await bench.pipeline.answer(
        query, bench.ledger, deadline_ns, keeps_features=keeps_features
    )
    return Answered(
        query, traffic, traffic.baseline, answer, bench.timings(), "ab" * 16, is_sampled=True
    )


def opened(path: Path, **policy: Any) -> tuple[ExplainLog, ServiceMetrics]:
    metrics = ServiceMetrics("gateway", METRICS)
    file = RotatingFile(path, 1_000_000, 2)
    return ExplainLog(file, metrics, ExplainPolicy(**policy), random.Random(1)), metrics


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_line_says_how_the_answer_came_about(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "explain.jsonl"
    log, metrics = opened(path, hit_count=3)
    log.follow(await answered(SearchQuery(SECRET, limit=5)))
    log.close()
    (line,) = lines(path)
    assert line["time"].endswith("+00:00")
    assert (line["trace_id"], line["arm"], line["release"]) == ("ab" * 16, "baseline", "r1")
    assert (line["kind"], line["nprobe"], line["limit"]) == ("text", 8, 5)
    assert (line["candidates"], line["articles"], line["largest_article"]) == (50, 5, 10)
    assert line["cosines"] == [1.0, 0.99, 0.98]
    assert line["reranked"] is True
    assert set(line["timings_ms"]) == {"ENCODE", "SEARCH", "MERGE", "RERANK", "TOTAL"}
    # The stub reranker turns the order round: 49 is first.
    first = line["hits"][0]
    assert (first["passage_id"], first["article_id"]) == (49, "article-4")
    assert (first["rank_before"], first["rank_after"]) == (50, 1)
    assert (first["cosine"], first["margin"]) == (0.51, 0.49)
    assert first["same_article_count"] == 10
    assert first["features"] == {"doubled": -1.02}
    assert metrics.value("gateway_explain_records_total", outcome="written") == 1


async def test_the_words_are_kept_out_unless_asked_for(tmp_path: Path) -> None:
    for with_text in (False, True):
        path = tmp_path / f"{with_text}.jsonl"
        log, _ = opened(path, with_text=with_text)
        log.follow(await answered(SearchQuery(SECRET)))
        log.close()
        assert (SECRET.text in path.read_text()) == with_text


async def test_vectors_are_never_written() -> None:
    items = ("one", unit_vector())
    for subject, text in (
        (VectorQuery(unit_vector()), None),
        (ContextQuery(items), ["one", None]),
    ):
        record = explain_record(await answered(SearchQuery(subject)), hit_count=1, with_text=True)
        assert record["query"] == text
        json.dumps(record)


async def test_without_the_reranker_there_are_no_features() -> None:
    one = await answered(SearchQuery(SECRET, skip_rerank=True))
    record = explain_record(one, hit_count=2, with_text=False)
    assert record["reranked"] is False
    assert [hit["rank_before"] for hit in record["hits"]] == [1, 2]
    assert record["hits"][0]["features"] == {}


async def test_only_what_was_sampled_is_written(tmp_path: Path) -> None:
    path = tmp_path / "explain.jsonl"
    log, _ = opened(path)
    one = await answered(SearchQuery(SECRET))
    log.follow(Answered(one.query, one.traffic, one.arm, one.answer, one.timings))
    log.close()
    assert path.read_text() == ""


@pytest.mark.parametrize(("ratio", "least", "most"), [(0, 0, 0), (0.1, 60, 140), (1, 1000, 1000)])
def test_the_sample_has_the_share_that_is_set(
    tmp_path: Path, ratio: float, least: int, most: int
) -> None:
    log, _ = opened(tmp_path / "explain.jsonl", ratio=ratio)
    assert least <= sum(log.wants() for _ in range(1000)) <= most
    log.close()


def test_the_file_is_rotated_and_the_oldest_lines_are_lost(tmp_path: Path) -> None:
    path = tmp_path / "explain.jsonl"
    file = RotatingFile(path, max_bytes=100, backups=2)
    for number in range(40):
        file.write(f'{{"number": {number:4}}}\n'.encode())
    file.close()
    names = sorted(one.name for one in tmp_path.iterdir())
    assert names == ["explain.jsonl", "explain.jsonl.1", "explain.jsonl.2"]
    assert all(one.stat().st_size <= 100 for one in tmp_path.iterdir())
    kept = [one["number"] for name in reversed(names) for one in lines(tmp_path / name)]
    assert kept == list(range(40 - len(kept), 40))
    assert len(kept) >= 11


def test_a_log_that_is_opened_again_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "explain.jsonl"
    for _ in range(2):
        file = RotatingFile(path, max_bytes=1000, backups=0)
        file.write(b"{}\n")
        file.close()
    assert lines(path) == [{}, {}]


def test_without_backups_the_file_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "explain.jsonl"
    file = RotatingFile(path, max_bytes=10, backups=0)
    for number in range(5):
        file.write(b'{"n": %d}\n' % number)
    file.close()
    assert lines(path) == [{"n": 4}]
    assert [one.name for one in tmp_path.iterdir()] == ["explain.jsonl"]


class BrokenFile(RotatingFile):
    """Cannot write the first lines."""

    broken_count = 2

    def write(self, line: bytes) -> None:
        self.broken_count -= 1
        if self.broken_count >= 0:
            raise OSError(28, "No space left on device")
        super().write(line)


async def test_a_full_disk_is_counted_and_does_not_end_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "explain.jsonl"
    metrics, file = ServiceMetrics("gateway", METRICS), BrokenFile(path, 1000_000, 1)
    log = ExplainLog(file, metrics, ExplainPolicy())
    one = await answered(SearchQuery(SECRET))
    for _ in range(3):
        log.follow(one)
    log.close()
    assert metrics.value("gateway_explain_records_total", outcome="failed") == 2
    assert metrics.value("gateway_explain_records_total", outcome="written") == 1
    assert len(lines(path)) == 1
    assert caplog.text.count("cannot be written") == 1


async def test_what_the_writer_cannot_keep_up_with_is_dropped(tmp_path: Path) -> None:
    class StuckFile(RotatingFile):
        def write(self, line: bytes) -> None:
            entered.set()
            assert goes_on.wait(30)

    entered, goes_on = threading.Event(), threading.Event()
    metrics = ServiceMetrics("gateway", METRICS)
    file = StuckFile(tmp_path / "explain.jsonl", 1000, 1)
    log = ExplainLog(file, metrics, ExplainPolicy(waiting_count=2))
    one = await answered(SearchQuery(SECRET))
    log.follow(one)
    assert entered.wait(30)
    for _ in range(5):
        log.follow(one)
    assert metrics.value("gateway_explain_records_total", outcome="dropped") == 3
    goes_on.set()
    log.close()
