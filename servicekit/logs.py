"""Logs on stderr: one JSON object a line, with the trace of the call it was written in.

Query texts and vectors are never logged.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from servicekit.call import current_trace_id

LogFormat = Literal["json", "text"]

_TEXT_FORM = "%(asctime)s %(levelname)-7s %(service)s %(name)s: %(message)s%(trace_suffix)s"


def configure_logs(
    service: str, *, level: str = "info", form: LogFormat = "json", stream: TextIO | None = None
) -> None:
    """Send every log line of this process to `stream` (stderr); replaces what was set before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(_CallFilter(service))
    handler.setFormatter(_JsonLines() if form == "json" else logging.Formatter(_TEXT_FORM))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class _CallFilter(logging.Filter):
    """Adds the service, and the trace id where the line belongs to a call."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def filter(self, record: logging.LogRecord) -> bool:
        trace_id = current_trace_id()
        record.service = self._service
        record.trace_suffix = "" if trace_id is None else f" trace_id={trace_id}"
        if trace_id is not None:
            record.trace_id = trace_id
        return True


class _JsonLines(JsonFormatter):
    """time, level, service, logger, message, then whatever was passed as `extra`."""

    def __init__(self) -> None:
        super().__init__("%(message)s", reserved_attrs=[*RESERVED_ATTRS, "service", "trace_suffix"])

    def add_fields(
        self,
        log_data: dict[str, object],
        record: logging.LogRecord,
        message_dict: dict[str, object],
    ) -> None:
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(
            "T", "milliseconds"
        )
        log_data["level"] = record.levelname.lower()
        log_data["service"] = record.service  # type: ignore[attr-defined]
        log_data["logger"] = record.name
        super().add_fields(log_data, record, message_dict)
