"""Notices: what an operator must hear of. An outbox: written with what happened, sent later, never lost.

What happens again before the first try is counted in the same row. From the first try on, its words and id stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, text

from service.store import names
from service.store.database.record import Record
from service.store.schema.base import from_micros, to_micros
from service.store.schema.operations import notice
from service.store.schema.partners import endpoint, partner

GATHER = timedelta(minutes=1)  # what comes in heaps is counted for as long before it is told
AT_MOST_EVERY = timedelta(hours=1)
LATE_TAKEDOWN = timedelta(minutes=15)
BEHIND = timedelta(minutes=15)
WATCHED = timedelta(days=7)  # for as long as pushes of takedowns are tried
LEASE = timedelta(minutes=1)  # a try takes less; then another worker may try
KEPT = timedelta(days=30)  # after it was sent or given up


@dataclass(frozen=True)
class Notice:
    """One thing that happened. `kind` says what ('endpoint.off'), `about` to whom ('endpoint:3'); `tries` is so far."""

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


_RAISE = text(
    "INSERT INTO notice (public_id, kind, about, words, count, endpoint_id, partner_id, created_at, due_at)"
    " VALUES (:public_id, :kind, :about, :words, :count, :endpoint_id, :partner_id, :now, :due_at)"
    " ON CONFLICT (kind, about) WHERE tries = 0"
    " DO UPDATE SET count = notice.count + excluded.count, words = excluded.words"
)


def of_endpoint(connection: Connection, kind: str, endpoint_id: int, words: str, now: datetime) -> None:
    """A turn in an endpoint's life, in the caller's transaction; sent at once."""
    _raise(connection, kind, endpoint_id, words, 1, now, now)


def of_dead(connection: Connection, endpoint_id: int, count: int, words: str, now: datetime) -> None:
    """Deliveries given up: told with their count, once an hour and endpoint at the most."""
    before = (
        select(notice.c.created_at)
        .where(notice.c.about == f"endpoint:{endpoint_id}", notice.c.kind == "delivery.dead")
        .order_by(notice.c.id.desc())
        .limit(1)
    )
    last = connection.execute(before).scalar()
    due_at = max(now + GATHER, min(last + AT_MOST_EVERY, now + AT_MOST_EVERY)) if last else now + GATHER
    _raise(connection, "delivery.dead", endpoint_id, words, count, now, due_at)


def _raise(
    connection: Connection,
    kind: str,
    endpoint_id: int,
    words: str,
    count: int,
    now: datetime,
    due_at: datetime,
) -> None:
    values = {
        "public_id": names.new_notice_id(),
        "kind": kind,
        "about": f"endpoint:{endpoint_id}",
        "words": words,
        "count": count,
        "endpoint_id": endpoint_id,
        "partner_id": None,
        "now": to_micros(now),
        "due_at": to_micros(due_at),
    }
    connection.execute(_RAISE, values)


# What is not confirmed: still to be sent, or on the wire. Per endpoint, so that it is a range of the due index.
_LATE = text("""
    SELECT d.id, d.endpoint_id, d.created_at, d.last_words, a.public_id AS article, e.state
    FROM endpoint e JOIN delivery d ON d.endpoint_id = e.id AND d.priority = 0
        AND d.state IN ('pending', 'waiting') AND d.created_at <= :before
    JOIN article a ON a.id = d.article_id
    WHERE NOT EXISTS (SELECT 1 FROM notice n WHERE n.about = 'delivery:' || CAST(d.id AS text)
        AND n.kind = 'takedown.late')
    ORDER BY d.id LIMIT 100""")


# What was read in a feed of the partner's own, and was taken down since: it hears of it when it fetches, or by a push.
# Told once for as long as it does not fetch, however much is taken down meanwhile. What was unpublished, as all is that
# expires, can wait until it fetches.
_UNREAD = text("""
    SELECT p.id, p.name, count(*) AS takedowns, min(a.public_id) AS article,
        (SELECT max(f.fetched_at) FROM partner_feed f WHERE f.partner_id = p.id) AS fetched_at,
        (SELECT count(*) FROM partner_feed f WHERE f.partner_id = p.id AND f.revoked_at IS NULL) AS feeds
    FROM article a JOIN receipt r ON r.article_id = a.id AND r.endpoint_id = 0 AND r.revision < a.revision
    JOIN partner p ON p.id = r.partner_id
    WHERE a.status <> 'usable' AND a.status IN ('killed', 'withheld')
        AND a.changed_at <= :before AND a.changed_at > :oldest
        AND NOT EXISTS (SELECT 1 FROM receipt o WHERE o.partner_id = p.id AND o.article_id = a.id
            AND o.revision >= a.revision)
        AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.about = 'partner:' || CAST(p.id AS text)
            AND n.kind = 'takedown.late' AND n.created_at > coalesce(
                (SELECT max(f.fetched_at) FROM partner_feed f WHERE f.partner_id = p.id), 0))
    GROUP BY p.id, p.name ORDER BY p.id""")


def raise_late_takedowns(record: Record, now: datetime) -> int:
    """Of each takedown that an outlet has not confirmed within 15 minutes: one notice for each push, one for each
    partner that has not fetched its feed since. Returns how many are new."""
    before, oldest = to_micros(now - LATE_TAKEDOWN), to_micros(now - WATCHED)
    with record.reading() as connection:
        late = [_late(row, now) for row in connection.execute(_LATE, {"before": before})]
        unread = connection.execute(_UNREAD, {"before": before, "oldest": oldest})
        late += [_late_in_feed(row, now) for row in unread]
    if late:
        with record.writing() as connection:
            connection.execute(_RAISE, late)
    return len(late)


def _late(row: Row[Any], now: datetime) -> dict[str, Any]:
    why = row.last_words or "it was not sent yet"
    if row.state == "off":
        why = "the endpoint is switched off"
    words = f"the takedown of {row.article} is not confirmed after 15 minutes: {why}"
    return _takedown_late(f"delivery:{row.id}", words, now, endpoint_id=row.endpoint_id)


def _late_in_feed(row: Row[Any], now: datetime) -> dict[str, Any]:
    last = f"{from_micros(row.fetched_at):%Y-%m-%d %H:%M} UTC" if row.fetched_at else "it was made"
    why = f"its feed was not fetched since {last}" if row.feeds else "its feed is revoked: tell it by hand"
    subject = f"the takedown of {row.article} is"
    if row.takedowns > 1:
        subject = f"{row.takedowns} takedowns, one of them of {row.article}, are"
    words = f"{subject} not confirmed by {row.name} after 15 minutes: {why}"
    return _takedown_late(f"partner:{row.id}", words, now, partner_id=row.id)


def _takedown_late(
    about: str, words: str, now: datetime, *, endpoint_id: int | None = None, partner_id: int | None = None
) -> dict[str, Any]:
    return {
        "public_id": names.new_notice_id(),
        "kind": "takedown.late",
        "about": about,
        "words": words,
        "count": 1,
        "endpoint_id": endpoint_id,
        "partner_id": partner_id,
        "now": to_micros(now),
        "due_at": to_micros(now),
    }


# News, not back-fill, that a live endpoint could have had for as long; after a pause, since its end. Told once for all
# that waits: what was due when it was told is not told again.
_BEHIND = text("""
    SELECT * FROM (
        SELECT e.id AS endpoint_id, e.breaker, e.last_failure, e.rate_per_second,
            (SELECT min(d.due_at) FROM delivery d WHERE d.endpoint_id = e.id AND d.priority IN (1, 2)
                AND d.state IN ('pending', 'waiting') AND d.due_at <= :before) AS due_since
        FROM endpoint e WHERE e.state = 'live' AND e.state_since <= :before) w
    WHERE due_since IS NOT NULL AND NOT EXISTS (SELECT 1 FROM notice n
        WHERE n.about = 'endpoint:' || CAST(w.endpoint_id AS text) AND n.kind = 'endpoint.behind'
        AND (n.created_at >= w.due_since OR n.created_at > :lately))
    ORDER BY endpoint_id LIMIT 100""")


def raise_behind(record: Record, now: datetime) -> int:
    """One notice for each live endpoint to which something due was not sent for 15 minutes; returns how many are new.

    Once for as long as it lasts; should other things be that late in turn, once an hour.
    """
    values = {"before": to_micros(now - BEHIND), "lately": to_micros(now - AT_MOST_EVERY)}
    with record.reading() as connection:
        found = connection.execute(_BEHIND, values).all()
    if found:
        with record.writing() as connection:
            for row in found:
                of_endpoint(connection, "endpoint.behind", row.endpoint_id, _behind(row, now), now)
    return len(found)


def _behind(row: Row[Any], now: datetime) -> str:
    minutes = (to_micros(now) - row.due_since) // 60_000_000
    if row.breaker != "closed":
        why = f"it fails: {row.last_failure or 'it does not answer'}"
    elif row.rate_per_second:
        why = f"more comes than its rate of {row.rate_per_second:g} a second lets through"
    else:
        why = "more comes than it takes, or than the workers can send"
    return f"the oldest of what is due to it has waited for {minutes} minutes: {why}"


# One that is due in more than two days was put off by a clock that has been put back since.
DUE = "sent_at IS NULL AND given_up_at IS NULL AND (due_at <= :now OR due_at > :now + 172800000000)"


def take(record: Record, limit: int, now: datetime) -> list[Notice]:
    """Notices to send now, the oldest first, this worker's alone for a minute; `tries` counts this one."""
    lock = "" if record.is_sqlite else " FOR UPDATE SKIP LOCKED"
    taking = text(
        "UPDATE notice SET tries = tries + 1, due_at = :until WHERE id IN"
        f" (SELECT id FROM notice WHERE {DUE} ORDER BY due_at LIMIT :limit{lock}) RETURNING id"
    )
    values = {"now": to_micros(now), "until": to_micros(now + LEASE), "limit": limit}
    with record.writing() as connection:
        ids = connection.execute(taking, values).scalars().all()
        return _read(connection, ids) if ids else []


