"""The evidence of partners' own feeds: the answer to each fetch, and the receipts of all that could be read in it.

Both are written before the answer goes out. A fetch is answered from one edition, which never changes: should the
document be built anew meanwhile, what is written is still of the edition that was sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from service.store import ledger
from service.store.database.record import Record
from service.store.database.sql import Query, Statement, insert
from service.store.feeds import documents, partner_feeds
from service.store.feeds.documents import Document
from service.store.feeds.kinds import PARTNER, of_partner
from service.store.feeds.packing import unpack
from service.store.ledger import BY_FEED, Channel, Receipt
from service.store.schema.feeds import feed_fetch

MOST_FETCHES = 20_000  # of each feed: those of ten weeks, of one that is asked for every five minutes
FETCH_RETENTION = timedelta(days=90)
_PRUNE_EVERY = 500  # fetches
_REFUSALS_NOTED = timedelta(minutes=1)
_AGENT_MAX = 200


@dataclass(frozen=True)
class FetchTarget:
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
    """The answer that a fetch is about to get. A 200 to a GET shows the whole edition."""

    method: str
    format: str
    status: int
    agent: str | None

    @property
    def shows(self) -> bool:
        return self.method == "GET" and self.status == 200


def find(record: Record, token_hash: str, fmt: str) -> FetchTarget | None:
    """The feed of this token; None if there is no such token. Reads no body."""
    with record.reading() as connection:
        return _FIND.one(connection, hash=token_hash, format=fmt)


_FIND = Query(
    FetchTarget,
    f"""
    SELECT f.id, f.partner_id, t.id, t.number, f.revoked_at, t.until, t.refused_at,
        d.etag, coalesce(d.etag = d.noted, false)
    FROM feed_token t JOIN partner_feed f ON f.id = t.partner_feed_id
    LEFT JOIN document d ON d.feed = '{PARTNER}/' || CAST(f.id AS text) AND d.format = :format
    WHERE t.hash = :hash""",
)


def edition(record: Record, slug: str, fmt: str) -> Edition | None:
    """The document there is now, whole: bytes and stories are of one version."""
    with record.reading() as connection:
        stored = _EDITION.one(connection, feed=slug, format=fmt)
    if stored is None:
        return None
    stories = tuple((article, revision) for article, revision in json.loads(stored.stories or "[]"))
    return Edition(Document(unpack(stored.body), stored.etag, stored.modified_at), stories)


class _StoredEdition(NamedTuple):
    body: bytes
    etag: str
    modified_at: datetime
    stories: str | None


_EDITION = Query(
    _StoredEdition,
    "SELECT body, etag, modified_at, stories FROM document WHERE feed = :feed AND format = :format",
)


def note(record: Record, target: FetchTarget, answered: Edition, fetch: Fetch, now: datetime) -> bool:
    """Writes the fetch and, if it shows what was not shown before, the receipts. False: the feed was revoked meanwhile.

    Done twice it is two fetches; receipts never go down. The answer may go out only after it returned True.
    """
    with record.writing() as connection:
        if fetch.method == "GET":
            fetches = partner_feeds.count_fetch(connection, target.feed_id, target.token_id, now)
            if fetches is None:
                return False
            if fetches % _PRUNE_EVERY == 0:
                _prune(connection, target.feed_id, now)
        row = {
            "partner_feed_id": target.feed_id,
            "token": target.token,
            "at": now,
            "method": fetch.method,
            "format": fetch.format,
            "status": fetch.status,
            "etag": answered.document.etag,
            "agent": fetch.agent[:_AGENT_MAX] if fetch.agent else None,
        }
        _NOTE.run(connection, row)
        if fetch.shows and not (target.noted and target.etag == answered.document.etag):
            _write_receipts(connection, target, answered, now)
            documents.mark_noted(connection, target.slug, fetch.format, answered.document.etag)
    return True


_NOTE = insert(feed_fetch, "partner_feed_id token at method format status etag agent")


def note_refused(record: Record, target: FetchTarget, now: datetime) -> None:
    """Notes that the address was tried after its end: once a minute, so that no client makes us write at its pace."""
    if target.refused_at is not None and now - target.refused_at < _REFUSALS_NOTED:
        return
    with record.writing() as connection:
        partner_feeds.note_refused(connection, target.token_id, now)


def _prune(connection: Connection, feed_id: int, now: datetime) -> None:
    last = _OLDEST_KEPT.value(connection, feed=feed_id, most=MOST_FETCHES)
    _PRUNE.run(connection, {"feed": feed_id, "last": last or 0, "before": now - FETCH_RETENTION})


_OLDEST_KEPT = Statement(
    "SELECT id FROM feed_fetch WHERE partner_feed_id = :feed ORDER BY id DESC LIMIT 1 OFFSET :most"
)
_PRUNE = Statement("DELETE FROM feed_fetch WHERE partner_feed_id = :feed AND (id <= :last OR at < :before)")


def _write_receipts(connection: Connection, addressed: FetchTarget, answered: Edition, now: datetime) -> None:
    receipts = [
        Receipt(article, addressed.partner_id, BY_FEED, revision) for article, revision in answered.stories
    ]
    ledger.write(connection, receipts, Channel.FEED, now)
    shown = sorted(article for article, _ in answered.stories)
    _SHOW.run_all(connection, [{"feed": addressed.feed_id, "article": each} for each in shown])


# After the receipts, in the order of articles: two that write at once never wait in a circle.
_SHOW = Statement(
    "INSERT INTO feed_shown (partner_feed_id, article_id) VALUES (:feed, :article) ON CONFLICT DO NOTHING"
)
