"""Releases, their fates and their differences as rows of tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from releases.collecting import Fate
from releases.comparing import Change
from releases.describing import ReleaseSummary


def list_row(summary: ReleaseSummary) -> list[str]:
    """Name, creation, passages, shards, nprobe, MB and state."""
    served = ["served"] if summary.is_served else []
    return [
        summary.name,
        summary.created,
        f"{summary.passage_count:,}",
        str(summary.shard_count),
        str(summary.nprobe),
        f"{summary.bytes / 1e6:,.1f}",
        summary.damage or ", ".join([*summary.pointers, *served]),
    ]


def fate_row(fate: Fate, word: str) -> list[str]:
    """Name, creation, MB, and why it stays, or `word` where it does not."""
    state = f"stays: {fate.kept_because}" if fate.kept_because else word
    return [fate.name, fate.created, f"{fate.bytes / 1e6:,.1f}", state]


def change_rows(title: str, changes: Sequence[Change]) -> list[list[str]]:
    """Name, before and after; files by the beginning of their digest."""
    shown = _shown_file if title == "files" else str
    return [[each.name, shown(each.before), shown(each.after)] for each in changes]


def _shown_file(value: Any) -> str:  # noqa: ANN401 -- a pair out of a comparison, or None
    return "—" if value is None else f"{value[0][:12]}… {value[1]:,} bytes"
