"""Notices: what an operator must hear of. An outbox: written with what happened, sent later, never lost.

What happens again before the first try is counted in the same row. From the first try on, its words and id stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from service.store import names
from service.store.database.record import Record
from service.store.database.sql import Query, Statement

GATHERED_FOR = timedelta(minutes=1)  # what comes in heaps is counted for as long before it is sent
AT_MOST_EVERY = timedelta(hours=1)
TRY_LASTS = timedelta(minutes=1)  # a try takes less; then another worker may try
RETENTION = timedelta(days=30)  # after it was sent or given up


@dataclass(frozen=True)
class Notice:
    """One thing that happened: of a `kind` ('endpoint.off'), `about` something ('endpoint:3'), tried `tries` times."""

    id: int
    public_id: str
    kind: str
    about: str
    words: str
    count: int
    endpoint_id: int | None
    partner: str | None
    created_at: datetime
    tries: int


@dataclass(frozen=True)
class NewNotice:
    """A notice to write. `partner_id` is set where it is about a partner and none of its endpoints."""

    kind: str
    about: str
    words: str
    count: int = 1
    endpoint_id: int | None = None
    partner_id: int | None = None


def of_endpoint(connection: Connection, kind: str, endpoint_id: int, words: str, now: datetime) -> None:
    """Writes a turn in an endpoint's life, in the caller's transaction; it is sent at once."""
    write(connection, [NewNotice(kind, f"endpoint:{endpoint_id}", words, endpoint_id=endpoint_id)], now)


def of_dead(connection: Connection, endpoint_id: int, count: int, words: str, now: datetime) -> None:
    """Writes that deliveries were given up: sent with their count, once an hour and endpoint at the most."""
    about = f"endpoint:{endpoint_id}"
    last = _LAST_DEAD.one(connection, about=about)
    due_at = now + GATHERED_FOR
    if last is not None:
        due_at = max(due_at, min(last.created_at, now) + AT_MOST_EVERY)
    dead = NewNotice("delivery.dead", about, words, count, endpoint_id)
    write(connection, [dead], now, due_at=due_at)


@dataclass(frozen=True)
class _Last:
    created_at: datetime


_LAST_DEAD = Query(
    _Last,
    "SELECT created_at FROM notice WHERE about = :about AND kind = 'delivery.dead' ORDER BY id DESC LIMIT 1",
)


def write(
    connection: Connection, new: Iterable[NewNotice], now: datetime, *, due_at: datetime | None = None
) -> None:
    """Writes notices in the caller's transaction; they are due at once, or at `due_at`."""
    _WRITE.run_all(
        connection,
        [
            {**vars(each), "public_id": names.new_notice_id(), "now": now, "due_at": due_at or now}
            for each in new
        ],
    )


_WRITE = Statement("""
    INSERT INTO notice (public_id, kind, about, words, count, endpoint_id, partner_id, created_at, due_at)
    VALUES (:public_id, :kind, :about, :words, :count, :endpoint_id, :partner_id, :now, :due_at)
    ON CONFLICT (kind, about) WHERE tries = 0
    DO UPDATE SET count = notice.count + excluded.count, words = excluded.words""")


# One that is due in more than two days was put off by a clock that has been put back since.
DUE = "sent_at IS NULL AND given_up_at IS NULL AND (due_at <= :now OR due_at > :now + 172800000000)"


def take(record: Record, limit: int, now: datetime) -> list[Notice]:
    """Notices to send now, the oldest first, this worker's alone for a minute; `tries` counts this one."""
    values = {"now": now, "until": now + TRY_LASTS, "limit": limit}
    with record.writing() as connection:
        return _read(connection, [number for (number,) in _TAKE.rows(connection, **values)])


_TAKE_DUE = f"""
    UPDATE notice SET tries = tries + 1, due_at = :until
    WHERE id IN (SELECT id FROM notice WHERE {DUE} ORDER BY due_at LIMIT :limit{{}}) RETURNING id"""
_TAKE = Statement(_TAKE_DUE.format(""), postgresql=_TAKE_DUE.format(" FOR UPDATE SKIP LOCKED"))


def settle(
    record: Record, notice: Notice, *, sent: bool, words: str | None, retry_at: datetime | None, now: datetime
) -> bool:
    """Notes that it was sent, is to be tried again at `retry_at`, or is given up (neither).

    False if another worker has tried it since.
    """
    values = {
        "id": notice.id,
        "tries": notice.tries,
        "sent_at": now if sent else None,
        "given_up_at": None if sent or retry_at else now,
        "due_at": retry_at or now,
        "words": words,
    }
    with record.writing() as connection:
        settled = _SETTLE.run(connection, values)
        _PRUNE.run(connection, {"before": now - RETENTION})
    return settled == 1


