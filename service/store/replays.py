"""Replay: an operator has deliveries sent again. Never out of order, never a revision older than the one held."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.store import audit
from service.store.claims import delivery_name
from service.store.errors import NotFound, NotPossible
from service.store.record import Record
from service.store.schema import to_micros

_COLUMNS = """
    SELECT d.id, d.endpoint_id, d.event_id, d.article_id, d.revision, d.replay, d.state, d.priority, d.ordered,
        v.public_id AS event_public_id
    FROM delivery d JOIN event v ON v.id = d.event_id JOIN article a ON a.id = d.article_id"""
# Only the newest row of each (endpoint, article) is replayed: all older ones are older than what is or will be held.
_NEWEST = """
    NOT EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = d.article_id AND o.endpoint_id = d.endpoint_id
        AND (o.revision > d.revision OR (o.revision = d.revision AND o.replay > d.replay)))
    AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.article_id = d.article_id AND r.endpoint_id = d.endpoint_id
        AND r.revision > d.revision)"""


@dataclass(frozen=True)
class Replayed:
    """`deliveries` are the webhook-ids that go again; `skipped` is how many matched but may not."""

    deliveries: tuple[str, ...]
    skipped: int

    @property
    def count(self) -> int:
        return len(self.deliveries)


def replay(
    record: Record,
    *,
    delivery: str | None = None,
    article: str | None = None,
    endpoint: int | None = None,
    since: datetime | None = None,
    dead_only: bool = False,
    dry_run: bool = False,
    actor: str = "operator",
    now: datetime,
) -> Replayed:
    """Sends again one delivery, an article's, an endpoint's since a time, or all dead ones (`dead_only` alone).

    A dead delivery goes again as itself; a delivered one as a new row, with an id of its own, so that the receiver
    does not drop it. Raises NotFound, and NotPossible for one delivery that may not be replayed.
    """
    where, values = _which(delivery, article, endpoint, since, dead_only)
    with record.writing() as connection:
        rows = connection.execute(text(f"{_COLUMNS} WHERE {where} ORDER BY d.id"), values).all()
        if not rows and (delivery or article):
            raise NotFound("delivery" if delivery else "delivered article", str(delivery or article))
        allowed = set(
            connection.execute(
                text(
                    f"SELECT d.id FROM delivery d JOIN event v ON v.id = d.event_id"
                    f" JOIN article a ON a.id = d.article_id WHERE {where} AND {_NEWEST}"
                ),
                values,
            ).scalars()
        )
        again = [row for row in rows if row.id in allowed and row.state in {"dead", "delivered"}]
        if delivery and not again:
            raise NotPossible(_why_not(rows[0].state, rows[0].id in allowed))
        names = tuple(_name(row) for row in again)
        if not dry_run:
            for row in again:
                _again(connection, row, now)
            target = str(delivery or article or endpoint or "dead")
            detail = {"count": len(again), "since": since.isoformat() if since else None}
            audit.note(
                connection, actor=actor, action="delivery.replayed", target=target, detail=detail, now=now
            )
    return Replayed(names, len(rows) - len(again))


def _which(
    delivery: str | None, article: str | None, endpoint: int | None, since: datetime | None, dead_only: bool
) -> tuple[str, dict[str, Any]]:
    parts: list[str] = []
    values: dict[str, Any] = {}
    if delivery is not None:
        event, endpoint_id, number = read_name(delivery)
        parts.append("v.public_id = :event AND d.endpoint_id = :of AND d.replay = :number")
        values |= {"event": event, "of": endpoint_id, "number": number}
    if article is not None:
        tagged = article.startswith("tag:")
        parts.append("a.public_id = :article" if tagged else "a.public_id LIKE '%/' || :article")
        values["article"] = article
    if endpoint is not None:
        parts.append("d.endpoint_id = :endpoint")
        values["endpoint"] = endpoint
    if since is not None:
        parts.append("d.created_at >= :since")
        values["since"] = to_micros(since)
    if dead_only:
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


def _why_not(state: str, newest: bool) -> str:
    if not newest:
        return "the endpoint holds, or is about to get, a newer revision: an older one is never sent after it"
    if state in {"pending", "waiting", "sending"}:
        return f"the delivery is {state}: it goes out by itself"
    return f"the delivery is {state}: there is nothing to send again"


def _name(row: Any) -> str:
    number = row.replay if row.state == "dead" else row.replay + 1
    return delivery_name(row.event_public_id, row.endpoint_id, number)


def _again(connection: Connection, row: Any, now: datetime) -> None:
    values = {"id": row.id, "now": to_micros(now)}
    if row.state == "dead":
        connection.execute(
            text(
                "UPDATE delivery SET state = 'pending', due_at = :now, forgiven = attempts, created_at = :now,"
                " settled_at = NULL WHERE id = :id AND state = 'dead'"
            ),
            values,
        )
        return
    connection.execute(
        text("UPDATE endpoint SET sequence = sequence + 1 WHERE id = :endpoint"),
        {"endpoint": row.endpoint_id},
    )
    connection.execute(
        text(
            "INSERT INTO delivery (endpoint_id, event_id, article_id, revision, replay, sequence, priority, owed,"
            " ordered, state, due_at, reached, created_at)"
            " SELECT d.endpoint_id, d.event_id, d.article_id, d.revision, d.replay + 1,"
            " (SELECT sequence FROM endpoint WHERE id = d.endpoint_id), d.priority, d.owed, d.ordered, 'pending',"
            " :now, true, :now FROM delivery d WHERE d.id = :id"
        ),
        values,
    )
