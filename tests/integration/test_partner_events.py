"""A partner's own stream: it finds exactly the events that it missed, and learns nothing that it must not know."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from service.api import partner_events
from service.http import credentials, problems
from service.store import operations
from service.store.articles import accept
from service.store.coordination import heartbeats
from service.store.database import locks
from service.store.database.record import Record
from service.store.deliveries import claims, numbering, routing, settlements
from service.store.deliveries.claims import ClaimedDelivery
from service.store.partners import catch_up, partners
from service.store.partners.catch_up import StreamQuery
from service.store.schema.deliveries import delivery
from service.store.views import history
from service.webhooks.inbox import Inbox
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post, pushes_for
from tests.seeded import a_settlement

WORKER = "w1.test"
URL = "https://news.example.org"


class EventsOutlet:
    """A partner with its key, asking over HTTP. `now` is the server's clock."""

    def __init__(self, record: Record) -> None:
        self.key = credentials.new_api_key()
        self.now = NOW
        key = {"key_id": self.key.key_id, "key_hash": self.key.hash}
        self.id = operations.add_partner(
            record, partners.NewPartner("herald", "Herald", **key), actor="operator", now=NOW
        ).id
        app = Flask("outlet")
        app.register_blueprint(partner_events.create_blueprint(record, URL, self._clock))
        problems.register(app)
        self._client = app.test_client()

    def _clock(self) -> datetime:
        return self.now

    def get(self, query: str = "", key: str | None = None, **headers: str) -> Any:
        bearer = {"Authorization": f"Bearer {key or self.key.text}"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.get(f"/v1/partner/events?{query}", headers=bearer | given)

    def events(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(query).json["events"]
        return found

    def all_pages(self, query: str) -> Iterator[list[dict[str, Any]]]:
        """Follows the links, as a partner's client does."""
        while True:
            answer = self.get(query)
            yield answer.json["events"]
            link = answer.headers.get("Link")
            assert (link is not None) == answer.json["more"]
            if link is None:
                return
            target, rel = link.split("; ")
            assert rel == 'rel="next"'
            assert target.startswith(f"<{URL}/v1/partner/events?")
            query = target.rpartition("?")[2].rstrip(">")


@pytest.fixture
def outlet(record: Record) -> EventsOutlet:
    return EventsOutlet(record)


def claim(record: Record, now: datetime = NOW) -> list[ClaimedDelivery]:
    heartbeats.heartbeat(record, WORKER, broker="up", now=now)
    return claims.claim(record, lease=WORKER, limit=100, cursor=claims.Cursor(), now=now)[0]


def settle(
    record: Record, claimed: list[ClaimedDelivery], state: str = "delivered", now: datetime = NOW
) -> None:
    settlements.settle(
        record, [a_settlement(each, state, "so it went", now) for each in claimed], lease=WORKER, now=now
    )


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [each["sequence"] for each in events]


def test_partner_reads_its_events_after_a_number_and_their_successors(
    record: Record, outlet: EventsOutlet
) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, "herald")
    given = post(record, source, an_article())
    routing.route(record, NOW)
    post(record, source, an_article(headline="Second"))
    routing.route(record, NOW)
    first, second = outlet.events()
    assert first == {
        "sequence": 1, "endpoint": endpoint.id, "id": f"dlv_{given.event.removeprefix('evt_')}_{endpoint.id}",
        "type": "article.published", "article": given.article, "revision": 1, "state": "superseded",
        "superseded_by": 2, "superseded_by_sequence": 2, "occurred_at": "2026-11-24T08:00:00Z",
    }  # fmt: skip
    assert (second["state"], second["superseded_by"], second["superseded_by_sequence"]) == (
        "pending",
        None,
        None,
    )
    assert numbers(outlet.events("after=1")) == [2]
    assert outlet.get("after=2").json == {"events": [], "next": 2, "more": False}


def test_receiver_that_lost_pushes_finds_exactly_them(record: Record, outlet: EventsOutlet) -> None:
    """It answered 200 and then lost what it had stored: we know of nothing, it has to ask."""
    source = a_desk(record)
    endpoint = an_endpoint(record, "herald", max_in_flight=50)
    held, stored = Inbox(), set()
    lost = {2, 5, 6, 9, 14}
    for round_ in range(3):
        for number in range(6):
            post(record, source, an_article(external_id=str(number), headline=f"Version {round_}"))
        routing.route(record, NOW)
        claimed = claim(record)
        for push in pushes_for(record, claimed, NOW):
            headers = dict(push.headers)
            sequence = int(headers["dateline-sequence"])
            if sequence not in lost:
                held.take(headers["webhook-id"], json.loads(push.body), sequence, NOW)
                stored.add(sequence)
        settle(record, claimed)
    listed: list[dict[str, Any]] = []
    for page in outlet.all_pages(f"after=1&limit=4&endpoint={endpoint.id}&include=data"):
        assert len(page) <= 4
        listed += page
    assert numbers(listed) == list(range(2, 19))
    missed = [each for each in listed if each["sequence"] not in stored]
    assert set(numbers(missed)) == lost
    for each in missed:
        held.take(each["id"], each, each["sequence"], NOW)
    assert {each["headline"] for each in held.articles.values()} == {"Version 2"}
    assert len(held.articles) == 6


def test_body_is_the_one_that_the_push_had(record: Record, outlet: EventsOutlet) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    post(record, source, an_article(headline="雨 بارش"))
    routing.route(record, NOW)
    claimed = claim(record)
    [push] = pushes_for(record, claimed, NOW)
    settle(record, claimed)
    [event] = outlet.events("include=data")
    body = json.loads(push.body)
    assert {name: event[name] for name in body} == body
    assert event["data"]["headline"] == "雨 بارش"


@pytest.mark.parametrize("status", ["killed", "withheld", "unpublished"])
def test_no_text_of_a_story_that_was_taken_down_is_given(
    record: Record, outlet: EventsOutlet, status: str
) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    post(record, source, an_article(headline="Minister named"))
    routing.route(record, NOW)
    settle(record, claim(record))
    post(record, source, a_takedown(status))
    routing.route(record, NOW)
    published, takedown = outlet.events("include=data")
    assert (published["state"], published["data"]) == ("delivered", None)
    assert takedown["data"]["status"] == status
    assert "Minister" not in outlet.get("include=data").text


def test_text_from_before_a_kill_is_not_given_after_a_restoration(
    record: Record, outlet: EventsOutlet
) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    post(record, source, an_article(headline="Minister named", version=1))
    routing.route(record, NOW)
    settle(record, claim(record))
    post(record, source, a_takedown(version=2))
    post(record, source, an_article(headline="Minister not named", version=3))
    routing.route(record, NOW)
    events = outlet.events("include=data")
    assert [each["data"] and each["data"]["headline"] for each in events] == [
        None,
        None,
        "Minister not named",
    ]


def test_story_under_embargo_is_shown_at_its_time_and_not_before(
    record: Record, outlet: EventsOutlet
) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    post(record, source, an_article(external_id="1"))
    post(record, source, an_article(external_id="secret", headline="Merger", embargo_until=later(60)))
    post(record, source, an_article(external_id="2"))
    routing.route(record, NOW)
    for query in ("", "include=data", "after=1", "limit=2"):
        assert "Merger" not in outlet.get(query).text
    assert numbers(outlet.events()) == [1, 2]
    outlet.now = later(60)
    assert numbering.number_due(record, later(60)) == 1
    assert numbers(outlet.events("include=data")) == [1, 2, 3]
    [last] = outlet.events("after=2&include=data")
    assert last["data"]["headline"] == "Merger"


def test_revision_under_embargo_is_not_betrayed_by_the_one_it_superseded(
    record: Record, outlet: EventsOutlet
) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    post(record, source, an_article())
    routing.route(record, NOW)
    post(record, source, an_article(headline="Merger", embargo_until=later(60)))
    routing.route(record, NOW)
    [event] = outlet.events()
    assert (event["state"], event["superseded_by"], event["superseded_by_sequence"]) == (
        "cancelled",
        None,
        None,
    )
    outlet.now = later(60)
    accept.return_due(record, later(60))
    routing.route(record, later(60))
    assert [each["revision"] for each in outlet.events()] == [1, 3]


def test_page_never_parts_the_endpoints_events_of_one_number(record: Record, outlet: EventsOutlet) -> None:
    source = a_desk(record)
    ids = [an_endpoint(record, "herald").id for _ in range(3)]
    for number in range(4):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    expected = [(sequence, each) for sequence in range(1, 5) for each in ids]
    for limit in (1, 2, 3, 4, 5, 11, 12, 13):
        pages = list(outlet.all_pages(f"limit={limit}"))
        assert [(each["sequence"], each["endpoint"]) for page in pages for each in page] == expected
        assert all(len(page) % 3 == 0 for page in pages)


def test_only_the_endpoint_asked_for_and_never_another_partners(record: Record, outlet: EventsOutlet) -> None:
    source = a_desk(record)
    one, _, foreign = (
        an_endpoint(record, "herald"),
        an_endpoint(record, "herald"),
        an_endpoint(record, "times"),
    )
    post(record, source, an_article())
    routing.route(record, NOW)
    assert [each["endpoint"] for each in outlet.events(f"endpoint={one.id}")] == [one.id]
    assert foreign.id not in {each["endpoint"] for each in outlet.events()}
    for number in (foreign.id, 999):
        refused = outlet.get(f"endpoint={number}")
        assert (refused.status_code, refused.json["detail"]) == (404, f"you have no endpoint {number}")


def test_unchanged_answer_is_304_and_a_changed_one_is_not(record: Record, outlet: EventsOutlet) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    post(record, source, an_article())
    routing.route(record, NOW)
    first = outlet.get()
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = outlet.get(If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")
    settle(record, claim(record))
    changed = outlet.get(If_None_Match=first.headers["ETag"])
    assert changed.json["events"][0]["state"] == "delivered"


@pytest.mark.parametrize(
    "query",
    [
        "after=x",
        "after=-1",
        "limit=1001",
        "include=all",
        "endpoint=",
        "after=" + "9" * 5000,
    ],
)
def test_wrong_question_is_refused_in_words(outlet: EventsOutlet, query: str) -> None:
    refused = outlet.get(query)
    assert refused.status_code == 400
    assert refused.json["detail"].startswith("?")


def test_page_with_data_has_a_hundred_events_at_the_most_and_says_that_there_are_more(
    outlet: EventsOutlet,
) -> None:
    answer = outlet.get("include=data&limit=1000")
    assert answer.status_code == 200
    assert outlet.get("limit=1001").status_code == 400


def test_pages_of_large_stories_are_bounded_by_their_length_and_have_each_once(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "DATA_LENGTH", 250_000)
    outlet = EventsOutlet(sqlite_record)
    source = a_desk(sqlite_record)
    for _ in range(2):
        an_endpoint(sqlite_record, "herald")
    for number in range(5):
        text = "x" * (400_000 if number == 2 else 100_000)
        post(sqlite_record, source, an_article(external_id=f"{number}", body_html=text))
    routing.route(sqlite_record, NOW)
    pages = list(outlet.all_pages("include=data"))
    assert [[each["sequence"] for each in page] for page in pages] == [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]
    assert all(each["data"] for page in pages for each in page)
    assert len(outlet.events()) == 10, "without their texts all are on one page"


def test_without_a_partners_key_nothing_is_told(outlet: EventsOutlet) -> None:
    for key in ("nonsense", credentials.new_api_key().text):
        assert outlet.get(key=key).status_code == 401


def routed_to(record: Record, revision: int) -> set[int]:
    with record.reading() as connection:
        query = select(delivery.c.endpoint_id).where(delivery.c.revision == revision)
        return set(connection.execute(query).scalars())


def test_kill_reaches_an_outlet_that_only_read_the_story_and_got_no_push(
    record: Record, outlet: EventsOutlet
) -> None:
    source = a_desk(record)
    reader, stranger = an_endpoint(record, "herald"), an_endpoint(record, "times")
    given = post(record, source, an_article())
    routing.route(record, NOW)
    assert outlet.events("include=data")[0]["data"]["headline"]
    [holding] = history.article_trace(record, given.article).holdings
    assert (holding.partner, holding.revision, holding.channel) == ("herald", 1, "pull")
    post(record, source, a_takedown())
    routing.route(record, NOW)
    assert routed_to(record, 2) == {reader.id} != {stranger.id}


def test_reading_events_without_their_text_makes_nobody_a_holder(
    record: Record, outlet: EventsOutlet
) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    given = post(record, source, an_article())
    routing.route(record, NOW)
    assert outlet.events()
    assert history.article_trace(record, given.article).holdings == ()


@pytest.mark.parametrize(
    "record", ["postgresql"], indirect=True
)  # on SQLite one writer waits for the other anyway
def test_kill_accepted_while_the_story_is_being_read_finds_the_reader(
    record: Record, outlet: EventsOutlet
) -> None:
    source = a_desk(record)
    reader = an_endpoint(record, "herald")
    post(record, source, an_article())
    routing.route(record, NOW)
    killing = threading.Thread(target=post, args=(record, source, a_takedown()))
    with record.writing() as connection:
        articles = [
            each.article_row for each in catch_up.read(record, StreamQuery(outlet.id, 0, 9), NOW).events
        ]
        locks.share_articles(connection, articles)
        page = catch_up._page(connection, StreamQuery(outlet.id, 0, 9), NOW)
        killing.start()
        killing.join(0.3)
        assert killing.is_alive(), "it waits for the reading to commit"
        catch_up._write_receipts(connection, outlet.id, page.events, NOW)
    killing.join(10)
    routing.route(record, NOW)
    assert routed_to(record, 2) == {reader.id}
