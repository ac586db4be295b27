"""Progress lines are rare, and say share, rate and time to go."""

from __future__ import annotations

import io

from training.encoder.progress import Progress


def test_prints_at_most_every_ten_seconds() -> None:
    times = iter([0.0, 4.0, 11.0, 11.0, 15.0])
    stream = io.StringIO()
    progress = Progress("work", 100, "steps", stream, clock=lambda: next(times))
    progress.advance(10)
    progress.advance(12)
    progress.advance(1)
    assert stream.getvalue() == "work:  22.0%, 2 steps/s, 11 s, 39 s to go\n"
