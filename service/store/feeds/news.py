"""The news of the last days, for sitemaps: what is public now and was first published within a window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from service.store.content import read
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.feeds.contents import USABLE
from service.store.schema.base import from_micros, to_micros

# One index of sitemaps of a thousand holds as many in fifty files; nobody publishes more in two days.
MOST_RECENT = 50_000


@dataclass(frozen=True)
class Recent:
    """A story with an address of its own. `published_at` never precedes its embargo."""

    url: str
    source_name: str
    language: str | None
    headline: str
    published_at: datetime


class _NewsRow(NamedTuple):
    """A row as the driver returns it: most are left out, so the time is converted later."""

    content: str
    source_name: str
    published_at: int


# A story that was first published within the window changed within it: the index on changed_at finds it.
_RECENT = Statement(
    "SELECT r.content, s.name, CASE WHEN a.embargo_until > a.first_published_at THEN a.embargo_until"
    " ELSE a.first_published_at END AS published_at"
    " FROM article a JOIN revision r ON r.article_id = a.id AND r.number = a.revision"
    " JOIN source s ON s.id = a.source_id"
    f" WHERE (a.changed_at > :since OR a.embargo_until > :since) AND {USABLE} ORDER BY published_at DESC, a.id"
)


def recent(record: Record, now: datetime, window: timedelta) -> list[Recent]:
    """The newest first; those without an address of their own, or dated in the future, are left out."""
    since, until = to_micros(now - window), to_micros(now)
    found: list[Recent] = []
    with record.reading() as connection:
        for row in map(_NewsRow._make, _RECENT.each(connection, since=since, now=until)):
            content = read(row.content)
            if not content.get("url") or not since < row.published_at <= until:
                continue
            found.append(
                Recent(
                    content["url"], row.source_name, content.get("language"), content["headline"],
                    from_micros(row.published_at),
                )
            )  # fmt: skip
            if len(found) == MOST_RECENT:
                break
    return found
