"""Which stretch of time a run reads. Half-open windows that tile; pure, all clocks are arguments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedError

#: A row stamped before the end may become visible after it: the end stays this far behind the server's time.
SETTLE: Final = timedelta(minutes=5)
#: What is read again before the watermark; merging by key makes it harmless.
OVERLAP: Final = timedelta(minutes=5)


class NothingToRead(LightspeedError):
    """The window is empty: all up to its end has been read. Not a fault; a task that meets it is skipped, not green."""


@dataclass(frozen=True, slots=True)
class Window:
    """``[start, end)``; ``start`` is ``None`` from the beginning of time.

    :param read_from: where reading starts; before ``start`` by the overlap.
    :param moves_watermark: whether a commit of it sets the watermark to ``end``.
    :param origin: how it came about, for logs.
    """

    start: datetime | None
    end: datetime
    read_from: datetime | None = None
    moves_watermark: bool = False
    origin: str = ""

    @property
    def is_unbounded(self) -> bool:
        """Whether it is a first read, which asks for everything: a bound would hide rows that have no time to compare."""
        return self.start is None and self.moves_watermark

    def filter_value(self) -> str | None:
        """Return the filter's value: ends included, whole seconds, ``><,floor(a),floor(b)-1s``; ``None``: no filter."""
        if self.is_unbounded:
            return None
        last = stamp(self.end.replace(microsecond=0) - timedelta(seconds=1))
        return f"><,{stamp(self.read_from)},{last}" if self.read_from else f"<=,{last}"

    def admits(self, value: str) -> bool:
        """Whether a modification time in wire form lies in what was asked for."""
        if len(value) == 25 and value.endswith("+00:00"):
            # The wire's normal form sorts as text.
            low = stamp(self.read_from) if self.read_from else ""
            return low <= value < stamp(self.end)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return False
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (self.read_from is None or moment >= self.read_from.replace(microsecond=0)) and moment < self.end


def stamp(moment: datetime) -> str:
    """Return a moment in the wire's normal form, whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def moment_of(field: str, value: datetime | str | None) -> datetime | None:
    """Return an argument as an aware datetime; empty texts, and the ``None`` of a template, are none.

    :param field: the argument's name, for the message.
    :raises InvalidArgument: not ISO 8601, or without an offset.
    """
    if value in (None, "", "None"):
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"{field}: {value!r} is not a time with an offset; write it like 2026-01-31T00:00:00+00:00"
        raise InvalidArgument(msg, field=field, found=value, allowed=("ISO 8601 with offset",))
    return moment


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a scheduler says about a run.

    :param kind: ``scheduled``, ``manual``, ``backfill`` or ``asset``.
    :param interval: the data interval, if there is one.
    :param logical_date: the run's logical date, if it has one.
    :param previous_schedule: for a backfill: the schedule's point before the logical date.
    :param start: an explicit start, an argument or from the run's configuration.
    :param end: an explicit end.
    """

    kind: str = "manual"
    interval: tuple[datetime, datetime] | None = None
    logical_date: datetime | None = None
    previous_schedule: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None


def resolve_window(
    run: RunFacts,
    *,
    server_now: datetime,
    watermark: datetime | None = None,
    committed: Window | None = None,
    settle: timedelta = SETTLE,
    overlap: timedelta = OVERLAP,
) -> Window:
    """Return what this run reads.

    Explicit ends win; then the window that this very run committed before (a cleared task reads the same again); then
    a real data interval; then from the watermark to now. The end never comes nearer to the server's time than
    ``settle``. Only scheduled, manual and asset runs without explicit ends move the watermark.

    :param watermark: end of the last committed window, from the manifest.
    :param committed: what this run committed before, if it is run again.
    :raises InvalidArgument: an explicit window that is naive, empty or backwards.
    :raises NothingToRead: all up to the end has been read.
    """
    # Whole seconds, as the wire has them: two runs within one second do not make a window of no width.
    latest = (server_now - settle).replace(microsecond=0)
    if run.start is not None or run.end is not None:
        return _explicit(run, latest, watermark)
    if committed is not None:
        return replace(committed, read_from=_overlapped(committed.start, overlap), origin="the same window again")
    if run.kind == "backfill":
        return _backfill(run, latest)
    interval = run.interval if run.interval and run.interval[0] < run.interval[1] and run.kind != "asset" else None
    if interval is None:
        return _since_watermark(latest, watermark, overlap, "since the last committed window")
    return _of_interval(interval, latest, watermark, overlap)


