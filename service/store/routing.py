"""From events to deliveries: who must get what. One router at a time, in the order of each article's revisions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, text, update

from service.store import order
from service.store.placing import place, section_feeds
from service.store.record import Record
from service.store.schema import (
    TAKEDOWNS,
    article,
    delivery,
    endpoint,
    event,
    receipt,
    revision,
    section,
    subscription,
    to_micros,
)
from service.store.statement import plain

ROUTER_LOCK = 0x0DA7E207
# What every outlet that holds an earlier revision must get, subscribed still or not (invariant 4).
OWED_TO_HOLDERS = frozenset({*TAKEDOWNS, "article.corrected", "article.restored"})
TAKEDOWN, CORRECTION, REST, BACKFILL = 0, 1, 2, 3


@dataclass(frozen=True)
class Routed:
    """What one call did. `more`: there may be further events, call again."""

    events: int
    deliveries: int
    feeds: int
    more: bool


@dataclass
class _Desk:
    """What routing needs to know, read once per batch."""

    endpoints: dict[int, bool]  # id → wants every revision
    everything: list[int]  # endpoints subscribed to all sections
    by_section: dict[str, list[int]]
    holders: dict[int, set[int]]  # article id → endpoints that hold it or may
    owed: dict[tuple[int, int], dict[int, int]] = field(
        default_factory=dict
    )  # (article, superseder) → {endpoint: priority}


def route(record: Record, now: datetime, limit: int = 200) -> Routed:
    """Claims unrouted events and writes their deliveries, in one transaction: each event is routed exactly once.

    Killed half-way, nothing of it stands; run beside itself, the second finds the lock taken and does nothing.
    """
    with record.writing() as connection:
        if not alone(record, connection):
            return Routed(0, 0, 0, more=False)
        events = _unrouted(connection, limit)
        if not events:
            return Routed(0, 0, 0, more=False)
        rows = _deliveries(events, _desk(connection, events), now)
        feeds = place(connection, events, now)
        if owing := [each.article_id for each in events if each.type in OWED_TO_HOLDERS]:
            _stop_claims(connection, owing, rows)
            # Once more, with those who became holders until now.
            rows = _deliveries(events, _desk(connection, events), now)
        # The endpoints are locked from here on, and claims go round them: only what must be is done under the locks.
        number(connection, rows)
        _supersede(connection, events, now)
        insert(connection, rows)
        _cancel_unheld(connection, events)
        ids = [each.id for each in events]
        connection.execute(update(event).where(event.c.id.in_(ids)).values(routed_at=now))
    return Routed(len(events), len(rows), feeds, more=len(events) == limit)


def alone(record: Record, connection: Connection) -> bool:
    """Whether this transaction, until it ends, is the only one that writes deliveries of events."""
    if record.is_sqlite:
        return True  # it has the file's lock
    lock = text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(connection.execute(lock, {"key": ROUTER_LOCK}).scalar())


def _unrouted(connection: Connection, limit: int) -> list[Any]:
    query = (
        select(
            event.c.id,
            event.c.article_id,
            event.c.revision,
            event.c.type,
            revision.c.content,
            revision.c.embargo_until,
            revision.c.accepted_at,
            article.c.revision.label("newest"),
            article.c.status.label("newest_status"),
        )
        .join(
            revision, (revision.c.article_id == event.c.article_id) & (revision.c.number == event.c.revision)
        )
        .join(article, article.c.id == event.c.article_id)
        .where(text("event.routed_at IS NULL"))
        .order_by(event.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).all())


def _desk(connection: Connection, events: list[Any]) -> _Desk:
    columns = select(endpoint.c.id, endpoint.c.every_revision, endpoint.c.all_sections).order_by(
        endpoint.c.id
    )
    endpoints = connection.execute(columns).all()
    by_section: dict[str, list[int]] = defaultdict(list)
    pairs = select(section.c.slug, subscription.c.endpoint_id).join(subscription)
    for slug, endpoint_id in connection.execute(pairs):
        by_section[slug].append(endpoint_id)
    for former, slug in section_feeds(connection).items():
        by_section[former] = by_section[slug]  # a source may go on using the name that a section had
    changed = sorted({each.article_id for each in events if each.revision > 1})
    desk = _Desk(
        endpoints={each.id: each.every_revision for each in endpoints},
        everything=[each.id for each in endpoints if each.all_sections],
        by_section=by_section,
        holders=_holders(connection, changed),
    )
    _read_owed(connection, desk, changed)
    return desk


def _holders(connection: Connection, articles: list[int]) -> dict[int, set[int]]:
    """Endpoints that hold some revision, or may: bytes of it were sent, or are on the wire now."""
    holders: dict[int, set[int]] = defaultdict(set)
    if not articles:
        return holders
    held = select(receipt.c.article_id, receipt.c.endpoint_id).where(
        receipt.c.article_id.in_(articles), receipt.c.endpoint_id != 0
    )
    maybe = select(delivery.c.article_id, delivery.c.endpoint_id).where(
        delivery.c.article_id.in_(articles), delivery.c.reached | (delivery.c.state == "sending")
    )
    for query in (held, maybe):
        for article_id, endpoint_id in connection.execute(query):
            holders[article_id].add(endpoint_id)
    return holders


def _stop_claims(connection: Connection, articles: list[int], rows: list[dict[str, Any]]) -> None:
    """Until this transaction ends nobody becomes a holder of these articles unseen.

    What of them still waits could be claimed between the look at the holders and its being superseded: then it
    would be sent, and its takedown would not. A claim needs its endpoint's lock; one that has it is waited for.
    """
    waiting = select(delivery.c.endpoint_id).where(
        delivery.c.article_id.in_(articles), delivery.c.state.in_(("pending", "waiting"))
    )
    ids = {row["endpoint_id"] for row in rows}.union(connection.execute(waiting).scalars())
    order.lock_endpoints(connection, ids)


def _read_owed(connection: Connection, desk: _Desk, articles: list[int]) -> None:
    """What was owed and then superseded is owed still: its superseder goes to the same endpoints."""
    if not articles:
        return
    query = select(
        delivery.c.article_id, delivery.c.superseded_by, delivery.c.endpoint_id, delivery.c.priority
    ).where(delivery.c.article_id.in_(articles), delivery.c.owed, delivery.c.state == "superseded")
    for article_id, superseder, endpoint_id, priority in connection.execute(query):
        _owe(desk, article_id, superseder, endpoint_id, priority)


def _owe(desk: _Desk, article_id: int, superseder: int, endpoint_id: int, priority: int) -> None:
    owed = desk.owed.setdefault((article_id, superseder), {})
    owed[endpoint_id] = min(priority, owed.get(endpoint_id, REST))


def _deliveries(events: Iterable[Any], desk: _Desk, now: datetime) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for each in events:
        rows.extend(_deliveries_of(each, desk, now))
    return rows


def _deliveries_of(each: Any, desk: _Desk, now: datetime) -> Iterable[dict[str, Any]]:
    owing = each.type in OWED_TO_HOLDERS
    owed = desk.owed.get((each.article_id, each.revision), {})
    own = TAKEDOWN if each.type in TAKEDOWNS else CORRECTION if owing else REST
    held = each.embargo_until is not None and each.type not in TAKEDOWNS
    for endpoint_id in sorted(_targets(each, desk) | owed.keys()):
        ordered = desk.endpoints[endpoint_id]
        stale = each.revision < each.newest and (not ordered or each.newest_status != "usable")
        priority = own if own == TAKEDOWN else min(own, max(owed.get(endpoint_id, REST), CORRECTION))
        if stale and (owing or endpoint_id in owed):
            _owe(desk, each.article_id, each.newest, endpoint_id, priority)
        yield {
            "endpoint_id": endpoint_id,
            "event_id": each.id,
            "article_id": each.article_id,
            "revision": each.revision,
            "priority": priority,
            "owed": owing or endpoint_id in owed,
            "ordered": ordered,
            "state": "superseded" if stale else "pending",
            "superseded_by": each.newest if stale else None,
            "settled_at": now if stale else None,
            "due_at": max(now, each.embargo_until) if held else now,
            "created_at": now,
        }


def _targets(each: Any, desk: _Desk) -> set[int]:
    """Subscribers, and for what is owed every holder. A takedown asks only holders: who else has it?"""
    holders = desk.holders.get(each.article_id, set()) if each.type in OWED_TO_HOLDERS else set()
    if each.type in TAKEDOWNS:
        return set(holders)
    subscribed = set(desk.everything)
    for slug in json.loads(each.content).get("sections", ()):
        subscribed.update(desk.by_section.get(slug, ()))
    return subscribed | holders


def number(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Gives each delivery its endpoint's next sequence number. Endpoints are locked before any delivery is."""
    counts: dict[int, int] = defaultdict(int)
    for row in rows:
        counts[row["endpoint_id"]] += 1
    if not counts:
        return
    advance = (
        update(endpoint)
        .where(endpoint.c.id == bindparam("which"))
        .values(sequence=endpoint.c.sequence + bindparam("more"))
    )
    ordered = sorted(counts.items())
    connection.execute(advance, [{"which": which, "more": more} for which, more in ordered])
    last = dict(
        connection.execute(
            select(endpoint.c.id, endpoint.c.sequence).where(endpoint.c.id.in_([w for w, _ in ordered]))
        ).all()
    )
    given = {which: last[which] - more for which, more in ordered}
    for row in rows:
        given[row["endpoint_id"]] += 1
        row["sequence"] = given[row["endpoint_id"]]


