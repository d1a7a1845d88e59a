"""Partners' own feeds as they stand: who fetches them, by which token, and who has stopped. Read-only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.feeds.kinds import of_partner
from service.store.schema.articles import section
from service.store.schema.feeds import feed, feed_fetch, partner_feed, partner_feed_section
from service.store.schema.partners import partner
from service.store.views.thresholds import UNFETCHED_AFTER


@dataclass(frozen=True)
class TokenNow:
    """`until`: it was replaced and works until then. `refused_at`: when it was last tried after its end."""

    number: int
    created_at: datetime
    until: datetime | None
    fetched_at: datetime | None
    fetches: int
    refused_at: datetime | None


@dataclass(frozen=True)
class FeedNow:
    """A partner's own feed. `sections` None means all of them. `tokens`: the newest first."""

    id: int
    partner_id: int
    partner: str
    title: str
    sections: tuple[str, ...] | None
    created_at: datetime
    revoked_at: datetime | None
    fetched_at: datetime | None
    fetches: int
    tokens: tuple[TokenNow, ...]

    def is_unfetched(self, now: datetime) -> bool:
        """It should be fetched and was not for a day."""
        return self.revoked_at is None and now - (self.fetched_at or self.created_at) > UNFETCHED_AFTER


@dataclass(frozen=True)
class FetchNow:
    """One fetch: its answer, the document of it, and the token used."""

    at: datetime
    token: int
    method: str
    format: str
    status: int
    etag: str
    agent: str | None


def feeds_now(record: Record) -> list[FeedNow]:
    """All partners' feeds in the order they were made, revoked ones too."""
    with record.surveying() as connection:
        return read_feeds(connection)


def read_feeds(connection: Connection, partner_ids: Sequence[int] | None = None) -> list[FeedNow]:
    """Those of these partners, or all."""
    query = select(partner_feed, partner.c.slug).join(partner).order_by(partner_feed.c.id)
    if partner_ids is not None:
        query = query.where(partner_feed.c.partner_id.in_(partner_ids))
    rows = connection.execute(query).all()
    if not rows:
        return []
    slugs = [of_partner(row.id) for row in rows]
    titles = dict(connection.execute(select(feed.c.slug, feed.c.title).where(feed.c.slug.in_(slugs))).all())
    chosen, tokens = _sections(connection), _tokens(connection)
    return [_feed(row, titles, chosen, tokens) for row in rows]


def latest_fetches(record: Record, feed_id: int, limit: int = 20) -> list[FetchNow]:
    """The newest first."""
    query = (
        select(feed_fetch)
        .where(feed_fetch.c.partner_feed_id == feed_id)
        .order_by(feed_fetch.c.id.desc())
        .limit(limit)
    )
    with record.surveying() as connection:
        return [
            FetchNow(row.at, row.token, row.method, row.format, row.status, row.etag, row.agent)
            for row in connection.execute(query)
        ]


def _feed(
    row: Any,
    titles: Mapping[str, str | None],
    chosen: Mapping[int, list[str]],
    tokens: Mapping[int, list[TokenNow]],
) -> FeedNow:
    return FeedNow(
        id=row.id,
        partner_id=row.partner_id,
        partner=row.slug,
        title=titles.get(of_partner(row.id)) or "",
        sections=None if row.all_sections else tuple(chosen.get(row.id, ())),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        fetched_at=row.fetched_at,
        fetches=row.fetches,
        tokens=tuple(tokens.get(row.id, ())),
    )


def _sections(connection: Connection) -> dict[int, list[str]]:
    chosen: dict[int, list[str]] = defaultdict(list)
    pairs = (
        select(partner_feed_section.c.partner_feed_id, section.c.slug).join(section).order_by(section.c.id)
    )
    for feed_id, slug in connection.execute(pairs):
        chosen[feed_id].append(slug)
    return chosen


class _Token(NamedTuple):
    feed_id: int
    number: int
    created_at: datetime
    until: datetime | None
    fetched_at: datetime | None
    fetches: int
    refused_at: datetime | None


# Of the replaced tokens, only those that still work or were tried lately tell something.
_TOKENS_SHOWN = 3
_TOKENS = Query(
    _Token,
    f"""
    SELECT partner_feed_id, number, created_at, until, fetched_at, fetches, refused_at FROM feed_token t
    WHERE (SELECT count(*) FROM feed_token n
        WHERE n.partner_feed_id = t.partner_feed_id AND n.number > t.number) < {_TOKENS_SHOWN}
    ORDER BY partner_feed_id, number DESC""",
)


def _tokens(connection: Connection) -> dict[int, list[TokenNow]]:
    tokens: dict[int, list[TokenNow]] = defaultdict(list)
    for row in _TOKENS.all(connection):
        tokens[row.feed_id].append(TokenNow(*row[1:]))
    return tokens
