"""A partner's own stream: the events of its endpoints by sequence number, so that it finds and mends its gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from service.store import ledger, names
from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.deliveries.states import Priority
from service.store.errors import NotFound
from service.store.ledger import Channel, Receipt

DATA_LENGTH = 4 * 2**20  # characters of the stories in a page with their bodies


@dataclass(frozen=True)
class PartnerEvent:
    """One of a partner's events, by its endpoint's sequence number.

    `superseded_by` is the revision that took its place, `superseded_by_sequence` the number under which that one goes
    to the same endpoint. `readable`: its body may be given; not so if something else goes instead, or the story was
    taken down since.
    """

    sequence: int
    endpoint_id: int
    id: str
    event_row: int
    type: str
    article: str
    article_row: int
    revision: int
    state: str
    superseded_by: int | None
    superseded_by_sequence: int | None
    occurred_at: datetime
    readable: bool
    known: bool  # the partner is known to have this revision, or a newer one


@dataclass(frozen=True)
class StreamPage:
    """Whole sequence numbers: never some of the endpoints' events of one number. `more`: there are further ones."""

    events: tuple[PartnerEvent, ...]
    more: bool


@dataclass(frozen=True)
class StreamQuery:
    """A partner's question: after this number, about `limit` events, of one endpoint or of all."""

    partner_id: int
    after: int
    limit: int
    endpoint: int | None = None


def read(record: Record, query: StreamQuery, now: datetime) -> StreamPage:
    """The events of the partner's endpoints, in the order of their numbers. Raises NotFound for a foreign endpoint.

    A push that waits for its embargo has no number before its time: nothing shows that it exists. So the list is
    without gaps, and a number that it has reached never comes again.
    """
    with record.reading() as connection:
        return _page(connection, query, now)


def read_with_bodies(record: Record, query: StreamQuery, now: datetime) -> StreamPage:
    """The same, for giving the bodies too: the partner then holds the `readable` ones, so that a kill reaches it.

    The receipts are written before the bodies are given, in the transaction that saw that they may be.
    """
    with record.reading() as connection:
        page = _within_length(connection, _page(connection, query, now))
    if all(each.known for each in page.events if each.readable):
        return page
    with record.writing() as connection:
        locks.share_articles(connection, {each.article_row for each in page.events})
        page = _within_length(connection, _page(connection, query, now))
        _write_receipts(connection, query.partner_id, page.events, now)
    return page


def _within_length(connection: Connection, page: StreamPage) -> StreamPage:
    """The page as far as its bodies may be given together; at least its first number."""
    rows = sorted({each.event_row for each in page.events if each.readable})
    lengths: dict[int, int] = dict(_LENGTHS.rows(connection, ids=rows)) if rows else {}
    total = 0
    for each in page.events:
        total += lengths.get(each.event_row, 0) if each.readable else 0
        if total > DATA_LENGTH and each.sequence != page.events[0].sequence:
            return StreamPage(tuple(one for one in page.events if one.sequence < each.sequence), more=True)
    return page


_LENGTHS = Statement(
    "SELECT v.id, length(r.content) FROM event v JOIN revision r"
    " ON r.article_id = v.article_id AND r.number = v.revision WHERE v.id IN :ids[]"
)


class _StreamRow(NamedTuple):
    sequence: int
    endpoint_id: int
    revision: int
    replay: int
    state: str
    event_row: int
    article_row: int
    event: str
    type: str
    occurred_at: datetime
    article: str
    superseded_by: int | None
    superseded_by_sequence: int | None
    readable: bool
    known: bool


