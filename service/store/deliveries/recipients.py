"""Who must get what: from events to the deliveries that are owed. Read once per batch; writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from service.store.database.sql import Statement
from service.store.events import Event
from service.store.schema.articles import TAKEDOWNS
from service.store.schema.base import to_micros
from service.store.schema.deliveries import delivery, receipt

# What every outlet that holds an earlier revision must get, subscribed still or not (invariant 4).
OWED_TO_HOLDERS = frozenset({*TAKEDOWNS, "article.corrected", "article.restored"})
TAKEDOWN, CORRECTION, REST, BACKFILL = 0, 1, 2, 3


@dataclass
class Desk:
    """What routing needs to know."""

    endpoints: dict[int, bool]  # id → wants every revision
    everything: list[int]  # endpoints subscribed to all sections
    by_section: dict[str, list[int]]
    holders: dict[int, set[int]]  # article id → endpoints that hold it or may
    owed: dict[tuple[int, int], dict[int, int]] = field(
        default_factory=dict
    )  # (article, superseder) → {endpoint: priority}


_ENDPOINTS = Statement("SELECT id, every_revision, all_sections FROM endpoint ORDER BY id")
_SUBSCRIBED = Statement(
    "SELECT s.slug, b.endpoint_id FROM subscription b JOIN section s ON s.id = b.section_id"
)


def read(connection: Connection, events: Sequence[Event], sections: Mapping[str, str]) -> Desk:
    """`sections` leads from every name that an open section has, or had, to the one it has."""
    endpoints = _ENDPOINTS.rows(connection)
    by_section: dict[str, list[int]] = defaultdict(list)
    if not all(all_sections for _, _, all_sections in endpoints):
        for slug, endpoint_id in _SUBSCRIBED.rows(connection):
            by_section[slug].append(endpoint_id)
    for former, slug in sections.items():
        by_section[former] = by_section[slug]  # a source may go on using the name that a section had
    changed = sorted({each.article_id for each in events if each.revision > 1})
    desk = Desk(
        endpoints={number: bool(every) for number, every, _ in endpoints},
        everything=[number for number, _, all_sections in endpoints if all_sections],
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


def _read_owed(connection: Connection, desk: Desk, articles: list[int]) -> None:
    """What was owed and then superseded is owed still: its superseder goes to the same endpoints."""
    if not articles:
        return
    query = select(
        delivery.c.article_id, delivery.c.superseded_by, delivery.c.endpoint_id, delivery.c.priority
    ).where(delivery.c.article_id.in_(articles), delivery.c.owed, delivery.c.state == "superseded")
    for article_id, superseder, endpoint_id, priority in connection.execute(query):
        _owe(desk, article_id, superseder, endpoint_id, priority)


def _owe(desk: Desk, article_id: int, superseder: int, endpoint_id: int, priority: int) -> None:
    owed = desk.owed.setdefault((article_id, superseder), {})
    owed[endpoint_id] = min(priority, owed.get(endpoint_id, REST))


def deliveries(events: Iterable[Event], desk: Desk, now: datetime) -> list[dict[str, Any]]:
    """The rows to write, but for their sequence numbers."""
    rows: list[dict[str, Any]] = []
    for each in events:
        rows.extend(_deliveries_of(each, desk, now))
    return rows


def _deliveries_of(each: Event, desk: Desk, now: datetime) -> Iterable[dict[str, Any]]:
    owing = each.type in OWED_TO_HOLDERS
    owed = desk.owed.get((each.article_id, each.revision), {})
    own = TAKEDOWN if each.type in TAKEDOWNS else CORRECTION if owing else REST
    embargo = None if each.type in TAKEDOWNS else each.embargo_until
    # As they are kept: there are many rows, and each would be converted on its way.
    moment, due_at = to_micros(now), to_micros(max(now, embargo or now))
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
            "settled_at": moment if stale else None,
            "due_at": due_at,
            "created_at": moment,
        }


def _targets(each: Event, desk: Desk) -> set[int]:
    """Subscribers, and for what is owed every holder. A takedown asks only holders: who else has it?"""
    holders = desk.holders.get(each.article_id, set()) if each.type in OWED_TO_HOLDERS else set()
    if each.type in TAKEDOWNS:
        return set(holders)
    subscribed = set(desk.everything)
    for slug in each.places.get("sections", ()):
        subscribed.update(desk.by_section.get(slug, ()))
    return subscribed | holders
