"""Log lines: one JSON object each, with service and trace."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from servicekit.call import entered_call, make_call
from servicekit.logs import configure_logs


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object() -> None:
    stream = io.StringIO()
    configure_logs("index", stream=stream)
    logging.getLogger("index_svc.shard").info("loaded\n%d rows", 3, extra={"rows": 3})
    (line,) = lines(stream)
    assert line == {
        "time": line["time"],
        "level": "info",
        "service": "index",
        "logger": "index_svc.shard",
        "message": "loaded\n3 rows",
        "rows": 3,
    }
    assert datetime.fromisoformat(str(line["time"])).tzinfo is not None


def test_a_line_of_a_call_has_its_trace() -> None:
    stream = io.StringIO()
    configure_logs("index", stream=stream)
    with entered_call(make_call()) as call:
        logging.getLogger("x").warning("slow")
    logging.getLogger("x").warning("after")
    within, after = lines(stream)
    assert within["trace_id"] == call.trace_id
    assert "trace_id" not in after


def test_a_traceback_stays_within_its_line() -> None:
    stream = io.StringIO()
    configure_logs("index", stream=stream)
    logging.getLogger("x").error("failed", exc_info=KeyError("inner"))
    (line,) = lines(stream)
    assert "KeyError: 'inner'" in str(line["exc_info"])


def test_levels_below_the_setting_are_left_out() -> None:
    stream = io.StringIO()
    configure_logs("index", level="warning", stream=stream)
    logging.getLogger("x").info("chatter")
    assert stream.getvalue() == ""


def test_text_is_for_a_terminal() -> None:
    stream = io.StringIO()
    configure_logs("index", form="text", stream=stream)
    with entered_call(make_call()) as call:
        logging.getLogger("x").info("hello")
    assert stream.getvalue().endswith(f"INFO    index x: hello trace_id={call.trace_id}\n")
