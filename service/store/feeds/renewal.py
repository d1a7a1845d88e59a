"""The renewal of all feeds: they are made again, some at a time, when all are to be written in another style.

The style is what every document depends on besides its stories: how this version writes, the desk's name, logo and
address. The audit says in which style all were made last, so that a worker that starts knows whether its own differs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from service.store import audit
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.feeds import archives
from service.store.feeds.feeds import want

ACTION = "feeds.renewed"
# So few at a time that news does not wait for them.
FEEDS_AT_ONCE = 50
PAGES_AT_ONCE = 20
_TARGET = "feeds"


@dataclass(frozen=True)
class Progress:
    """How far a renewal has come: the last feed that was asked for; and, once all were, the last page."""

    feed: str = ""
    page: tuple[str, int] | None = None


def is_current(record: Record, style: str) -> bool:
    """Whether all feeds were made in this style last."""
    with record.reading() as connection:
        detail = _LAST.value(connection, target=_TARGET, action=ACTION)
    return detail is not None and json.loads(detail) == {"style": style}


def begin(record: Record, style: str, now: datetime) -> bool:
    """Notes the style of a desk that has no document yet; whether that is so."""
    with record.writing() as connection:
        if _MADE.value(connection):
            return False
        _note(connection, style, now)
    return True


def step(record: Record, style: str, progress: Progress, now: datetime) -> Progress | None:
    """Asks for some more feeds, then pages of archives, to be made again; None once all were asked for.

    Killed half-way, it begins anew at the next start: what is made again as it was is not written again.
    """
    with record.writing() as connection:
        if progress.page is None:
            slugs = [slug for (slug,) in _FEEDS.rows(connection, after=progress.feed, limit=FEEDS_AT_ONCE)]
            if slugs:
                want(connection, slugs, now)
                return Progress(slugs[-1])
            progress = Progress(page=("", 0))
        assert progress.page is not None
        if last := archives.make_next_again(connection, progress.page, PAGES_AT_ONCE, now):
            return Progress(page=last)
        _note(connection, style, now)
        return None


def _note(connection: Connection, style: str, now: datetime) -> None:
    detail = {"style": style}
    audit.note(connection, actor="system", action=ACTION, target=_TARGET, detail=detail, now=now)


_MADE = Statement("SELECT count(*) FROM (SELECT 1 FROM document LIMIT 1) d")


_LAST = Statement(
    "SELECT detail FROM audit WHERE target = :target AND action = :action ORDER BY id DESC LIMIT 1"
)
_FEEDS = Statement(
    "SELECT f.slug FROM feed f WHERE f.closed_at IS NULL AND f.slug > :after"
    " AND EXISTS (SELECT 1 FROM document d WHERE d.feed = f.slug)"
    " ORDER BY f.slug LIMIT :limit"
)
