"""Which rows a search may return: lanes asked for, less the passages excluded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.hits import Int32Array, Int64Array

Bitmap = npt.NDArray[np.uint8]
"""One bit a row, the lowest bit of a byte first, as FAISS reads it."""

_DENSE_LANES_SHARE = 40


@dataclass(frozen=True, slots=True)
class Selection:
    """`available` rows may be returned; a `bitmap` of None means all rows."""

    available: int
    bitmap: Bitmap | None


@dataclass(frozen=True, slots=True)
class _LaneRows:
    """Rows of one lane as bytes to set: all of them, or those of `places` when they are few."""

    count: int
    values: Bitmap
    places: Int64Array | None


class RowSelector:
    """Makes selections from bitmaps that are computed once, when the shard is loaded.

    lane_codes [n] int32 index into lane_names; passage_ids [n] are unique.
    """

    def __init__(
        self, lane_names: Sequence[str], lane_codes: Int32Array, passage_ids: Int64Array
    ) -> None:
        self._total = len(passage_ids)
        self._byte_count = -(-self._total // 8)
        self._sorted_rows = np.argsort(passage_ids, kind="stable")
        self._sorted_ids = passage_ids[self._sorted_rows]
        self._lanes = {
            name: self._lane_rows(np.flatnonzero(lane_codes == code))
            for code, name in enumerate(lane_names)
        }

    @property
    def lanes(self) -> tuple[str, ...]:
        """Lanes that the shard knows, sorted."""
        return tuple(sorted(self._lanes))

    def unknown_lanes(self, lanes: Iterable[str]) -> tuple[str, ...]:
        """Of the lanes asked for, those that are not here; each once, in the order asked."""
        return tuple(dict.fromkeys(lane for lane in lanes if lane not in self._lanes))

    def select(self, lanes: Collection[str], excluded_ids: Int64Array) -> Selection:
        """Rows of these lanes (none given: of all lanes) without the excluded passages.

        Unknown lanes and unknown excluded ids hold no rows.
        """
        excluded = self._rows_of(excluded_ids)
        if not lanes and not len(excluded):
            return Selection(self._total, None)
        bitmap, available = self._lanes_bitmap(lanes) if lanes else self._all_rows()
        return Selection(available - _clear_rows(bitmap, excluded), bitmap)

    def _all_rows(self) -> tuple[Bitmap, int]:
        return np.full(self._byte_count, 0xFF, np.uint8), self._total

    def _lanes_bitmap(self, lanes: Collection[str]) -> tuple[Bitmap, int]:
        bitmap = np.zeros(self._byte_count, np.uint8)
        available = 0
        for lane in dict.fromkeys(lanes):
            rows = self._lanes.get(lane)
            if rows is not None:
                available += rows.count
                bitmap[slice(None) if rows.places is None else rows.places] |= rows.values
        return bitmap, available

    def _lane_rows(self, rows: Int64Array) -> _LaneRows:
        values = np.zeros(self._byte_count, np.uint8)
        np.bitwise_or.at(values, rows >> 3, _bits_of(rows))
        # Many small lanes would otherwise cost one bitmap of the whole shard each.
        if len(rows) * _DENSE_LANES_SHARE >= self._total:
            return _LaneRows(len(rows), values, None)
        places = np.flatnonzero(values)
        return _LaneRows(len(rows), values[places], places)

    def _rows_of(self, passage_ids: Int64Array) -> Int64Array:
        if not len(passage_ids) or not self._total:
            return np.empty(0, np.int64)
        wanted = np.unique(passage_ids)
        slots = np.minimum(np.searchsorted(self._sorted_ids, wanted), self._total - 1)
        rows: Int64Array = self._sorted_rows[slots[self._sorted_ids[slots] == wanted]]
        return rows


def _bits_of(rows: Int64Array) -> Bitmap:
    return np.left_shift(np.uint8(1), (rows & 7).astype(np.uint8), dtype=np.uint8)


def _clear_rows(bitmap: Bitmap, rows: Int64Array) -> int:
    """Clear distinct rows in place; returns how many of them were set."""
    bits = _bits_of(rows)
    cleared = int(np.count_nonzero(bitmap[rows >> 3] & bits))
    # Rows may share a byte, so the plain indexed assignment would lose some.
    np.bitwise_and.at(bitmap, rows >> 3, ~bits)
    return cleared
