"""Rehearsing the kill switch: flip it on a running gateway, watch it take hold, flip it back."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from operations.gateway_http import Sample, read_health, read_samples, total
from operations.rehearsals import KILL_SWITCH_FORMAT, KILL_SWITCH_NAME
from releases.durable import write_bytes_durably
from retrieval_core.errors import FailedPrecondition, Unavailable
from retrieval_core.flags import KILLED
from servicekit.flag_file import is_killed, kill_flags, restore_flags

MOST_WAIT_S = 5.0
_POLL_S = 0.02
_REQUESTS = "gateway_arm_requests_total"


def rehearse_kill_switch(
    gateway: str, flags_file: Path, rehearsals: Path, now: dt.datetime
) -> dict[str, Any]:
    """Flip and restore; returns the record that was written, and writes it only if both held.

    gateway: HOST:PORT of its HTTP; requests that others send it meanwhile are counted, and those
    that failed. Raises FailedPrecondition where the switch is flipped already, for good reason
    perhaps, and Unavailable where the gateway does not follow within 5 s.
    """
    if is_killed(flags_file):
        raise FailedPrecondition(f"{flags_file}: the kill switch is flipped; restore it first")
    before = _flag_values(gateway)
    counted = read_samples(gateway)
    killed_s = restored_s = 0.0
    try:
        kill_flags(flags_file)
        killed_s = _wait_for(gateway, KILLED)
    finally:
        # Whatever went wrong: a rehearsal must not leave the service without its reranker.
        restore_flags(flags_file)
        restored_s = _wait_for(gateway, {name: before.get(name) for name in KILLED})
    after = read_samples(gateway)
    record = {
        "format": KILL_SWITCH_FORMAT,
        "time": now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "subject": f"{gateway} by {flags_file}",
        "seconds": round(killed_s, 3),
        "restored_seconds": round(restored_s, 3),
        "requests": round(_answered(after) - _answered(counted)),
        "failed_requests": round(_failed(after) - _failed(counted)),
        "stack_switched": True,
    }
    rehearsals.mkdir(parents=True, exist_ok=True)
    content = json.dumps(record, indent=2) + "\n"
    write_bytes_durably(rehearsals / KILL_SWITCH_NAME, content.encode())
    return record


def _flag_values(gateway: str) -> Mapping[str, Any]:
    values = (read_health(gateway).get("flags") or {}).get("values")
    return values if isinstance(values, dict) else {}


def _wait_for(gateway: str, wanted: Mapping[str, Any]) -> float:
    """Seconds until the gateway says that these flags are in force."""
    began = time.monotonic()
    while True:
        found = _flag_values(gateway)
        elapsed = time.monotonic() - began
        if all(found.get(name) == value for name, value in wanted.items()):
            return elapsed
        if elapsed > MOST_WAIT_S:
            raise Unavailable(f"{gateway}: the flags are not in force after {MOST_WAIT_S:g} s")
        time.sleep(_POLL_S)


def _answered(samples: list[Sample]) -> float:
    return total(samples, _REQUESTS)


def _failed(samples: list[Sample]) -> float:
    return total(samples, _REQUESTS, outcome="error") + total(samples, _REQUESTS, outcome="refused")