def _aware(field: str, moment: datetime | None) -> None:
    if moment is not None and moment.tzinfo is None:
        msg = f"{field}: {moment.isoformat()!r} has no time zone; write it with an offset, such as {moment.isoformat()}+00:00"
        raise InvalidArgument(msg, field=field, found=moment.isoformat(), allowed=("an aware datetime",))


def _explicit(run: RunFacts, latest: datetime, watermark: datetime | None) -> Window:
    _aware("window_start", run.start)
    _aware("window_end", run.end)
    start = run.start if run.start is not None else watermark
    end = run.end if run.end is not None else latest
    if run.start is not None and run.end is not None and run.start >= run.end:
        msg = (
            f"window_start {run.start.isoformat()} is not before window_end {run.end.isoformat()}: the window holds no "
            "time. In Airflow 3 data_interval_start and data_interval_end of @daily and of manual runs are equal; leave "
            "both arguments out to read from the last committed window to now"
        )
        raise InvalidArgument(
            msg, field="window_start", found=run.start.isoformat(), allowed=("a time before window_end",)
        )
    capped = min(end, latest)
    if start is not None and start >= capped:
        raise NothingToRead(
            f"nothing to read yet: the window starts at {start.isoformat()}, readable is what is before {latest.isoformat()}"
        )
    return Window(start, capped, start, origin="explicit")


def _backfill(run: RunFacts, latest: datetime) -> Window:
    interval = run.interval
    if interval is None or interval[0] >= interval[1]:
        if run.logical_date is None or run.previous_schedule is None:
            msg = "this backfill run has neither a data interval nor a schedule; give window_start and window_end"
            raise InvalidArgument(msg, field="window_start", found=None, allowed=())
        interval = (run.previous_schedule, run.logical_date)
    end = min(interval[1], latest)
    if interval[0] >= end:
        raise NothingToRead(f"nothing to read yet: the backfill's window starts at {interval[0].isoformat()}")
    return Window(interval[0], end, interval[0], origin="backfill")


def _since_watermark(latest: datetime, watermark: datetime | None, overlap: timedelta, origin: str) -> Window:
    if watermark is not None and watermark >= latest:
        raise NothingToRead(f"nothing to read: everything before {watermark.isoformat()} is committed already")
    return Window(watermark, latest, _overlapped(watermark, overlap), moves_watermark=True, origin=origin)


def _of_interval(
    interval: tuple[datetime, datetime], latest: datetime, watermark: datetime | None, overlap: timedelta
) -> Window:
    start, end = interval
    if watermark is not None and end <= watermark:
        # An old interval run again on purpose: read it as it is.
        return Window(start, end, start, origin="data interval, read again")
    if watermark is None:
        if end > latest:
            # Shifting keeps the width, so that a schedule of five minutes does not begin with an empty window.
            start, end = min(start, latest - (end - start)), latest
        return Window(start, end, start, moves_watermark=True, origin="data interval")
    end = min(end, latest)
    if end <= watermark:
        raise NothingToRead(f"nothing to read yet: everything before {watermark.isoformat()} is committed already")
    # Begins where the last commit ended: a gap is filled, nothing is read twice but the overlap.
    origin = "data interval, from the watermark"
    return Window(watermark, end, _overlapped(watermark, overlap), moves_watermark=True, origin=origin)


def _overlapped(start: datetime | None, overlap: timedelta) -> datetime | None:
    return start - overlap if start is not None else None
