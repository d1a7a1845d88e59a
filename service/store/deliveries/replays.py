"""Replay: an operator has deliveries sent again. Never out of order, never a revision older than the newest.

A dead delivery goes again as itself; a delivered one as a new row, with an id of its own, so that the receiver does
not drop it. What matches and does not go is counted by its reason. Thousands are done in batches, each a transaction,
so that the record is never locked for long; cut off half-way, what was done stands, and the rest can be asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from service.store.database.record import Record
from service.store.deliveries.claims import delivery_name
from service.store.errors import NotFound, NotPossible
from service.store.schema.base import to_micros

BATCH = 200
# Why a delivery that matches is not sent again, each with its words.
REASONS = {
    "taken_down": "the article was taken down since",
    "newer": "there is a newer revision: an older one is never sent after it",
    "on_its_way": "it goes out by itself: it is waiting, or being sent",
    "repeated": "it was sent again already: name that one, the newest",
    "ended": "it was superseded or cancelled: there is nothing to send again",
}


@dataclass(frozen=True)
class Wanted:
    """Which deliveries are meant: those that fit all that is given. `dead`: only those that were given up."""

    delivery: str | None = None
    article: str | None = None
    endpoint: int | None = None
    since: datetime | None = None
    dead: bool = False


@dataclass(frozen=True)
class Replayed:
    """`deliveries` are the webhook-ids that go again; `skipped` counts the others that matched, by REASONS."""

    deliveries: tuple[str, ...]
    skipped: Mapping[str, int]

    @property
    def count(self) -> int:
        return len(self.deliveries)


def batches(record: Record, wanted: Wanted, size: int = BATCH) -> Iterator[Sequence[int]]:
    """The ids of the deliveries that are meant, so many at a time. Raises NotFound, and NotPossible if nothing was
    named."""
    ids = _matching(record, wanted)
    if not ids and (wanted.delivery or wanted.article):
        what = "delivery" if wanted.delivery else "article with deliveries"
        raise NotFound(what, str(wanted.delivery or wanted.article))
    yield from (ids[start : start + size] for start in range(0, len(ids), size))


def preview(connection: Connection, ids: Sequence[int]) -> Replayed:
    """Which of these deliveries would be sent again now."""
    allowed, reasons = _sorted_out(connection, ids)
    return _replayed(allowed, reasons)


def send_again(connection: Connection, ids: Sequence[int], now: datetime) -> Replayed:
    """Has those of one batch sent again that may be: it is decided anew, with the articles held still, and they go in
    the same transaction."""
    _hold_articles(connection, ids)
    allowed, reasons = _sorted_out(connection, ids)
    if allowed:
        _revive(connection, [row for row in allowed if row.state == "dead"], now)
        _send_anew(connection, [row for row in allowed if row.state == "delivered"], now)
    return _replayed(allowed, reasons)


def total(wanted: Wanted, parts: Sequence[Replayed]) -> Replayed:
    """The batches together. Raises NotPossible for one delivery that may not be sent again."""
    names = tuple(name for part in parts for name in part.deliveries)
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    if wanted.delivery and not names:
        raise NotPossible(REASONS[next(iter(skipped))])
    return Replayed(names, dict(skipped))


def _replayed(rows: Sequence[Any], reasons: Counter[str]) -> Replayed:
    return Replayed(tuple(_name(row) for row in rows), dict(reasons))


def _condition(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    parts: list[str] = []
    values: dict[str, Any] = {}
    if wanted.delivery is not None:
        event, endpoint_id, number = read_name(wanted.delivery)
        parts.append("v.public_id = :event AND d.endpoint_id = :of AND d.replay = :number")
        values |= {"event": event, "of": endpoint_id, "number": number}
    if wanted.article is not None:
        tagged = wanted.article.startswith("tag:")
        parts.append("a.public_id = :article" if tagged else "a.public_id LIKE '%/' || :article")
        values["article"] = wanted.article
    if wanted.endpoint is not None:
        parts.append("d.endpoint_id = :endpoint")
        values["endpoint"] = wanted.endpoint
    if wanted.since is not None:
        parts.append("d.created_at >= :since")
        values["since"] = to_micros(wanted.since)
    if wanted.dead:
        parts.append("d.state = 'dead'")
    if not parts:
        raise NotPossible(
            "say what to replay: a delivery, an article, an endpoint with a time, or all dead ones"
        )
    return " AND ".join(parts), values


def read_name(name: str) -> tuple[str, int, int]:
    """A delivery's public id → (event's public id, endpoint, number of the replay). Raises NotFound."""
    parts = name.removeprefix("dlv_").split("_")
    if not name.startswith("dlv_") or len(parts) not in {2, 3} or not all(p.isdecimal() for p in parts[1:]):
        raise NotFound("delivery", name)
    return f"evt_{parts[0]}", int(parts[1]), int(parts[2]) if len(parts) == 3 else 0


def _matching(record: Record, wanted: Wanted) -> list[int]:
    """The ids of what matches now: what a replay adds is not replayed by it."""
    where, values = _condition(wanted)
    query = text(
        "SELECT d.id FROM delivery d JOIN event v ON v.id = d.event_id JOIN article a ON a.id = d.article_id"
        f" WHERE {where} ORDER BY d.id"
    )
    with record.reading() as connection:
        return list(connection.execute(query, values).scalars())


_ROWS = text("""
    SELECT d.id, d.endpoint_id, d.event_id, d.article_id, d.revision, d.replay, d.state, d.priority, d.ordered,
        v.public_id AS event_public_id, a.revision AS newest, a.status AS article_status,
        EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = d.article_id AND o.endpoint_id = d.endpoint_id
            AND o.revision = d.revision AND o.replay > d.replay) AS repeated
    FROM delivery d JOIN event v ON v.id = d.event_id JOIN article a ON a.id = d.article_id
    WHERE d.id IN :ids ORDER BY d.id""").bindparams(bindparam("ids", expanding=True))


# A newer revision that is being accepted at this moment is waited for, or waits: then it supersedes what goes again.
_HOLD_ARTICLES = text(
    "SELECT id FROM article WHERE id IN (SELECT article_id FROM delivery WHERE id IN :ids) ORDER BY id FOR SHARE"
).bindparams(bindparam("ids", expanding=True))


def _hold_articles(connection: Connection, ids: Sequence[int]) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(_HOLD_ARTICLES, {"ids": ids})


def _sorted_out(connection: Connection, ids: Sequence[int]) -> tuple[list[Any], Counter[str]]:
    """The rows that may go again, and how many may not, by reason."""
    rows = connection.execute(_ROWS, {"ids": ids}).all()
    reasons = {row.id: _reason(row) for row in rows}
    return [row for row in rows if reasons[row.id] is None], Counter(filter(None, reasons.values()))


def _reason(row: Any) -> str | None:
    """Why this delivery may not be sent again; None if it may."""
    if row.revision < row.newest:
        return "newer" if row.article_status == "usable" else "taken_down"
    if row.repeated:
        return "repeated"
    if row.state in {"pending", "waiting", "sending"}:
        return "on_its_way"
    return None if row.state in {"dead", "delivered"} else "ended"


def _name(row: Any) -> str:
    number = row.replay if row.state == "dead" else row.replay + 1
    return delivery_name(row.event_public_id, row.endpoint_id, number)


_REVIVE = text(
    "UPDATE delivery SET state = 'pending', due_at = :now, forgiven = attempts, created_at = :now,"
    " settled_at = NULL WHERE id IN :ids AND state = 'dead'"
).bindparams(bindparam("ids", expanding=True))
_ADVANCE = text("UPDATE endpoint SET sequence = sequence + :more WHERE id = :endpoint RETURNING sequence")
_SEND_ANEW = text(
    "INSERT INTO delivery (endpoint_id, event_id, article_id, revision, replay, sequence, priority, owed,"
    " ordered, state, due_at, reached, created_at)"
    " SELECT d.endpoint_id, d.event_id, d.article_id, d.revision, d.replay + 1,"
    " :sequence, d.priority, d.owed, d.ordered, 'pending', :now, true, :now FROM delivery d WHERE d.id = :id"
)


def _revive(connection: Connection, rows: Sequence[Any], now: datetime) -> None:
    if rows:
        connection.execute(_REVIVE, {"ids": [row.id for row in rows], "now": to_micros(now)})


def _send_anew(connection: Connection, rows: Sequence[Any], now: datetime) -> None:
    """New rows, each with its endpoint's next sequence number. Endpoints are locked in the order of their ids."""
    by_endpoint: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        by_endpoint[row.endpoint_id].append(row.id)
    made = []
    for endpoint_id, ids in sorted(by_endpoint.items()):
        last = connection.execute(_ADVANCE, {"endpoint": endpoint_id, "more": len(ids)}).scalar_one()
        first = last - len(ids) + 1
        made += [{"id": each, "sequence": first + n, "now": to_micros(now)} for n, each in enumerate(ids)]
    if made:
        connection.execute(_SEND_ANEW, made)
