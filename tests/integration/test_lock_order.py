"""Locks on PostgreSQL: endpoints before deliveries, and several rows in the order of their ids, however they lie.

The rows are made to lie the other way round in the table, where a plan without an order finds them last first. A row in
the middle is held by another, so that whoever locks them stops there: those before it must be locked, those after it
free.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import datetime

import pytest
from sqlalchemy import Connection, select, text, update

from service.store.articles.sources import Source
from service.store.coordination import heartbeats
from service.store.database import locks
from service.store.database.record import Record
from service.store.deliveries import claims, numbering, routing, settlements, state_writes
from service.store.deliveries.claims import LEASE, ClaimedDelivery, Cursor
from service.store.deliveries.state_writes import NewRevision
from service.store.schema.deliveries import delivery
from service.store.schema.partners import endpoint
from tests.builders import NOW, an_article, an_endpoint, post
from tests.desk import eventually
from tests.seeded import a_settlement

WORKER = "w1.test"
# A scan of the table as it lies; the record's own connections avoid it.
PLANS = {
    "enable_seqscan": "on",
    "enable_indexscan": "off",
    "enable_bitmapscan": "off",
    "enable_indexonlyscan": "off",
}
Act = Callable[[Connection], object]

pytestmark = pytest.mark.parametrize(
    "record", ["postgresql"], indirect=True
)  # SQLite lets one writer in at a time


@pytest.fixture
def claimed(record: Record, source: Source) -> list[ClaimedDelivery]:
    """One story on the wire to each of three endpoints."""
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    for _ in range(3):
        an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    return sorted(claims.claim(record, lease=WORKER, limit=9, cursor=Cursor(), now=NOW)[0])


def turn_round(record: Record, table: str) -> list[int]:
    """Writes the rows anew, the last one first; returns their ids."""
    with record.writing() as connection:
        ids = list(connection.execute(text(f"SELECT id FROM {table} ORDER BY id")).scalars())
        for number in reversed(ids):
            connection.execute(text(f"UPDATE {table} SET id = id WHERE id = :id"), {"id": number})
    with record.reading() as connection:
        found = list(connection.execute(text(f"SELECT id FROM {table} ORDER BY ctid")).scalars())
    assert found == ids[::-1]
    return ids


def locked_while_the_middle_is_held(record: Record, table: str, act: Act) -> list[int]:
    """The ids of the rows that `act` has locked when it waits for the middle one of three."""
    ids = turn_round(record, table)

    def run() -> None:
        with record.writing() as connection:
            for plan, allowed in PLANS.items():
                connection.exec_driver_sql(f"SET LOCAL {plan} = {allowed}")
            act(connection)

    thread = threading.Thread(target=run)
    with record.writing() as holder:
        holder.execute(text(f"SELECT id FROM {table} WHERE id = :id FOR UPDATE"), {"id": ids[1]})
        thread.start()
        eventually(lambda: waits_for_a_lock(record), within=10, what="the act that waits")
        with record.writing() as other:
            free = f"SELECT id FROM {table} ORDER BY id FOR UPDATE SKIP LOCKED"
            unlocked = set(other.execute(text(free)).scalars())
    thread.join()
    return [number for number in ids if number not in unlocked and number != ids[1]]


def waits_for_a_lock(record: Record) -> bool:
    query = text(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with record.reading() as connection:
        return connection.execute(query).first() is not None


def the_ids(record: Record, table: str) -> list[int]:
    with record.reading() as connection:
        return list(connection.execute(text(f"SELECT id FROM {table} ORDER BY id")).scalars())


def test_endpoints_are_locked_in_the_order_of_their_ids(
    record: Record, claimed: list[ClaimedDelivery]
) -> None:
    ids = the_ids(record, "endpoint")
    acts: list[Act] = [
        lambda connection: locks.lock_endpoints(connection, ids[::-1]),
        lambda connection: numbering.advance_sequences(connection, dict.fromkeys(ids[::-1], 1)),
    ]
    for act in acts:
        assert locked_while_the_middle_is_held(record, "endpoint", act) == ids[:1]


def settles(claimed: Collection[ClaimedDelivery], now: datetime = NOW) -> Act:
    ends = [a_settlement(each, "delivered", "took it", now) for each in claimed]
    return lambda connection: settlements.settle_within(connection, ends, lease=WORKER, now=now)


def test_deliveries_are_settled_in_the_order_of_their_ids(
    record: Record, claimed: list[ClaimedDelivery]
) -> None:
    first = min(each.id for each in claimed)
    assert locked_while_the_middle_is_held(record, "delivery", settles(claimed[::-1])) == [first]


def test_deliveries_are_given_back_in_the_order_of_their_ids(
    record: Record, claimed: list[ClaimedDelivery]
) -> None:
    first = min(each.id for each in claimed)

    def give_back(connection: Connection) -> None:
        settlements.give_back(connection, claimed[::-1], lease=WORKER, now=NOW)

    assert locked_while_the_middle_is_held(record, "delivery", give_back) == [first]


def test_deliveries_are_claimed_and_superseded_in_the_order_of_their_ids(
    record: Record, claimed: list[ClaimedDelivery]
) -> None:
    ids = sorted(each.id for each in claimed)
    with record.writing() as connection:
        settlements.give_back(connection, claimed, lease=WORKER, now=NOW)
    newest = [NewRevision(claimed[0].article_id, 2, takedown=False)]
    acts: list[Act] = [
        lambda connection: state_writes.claim(connection, ids[::-1], WORKER, NOW + LEASE, NOW),
        lambda connection: state_writes.supersede(connection, newest, NOW),
    ]
    for act in acts:
        assert locked_while_the_middle_is_held(record, "delivery", act) == ids[:1]
        with record.writing() as connection:  # as before the act
            connection.execute(update(delivery).values(state="pending", superseded_by=None))


def test_a_router_that_waits_for_an_endpoint_has_locked_no_delivery(
    record: Record, source: Source, claimed: list[ClaimedDelivery]
) -> None:
    """Claims lock them in this order too: the other way round, each could wait for the other for ever."""
    post(record, source, an_article(headline="Second"))
    router = threading.Thread(target=routing.route, args=(record, NOW))
    with record.writing() as holder:
        mine = select(endpoint.c.id).where(endpoint.c.id == claimed[-1].endpoint_id).with_for_update()
        holder.execute(mine)
        router.start()
        eventually(lambda: waits_for_a_lock(record), within=10, what="a router that waits")
        free = holder.execute(select(delivery.c.id).with_for_update(skip_locked=True)).all()
    router.join()
    assert len(free) == len(claimed)
