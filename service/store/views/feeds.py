"""How partners' own feeds stand: who fetches them, by which token, and who has stopped. Read-only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from service.store.database.record import Record
from service.store.feeds.kinds import of_partner
from service.store.schema.articles import section
from service.store.schema.feeds import feed, feed_fetch, feed_token, partner_feed, partner_feed_section
from service.store.schema.partners import partner


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


@dataclass(frozen=True)
class FetchNow:
    """One fetch: what it was answered, from which document, by which token."""

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


# Of what was replaced, only what still works or was tried lately tells something.
_TOKENS = 3


def _tokens(connection: Connection) -> dict[int, list[TokenNow]]:
    newest = text(
        "(SELECT count(*) FROM feed_token n WHERE n.partner_feed_id = feed_token.partner_feed_id"
        f" AND n.number > feed_token.number) < {_TOKENS}"
    )
    tokens: dict[int, list[TokenNow]] = defaultdict(list)
    query = (
        select(feed_token).where(newest).order_by(feed_token.c.partner_feed_id, feed_token.c.number.desc())
    )
    for row in connection.execute(query):
        tokens[row.partner_feed_id].append(
            TokenNow(row.number, row.created_at, row.until, row.fetched_at, row.fetches, row.refused_at)
        )
    return tokens
