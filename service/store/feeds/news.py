"""The news of the last days, for sitemaps: what is public now and was first published within a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from service.store.content import read
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.feeds.contents import USABLE
from service.store.schema.base import from_micros, to_micros

# One index of sitemaps of a thousand holds as many in fifty files; nobody publishes more in two days.
MOST_RECENT = 50_000


# A takedown may be noted by a clock that differs from ours by so much.
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True)
class Recent:
    """A story with an address of its own. `published_at` never precedes its embargo, and is never ahead."""

    url: str
    source_name: str
    language: str | None
    headline: str
    published_at: datetime


@dataclass(frozen=True)
class RecentNews:
    """The newest stories first; when they last changed; and when the first of them expires or is too old."""

    stories: list[Recent]
    changed_at: datetime | None
    until: datetime | None


class _NewsRow(NamedTuple):
    """A row as the driver returns it: most are left out, so the times are converted later."""

    content: str
    source_name: str
    first_published_at: int
    changed_at: int
    embargo_until: int | None
    expires_at: int | None

    @property
    def opened_at(self) -> int:
        """The time of its last change, or of the end of its embargo."""
        return max(self.changed_at, self.embargo_until or 0)

    @property
    def published_at(self) -> int:
        """As in the feeds: a date ahead, which a source may give, is that of the change."""
        return min(max(self.first_published_at, self.embargo_until or 0), self.opened_at)


# A story that was first published within the window changed within it: the index on changed_at finds it.
_RECENT = Statement(
    "SELECT r.content, s.name, a.first_published_at, a.changed_at, a.embargo_until, a.expires_at"
    " FROM article a JOIN revision r ON r.article_id = a.id AND r.number = a.revision"
    " JOIN source s ON s.id = a.source_id"
    f" WHERE (a.changed_at > :since OR a.embargo_until > :since) AND {USABLE}"
    " ORDER BY CASE WHEN a.embargo_until > a.changed_at THEN a.embargo_until ELSE a.changed_at END DESC, a.id"
)


def recent(record: Record, now: datetime, window: timedelta) -> RecentNews:
    """The stories of this window. Those without an address of their own are left out; of two with one, the older."""
    since, span = to_micros(now - window), window // timedelta(microseconds=1)
    found: dict[str, tuple[int, Recent]] = {}
    ends: list[int] = []
    changes: list[int] = []
    with record.reading() as connection:
        for row in map(_NewsRow._make, _RECENT.each(connection, since=since, now=to_micros(now))):
            changes.append(row.opened_at)
            published_at = min(row.published_at, to_micros(now))
            if published_at <= since:
                changes.append(published_at + span)  # it left at this moment
                continue
            ends += [published_at + span, *([row.expires_at] if row.expires_at else [])]
            content = read(row.content)
            url = content.get("url")
            if url and (url not in found or found[url][0] < published_at):
                found[url] = published_at, _recent(row, content, published_at)
            if len(found) == MOST_RECENT:
                break
    newest_first = sorted(found.values(), key=lambda each: (-each[0], each[1].url))
    return RecentNews(
        [story for _, story in newest_first],
        from_micros(min(max(changes), to_micros(now))) if changes else None,
        from_micros(min(ends)) if ends else None,
    )


def _recent(row: _NewsRow, content: Mapping[str, Any], published_at: int) -> Recent:
    headline, language = content["headline"], content.get("language")
    return Recent(content["url"], row.source_name, language, headline, from_micros(published_at))


class HiddenState(NamedTuple):
    """Equal for as long as no story that changed lately is taken down, held, restored or opened."""

    stories: int
    revisions: int
    changed_at: int


def hidden_state(record: Record, since: datetime, now: datetime) -> HiddenState:
    """Of the stories that changed since then and are not public now. Reads as many rows as changed since."""
    with record.reading() as connection:
        (row,) = _HIDDEN.rows(connection, since=since - _CLOCKS_DIFFER, now=now)
    return HiddenState(*map(int, row))


_HIDDEN = Statement(
    "SELECT count(*), coalesce(sum(a.revision), 0), coalesce(max(a.changed_at), 0) FROM article a"
    f" WHERE a.changed_at > :since AND NOT ({USABLE})"
)
