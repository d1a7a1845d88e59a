"""Times: now, ISO 8601 in and out, spans as people write and read them. All moments are aware, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_SECOND = timedelta(seconds=1)
# Nine digits: the longest span that there is has as many days.
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def now() -> datetime:
    return datetime.now(UTC)


def to_iso(moment: datetime, timespec: str = "auto") -> str:
    """A moment in UTC as RFC 3339 has it: 2026-01-02T08:00:00Z. `timespec` is that of `datetime.isoformat`."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def from_iso(text: str) -> datetime:
    """The moment that is written in ISO 8601, in UTC; it is read as UTC unless it says otherwise. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:  # the year 1 or 9999, moved by an offset
        raise ValueError(f"there is no such time in UTC: {text}") from error


def from_http(text: str) -> datetime | None:
    """The moment that an HTTP header has (RFC 9110, 5.6.7), or mail's; None if it has none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_span(text: str) -> timedelta:
    """A span as people write it: 90s, 30m, 1.5h, 7d, or 0. Raises ValueError."""
    if text == "0":
        return timedelta()
    parts = _SPAN.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r} is no span; write 30m, 12h or 7d")
    return timedelta(**{_UNITS[parts[2]]: float(parts[1])})


def span(length: timedelta) -> str:
    """A length in at most two units: '14 min', '2 h 5 min', '3 days'."""
    seconds = int(max(length, timedelta()).total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if hours == 0:
        return f"{minutes} min"
    if hours < 24:
        rest = minutes % 60
        return f"{hours} h {rest} min" if rest and hours < 10 else f"{hours} h"
    return f"{days} days" if days > 1 else "1 day"


def ago(moment: datetime, now: datetime) -> str:
    """'3 min ago', 'in 5 s', 'now'."""
    age = now - moment
    if abs(age) < _SECOND:
        return "now"
    return f"{span(age)} ago" if age > timedelta() else f"in {span(-age + timedelta(milliseconds=999))}"


def clock(moment: datetime, now: datetime) -> str:
    """The time of day; with the day unless it is today, with the year unless it is this one."""
    time = f"{moment:%H:%M:%S}"
    if moment.date() == now.date():
        return time
    year = "" if moment.year == now.year else f" {moment.year}"
    return f"{moment.day} {moment:%b}{year}, {time}"


def until(moment: datetime, now: datetime) -> str:
    """Like `clock`, for what is to come: without seconds."""
    return clock(moment, now)[:-3]
