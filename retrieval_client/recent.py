"""The timings of the last calls of one client, for its profile."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from retrieval_client.results import SearchResult
from retrieval_client.waterfall import part_budgets_ms, percentile_lines, samples_by_part_ms
from retrieval_core.timing import Timings

KEPT_CALLS = 1000


@dataclass(slots=True)
class RecentCalls:
    """At most `KEPT_CALLS` calls; appending and copying are safe from any thread."""

    _calls: deque[tuple[Timings, int]] = field(default_factory=lambda: deque(maxlen=KEPT_CALLS))

    def add(self, result: SearchResult) -> None:
        """Keep the timings of one answered query."""
        self._calls.append((result.timings, result.client_elapsed_ns))

    def lines(self) -> list[str]:
        """Percentiles of every part over the calls kept."""
        calls = list(self._calls)
        return percentile_lines(samples_by_part_ms(calls), part_budgets_ms(calls))
