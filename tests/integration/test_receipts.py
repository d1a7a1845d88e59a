"""Receipts: the newest revision that a partner is known to hold, and how it came there."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from service.store import ledger
from service.store.articles.sources import Source
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, routing, settlements
from service.store.deliveries.claims import Claimed, Cursor
from service.store.ledger import Channel, Receipt
from service.store.schema.deliveries import receipt
from tests.builders import NOW, an_article, an_endpoint, later, post
from tests.seeded import a_settlement

WORKER = "w1.test"


@pytest.fixture
def claimed(record: Record, source: Source) -> Claimed:
    """The second revision of a story, on the wire."""
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    an_endpoint(record)
    for headline in ("First", "Second"):
        post(record, source, an_article(headline=headline))
    routing.route(record, NOW)
    [claimed], _ = claims.claim(record, lease=WORKER, limit=9, cursor=Cursor(), now=NOW)
    return claimed


def write(record: Record, claimed: Claimed, revision: int, channel: Channel, seconds: float) -> None:
    own = Receipt(claimed.article_id, claimed.partner_id, claimed.endpoint_id, revision)
    with record.writing() as connection:
        ledger.write(connection, [own], channel, later(seconds))


def receipts(record: Record) -> list[tuple[int, str, float]]:
    """(revision, channel, seconds since the start)."""
    table = receipt.c
    with record.reading() as connection:
        rows = connection.execute(select(table.revision, table.channel, table.held_since)).all()
    return [(row.revision, row.channel, (row.held_since - NOW).total_seconds()) for row in rows]


def deliver(record: Record, claimed: Claimed, seconds: float) -> None:
    end = a_settlement(claimed, "delivered", "took it", NOW)
    assert settlements.settle(record, [end], lease=WORKER, now=later(seconds)) == {claimed.id}


def test_a_push_takes_the_place_of_an_older_revision_that_was_pulled(
    record: Record, claimed: Claimed
) -> None:
    """The article's page said that the second revision had been pulled."""
    write(record, claimed, 1, Channel.PULL, 1)
    deliver(record, claimed, 2)
    assert receipts(record) == [(2, "push", 2)]


@pytest.mark.parametrize("revision", [2, 3])
def test_a_receipt_never_goes_back_nor_changes_for_the_same_revision(
    record: Record, claimed: Claimed, revision: int
) -> None:
    write(record, claimed, revision, Channel.PULL, 1)
    deliver(record, claimed, 2)
    write(record, claimed, 1, Channel.PULL, 3)
    assert receipts(record) == [(revision, "pull", 1)]
