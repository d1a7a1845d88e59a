"""An endpoint that was away, or is new, gets the stories that it missed: newest revisions only, never an older one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from service.store import notices, operations
from service.store.coordination import due_work, heartbeats
from service.store.database.record import Record
from service.store.deliveries import backfills, routing, settlements
from service.store.deliveries.claims import ClaimedDelivery
from service.store.deliveries.health import Health, update_health
from service.store.schema.articles import article, event
from service.store.schema.deliveries import delivery, receipt
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.seeded import WORKER, a_settlement, claim_all


@pytest.fixture(autouse=True)
def alive(record: Record) -> None:
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)


def deliveries(record: Record, endpoint_id: int) -> list[tuple[str, int, str]]:
    """(the source's own id, revision, state), in the order in which they were made."""
    table = delivery.c
    query = (
        select(article.c.external_id, table.revision, table.state)
        .join(article, article.c.id == table.article_id)
        .where(table.endpoint_id == endpoint_id)
        .order_by(table.id)
    )
    with record.reading() as connection:
        return [tuple(row) for row in connection.execute(query)]


def settle(
    record: Record,
    claimed: list[ClaimedDelivery],
    state: str = "delivered",
    now: datetime = NOW,
    **changes: Any,
) -> None:
    ends = [a_settlement(each, state, "as told", now, **changes) for each in claimed]
    assert len(settlements.settle(record, ends, lease=WORKER, now=now)) == len(claimed)


def turn(record: Record, endpoint_id: int, now: datetime, **changes: Any) -> None:
    def decide(_: int, health: Health) -> Health:
        return Health(**{**health.__dict__, **changes})

    with record.writing() as connection:
        update_health(connection, [endpoint_id], decide, now)


def fill(record: Record, now: datetime, limit: int = 500) -> int:
    made = 0
    while (stepped := backfills.step(record, now, limit)).more:
        made += stepped.deliveries
    return made


def test_deliveries_given_up_in_an_outage_go_again_when_the_breaker_closes(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    for name in ("before", "missed", "renewed"):
        post(record, source, an_article(external_id=name))
    routing.route(record, NOW)
    claimed = claim_all(record, NOW)
    settle(record, claimed[:1], "dead", NOW)
    turn(record, endpoint.id, later(10), breaker="open", failing_since=later(10), last_failure="timed out")
    settle(record, claimed[1:], "dead", later(20))
    post(record, source, an_article(external_id="renewed", headline="Second"), now=later(30))
    routing.route(record, later(30))
    turn(record, endpoint.id, later(60), breaker="closed", failing_since=None)
    assert deliveries(record, endpoint.id) == [
        ("before", 1, "dead"),
        ("missed", 1, "pending"),
        ("renewed", 1, "dead"),
        ("renewed", 2, "pending"),
    ]
    [told] = [each for each in notices.latest(record) if each.kind == "endpoint.breaker_closed"]
    assert told.words == "it answers again; 1 delivery that was given up will be sent again"
    turn(record, endpoint.id, later(60), breaker="open")
    turn(record, endpoint.id, later(61), breaker="closed")
    assert len(claim_all(record, later(61))) == 2


@pytest.mark.parametrize("state", ["paused", "off"])
def test_resuming_an_endpoint_sends_what_was_given_up_meanwhile(record: Record, state: str) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    claimed = claim_all(record, NOW)
    turn(record, endpoint.id, later(1), state=state, state_reason="asked to")
    settle(record, claimed, "dead", later(2))
    operations.resume_endpoint(record, endpoint.id, actor="operator", now=later(3))
    assert deliveries(record, endpoint.id) == [("42", 1, "pending")]
    assert len(claim_all(record, later(3))) == 1


def test_takedown_given_up_goes_again_only_to_who_may_hold_the_story(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    for name in ("held", "unseen"):
        post(record, source, an_article(external_id=name))
    routing.route(record, NOW)
    claimed = claim_all(record, NOW)
    settle(record, claimed)
    for name in ("held", "unseen"):
        post(record, source, a_takedown(external_id=name))
    routing.route(record, NOW)
    turn(record, endpoint.id, later(1), failing_since=later(1), state="off", state_reason="failing")
    kills = delivery.c.priority == 0
    with record.writing() as connection:
        dead = {"state": "dead", "settled_at": later(2)}
        connection.execute(update(delivery).where(kills).values(**dead))
        unseen = delivery.c.article_id == claimed[1].article_id
        connection.execute(update(delivery).where(unseen).values(reached=False))
        connection.execute(receipt.delete().where(receipt.c.article_id == claimed[1].article_id))
    operations.resume_endpoint(record, endpoint.id, actor="operator", now=later(3))
    assert [each[::2] for each in deliveries(record, endpoint.id)][2:] == [
        ("held", "pending"),
        ("unseen", "dead"),
    ]


def test_deliveries_put_off_by_an_outage_are_due_at_once_when_the_endpoint_is_back(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    for name in ("timed out", "refused"):
        post(record, source, an_article(external_id=name))
    routing.route(record, NOW)
    timed_out, refused = claim_all(record, NOW)
    settle(record, [timed_out], "waiting", due_at=later(7200))
    settle(record, [refused], "waiting", due_at=later(7200), status=404)
    turn(record, endpoint.id, later(10), breaker="open", failing_since=NOW)
    turn(record, endpoint.id, later(60), breaker="closed")
    assert [each.id for each in claim_all(record, later(60))] == [timed_out.id]


def test_new_endpoint_gets_what_was_changed_since_and_is_public_oldest_first_behind_news(
    record: Record,
) -> None:
    source = a_desk(record)
    post(record, source, an_article(external_id="too old"), now=later(0))
    for number in range(5):
        post(record, source, an_article(external_id=str(number)), now=later(100 + number))
    post(record, source, an_article(external_id="2", headline="Second"), now=later(200))
    post(record, source, an_article(external_id="elsewhere", sections=("china",)), now=later(201))
    post(record, source, an_article(external_id="secret", embargo_until=later(10**6)), now=later(202))
    post(record, source, a_takedown(external_id="3"), now=later(203))
    routing.route(record, later(300))
    endpoint = an_endpoint(record, sections=["world"], max_in_flight=64, backfill_since=later(100))
    assert due_work.due_now(record, later(300)).backfills
    post(record, source, an_article(external_id="news"), now=later(301))
    routing.route(record, later(301))
    assert fill(record, later(302), limit=2) == 5
    assert not due_work.due_now(record, later(303)).backfills
    assert deliveries(record, endpoint.id) == [
        ("news", 1, "pending"),
        ("0", 1, "pending"),
        ("1", 1, "pending"),
        ("4", 1, "pending"),
        ("2", 2, "pending"),
        ("secret", 1, "pending"),
    ]
    assert [each.priority for each in claim_all(record, later(303))] == [2, 3, 3, 3, 3]
    assert backfills.step(record, later(304)).deliveries == 0


@pytest.mark.parametrize("since", [NOW, later(5), None])
def test_story_under_embargo_when_the_endpoint_was_added_comes_when_the_embargo_ends(
    record: Record, since: datetime | None
) -> None:
    """It never came to that endpoint."""
    source = a_desk(record)
    for name in ("secret", "revised", "killed"):
        post(record, source, an_article(external_id=name, embargo_until=later(3600)))
    routing.route(record, NOW)
    endpoint = an_endpoint(record, max_in_flight=8, backfill_since=since)
    fill(record, later(10), limit=1)
    post(
        record,
        source,
        an_article(external_id="revised", headline="Second", embargo_until=later(3600)),
        now=later(20),
    )
    post(record, source, a_takedown(external_id="killed"), now=later(20))
    routing.route(record, later(20))
    assert claim_all(record, later(3599)) == []
    assert deliveries(record, endpoint.id) == [
        ("secret", 1, "pending"),
        ("revised", 1, "superseded"),
        ("killed", 1, "cancelled"),
        ("revised", 2, "pending"),
    ]
    claimed = claim_all(record, later(3600))
    assert [(each.revision, each.priority) for each in claimed] == [(1, 2), (2, 2)]
    assert fill(record, later(3601)) == 0


def test_back_fill_and_routing_never_bring_the_same_revision_twice_nor_leave_a_gap(record: Record) -> None:
    source = a_desk(record)
    for number in range(4):
        post(record, source, an_article(external_id=str(number)), now=later(number))
    routing.route(record, later(5))
    endpoint = an_endpoint(record, backfill_since=NOW)
    post(record, source, an_article(external_id="0", headline="Second"), now=later(6))
    assert backfills.step(record, later(7), limit=2).deliveries == 2
    routing.route(record, later(8))
    post(record, source, an_article(external_id="1", headline="Second"), now=later(9))
    routing.route(record, later(9))
    fill(record, later(10), limit=1)
    assert deliveries(record, endpoint.id) == [
        ("1", 1, "superseded"),
        ("2", 1, "pending"),
        ("0", 2, "pending"),
        ("1", 2, "pending"),
        ("3", 1, "pending"),
    ]


def test_back_fill_of_thousands_goes_in_batches_that_hold_the_record_for_a_moment_only(
    record: Record,
) -> None:
    a_desk(record)
    rows = [_article(number) for number in range(1, 5001)]
    events = [_event(number) for number in range(1, 5001)]
    with record.writing() as connection:
        connection.execute(article.insert(), rows)
        connection.execute(event.insert(), events)
    an_endpoint(record, backfill_since=NOW)
    steps = []
    while (stepped := backfills.step(record, later(10**5))).more:
        steps.append(stepped.deliveries)
    assert steps == [500] * 10 + [0]


def _article(number: int) -> dict[str, Any]:
    moment = NOW + timedelta(seconds=number)
    return {
        "id": number,
        "public_id": f"tag:{number}",
        "source_id": 1,
        "external_id": str(number),
        "revision": 1,
        "status": "usable",
        "content_hash": "",
        "first_published_at": moment,
        "changed_at": moment,
    }


def _event(number: int) -> dict[str, Any]:
    return {
        "public_id": f"evt_{number}",
        "article_id": number,
        "revision": 1,
        "type": "article.published",
        "occurred_at": NOW,
        "actor": "source:wire",
        "routed_at": NOW,
    }
