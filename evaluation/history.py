"""The history of nightly evaluations: JSON lines, rolling averages and alerts."""

from __future__ import annotations

import datetime as dt
import fcntl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import fmean, median

from evaluation.json_values import to_line
from evaluation.metrics_files import Metrics, SetMetrics, read_reports
from evaluation.reports import Report
from releases.durable import sync_file
from retrieval_core.errors import InvalidInput

WINDOW_DAYS = 7
WARN_BELOW_MEDIAN_PP = 3.0
WARN_DROP_PP = 5.0
CRITICAL_DROP_PP = 10.0
LEAST_CONTAIN_AT_50 = 0.80
HEADLINES = ("R@5", "MRR", "Contain@50")
DECIDING_MEASURE = "R@5"
_SINCE = {"baseline": "the baseline", "previous": "the last run"}


class Severity(StrEnum):
    """How loud an alert is."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that the newest evaluation shows."""

    severity: Severity
    query_set: str
    text: str


class Against(StrEnum):
    """What the newest evaluation is held against."""

    BASELINE = "baseline"
    PREVIOUS = "previous"
    MEDIAN = "median_7d"


@dataclass(frozen=True, slots=True)
class Drop:
    """By how many percentage points a measure fell; a rise is negative."""

    measure: str
    against: Against
    points: float


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One evaluation of one set, with mean and median over the 7 days that end with it.

    `before` and `after` rerank, `average` and `middle` (the median) of `after`, all by measure.
    """

    created: str
    release_id: str
    before: Mapping[str, float]
    after: Mapping[str, float]
    average: Mapping[str, float]
    middle: Mapping[str, float]


Trend = Mapping[str, Sequence[TrendPoint]]
"""Points by query set, oldest first."""


def append_report(report: Report, path: Path) -> None:
    """Append one line and wait for the disk; InvalidInput where the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            # Two nightly runs at once must not write into each other's line.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(_separator(path) + to_line(report).encode())
        sync_file(path)
    except OSError as error:
        raise InvalidInput("--history", f"{path}: cannot be written ({error.strerror})") from error


def read_trend(path: Path, way: str | None = None) -> Trend:
    """The trend of every query set, of evaluations that were asked one way (None: of all)."""
    return trend_of(read_reports(path), way)


def trend_of(reports: Sequence[Metrics], way: str | None = None) -> Trend:
    """The same of reports that were read already."""
    chosen = [each for each in reports if way in (None, each.way)]
    ordered = sorted(chosen, key=lambda each: parse_time(each.created))
    names = sorted({name for each in ordered for name in each.query_sets})
    return {name: _points(name, [e for e in ordered if name in e.query_sets]) for name in names}


def newest_of(reports: Sequence[Metrics]) -> Metrics:
    """The one that was made last, of several at the same second the last in the file."""
    return max(enumerate(reports), key=lambda each: (parse_time(each[1].created), each[0]))[1]


def drops_of(points: Sequence[TrendPoint], baseline: SetMetrics | None = None) -> list[Drop]:
    """How far the newest point fell, by headline measure, in percentage points.

    Held against the baseline, the evaluation before, and the median of the 7 days before, as far
    as there are such.
    """
    *earlier, newest = points
    against: dict[Against, Mapping[str, float]] = {}
    if baseline is not None:
        against[Against.BASELINE] = {name: baseline.final[name].mean for name in HEADLINES}
    if earlier:
        against[Against.PREVIOUS] = earlier[-1].after
    if recent := [point for point in earlier if _is_recent(point, newest)]:
        against[Against.MEDIAN] = {
            name: median(point.after[name] for point in recent) for name in HEADLINES
        }
    return [
        Drop(measure, other, 100 * (figures[measure] - newest.after[measure]))
        for other, figures in against.items()
        for measure in HEADLINES
    ]


def alerts_of(trend: Trend, baseline: Metrics | None = None) -> list[Alert]:
    """What the newest point of each set calls for; see drops_of for what it is held against."""
    alerts: list[Alert] = []
    for name, points in trend.items():
        known = None if baseline is None else baseline.query_sets.get(name)
        alerts += _drop_alerts(name, drops_of(points, known))
        contain = points[-1].after["Contain@50"]
        if contain < LEAST_CONTAIN_AT_50:
            text = f"Contain@50 is {contain:.3f}, below {LEAST_CONTAIN_AT_50:.2f}"
            alerts.append(Alert(Severity.WARNING, name, text))
    return alerts


def parse_time(text: str) -> dt.datetime:
    """A moment out of RFC 3339; InvalidInput for anything else, or without a zone."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("history", f"{text!r} is no time") from error
    if moment.tzinfo is None:
        raise InvalidInput("history", f"{text!r} has no zone")
    return moment


def _separator(path: Path) -> bytes:
    """A line break where the last line has none, as after a joined file without one."""
    content = path.read_bytes()[-1:]
    return b"\n" if content not in (b"", b"\n") else b""


def _points(name: str, reports: Sequence[Metrics]) -> list[TrendPoint]:
    points: list[TrendPoint] = []
    afters = [_headlines(each, name, final=True) for each in reports]
    times = [parse_time(each.created) for each in reports]
    for place, report in enumerate(reports):
        window = _window(times, place)
        points.append(
            TrendPoint(
                created=report.created,
                release_id=report.release_id,
                before=_headlines(report, name, final=False),
                after=afters[place],
                average={m: fmean(afters[each][m] for each in window) for m in HEADLINES},
                middle={m: median(afters[each][m] for each in window) for m in HEADLINES},
            )
        )
    return points


def _window(times: Sequence[dt.datetime], place: int) -> list[int]:
    start = times[place] - dt.timedelta(days=WINDOW_DAYS)
    return [each for each in range(place + 1) if times[each] > start]


def _headlines(metrics: Metrics, name: str, *, final: bool) -> dict[str, float]:
    found = metrics.query_sets[name]
    measures = found.final if final else found.stages["search"]
    return {measure: measures[measure].mean for measure in HEADLINES}


def _is_recent(point: TrendPoint, newest: TrendPoint) -> bool:
    start = parse_time(newest.created) - dt.timedelta(days=WINDOW_DAYS)
    return parse_time(point.created) >= start


def _drop_alerts(name: str, drops: Sequence[Drop]) -> list[Alert]:
    found = {drop.against: drop.points for drop in drops if drop.measure == DECIDING_MEASURE}
    alerts: list[Alert] = []
    for against in (Against.BASELINE, Against.PREVIOUS):
        fallen = found.get(against, 0.0)
        if fallen > WARN_DROP_PP:
            severity = Severity.CRITICAL if fallen > CRITICAL_DROP_PP else Severity.WARNING
            text = f"{DECIDING_MEASURE} fell by {fallen:.1f} pp since {_SINCE[against]}"
            alerts.append(Alert(severity, name, text))
    below = found.get(Against.MEDIAN, 0.0)
    if below > WARN_BELOW_MEDIAN_PP:
        text = f"{DECIDING_MEASURE} is {below:.1f} pp below the median of {WINDOW_DAYS} days"
        alerts.append(Alert(Severity.WARNING, name, text))
    return alerts
