"""Replay: an operator has deliveries sent again. Never out of order, never a revision older than the newest.

A dead delivery goes again as itself; a delivered one as a new row, with an id of its own, so that the receiver does
not drop it. What matches and does not go is counted by its reason. Thousands are done in batches, each a transaction,
so that the record is never locked for long; cut off half-way, what was done stands, and the rest can be asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from service.store import audit, names
from service.store.database.record import Record
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


def replay(
    record: Record,
    wanted: Wanted,
    *,
    dry_run: bool = False,
    actor: str = "operator",
    now: datetime,
    batch: int = BATCH,
) -> Replayed:
    """Sends again what is wanted; with `dry_run` only says what would be. Raises NotFound, and NotPossible for one
    delivery that may not be sent again, and if nothing was named."""
    where, values = _condition(record, wanted)
    ids = _matching(record, where, values)
    if not ids and (wanted.delivery or wanted.article):
        what = "delivery" if wanted.delivery else "article with deliveries"
        raise NotFound(what, str(wanted.delivery or wanted.article))
    again: list[str] = []
    skipped: Counter[str] = Counter()
    for start in range(0, len(ids), batch):
        some = ids[start : start + batch]
        more, reasons = _look(record, some) if dry_run else _replay(record, some, wanted, actor, now)
        again += more
        skipped += reasons
    if wanted.delivery and not again:
        raise NotPossible(REASONS[next(iter(skipped))])
    return Replayed(tuple(again), dict(skipped))


def _condition(record: Record, wanted: Wanted) -> tuple[str, dict[str, Any]]:
    parts: list[str] = []
    values: dict[str, Any] = {}
    if wanted.delivery is not None:
        name = names.read_delivery_id(wanted.delivery)
        if name is None:
            raise NotFound("delivery", wanted.delivery)
        parts.append("v.public_id = :event AND d.endpoint_id = :of AND d.replay = :number")
        values |= {"event": name.event, "of": name.endpoint_id, "number": name.replay}
    if wanted.article is not None:
        with record.reading() as connection:
            article = names.find_article(connection, wanted.article)
        if article is None:
            raise NotFound("article", wanted.article)
        parts.append("a.id = :article")
        values["article"] = article
    if wanted.endpoint is not None:
        if not names.is_row(wanted.endpoint):
            raise NotFound("endpoint", str(wanted.endpoint))
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


def _matching(record: Record, where: str, values: dict[str, Any]) -> list[int]:
    """The ids of what matches now: what a replay adds is not replayed by it."""
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


def _look(record: Record, ids: Sequence[int]) -> tuple[list[str], Counter[str]]:
    with record.reading() as connection:
        allowed, reasons = _sorted_out(connection, ids)
    return [_name(row) for row in allowed], reasons


def _replay(
    record: Record, ids: Sequence[int], wanted: Wanted, actor: str, now: datetime
) -> tuple[list[str], Counter[str]]:
    """One batch: what may go is decided anew, with its articles held still, and goes in the same transaction."""
    with record.writing() as connection:
        _hold_articles(connection, ids)
        allowed, reasons = _sorted_out(connection, ids)
        if allowed:
            _revive(connection, [row for row in allowed if row.state == "dead"], now)
            _send_anew(connection, [row for row in allowed if row.state == "delivered"], now)
            target = str(wanted.delivery or wanted.article or wanted.endpoint or "dead")
            detail = {
                "count": len(allowed),
                "skipped": dict(reasons),
                "since": wanted.since.isoformat() if wanted.since else None,
            }
            audit.note(
                connection, actor=actor, action="delivery.replayed", target=target, detail=detail, now=now
            )
    return [_name(row) for row in allowed], reasons


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
    return names.delivery_id(row.event_public_id, row.endpoint_id, number)


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
