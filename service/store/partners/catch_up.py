"""A partner's own stream: what its endpoints were given, by sequence number; so that it finds and mends its gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from service.store import ledger, names
from service.store.database.record import Record
from service.store.errors import NotFound
from service.store.ledger import Channel, Receipt
from service.store.schema.base import from_micros, to_micros


@dataclass(frozen=True)
class PartnerEvent:
    """One of a partner's events, by its endpoint's sequence number.

    `superseded_by` is the revision that took its place, `superseded_by_sequence` the number under which that one goes
    to the same endpoint. `told`: its body may be given; not so if something else goes instead, or the story was taken
    down since.
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
    told: bool
    held: bool  # the partner is known to hold this revision, or a newer one


@dataclass(frozen=True)
class Page:
    """Whole sequence numbers: never some of the endpoints' events of one number. `more`: there are further ones."""

    events: tuple[PartnerEvent, ...]
    more: bool


@dataclass(frozen=True)
class Asked:
    """What a partner asks for: after this number, about `limit` of them, of one endpoint or of all."""

    partner_id: int
    after: int
    limit: int
    endpoint: int | None = None


def read(record: Record, asked: Asked, now: datetime) -> Page:
    """What the partner's endpoints were given, in the order of their numbers. Raises NotFound for a foreign endpoint.

    A push that waits for its embargo is not told before its time, not even that it exists.
    """
    with record.reading() as connection:
        return _page(connection, asked, now)


def read_with_bodies(record: Record, asked: Asked, now: datetime) -> Page:
    """The same, for giving the bodies too: from then on the partner holds what is `told`, so that a kill reaches it.

    The receipts are written before the bodies are given, in the transaction that saw that they may be.
    """
    page = read(record, asked, now)
    if all(each.held for each in page.events if each.told):
        return page
    with record.writing() as connection:
        _hold_articles(connection, [each.article_row for each in page.events])
        page = _page(connection, asked, now)
        _write_receipts(connection, asked.partner_id, page.events, now)
    return page


# What a revision that is still under embargo does is not told: neither that it exists, nor what it superseded.
_EVENTS = text("""
    SELECT d.sequence, d.endpoint_id, d.revision, d.replay, d.state, d.event_id, d.article_id, v.public_id, v.type,
        v.occurred_at, a.public_id AS article, s.number AS superseded_by,
        (SELECT min(o.sequence) FROM delivery o WHERE o.article_id = d.article_id
            AND o.endpoint_id = d.endpoint_id AND o.revision = s.number) AS superseded_by_sequence,
        d.state NOT IN ('superseded', 'cancelled') AND (r.status <> 'usable' OR NOT EXISTS (SELECT 1
            FROM revision t WHERE t.article_id = d.article_id AND t.number > d.revision AND t.status <> 'usable'))
            AS told,
        coalesce(h.revision >= d.revision, false) AS held
    FROM delivery d JOIN event v ON v.id = d.event_id JOIN article a ON a.id = d.article_id
        JOIN revision r ON r.article_id = d.article_id AND r.number = d.revision
        LEFT JOIN revision s ON s.article_id = d.article_id AND s.number = d.superseded_by
            AND (s.embargo_until IS NULL OR s.embargo_until <= :now OR s.status <> 'usable')
        LEFT JOIN receipt h ON h.partner_id = :partner AND h.article_id = d.article_id
            AND h.endpoint_id = d.endpoint_id
    WHERE d.endpoint_id IN :endpoints AND d.sequence > :after
        AND (r.embargo_until IS NULL OR r.embargo_until <= :now OR r.status <> 'usable')
    ORDER BY d.sequence, d.endpoint_id LIMIT :limit""").bindparams(bindparam("endpoints", expanding=True))


def _page(connection: Connection, asked: Asked, now: datetime) -> Page:
    endpoints = _endpoints(connection, asked)
    values = {
        "partner": asked.partner_id,
        "endpoints": endpoints,
        "after": asked.after,
        # As many more as may bear the last one's number, so that no number is cut in two.
        "limit": asked.limit + len(endpoints),
        "now": to_micros(now),
    }
    rows = connection.execute(_EVENTS, values).all()
    whole = rows if len(rows) <= asked.limit else _up_to(rows, rows[asked.limit - 1].sequence)
    return Page(tuple(_event(row) for row in whole), more=len(whole) < len(rows))


def _endpoints(connection: Connection, asked: Asked) -> list[int]:
    query = text("SELECT id FROM endpoint WHERE partner_id = :partner ORDER BY id")
    own = list(connection.execute(query, {"partner": asked.partner_id}).scalars())
    if asked.endpoint is None:
        return own
    if asked.endpoint not in own:
        raise NotFound("endpoint", str(asked.endpoint))
    return [asked.endpoint]


def _up_to(rows: Sequence[Any], sequence: int) -> Sequence[Any]:
    return [row for row in rows if row.sequence <= sequence]


def _event(row: Any) -> PartnerEvent:
    return PartnerEvent(
        sequence=row.sequence,
        endpoint_id=row.endpoint_id,
        id=names.delivery_id(row.public_id, row.endpoint_id, row.replay),
        event_row=row.event_id,
        type=row.type,
        article=row.article,
        article_row=row.article_id,
        revision=row.revision,
        state=row.state,
        superseded_by=row.superseded_by,
        superseded_by_sequence=row.superseded_by_sequence,
        occurred_at=from_micros(row.occurred_at),
        told=bool(row.told),
        held=bool(row.held),
    )


_HOLD_ARTICLES = text("SELECT id FROM article WHERE id IN :ids ORDER BY id FOR SHARE").bindparams(
    bindparam("ids", expanding=True)
)


def _hold_articles(connection: Connection, article_ids: Sequence[int]) -> None:
    """A kill that is being accepted at this moment is waited for, or waits and then finds the receipts."""
    if connection.dialect.name == "postgresql":
        connection.execute(_HOLD_ARTICLES, {"ids": sorted(set(article_ids))})


def _write_receipts(
    connection: Connection, partner_id: int, events: Sequence[PartnerEvent], now: datetime
) -> None:
    receipts = [
        Receipt(each.article_row, partner_id, each.endpoint_id, each.revision)
        for each in events
        if each.told and not each.held
    ]
    ledger.write(connection, receipts, Channel.PULL, now)
