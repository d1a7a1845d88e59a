"""Deadlines: what should have happened by now and did not is raised as a notice, once for as long as it lasts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from service.store import notices
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.notices import AT_MOST_EVERY, NewNotice
from service.store.redirect_words import with_host_alone

LATE_TAKEDOWN = timedelta(minutes=15)
LATE_DELIVERY = timedelta(minutes=15)
WATCHED_FOR = timedelta(days=7)  # for as long as pushes of takedowns are tried


class _LatePush(NamedTuple):
    delivery_id: int
    endpoint_id: int
    article: str
    endpoint_state: str
    last_words: str | None


# A takedown that is not confirmed: still to be sent, or on the wire. Per endpoint, so that it is a range of the due
# index.
_LATE_PUSHES = Query(
    _LatePush,
    """
    SELECT d.id, d.endpoint_id, a.public_id, e.state, d.last_words
    FROM endpoint e JOIN delivery d ON d.endpoint_id = e.id AND d.priority = 0
        AND d.state IN ('pending', 'waiting') AND d.created_at <= :before
    JOIN article a ON a.id = d.article_id
    WHERE NOT EXISTS (SELECT 1 FROM notice n WHERE n.about = 'delivery:' || CAST(d.id AS text)
        AND n.kind = 'takedown.late')
    ORDER BY d.id LIMIT 100""",
)


class _UnreadTakedowns(NamedTuple):
    partner_id: int
    partner: str
    takedowns: int
    article: str  # one of them
    fetched_at: datetime | None
    feeds: int  # that are not revoked


# What was read in a feed of the partner's own, and was taken down since: it hears of it when it fetches, or by a push.
# Raised once for as long as it does not fetch, however much is taken down meanwhile. What was unpublished, as all is
# that expires, can wait until it fetches.
_UNREAD_TAKEDOWNS = Query(
    _UnreadTakedowns,
    """
    SELECT p.id, p.name, count(*), min(a.public_id),
        (SELECT max(f.fetched_at) FROM partner_feed f WHERE f.partner_id = p.id),
        (SELECT count(*) FROM partner_feed f WHERE f.partner_id = p.id AND f.revoked_at IS NULL)
    FROM article a JOIN receipt r ON r.article_id = a.id AND r.endpoint_id = 0 AND r.revision < a.revision
    JOIN partner p ON p.id = r.partner_id
    WHERE a.status <> 'usable' AND a.status IN ('killed', 'withheld')
        AND a.changed_at <= :before AND a.changed_at > :oldest
        AND NOT EXISTS (SELECT 1 FROM receipt o WHERE o.partner_id = p.id AND o.article_id = a.id
            AND o.revision >= a.revision)
        AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.about = 'partner:' || CAST(p.id AS text)
            AND n.kind = 'takedown.late' AND n.created_at > coalesce(
                (SELECT max(f.fetched_at) FROM partner_feed f WHERE f.partner_id = p.id), 0))
    GROUP BY p.id, p.name ORDER BY p.id""",
)


def raise_late_takedowns(record: Record, now: datetime) -> int:
    """Raises takedowns that an outlet has not confirmed within 15 minutes; returns how many notices are new.

    One for each push, and one for each partner that has not fetched its feed since.
    """
    before, oldest = now - LATE_TAKEDOWN, now - WATCHED_FOR
    with record.reading() as connection:
        late = [_late_push(each) for each in _LATE_PUSHES.all(connection, before=before)]
        unread = _UNREAD_TAKEDOWNS.all(connection, before=before, oldest=oldest)
        late += [_unread_takedowns(each) for each in unread]
    if late:
        with record.writing() as connection:
            notices.write(connection, late, now)
    return len(late)


def _late_push(push: _LatePush) -> NewNotice:
    why = with_host_alone(push.last_words or "it was not sent yet")
    if push.endpoint_state == "off":
        why = "the endpoint is switched off"
    words = f"the takedown of {push.article} is not confirmed after 15 minutes: {why}"
    return NewNotice("takedown.late", f"delivery:{push.delivery_id}", words, endpoint_id=push.endpoint_id)


def _unread_takedowns(unread: _UnreadTakedowns) -> NewNotice:
    last = f"{unread.fetched_at:%Y-%m-%d %H:%M} UTC" if unread.fetched_at else "it was made"
    why = f"its feed was not fetched since {last}" if unread.feeds else "its feed is revoked: tell it by hand"
    subject = f"the takedown of {unread.article} is"
    if unread.takedowns > 1:
        subject = f"{unread.takedowns} takedowns, one of them of {unread.article}, are"
    words = f"{subject} not confirmed by {unread.partner} after 15 minutes: {why}"
    return NewNotice("takedown.late", f"partner:{unread.partner_id}", words, partner_id=unread.partner_id)


class _EndpointBehind(NamedTuple):
    endpoint_id: int
    breaker: str
    last_failure: str | None
    rate_per_second: float | None
    due_since: datetime


# News, not back-fill, that a live endpoint could have had for as long; after a pause, since its end. Raised once for
# all that waits: what was due when it was raised is not raised again.
_BEHIND = Query(
    _EndpointBehind,
    """
    SELECT endpoint_id, breaker, last_failure, rate_per_second, due_since FROM (
        SELECT e.id AS endpoint_id, e.breaker, e.last_failure, e.rate_per_second,
            (SELECT min(d.due_at) FROM delivery d WHERE d.endpoint_id = e.id AND d.priority IN (1, 2)
                AND d.state IN ('pending', 'waiting') AND d.due_at <= :before) AS due_since
        FROM endpoint e WHERE e.state = 'live' AND e.state_since <= :before) w
    WHERE due_since IS NOT NULL AND NOT EXISTS (SELECT 1 FROM notice n
        WHERE n.about = 'endpoint:' || CAST(w.endpoint_id AS text) AND n.kind = 'endpoint.behind'
        AND (n.created_at >= w.due_since OR n.created_at > :lately))
    ORDER BY endpoint_id LIMIT 100""",
)


def raise_behind(record: Record, now: datetime) -> int:
    """Raises each live endpoint to which something due was not sent for 15 minutes; returns how many notices are new.

    Once for as long as it lasts; should other things be that late in turn, once an hour.
    """
    with record.reading() as connection:
        behind = _BEHIND.all(connection, before=now - LATE_DELIVERY, lately=now - AT_MOST_EVERY)
    if behind:
        with record.writing() as connection:
            for each in behind:
                notices.of_endpoint(connection, "endpoint.behind", each.endpoint_id, _behind(each, now), now)
    return len(behind)


def _behind(endpoint: _EndpointBehind, now: datetime) -> str:
    minutes = (now - endpoint.due_since) // timedelta(minutes=1)
    if endpoint.breaker != "closed":
        why = f"it fails: {endpoint.last_failure or 'it does not answer'}"
    elif endpoint.rate_per_second:
        why = f"more comes than its rate of {endpoint.rate_per_second:g} a second lets through"
    else:
        why = "more comes than it takes, or than the workers can send"
    return f"the oldest of what is due to it has waited for {minutes} minutes: {why}"


def raise_long_log(record: Record, size: int, now: datetime) -> bool:
    """Raises SQLite's log that a reader holds long, once an hour for as long as it lasts; whether the notice is new."""
    with record.reading() as connection:
        if _LONG_LOG.value(connection, lately=now - AT_MOST_EVERY, now=now) is not None:
            return False
    words = (
        f"the record's log (…-wal) has {size / 2**20:,.0f} MiB and cannot be emptied, so the disk fills: a program"
        " keeps the record open for reading. End it; to back up: dateline backup FILE"
    )
    with record.writing() as connection:
        notices.write(connection, [NewNotice("wal.long", "record", words)], now)
    return True


_LONG_LOG = Statement(
    "SELECT 1 FROM notice WHERE about = 'record' AND kind = 'wal.long' AND created_at > :lately AND created_at <= :now"
    " LIMIT 1"
)
