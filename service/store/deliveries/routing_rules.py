"""Recipients: from events to the deliveries that their endpoints must get. Read once per batch; writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from service.store.database.sql import Query
from service.store.deliveries.states import Priority, State
from service.store.events import Event
from service.store.schema.articles import TAKEDOWN_EVENTS
from service.store.schema.base import to_micros
from service.store.schema.deliveries import delivery, receipt

# Every outlet that holds an earlier revision must get these, subscribed still or not (invariant 4).
OWED_TO_HOLDERS = frozenset({*TAKEDOWN_EVENTS, "article.corrected", "article.restored"})


class OnLeave(StrEnum):
    """The wish of an endpoint for a story that it holds and that is in none of its sections any more."""

    UPDATE = "update"  # what happens to it, as before
    TAKEDOWN = "takedown"  # to remove it, once
    NOTHING = "nothing"  # no more than what is owed to holders


@dataclass
class RoutingSnapshot:
    """The facts that routing needs, as the record has them at the time of one read."""

    endpoints: dict[int, bool]  # id → wants every revision
    everything: list[int]  # endpoints subscribed to all sections
    by_section: dict[str, list[int]]
    holders: dict[int, set[int]]  # article id → endpoints that hold it or may
    owed: dict[tuple[int, int], dict[int, int]] = field(
        default_factory=dict
    )  # (article, superseder) → {endpoint: priority}
    on_leave: dict[int, str] = field(default_factory=dict)  # endpoint → OnLeave
    told_to_remove: set[tuple[int, int]] = field(
        default_factory=set
    )  # (article, endpoint): the last that reached it was a takedown


class _EndpointWish(NamedTuple):
    id: int
    every_revision: bool
    all_sections: bool
    on_leave: str


class _Subscription(NamedTuple):
    section: str
    endpoint_id: int


_ENDPOINTS = Query(
    _EndpointWish, "SELECT id, every_revision, all_sections, on_leave FROM endpoint ORDER BY id"
)
_SUBSCRIPTIONS = Query(
    _Subscription, "SELECT s.slug, b.endpoint_id FROM subscription b JOIN section s ON s.id = b.section_id"
)


def read(connection: Connection, events: Sequence[Event], sections: Mapping[str, str]) -> RoutingSnapshot:
    """`sections` leads from every name that an open section has, or had, to the one it has."""
    endpoints = _ENDPOINTS.all(connection)
    by_section: dict[str, list[int]] = defaultdict(list)
    if not all(each.all_sections for each in endpoints):
        for each in _SUBSCRIPTIONS.all(connection):
            by_section[each.section].append(each.endpoint_id)
    for former, slug in sections.items():
        by_section[former] = by_section[slug]  # a source may go on using the name that a section had
    changed = sorted({event.article_id for event in events if event.revision > 1})
    snapshot = RoutingSnapshot(
        endpoints={each.id: each.every_revision for each in endpoints},
        everything=[each.id for each in endpoints if each.all_sections],
        by_section=by_section,
        holders=_holders(connection, changed),
        on_leave={each.id: each.on_leave for each in endpoints},
    )
    _read_told_to_remove(connection, snapshot)
    _read_owed(connection, snapshot, changed)
    return snapshot


def _holders(connection: Connection, articles: list[int]) -> dict[int, set[int]]:
    """Endpoints that hold some revision, or may (states.may_hold): it was sent and not refused, or is on the wire."""
    holders: dict[int, set[int]] = defaultdict(set)
    if not articles:
        return holders
    with_receipt = select(receipt.c.article_id, receipt.c.endpoint_id).where(
        receipt.c.article_id.in_(articles), receipt.c.endpoint_id != 0
    )
    reached = select(delivery.c.article_id, delivery.c.endpoint_id).where(
        delivery.c.article_id.in_(articles), delivery.c.reached | (delivery.c.state == State.SENDING.value)
    )
    for query in (with_receipt, reached):
        for article_id, endpoint_id in connection.execute(query):
            holders[article_id].add(endpoint_id)
    return holders


def _read_told_to_remove(connection: Connection, snapshot: RoutingSnapshot) -> None:
    """Which of the endpoints that want to remove what leaves their sections were told so last.

    A removal that was given up told nobody: it may have arrived, and the next revision tells it again.
    """
    removing = {each for each, wish in snapshot.on_leave.items() if wish == OnLeave.TAKEDOWN}
    articles = [number for number, holders in snapshot.holders.items() if holders & removing]
    if not articles:
        return
    query = (
        select(delivery.c.article_id, delivery.c.endpoint_id, delivery.c.priority)
        .where(delivery.c.article_id.in_(articles), delivery.c.endpoint_id.in_(removing))
        .where(delivery.c.reached | (delivery.c.state == State.SENDING.value))
        .where(delivery.c.state != State.DEAD.value)
        .order_by(delivery.c.revision, delivery.c.replay)
    )
    last = {(article, endpoint): priority for article, endpoint, priority in connection.execute(query)}
    snapshot.told_to_remove = {pair for pair, priority in last.items() if priority == _TAKEDOWN}


def _read_owed(connection: Connection, snapshot: RoutingSnapshot, articles: list[int]) -> None:
    """A superseded delivery that was owed is owed still: its superseder goes to the same endpoints."""
    if not articles:
        return
    query = select(
        delivery.c.article_id, delivery.c.superseded_by, delivery.c.endpoint_id, delivery.c.priority
    ).where(delivery.c.article_id.in_(articles), delivery.c.owed, delivery.c.state == State.SUPERSEDED.value)
    for article_id, superseder, endpoint_id, priority in connection.execute(query):
        _owe(snapshot, article_id, superseder, endpoint_id, priority)


def _owe(
    snapshot: RoutingSnapshot, article_id: int, superseder: int, endpoint_id: int, priority: int
) -> None:
    owed = snapshot.owed.setdefault((article_id, superseder), {})
    owed[endpoint_id] = min(priority, owed.get(endpoint_id, _NEWS))


def deliveries(events: Iterable[Event], snapshot: RoutingSnapshot, now: datetime) -> list[dict[str, Any]]:
    """The rows to write, but for their sequence numbers."""
    rows: list[dict[str, Any]] = []
    for each in events:
        rows.extend(_deliveries_of(each, snapshot, now))
    return rows


def _deliveries_of(event: Event, snapshot: RoutingSnapshot, now: datetime) -> Iterable[dict[str, Any]]:
    owing = event.type in OWED_TO_HOLDERS
    owed = snapshot.owed.get((event.article_id, event.revision), {})
    takedown = event.type in TAKEDOWN_EVENTS
    own = _priority(event)
    # The present one, whatever this revision's own was: it may have been moved or lifted since.
    embargo = None if takedown else event.newest_embargo
    # As they are stored: there are many rows, and each would be converted on its way.
    moment, due_at = to_micros(now), to_micros(max(now, embargo or now))
    holders = snapshot.holders.get(event.article_id, set())
    targets = _targets(event, snapshot)
    leaving = set() if takedown else _leaving(event, snapshot)
    # A takedown that supersedes what was owed is owed to holders alone: who refused all of it holds nothing.
    for endpoint_id in sorted(targets if takedown else (targets | owed.keys()) - leaving):
        ordered = snapshot.endpoints[endpoint_id]
        stale = event.revision < event.newest and (not ordered or event.newest_status != "usable")
        priority = own if takedown else min(own, max(owed.get(endpoint_id, _NEWS), _CORRECTION))
        is_owed = endpoint_id in owed or (owing and endpoint_id in holders)
        if stale and is_owed:
            _owe(snapshot, event.article_id, event.newest, endpoint_id, priority)
        stand = {"priority": priority, "owed": is_owed, "ordered": ordered, "due_at": due_at}
        yield _row(event, endpoint_id, stand, moment, stale=stale)
    for endpoint_id in sorted(leaving):
        if (event.article_id, endpoint_id) not in snapshot.told_to_remove:
            yield _removal(event, endpoint_id, snapshot, moment)


def _removal(event: Event, endpoint_id: int, snapshot: RoutingSnapshot, moment: int) -> dict[str, Any]:
    """The takedown of a story that is public, for an endpoint that is to have it no more."""
    stale = event.revision < event.newest
    if stale:
        _owe(snapshot, event.article_id, event.newest, endpoint_id, _TAKEDOWN)
    stand = {"priority": _TAKEDOWN, "owed": True, "ordered": False, "due_at": moment}
    return _row(event, endpoint_id, stand, moment, stale=stale)


def _row(
    event: Event, endpoint_id: int, stand: dict[str, Any], moment: int, *, stale: bool
) -> dict[str, Any]:
    """A delivery of the event; a stale one is superseded by the article's newest revision from the start."""
    return {
        "endpoint_id": endpoint_id,
        "event_id": event.id,
        "article_id": event.article_id,
        "revision": event.revision,
        **stand,
        "state": _SUPERSEDED if stale else _PENDING,
        "superseded_by": event.newest if stale else None,
        "settled_at": moment if stale else None,
        "created_at": moment,
    }