def settle(
    record: Record, each: Notice, *, sent: bool, words: str | None, retry_at: datetime | None, now: datetime
) -> bool:
    """Sent, to be tried again at `retry_at`, or given up (neither). False if another has tried it since."""
    values = {
        "id": each.id,
        "tries": each.tries,
        "sent_at": to_micros(now) if sent else None,
        "given_up_at": None if sent or retry_at else to_micros(now),
        "due_at": to_micros(retry_at or now),
        "words": words,
        "before": to_micros(now - KEPT),
    }
    with record.writing() as connection:
        settled = connection.execute(
            text(
                "UPDATE notice SET sent_at = :sent_at, given_up_at = :given_up_at, due_at = :due_at,"
                " last_words = :words WHERE id = :id AND tries = :tries AND sent_at IS NULL"
            ),
            values,
        ).rowcount
        connection.execute(
            text(
                "DELETE FROM notice WHERE created_at < :before"
                " AND (sent_at IS NOT NULL OR given_up_at IS NOT NULL)"
            ),
            values,
        )
    return settled == 1


def latest(record: Record, limit: int = 20, partner_slug: str | None = None) -> list[Notice]:
    """What happened lately, the newest first; to this partner, or to all."""
    query = select(notice.c.id).order_by(notice.c.id.desc()).limit(limit)
    if partner_slug is not None:
        own = select(partner.c.id).where(partner.c.slug == partner_slug).scalar_subquery()
        endpoints = select(endpoint.c.id).where(endpoint.c.partner_id == own)
        query = query.where(or_(notice.c.endpoint_id.in_(endpoints), notice.c.partner_id == own))
    with record.reading() as connection:
        return _read(connection, connection.execute(query).scalars().all())[::-1]


def _read(connection: Connection, ids: Sequence[int]) -> list[Notice]:
    query = (
        select(notice, partner.c.slug)
        .outerjoin(endpoint, endpoint.c.id == notice.c.endpoint_id)
        .outerjoin(partner, partner.c.id == func.coalesce(endpoint.c.partner_id, notice.c.partner_id))
        .where(notice.c.id.in_(ids))
        .order_by(notice.c.id)
    )
    return [
        Notice(
            id=row.id,
            public_id=row.public_id,
            kind=row.kind,
            about=row.about,
            words=row.words,
            count=row._mapping["count"],
            endpoint_id=row.endpoint_id,
            partner=row.slug,
            created_at=row.created_at,
            tries=row.tries,
        )
        for row in connection.execute(query)
    ]
