"""Sources as they are now: the last post, what is held, what waits, how the comparison goes. Read-only."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from service.store.articles.refusals import TAKEN_AT
from service.store.database.record import Record
from service.store.database.sql import Query

HELD_HOOKS_SHOWN = 50


class SourceNow(NamedTuple):
    """A source. `held_takedowns` are of `held`; `waiting` stories wait for the operator before they are taken down."""

    slug: str
    name: str
    adapter: str
    changed_at: datetime | None
    hook_at: datetime | None
    taken_at: datetime | None  # something of it was taken, a repeat too; written every five minutes
    held: int
    held_takedowns: int
    queued: int
    failures: int
    failure: str | None
    failed_at: datetime | None
    changes_at: datetime | None
    swept_at: datetime | None
    is_waiting: bool
    waiting_since: datetime | None
    silent_since: datetime | None  # it is silent for longer than it uses to be: the last that came

    @property
    def last_post_at(self) -> datetime | None:
        """When it last sent a hook, changed an article, or posted what was a repeat."""
        moments = (self.changed_at, self.hook_at, self.taken_at)
        return max((each for each in moments if each), default=None)


class HeldHook(NamedTuple):
    """A hook that cannot be mapped, without its body."""

    id: int
    source: str
    received_at: datetime
    last_received_at: datetime
    repeats: int
    takedown: bool
    why: str | None


def held_hooks(record: Record, limit: int = HELD_HOOKS_SHOWN) -> list[HeldHook]:
    """The hooks of all sources that are held: takedowns first, then the oldest."""
    with record.surveying() as connection:
        return _HELD_HOOKS.all(connection, limit=limit)


# The active sources, in the order in which they were added.
SOURCES_NOW = Query(
    SourceNow,
    f"""
    SELECT s.slug, s.name, s.adapter,
        (SELECT max(changed_at) FROM article WHERE source_id = s.id),
        (SELECT max(last_received_at) FROM hook WHERE source_id = s.id),
        {TAKEN_AT},
        (SELECT count(*) FROM hook WHERE source_id = s.id AND state = 'held'),
        (SELECT count(*) FROM hook WHERE source_id = s.id AND state = 'held' AND takedown),
        (SELECT count(*) FROM hook WHERE source_id = s.id AND state = 'queued'),
        coalesce(y.failures, 0), y.failure, y.failed_at, y.changes_at, y.swept_at,
        y.missing IS NOT NULL AND y.missing <> '[]', y.missing_since,
        (SELECT max(changed_at) FROM article a WHERE a.source_id = s.id AND EXISTS (SELECT 1 FROM notice n
            WHERE n.about = 'source:' || s.slug AND n.kind = 'source.silent'
            AND n.created_at > coalesce((SELECT max(last_received_at) FROM hook WHERE source_id = s.id), 0)
            AND n.created_at > coalesce({TAKEN_AT}, 0)
            AND n.created_at > (SELECT max(changed_at) FROM article WHERE source_id = s.id)))
    FROM source s LEFT JOIN source_sync y ON y.source_id = s.id WHERE s.active ORDER BY s.id""",
)
_HELD_HOOKS = Query(
    HeldHook,
    """
    SELECT h.id, s.slug, h.received_at, h.last_received_at, h.repeats, h.takedown, h.why
    FROM hook h JOIN source s ON s.id = h.source_id WHERE h.state = 'held'
    ORDER BY h.takedown DESC, h.id LIMIT :limit""",
)