_INSERTED = {
    "endpoint_id": "bigint",
    "event_id": "bigint",
    "article_id": "bigint",
    "revision": "integer",
    "sequence": "bigint",
    "priority": "integer",
    "owed": "boolean",
    "ordered": "boolean",
    "state": "text",
    "superseded_by": "integer",
    "settled_at": "bigint",
    "due_at": "bigint",
    "created_at": "bigint",
}
_INSERT_POSTGRESQL = text(
    f"INSERT INTO delivery ({', '.join(_INSERTED)}) SELECT * FROM unnest("
    + ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _INSERTED.items())
    + ")"
)
_INSERT_SQLITE = f"INSERT INTO delivery ({', '.join(_INSERTED)}) VALUES ({', '.join('?' * len(_INSERTED))})"


def insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Writes new deliveries, thousands of them at once: one statement on PostgreSQL, tuples on SQLite."""
    if not rows:
        return
    columns = {name: [plain(row[name]) for row in rows] for name in _INSERTED}
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_INSERT_SQLITE, list(zip(*columns.values(), strict=True)))
    else:
        connection.execute(_INSERT_POSTGRESQL, columns)


# What is on the wire is locked too: its settlement, if it is being written at this moment, is waited for and then seen
# by the update below; if it comes later, it sees what is being routed here. Either way a failure is not due again.
_UNSETTLED_OF = "article_id = ANY(CAST(:articles AS bigint[])) AND state IN ('pending', 'waiting', 'sending')"
_SUPERSEDE = text(
    "UPDATE delivery SET state = 'superseded', superseded_by = :newest, settled_at = :now"
    " WHERE article_id = :article AND state IN ('pending', 'waiting') AND revision < :newest"
    " AND (NOT ordered OR :takedown)"
)


def _supersede(connection: Connection, events: list[Any], now: datetime) -> None:
    """Intake did this already, but for what was being routed, or came back from the wire, at that very moment."""
    stale = [
        {
            "newest": each.newest,
            "now": to_micros(now),
            "article": each.article_id,
            "takedown": each.newest_status != "usable",
        }
        for each in events
        if each.newest > 1 and each.revision == each.newest
    ]
    if stale:
        order.lock_deliveries(connection, _UNSETTLED_OF, {"articles": [each["article"] for each in stale]})
        connection.execute(_SUPERSEDE, stale)


def _cancel_unheld(connection: Connection, events: list[Any]) -> None:
    """A takedown of what an endpoint never got is no news to it: what waited there is cancelled, not superseded."""
    for each in events:
        if each.type not in TAKEDOWNS or each.revision != each.newest:
            continue
        told = select(delivery.c.endpoint_id).where(
            delivery.c.article_id == each.article_id, delivery.c.revision == each.revision
        )
        connection.execute(
            update(delivery)
            .where(
                delivery.c.article_id == each.article_id,
                delivery.c.state == "superseded",
                delivery.c.superseded_by == each.revision,
                delivery.c.endpoint_id.not_in(told),
            )
            .values(state="cancelled", superseded_by=None)
        )
