"""The explain log: a sampled share of the answers as JSON lines, in a file that is rotated."""

from __future__ import annotations

import datetime as dt
import json
import logging
import queue
import random
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gateway.explain_record import explain_record
from gateway.recording import Answered
from servicekit.metric_names import MetricSpec
from servicekit.telemetry import ServiceMetrics

EXPLAIN_RECORDS = MetricSpec(
    "gateway_explain_records_total",
    "counter",
    "1",
    "Records for the explain log by outcome: written, dropped (it is behind), failed (to write)",
    ("outcome",),
)
EXPLAIN_METRICS = (EXPLAIN_RECORDS,)

_LOGGER = logging.getLogger("gateway.explain")


@dataclass(frozen=True, slots=True)
class ExplainPolicy:
    """`ratio` of the answers, `hit_count` hits of each; `with_text` also the query's words."""

    ratio: float = 0.01
    hit_count: int = 10
    with_text: bool = False
    waiting_count: int = 256


class RotatingFile:
    """Appends lines; a file that would grow beyond `max_bytes` becomes FILE.1, FILE.1 FILE.2, …

    The oldest of `backups` is lost. Every line is whole and reaches the system at once.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._backups = backups
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, line: bytes) -> None:
        """Append one line, its end included. OSError when the file cannot be written."""
        if self._size and self._size + len(line) > self._max_bytes:
            self._rotate()
        self._file.write(line)
        self._size += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        for number in range(self._backups, 0, -1):
            newer = self._path if number == 1 else self._backup(number - 1)
            if newer.exists():
                newer.replace(self._backup(number))
        # Whatever fails here, there is a file to go on with.
        before, self._file = (
            self._file,
            self._path.open("ab" if self._backups else "wb", buffering=0),
        )
        before.close()
        self._size = 0

    def _backup(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


class ExplainLog:
    """Writes on a thread of its own; whoever answers only puts a reference into a queue."""

    def __init__(
        self,
        file: RotatingFile,
        metrics: ServiceMetrics,
        policy: ExplainPolicy,
        chance: random.Random | None = None,
    ) -> None:
        self._file = file
        self._metrics = metrics
        self._policy = policy
        self._chance = chance or random.Random()  # noqa: S311 - a sample, no secret
        self._waiting: queue.Queue[tuple[dt.datetime, Answered] | None] = queue.Queue(
            policy.waiting_count
        )
        self._is_failing = False
        self._writer = threading.Thread(target=self._write_all, name="explain-log", daemon=True)
        self._writer.start()

    def wants(self) -> bool:
        """Whether the next answer is one of the sample; asked before, for the features' sake."""
        return self._chance.random() < self._policy.ratio

    def follow(self, answered: Answered) -> None:
        """Have a sampled answer written; dropped when the writer is behind."""
        if not answered.is_sampled:
            return
        try:
            self._waiting.put_nowait((dt.datetime.now(dt.UTC), answered))
        except queue.Full:
            self._metrics.add(EXPLAIN_RECORDS, outcome="dropped")

    def close(self) -> None:
        """Write what waits, then close the file."""
        self._waiting.put(None)
        self._writer.join()
        self._file.close()

    def _write_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._write(*item)

    def _write(self, at: dt.datetime, answered: Answered) -> None:
        policy = self._policy
        try:
            record = explain_record(
                answered, hit_count=policy.hit_count, with_text=policy.with_text
            )
            self._file.write(as_line({"time": at.isoformat(timespec="milliseconds"), **record}))
        except Exception:
            self._metrics.add(EXPLAIN_RECORDS, outcome="failed")
            # Once a spell: a full disk would fill what is left of it with this line.
            if not self._is_failing:
                _LOGGER.exception("the explain log cannot be written")
            self._is_failing = True
            return
        self._is_failing = False
        self._metrics.add(EXPLAIN_RECORDS, outcome="written")


def as_line(record: dict[str, Any]) -> bytes:
    """One line of JSON."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