# Plain values: the drivers take longer over an enum's.
_TAKEDOWN = Priority.TAKEDOWN.value
_CORRECTION, _NEWS = Priority.CORRECTION.value, Priority.NEWS.value
_PENDING, _SUPERSEDED = State.PENDING.value, State.SUPERSEDED.value


def _priority(event: Event) -> int:
    if event.type in TAKEDOWN_EVENTS:
        return Priority.TAKEDOWN.value
    return _CORRECTION if event.type in OWED_TO_HOLDERS else _NEWS


def _targets(event: Event, snapshot: RoutingSnapshot) -> set[int]:
    """Subscribers, and holders of what is owed to holders, or who are told of what leaves their sections. A takedown
    goes to holders alone."""
    holders = snapshot.holders.get(event.article_id, set())
    if event.type in TAKEDOWN_EVENTS:
        return set(holders)
    if event.type not in OWED_TO_HOLDERS:
        holders = {each for each in holders if snapshot.on_leave.get(each) == OnLeave.UPDATE}
    return _subscribed(event, snapshot) | holders


def _subscribed(event: Event, snapshot: RoutingSnapshot) -> set[int]:
    subscribed = set(snapshot.everything)
    for slug in event.places.get("sections", ()):
        subscribed.update(snapshot.by_section.get(slug, ()))
    return subscribed


def _leaving(event: Event, snapshot: RoutingSnapshot) -> set[int]:
    """Holders of the article that get its sections no more, and want to be told to remove it."""
    holders = snapshot.holders.get(event.article_id, set())
    removing = {each for each in holders if snapshot.on_leave.get(each) == OnLeave.TAKEDOWN}
    return removing - _subscribed(event, snapshot) if removing else removing
