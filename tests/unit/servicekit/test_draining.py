"""A flag is seen by the thread that waits for it, also when only a signal's handler raises it."""

from __future__ import annotations

import queue
import signal
import threading
import time
from typing import Any

import pytest

from servicekit.draining import Flag


def test_a_wait_ends_with_the_flag_or_its_time() -> None:
    flag = Flag()
    began = time.monotonic()
    assert not flag.wait(0.3)
    assert time.monotonic() - began >= 0.3
    threading.Timer(0.05, flag.set).start()
    assert flag.wait(20)
    assert flag.is_set()
    assert flag.wait()


def test_a_signal_that_comes_just_before_the_thread_blocks_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The signal is raised where it can interrupt no system call: right before the first block."""
    flag, blocked = Flag(), queue.SimpleQueue[None]()
    pending: list[float | None] = []

    class Marks:
        """Blocks for as long as it is told, then lets the handler run, as the interpreter does."""

        put, empty = blocked.put, blocked.empty

        def get(self, timeout: float | None) -> Any:
            pending.append(timeout)
            assert timeout is not None, "a wait without end leaves a signal unseen for ever"
            if len(pending) == 1:
                time.sleep(timeout)
                signal.raise_signal(signal.SIGUSR1)
                raise queue.Empty
            return blocked.get(timeout=timeout)

    monkeypatch.setattr(flag, "_marks", Marks())
    before = signal.signal(signal.SIGUSR1, lambda *_: flag.set())
    try:
        assert flag.wait()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(pending) == 1
