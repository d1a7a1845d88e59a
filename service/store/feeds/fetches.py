"""The evidence of partners' own feeds: what each fetch was answered, and the receipts of what could be read in it.

Both are written before the answer goes out. A fetch is answered from one edition, which never changes: should the
document be built anew meanwhile, what is written is still of the edition that was sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, or_, select, text, update

from service.store import ledger
from service.store.database.record import Record
from service.store.feeds.documents import Document
from service.store.feeds.kinds import PARTNER, of_partner
from service.store.feeds.packing import unpack
from service.store.ledger import BY_FEED, Channel, Receipt
from service.store.schema.base import Instant
from service.store.schema.feeds import document, feed_fetch, feed_token, partner_feed

KEPT = 20_000  # fetches of each feed: those of ten weeks, of one that is asked for every five minutes
KEPT_FOR = timedelta(days=90)
_PRUNE_EVERY = 500  # fetches
_REFUSALS_TOLD = timedelta(minutes=1)
_AGENT_MAX = 200


@dataclass(frozen=True)
class Addressed:
    """The feed that a token leads to, and the document there is of it now.

    `etag` is None before it is built for the first time. `noted`: the receipts of this very document are written.
    """

    feed_id: int
    partner_id: int
    token_id: int
    token: int
    revoked_at: datetime | None
    until: datetime | None
    refused_at: datetime | None
    etag: str | None
    noted: bool

    @property
    def slug(self) -> str:
        return of_partner(self.feed_id)


@dataclass(frozen=True)
class Edition:
    """One version of a document, and the (article, revision) that can be read in it."""

    document: Document
    stories: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Fetch:
    """How a fetch is about to be answered. A 200 to a GET shows the whole edition."""

    method: str
    format: str
    status: int
    agent: str | None

    @property
    def shows(self) -> bool:
        return self.method == "GET" and self.status == 200


def find(record: Record, token_hash: str, fmt: str) -> Addressed | None:
    """What the token leads to; None if there is no such token. Reads no body."""
    with record.reading() as connection:
        row = connection.execute(_FIND, {"hash": token_hash, "format": fmt}).one_or_none()
    if row is None:
        return None
    return Addressed(
        feed_id=row.feed_id,
        partner_id=row.partner_id,
        token_id=row.token_id,
        token=row.number,
        revoked_at=row.revoked_at,
        until=row.until,
        refused_at=row.refused_at,
        etag=row.etag,
        noted=row.etag is not None and row.etag == row.noted,
    )


_FIND = text(f"""
    SELECT f.id AS feed_id, f.partner_id, t.id AS token_id, t.number, f.revoked_at, t.until, t.refused_at,
        d.etag, d.noted
    FROM feed_token t JOIN partner_feed f ON f.id = t.partner_feed_id
    LEFT JOIN document d ON d.feed = '{PARTNER}/' || CAST(f.id AS text) AND d.format = :format
    WHERE t.hash = :hash""").columns(revoked_at=Instant, until=Instant, refused_at=Instant)


def edition(record: Record, slug: str, fmt: str) -> Edition | None:
    """The document there is now, whole: bytes and stories are of one version."""
    query = document.select().where(document.c.feed == slug, document.c.format == fmt)
    with record.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    stories = tuple((article, revision) for article, revision in json.loads(row.stories or "[]"))
    return Edition(Document(unpack(row.body), row.etag, row.modified_at), stories)


def note(record: Record, addressed: Addressed, answered: Edition, fetch: Fetch, now: datetime) -> bool:
    """Writes the fetch and, if it shows what was not shown before, the receipts. False: the feed was revoked meanwhile.

    Done twice it is two fetches; receipts never go down. The answer may go out only after it returned True.
    """
    with record.writing() as connection:
        if fetch.method == "GET":
            fetches = _count(connection, addressed, now)
            if fetches is None:
                return False
            if fetches % _PRUNE_EVERY == 0:
                _prune(connection, addressed.feed_id, now)
        row = {
            "partner_feed_id": addressed.feed_id,
            "token": addressed.token,
            "at": now,
            "method": fetch.method,
            "format": fetch.format,
            "status": fetch.status,
            "etag": answered.document.etag,
            "agent": fetch.agent[:_AGENT_MAX] if fetch.agent else None,
        }
        connection.execute(feed_fetch.insert(), row)
        if fetch.shows and not (addressed.noted and addressed.etag == answered.document.etag):
            _write_receipts(connection, addressed, answered, now)
            _mark_noted(connection, addressed, answered, fetch.format)
    return True


def note_refused(record: Record, addressed: Addressed, now: datetime) -> None:
    """Notes that the address was tried after its end: once a minute, so that no client makes us write at its pace."""
    if addressed.refused_at is not None and now - addressed.refused_at < _REFUSALS_TOLD:
        return
    with record.writing() as connection:
        connection.execute(
            update(feed_token).where(feed_token.c.id == addressed.token_id).values(refused_at=now)
        )


def _count(connection: Connection, addressed: Addressed, now: datetime) -> int | None:
    """How often the feed was fetched, with this time; None if it was revoked. The feed is locked before the token."""
    mine = (
        update(partner_feed)
        .where(partner_feed.c.id == addressed.feed_id, partner_feed.c.revoked_at.is_(None))
        .values(fetches=partner_feed.c.fetches + 1, fetched_at=now)
        .returning(partner_feed.c.fetches)
    )
    fetches: int | None = connection.execute(mine).scalar()
    if fetches is not None:
        token = update(feed_token).where(feed_token.c.id == addressed.token_id)
        connection.execute(token.values(fetches=feed_token.c.fetches + 1, fetched_at=now))
    return fetches


def _prune(connection: Connection, feed_id: int, now: datetime) -> None:
    mine = feed_fetch.c.partner_feed_id == feed_id
    newest = select(feed_fetch.c.id).where(mine).order_by(feed_fetch.c.id.desc()).limit(1).offset(KEPT)
    last: Any = connection.execute(newest).scalar()
    connection.execute(
        delete(feed_fetch).where(mine, or_(feed_fetch.c.id <= (last or 0), feed_fetch.c.at < now - KEPT_FOR))
    )


def _write_receipts(connection: Connection, addressed: Addressed, answered: Edition, now: datetime) -> None:
    receipts = [
        Receipt(article, addressed.partner_id, BY_FEED, revision) for article, revision in answered.stories
    ]
    ledger.write(connection, receipts, Channel.FEED, now)


def _mark_noted(connection: Connection, addressed: Addressed, answered: Edition, fmt: str) -> None:
    """Only if the document is still of this edition: the next one's receipts are not written."""
    this = update(document).where(
        document.c.feed == addressed.slug,
        document.c.format == fmt,
        document.c.etag == answered.document.etag,
    )
    connection.execute(this.values(noted=answered.document.etag))
