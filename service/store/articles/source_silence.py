"""Silence of sources: one from which nothing comes for much longer than it uses to is an alarm.

A key that was withdrawn, a webhook that was deleted, an address that is wrong: none of them sends a refusal. What
changes nothing, such as a repeat, is a sign of life too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from service.store import notices
from service.store.articles.refusals import TAKEN_AT
from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.notices import NewNotice
from service.store.schema.base import from_micros
from service.times import span

LEAST_SILENCE = timedelta(hours=1)
LOOKED_BACK = timedelta(days=14)
KNOWN_FOR = timedelta(days=8)  # a weekend is in it: before, nobody knows what is usual
LEAST_CHANGES = 20
TIMES_USUAL = 1.5


class _QuietSource(NamedTuple):
    id: int
    slug: str
    name: str
    last_at: datetime


class _Habit(NamedTuple):
    """The longest time between two stories' last changes, in microseconds, of so many, since the first of them."""

    longest: int | None
    changes: int
    since: int | None


# Of an older time than that nothing is said: it was said when it began, and the notice stands until something comes.
_QUIET = Query(
    _QuietSource,
    f"""
    SELECT id, slug, name, last_at FROM (
        SELECT s.id, s.slug, s.name,
            (SELECT max(changed_at) FROM article WHERE source_id = s.id) AS changed_at,
            (SELECT max(last_received_at) FROM hook WHERE source_id = s.id) AS hook_at,
            (SELECT max(each) FROM (
                SELECT max(changed_at) AS each FROM article WHERE source_id = s.id
                UNION ALL SELECT max(last_received_at) FROM hook WHERE source_id = s.id
                UNION ALL SELECT {TAKEN_AT}) b) AS last_at
        FROM source s WHERE s.active) q
    WHERE last_at < :before AND changed_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM notice n
        WHERE n.about = 'source:' || q.slug AND n.kind = 'source.silent' AND n.created_at > q.last_at)
    ORDER BY id""",
)
_HABIT = Query(
    _Habit,
    """
    SELECT max(gap), count(*), min(changed_at) FROM (
        SELECT changed_at, changed_at - lag(changed_at) OVER (ORDER BY changed_at) AS gap FROM (
            SELECT changed_at FROM article WHERE source_id = :source AND changed_at > :since
            ORDER BY changed_at DESC LIMIT 20000) a) g""",
)


def raise_silent(record: Record, now: datetime) -> int:
    """Raises each source that is silent for longer than it uses to be, once; returns how many notices are new."""
    with record.surveying() as connection:
        quiet = _QUIET.all(connection, before=now - LEAST_SILENCE)
        habits = [_HABIT.one(connection, source=each.id, since=each.last_at - LOOKED_BACK) for each in quiet]
    new = [
        notice
        for each, habit in zip(quiet, habits, strict=True)
        if habit is not None and (notice := _notice(each, habit, now)) is not None
    ]
    if new:
        with record.writing() as connection:
            notices.write(connection, new, now)
    return len(new)


def _notice(source: _QuietSource, habit: _Habit, now: datetime) -> NewNotice | None:
    if habit.longest is None or habit.since is None or habit.changes < LEAST_CHANGES:
        return None
    if source.last_at - from_micros(habit.since) < KNOWN_FOR:
        return None
    usual, silence = timedelta(microseconds=habit.longest), now - source.last_at
    if silence <= max(LEAST_SILENCE, usual * TIMES_USUAL):
        return None
    words = (
        f"nothing has come from {source.name} for {span(silence)}; within two weeks it was silent for"
        f" {span(usual)} at the longest. Look whether its webhook is still there and its key works:"
        f" dateline source show {source.slug}"
    )
    return NewNotice("source.silent", f"source:{source.slug}", words)
