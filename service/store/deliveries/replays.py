"""Replay: an operator has deliveries sent again. Never out of order, never a revision older than the newest.

A dead delivery goes again as itself; a delivered one as a new row, with an id of its own, so that the receiver does
not drop it. What matches and does not go is counted by its reason. Thousands are done in batches, each a transaction,
so that the record is never locked for long; cut off half-way, what was done stands, and the rest can be asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store import names
from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.deliveries import due_times, numbering, requeue
from service.store.deliveries.attempts import CAUSES, LAST_OUTCOME
from service.store.deliveries.states import UNSETTLED, State
from service.store.errors import NotFound, NotPossible

DELIVERIES_PER_TRANSACTION = 200
# Why a delivery that matches is not sent again, each with its words.
REASONS = {
    "taken_down": "the article was taken down since",
    "newer": "there is a newer revision: an older one is never sent after it",
    "on_its_way": "it goes out by itself: it is waiting, or being sent",
    "embargoed": "the article is under embargo",
    "repeated": "it was sent again already: name that one, the newest",
    "ended": "it was superseded or cancelled: there is nothing to send again",
}


@dataclass(frozen=True)
class ReplayRequest:
    """Names deliveries: those that fit every field that is set. `dead`: only those that were given up; `cause`: of
    these only those whose last attempt ended so, a word of attempts.CAUSES."""

    delivery: str | None = None
    article: str | None = None
    endpoint: int | None = None
    since: datetime | None = None
    dead: bool = False
    partner: str | None = None
    cause: str | None = None


@dataclass(frozen=True)
class ReplayResult:
    """`deliveries` are the webhook-ids that go again; `skipped` counts the others that matched, by REASONS.

    `partners` counts those that go by their partner's slug.
    """

    deliveries: tuple[str, ...]
    skipped: Mapping[str, int]
    partners: Mapping[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.deliveries)


def batches(
    record: Record, request: ReplayRequest, size: int = DELIVERIES_PER_TRANSACTION
) -> Iterator[Sequence[int]]:
    """The ids of the deliveries that are meant, so many at a time. Raises NotFound, and NotPossible if nothing was
    named."""
    ids = _matching(record, request)
    if not ids and (request.delivery or request.article):
        what = "delivery" if request.delivery else "article with deliveries"
        raise NotFound(what, str(request.delivery or request.article))
    yield from (ids[start : start + size] for start in range(0, len(ids), size))


def preview(connection: Connection, ids: Sequence[int], now: datetime) -> ReplayResult:
    """Which of these deliveries would be sent again now."""
    allowed, reasons = _sorted_out(connection, ids, now)
    return _result(allowed, reasons)


def send_again(connection: Connection, ids: Sequence[int], now: datetime) -> ReplayResult:
    """Has those of one batch sent again that may be: it is decided anew, with the articles held still, and they go in
    the same transaction."""
    _lock_articles(connection, ids)
    allowed, reasons = _sorted_out(connection, ids, now)
    if allowed:
        endpoints = {row.endpoint_id for row in allowed}
        locks.lock_endpoints(connection, endpoints)
        for endpoint_id in sorted(endpoints):  # nothing that goes again goes before them
            due_times.hasten_takedowns(connection, endpoint_id, now)
        requeue.revive(connection, [row.id for row in allowed if row.state == State.DEAD], now)
        _repeat(connection, [row for row in allowed if row.state == State.DELIVERED], now)
    return _result(allowed, reasons)


def total(request: ReplayRequest, parts: Sequence[ReplayResult]) -> ReplayResult:
    """The batches together. Raises NotPossible for one delivery that may not be sent again."""
    deliveries = tuple(name for part in parts for name in part.deliveries)
    skipped, partners = Counter[str](), Counter[str]()
    for part in parts:
        skipped.update(part.skipped)
        partners.update(part.partners)
    if request.delivery and not deliveries:
        raise NotPossible(REASONS[next(iter(skipped))])
    return ReplayResult(deliveries, dict(skipped), dict(partners))


def _result(rows: Sequence[_ReplayRow], reasons: Counter[str]) -> ReplayResult:
    partners = Counter(row.partner for row in rows)
    return ReplayResult(tuple(_name(row) for row in rows), dict(reasons), partners)


def _condition(record: Record, request: ReplayRequest) -> tuple[str, dict[str, Any]]:
    parts: list[str] = []
    values: dict[str, Any] = {}
    if request.delivery is not None:
        name = names.read_delivery_id(request.delivery)
        if name is None:
            raise NotFound("delivery", request.delivery)
        parts.append("v.public_id = :event AND d.endpoint_id = :of AND d.replay = :number")
        values |= {"event": name.event, "of": name.endpoint_id, "number": name.replay}
    if request.article is not None:
        with record.reading() as connection:
            article = names.find_article(connection, request.article)
        if article is None:
            raise NotFound("article", request.article)
        parts.append("a.id = :article")
        values["article"] = article
    if request.endpoint is not None:
        if not names.is_row(request.endpoint):
            raise NotFound("endpoint", str(request.endpoint))
        parts.append("d.endpoint_id = :endpoint")
        values["endpoint"] = request.endpoint
    if request.partner is not None:
        parts.append(
            "d.endpoint_id IN (SELECT e.id FROM endpoint e JOIN partner p ON p.id = e.partner_id"
            " WHERE p.slug = :partner)"
        )
        values["partner"] = request.partner
    if request.since is not None:
        parts.append("d.created_at >= :since")
        values["since"] = request.since
    if request.dead or request.cause is not None:
        parts.append(f"d.state = '{State.DEAD.value}'")
    if request.cause is not None:
        if request.cause not in CAUSES:
            raise NotPossible(f"{request.cause!r} is no cause: name one of {', '.join(CAUSES)}")
        parts.append(f"{LAST_OUTCOME.format(delivery='d')} = :cause")
        values["cause"] = request.cause
    if not parts:
        raise NotPossible(
            "say what to replay: a delivery, an article, an endpoint with a time, or all dead ones"
        )
    return " AND ".join(parts), values


def _matching(record: Record, request: ReplayRequest) -> list[int]:
    """The ids of the deliveries that match now: what a replay adds is not replayed by it."""
    where, values = _condition(record, request)
    query = Statement(
        "SELECT d.id FROM delivery d JOIN event v ON v.id = d.event_id JOIN article a ON a.id = d.article_id"
        f" WHERE {where} ORDER BY d.id"
    )
    with record.reading() as connection:
        return [number for (number,) in query.rows(connection, **values)]


class _ReplayRow(NamedTuple):
    id: int
    endpoint_id: int
    revision: int
    replay: int
    state: str
    event_public_id: str
    newest: int
    article_status: str
    embargoed: bool
    repeated: bool
    partner: str


_DELIVERIES = Query(
    _ReplayRow,
    """SELECT d.id, d.endpoint_id, d.revision, d.replay, d.state, v.public_id, a.revision, a.status,
        a.status = 'usable' AND coalesce(a.embargo_until, 0) > :now,
        EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = d.article_id AND o.endpoint_id = d.endpoint_id
            AND o.revision = d.revision AND o.replay > d.replay),
        p.slug
    FROM delivery d JOIN event v ON v.id = d.event_id JOIN article a ON a.id = d.article_id
        JOIN endpoint e ON e.id = d.endpoint_id JOIN partner p ON p.id = e.partner_id
    WHERE d.id IN :ids[] ORDER BY d.id""",
)


# A newer revision that is being accepted at this moment is waited for, or waits: then it supersedes what goes again.
_LOCK_ARTICLES = Statement(
    "SELECT id FROM article WHERE id IN (SELECT article_id FROM delivery WHERE id IN :ids[]) ORDER BY id FOR SHARE"
)


def _lock_articles(connection: Connection, ids: Sequence[int]) -> None:
    if connection.dialect.name == "postgresql":
        _LOCK_ARTICLES.rows(connection, ids=list(ids))


def _sorted_out(
    connection: Connection, ids: Sequence[int], now: datetime
) -> tuple[list[_ReplayRow], Counter[str]]:
    """The rows that may go again, and how many may not, by reason."""
    rows = _DELIVERIES.all(connection, ids=list(ids), now=now)
    reasons = {row.id: _reason(row) for row in rows}
    return [row for row in rows if reasons[row.id] is None], Counter(filter(None, reasons.values()))


def _reason(row: _ReplayRow) -> str | None:
    """Why this delivery may not be sent again; None if it may."""
    if row.revision < row.newest:
        return "newer" if row.article_status == "usable" else "taken_down"
    if row.embargoed:
        return "embargoed"
    if row.repeated:
        return "repeated"
    if row.state in {*UNSETTLED, State.SENDING}:
        return "on_its_way"
    return None if row.state in {State.DEAD, State.DELIVERED} else "ended"


def _name(row: _ReplayRow) -> str:
    number = row.replay if row.state == State.DEAD else row.replay + 1
    return names.delivery_id(row.event_public_id, row.endpoint_id, number)


def _repeat(connection: Connection, rows: Sequence[_ReplayRow], now: datetime) -> None:
    """New rows, each with its endpoint's next sequence number."""
    numbers = numbering.next_numbers(connection, [row.endpoint_id for row in rows])
    requeue.repeat(connection, list(zip([row.id for row in rows], numbers, strict=True)), now)