# Of an article that is under embargo now nothing usable is shown, of any revision: nor what was taken down before its
# embargo ended. Numbers from before pushes under embargo had none are hidden so.
_EMBARGO = "coalesce(CASE WHEN a.status = 'usable' THEN a.embargo_until ELSE {}.embargo_until END, 0) <= :now"
# A takedown of what is public elsewhere: it says no more than that.
_REMOVAL = f"(d.priority = {Priority.TAKEDOWN.value} AND r.status = 'usable')"
# `+ 0`: else both databases look for the least number along the index of all numbers of the endpoint.
# An effect of a revision that is still under embargo is not shown: neither that it exists, nor what it superseded.
_EVENTS = Query(
    _StreamRow,
    f"""
    SELECT d.sequence, d.endpoint_id, d.revision, d.replay, d.state, d.event_id, d.article_id, v.public_id,
        CASE WHEN {_REMOVAL} THEN 'article.unpublished' ELSE v.type END, v.occurred_at, a.public_id, s.number,
        (SELECT min(o.sequence + 0) FROM delivery o WHERE o.article_id = d.article_id
            AND o.endpoint_id = d.endpoint_id AND o.revision = s.number),
        d.state NOT IN ('superseded', 'cancelled') AND NOT {_REMOVAL} AND (r.status <> 'usable' OR NOT EXISTS (SELECT 1
            FROM revision t WHERE t.article_id = d.article_id AND t.number > d.revision AND t.status <> 'usable')),
        coalesce(h.revision >= d.revision, false)
    FROM delivery d JOIN event v ON v.id = d.event_id JOIN article a ON a.id = d.article_id
        JOIN revision r ON r.article_id = d.article_id AND r.number = d.revision
        LEFT JOIN revision s ON s.article_id = d.article_id AND s.number = d.superseded_by
            AND (s.status <> 'usable' OR {_EMBARGO.format("s")})
        LEFT JOIN receipt h ON h.partner_id = :partner AND h.article_id = d.article_id
            AND h.endpoint_id = d.endpoint_id
    WHERE d.endpoint_id IN :endpoints[] AND d.sequence > :after AND d.sequence <= :until
        AND (r.status <> 'usable' OR {_EMBARGO.format("r")})
    ORDER BY d.sequence, d.endpoint_id LIMIT :limit""",
)


def _page(connection: Connection, query: StreamQuery, now: datetime) -> StreamPage:
    endpoints = _endpoints(connection, query)
    # As many more as may bear the last one's number, so that no number is cut in two.
    limit = query.limit + len(endpoints)
    rows = _rows(connection, query, endpoints, limit, now)
    whole = rows if len(rows) <= query.limit else _up_to(rows, rows[query.limit - 1].sequence)
    return StreamPage(tuple(_event(row) for row in whole), more=len(whole) < len(rows))


def _rows(
    connection: Connection, query: StreamQuery, endpoints: Sequence[int], limit: int, now: datetime
) -> list[_StreamRow]:
    """The first `limit` events, by ranges of numbers: each is a range of the endpoints' index, and the database never
    sorts all that a partner was ever sent. Where little is found (an embargo hides it) the ranges grow."""
    newest = int(_NEWEST.value(connection, endpoints=endpoints) or 0)
    after, width = query.after, max(1, limit // max(1, len(endpoints)))
    rows: list[_StreamRow] = []
    while after < newest and len(rows) < limit:
        until = min(after + width, newest)
        values = {"after": after, "until": until, "limit": limit - len(rows), "now": now}
        rows += _EVENTS.all(connection, partner=query.partner_id, endpoints=endpoints, **values)
        after, width = until, 2 * width
    return rows


_NEWEST = Statement("SELECT max(sequence) FROM endpoint WHERE id IN :endpoints[]")


def _endpoints(connection: Connection, query: StreamQuery) -> list[int]:
    own = [number for (number,) in _ENDPOINTS.rows(connection, partner=query.partner_id)]
    if query.endpoint is None:
        return own
    if query.endpoint not in own:
        raise NotFound("endpoint", str(query.endpoint))
    return [query.endpoint]


_ENDPOINTS = Statement("SELECT id FROM endpoint WHERE partner_id = :partner ORDER BY id")


def _up_to(rows: Sequence[_StreamRow], sequence: int) -> Sequence[_StreamRow]:
    return [row for row in rows if row.sequence <= sequence]


def _event(row: _StreamRow) -> PartnerEvent:
    return PartnerEvent(
        sequence=row.sequence,
        endpoint_id=row.endpoint_id,
        id=names.delivery_id(row.event, row.endpoint_id, row.replay),
        event_row=row.event_row,
        type=row.type,
        article=row.article,
        article_row=row.article_row,
        revision=row.revision,
        state=row.state,
        superseded_by=row.superseded_by,
        superseded_by_sequence=row.superseded_by_sequence,
        occurred_at=row.occurred_at,
        readable=row.readable,
        known=row.known,
    )


def _write_receipts(
    connection: Connection, partner_id: int, events: Sequence[PartnerEvent], now: datetime
) -> None:
    receipts = [
        Receipt(each.article_row, partner_id, each.endpoint_id, each.revision)
        for each in events
        if each.readable and not each.known
    ]
    ledger.write(connection, receipts, Channel.PULL, now)