_SETTLE = Statement("""
    UPDATE notice SET sent_at = :sent_at, given_up_at = :given_up_at, due_at = :due_at, last_words = :words
    WHERE id = :id AND tries = :tries AND sent_at IS NULL""")
_PRUNE = Statement("""
    DELETE FROM notice WHERE created_at < :before AND (sent_at IS NOT NULL OR given_up_at IS NOT NULL)""")


def latest(record: Record, limit: int = 20, partner_slug: str | None = None) -> list[Notice]:
    """The newest notices, the newest first: about this partner, or about all."""
    with record.reading() as connection:
        if partner_slug is None:
            rows = _LATEST.rows(connection, limit=limit)
            return _read(connection, [number for (number,) in rows])[::-1]
        return _read(connection, _latest_of(connection, partner_slug, limit))[::-1]


_LATEST = Statement("SELECT id FROM notice ORDER BY id DESC LIMIT :limit")


def _latest_of(connection: Connection, partner_slug: str, limit: int) -> list[int]:
    """Each look is a range of an index, however many notices there are of this partner and of others.

    The newest `limit` notices are of those `limit` endpoints that have the newest one each.
    """
    found = [number for (number,) in _OF_PARTNER.rows(connection, partner=partner_slug, limit=limit)]
    for (endpoint,) in _NOTICED_ENDPOINTS.rows(connection, partner=partner_slug, limit=limit):
        found += [number for (number,) in _OF_ITS_ENDPOINT.rows(connection, endpoint=endpoint, limit=limit)]
    return sorted(found)[-limit:]


# In the order of the very index, which no other has: PostgreSQL else reads all notices backwards for one that has none.
_OF_PARTNER = Statement("""
    SELECT n.id FROM (
        SELECT id, partner_id FROM notice WHERE partner_id <= (SELECT id FROM partner WHERE slug = :partner)
        ORDER BY partner_id DESC, id DESC LIMIT :limit) n
    WHERE n.partner_id = (SELECT id FROM partner WHERE slug = :partner)""")
_NOTICED_ENDPOINTS = Statement("""
    SELECT w.id FROM (
        SELECT e.id, (SELECT CASE WHEN n.endpoint_id = e.id THEN n.id END FROM notice n
            WHERE n.endpoint_id <= e.id ORDER BY n.endpoint_id DESC, n.id DESC LIMIT 1) AS newest
        FROM endpoint e JOIN partner p ON p.id = e.partner_id WHERE p.slug = :partner) w
    WHERE w.newest IS NOT NULL ORDER BY w.newest DESC LIMIT :limit""")
_OF_ITS_ENDPOINT = Statement("""
    SELECT n.id FROM (
        SELECT id, endpoint_id FROM notice WHERE endpoint_id <= :endpoint
        ORDER BY endpoint_id DESC, id DESC LIMIT :limit) n
    WHERE n.endpoint_id = :endpoint""")


def _read(connection: Connection, ids: Sequence[int]) -> list[Notice]:
    return _READ.all(connection, ids=list(ids)) if ids else []


_READ = Query(
    Notice,
    """
    SELECT n.id, n.public_id, n.kind, n.about, n.words, n.count, n.endpoint_id, p.slug, n.created_at, n.tries
    FROM notice n LEFT JOIN endpoint e ON e.id = n.endpoint_id
        LEFT JOIN partner p ON p.id = coalesce(e.partner_id, n.partner_id)
    WHERE n.id IN :ids[] ORDER BY n.id""",
)


def reword(connection: Connection, endpoint_id: int, words: Mapping[str, str]) -> None:
    """Replaces words in all notices about an endpoint: their story was killed. What was sent already stays sent."""
    for number, text in _OF_ENDPOINT.rows(connection, endpoint=endpoint_id):
        changed = text
        for old, new in words.items():
            changed = changed.replace(old, new)
        if changed != text:
            _REWORD.run(connection, {"id": number, "words": changed})


_OF_ENDPOINT = Statement(
    "SELECT id, words FROM notice WHERE endpoint_id = :endpoint AND words LIKE '%, a redirect to %' ORDER BY id"
)
_REWORD = Statement("UPDATE notice SET words = :words WHERE id = :id")
