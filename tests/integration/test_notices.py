"""Notices: written with what they tell of, sent signed to the operator's webhook, tried again, never lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import update

from service.store import deadlines, notices, operations
from service.store.articles.sources import Source
from service.store.coordination import due_work, heartbeats
from service.store.database.record import Record
from service.store.deliveries import backfills, claims, routing, settlements
from service.store.deliveries.health import Health, update_health
from service.store.notices import Notice
from service.store.partners.endpoints import Changes
from service.store.schema.partners import endpoint as endpoint_table
from service.webhooks import signatures
from tests.builders import NOW, SECRET, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.desk import eventually
from tests.integration.test_transport import Misbehaving, a_server
from tests.seeded import WORKER, a_settlement, claim_all
from workers.net import http_client
from workers.net.http_client import DEADLINES, GuardedClient
from workers.net.transport import Timeouts
from workers.notifier import GIVE_UP_AFTER, Notifier, next_try

LOOPBACK = [ip_network("127.0.0.0/8")]


class SetClock:
    """Time as the test says it is."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


class Operator:
    """An operator's webhook that verifies what comes. Answers `status`."""

    def __init__(self, clock: SetClock) -> None:
        self.status = 204
        self.ids: list[str] = []
        self.bodies: list[bytes] = []
        self._clock = clock
        self._server = Misbehaving(self._answer)
        self.requests = self._server.requests
        self.url, self.stop = self._server.url, self._server.stop

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.bodies]

    def _answer(self, connection: Any, request: bytes) -> bool:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        headers = dict(lines)
        with suppress(signatures.BadSignature):
            self.ids.append(signatures.verify([SECRET], headers, body, self._clock()))
            self.bodies.append(body)
        connection.sendall(f"HTTP/1.1 {self.status} As said\r\nContent-Length: 0\r\n\r\n".encode())
        return True


@pytest.fixture
def operator(clock: SetClock) -> Iterator[Operator]:
    found = Operator(clock)
    yield found
    found.stop()


def a_notifier(record: Record, url: str, clock: SetClock, allowed: Any = LOOPBACK) -> Notifier:
    client = GuardedClient(allowed, user_agent="test")
    return Notifier(record, client, url=url, secret=SECRET, status_page="https://desk/status", clock=clock)


def test_pausing_and_resuming_goes_to_the_operators_webhook_signed(
    record: Record, operator: Operator, clock: SetClock
) -> None:
    endpoint = an_endpoint(record, "herald")
    operations.pause_endpoint(record, endpoint.id, reason="moving house", actor="operator", now=NOW)
    operations.resume_endpoint(record, endpoint.id, actor="operator", now=NOW)
    operations.change_endpoint(record, endpoint.id, Changes(rate=0.5), actor="operator", now=NOW)
    assert due_work.due_now(record, NOW).notices
    assert a_notifier(record, operator.url, clock).send_due() == 3
    assert [each["type"] for each in operator.told] == [
        "endpoint.paused",
        "endpoint.resumed",
        "endpoint.rate_changed",
    ]
    assert operator.told[0]["data"] == {
        "words": "by operator: moving house",
        "count": 1,
        "about": f"endpoint:{endpoint.id}",
        "partner": "herald",
        "endpoint": endpoint.id,
        "status_page": "https://desk/status/partners/herald",
    }
    assert not due_work.due_now(record, later(7200)).notices


def test_a_notice_that_was_not_taken_is_tried_again_with_the_same_id_and_body(
    record: Record, operator: Operator, clock: SetClock
) -> None:
    endpoint = an_endpoint(record)
    operations.pause_endpoint(record, endpoint.id, reason="asked to", actor="operator", now=NOW)
    operator.status = 503
    notifier = a_notifier(record, operator.url, clock)
    assert notifier.send_due() == 1
    assert not due_work.due_now(record, later(9)).notices
    clock.now, operator.status = later(10), 200
    assert notifier.send_due() == 1
    assert not due_work.due_now(record, later(7200)).notices
    assert operator.ids[0] == operator.ids[1]
    assert operator.bodies[0] == operator.bodies[1]


def test_a_worker_that_dies_while_telling_loses_no_notice(
    record: Record, operator: Operator, clock: SetClock
) -> None:
    endpoint = an_endpoint(record)
    operations.pause_endpoint(record, endpoint.id, reason="asked to", actor="operator", now=NOW)
    assert len(notices.take(record, 10, NOW)) == 1  # and it dies here
    assert notices.take(record, 10, later(59)) == []
    clock.now = later(60)
    assert a_notifier(record, operator.url, clock).send_due() == 1
    assert len(operator.bodies) == 1


def test_worker_too_slow_to_settle_a_notice_changes_nothing(record: Record) -> None:
    endpoint = an_endpoint(record)
    operations.pause_endpoint(record, endpoint.id, reason="asked to", actor="operator", now=NOW)
    [slow] = notices.take(record, 10, NOW)
    [other] = notices.take(record, 10, later(61))
    assert other.public_id == slow.public_id
    assert not notices.settle(record, slow, sent=False, words="", retry_at=None, now=later(62))
    assert notices.settle(record, other, sent=True, words="", retry_at=None, now=later(62))


def test_without_a_webhook_notices_are_in_the_log_and_on_the_status_page(
    record: Record, clock: SetClock
) -> None:
    endpoint = an_endpoint(record)
    operations.pause_endpoint(record, endpoint.id, reason="asked to", actor="operator", now=NOW)
    assert a_notifier(record, "", clock).send_due() == 1
    assert not due_work.due_now(record, later(7200)).notices
    assert [each.kind for each in notices.latest(record, partner_slug=endpoint.partner)] == [
        "endpoint.paused"
    ]
    assert notices.latest(record, partner_slug="another") == []


def test_a_thousand_deliveries_given_up_are_one_notice_an_hour_with_their_count(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=64)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    for number in range(12):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    claimed = claim_all(record, NOW)
    give_up(record, claimed[:5], NOW)
    give_up(record, claimed[5:7], later(30))
    assert notices.take(record, 10, later(59)) == []
    assert counts(notices.take(record, 10, later(60))) == [("delivery.dead", 7)]
    give_up(record, claimed[7:9], later(61))
    give_up(record, claimed[9:], later(3000))
    found = [each for each in notices.take(record, 10, later(3599)) if each.tries == 1]
    assert found == []
    again = [each for each in notices.take(record, 10, later(3661)) if each.tries == 1]
    assert counts(again) == [("delivery.dead", 5)]


def give_up(record: Record, claimed: list[claims.ClaimedDelivery], now: datetime) -> None:
    ends = [a_settlement(each, "dead", "tried 12 times and given up", now) for each in claimed]
    assert len(settlements.settle(record, ends, lease=WORKER, now=now)) == len(claimed)


def counts(found: list[Notice]) -> list[tuple[str, int]]:
    return [(each.kind, each.count) for each in found]


@pytest.mark.parametrize("state", ["live", "off"])
def test_a_takedown_not_confirmed_within_15_minutes_raises_one_notice(record: Record, state: str) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    post(record, source, an_article())
    routing.route(record, NOW)
    ends = [a_settlement(each, "delivered", "took it", NOW) for each in claim_all(record, NOW)]
    settlements.settle(record, ends, lease=WORKER, now=NOW)
    post(record, source, a_takedown())
    routing.route(record, NOW)
    if state == "off":
        switch_off(record, endpoint.id)
    assert deadlines.raise_late_takedowns(record, later(899)) == 0
    assert deadlines.raise_late_takedowns(record, later(900)) == 1
    assert deadlines.raise_late_takedowns(record, later(1800)) == 0
    assert "takedown.late" in [each.kind for each in notices.take(record, 10, later(901))]


def behind(record: Record, now: datetime) -> list[str]:
    deadlines.raise_behind(record, now)
    notices.take(record, 10, now)
    return [each.words for each in notices.latest(record) if each.kind == "endpoint.behind"]


def news(record: Record, source: Source, name: str, now: datetime, **changes: Any) -> None:
    post(record, source, an_article(external_id=name, **changes), now=now)
    routing.route(record, now)


def send_one(record: Record, now: datetime) -> None:
    [claimed] = claim_all(record, now)
    settlements.settle(record, [a_settlement(claimed, "delivered", "took it", now)], lease=WORKER, now=now)


def test_an_endpoint_15_minutes_behind_raises_one_notice_for_all_that_waits_and_another_after_an_hour(
    record: Record,
) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=1)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    for number in range(3):
        news(record, source, str(number), later(600 * number))
    assert behind(record, later(899)) == []
    [words] = behind(record, later(900))
    assert words == (
        "the oldest of what is due to it has waited for 15 minutes:"
        " more comes than it takes, or than the workers can send"
    )
    send_one(record, later(1000))
    assert len(behind(record, later(3000))) == 1  # the second had been waiting, too
    send_one(record, later(3000))
    assert len(behind(record, later(4499))) == 1
    assert len(behind(record, later(4501))) == 2  # the third had not been late


def test_an_endpoint_is_not_behind_for_deliveries_under_embargo_paused_or_filled_back(record: Record) -> None:
    source = a_desk(record)
    news(record, source, "old", NOW)
    an_endpoint(record, sections=["world"], backfill_since=NOW)
    while backfills.step(record, NOW).more:
        pass
    news(record, source, "secret", NOW, embargo_until=later(5000))
    paused = an_endpoint(record, sections=["china"])
    operations.pause_endpoint(record, paused.id, reason="moving", actor="operator", now=NOW)
    news(record, source, "while paused", NOW, sections=("china",))
    assert behind(record, later(4999)) == []
    operations.resume_endpoint(record, paused.id, actor="operator", now=later(5100))
    assert len(behind(record, later(5900))) == 1
    assert len(behind(record, later(5999))) == 1
    assert len(behind(record, later(6000))) == 2


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (
            {"breaker": "open", "last_failure": "did not answer within 15 s"},
            "it fails: did not answer within 15 s",
        ),
        ({"rate_per_second": 0.5}, "more comes than its rate of 0.5 a second lets through"),
    ],
)
def test_why_an_endpoint_is_behind_is_told(record: Record, columns: dict[str, Any], why: str) -> None:
    source = a_desk(record)
    an_endpoint(record)
    news(record, source, "42", NOW)
    with record.writing() as connection:
        connection.execute(update(endpoint_table).values(**columns))
    [words] = behind(record, later(1300))
    assert words == f"the oldest of what is due to it has waited for 21 minutes: {why}"


def switch_off(record: Record, endpoint_id: int) -> None:
    def decide(_: int, health: Health) -> Health:
        values = {each.name: getattr(health, each.name) for each in fields(health)}
        return Health(**values | {"state": "off", "state_reason": "the partner answered 410 Gone"})

    with record.writing() as connection:
        update_health(connection, [endpoint_id], decide, NOW)


def test_switching_an_endpoint_off_is_told(record: Record) -> None:
    endpoint = an_endpoint(record)
    switch_off(record, endpoint.id)
    [found] = notices.take(record, 10, NOW)
    assert (found.kind, found.words) == ("endpoint.off", "the partner answered 410 Gone")


def test_a_notice_that_fails_is_tried_again_for_three_days_and_then_given_up(record: Record) -> None:
    waits: list[float] = []
    now, tries = NOW, 0
    while moment := next_try(tries := tries + 1, NOW, now):
        waits.append((moment - now).total_seconds())
        now = moment
    assert waits[:4] == [10, 20, 40, 80]
    assert max(waits) == 3600
    assert GIVE_UP_AFTER <= now - NOW <= GIVE_UP_AFTER + timedelta(hours=1)
    endpoint = an_endpoint(record)
    operations.pause_endpoint(record, endpoint.id, reason="asked to", actor="operator", now=NOW)
    [each] = notices.take(record, 10, NOW)
    assert notices.settle(record, each, sent=False, words="", retry_at=None, now=later(5))
    assert not due_work.due_now(record, later(10**6)).notices


def some_notices(record: Record, count: int) -> None:
    for number in range(count):
        found = an_endpoint(record)
        operations.pause_endpoint(record, found.id, reason=f"reason {number}", actor="operator", now=NOW)


def a_quick_client() -> GuardedClient:
    return GuardedClient(LOOPBACK, user_agent="test", timeouts=Timeouts(1.0, 1.5))


def dripping(connection: Any, _: bytes) -> bool:
    """A byte of the answer now and then, for ever."""
    for byte in b"HTTP/1.1 200 OK\r\n" * 50:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.05)
    return False


def test_webhook_that_drips_a_byte_now_and_then_is_cut_off_at_a_deadline_for_the_whole() -> None:
    assert DEADLINES.total <= 15
    with a_server(dripping) as server:
        client, began = a_quick_client(), time.monotonic()
        status, words = client.post(server.url, b"{}", {})
        assert (status, words) == (None, "did not finish its answer within 1.5 s (it had begun)")
        assert time.monotonic() - began < 4
        client.close()


def test_twelve_notices_are_in_the_log_before_a_webhook_that_drips_is_called_and_none_waits_for_another(
    record: Record, clock: SetClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http_client, "NEXT_AFTER", 0.1)
    some_notices(record, 12)
    logged_first: list[int] = []

    def behave(connection: Any, request: bytes) -> bool:
        if not logged_first:
            logged_first.append("".join(capsys.readouterr()).count("notice.raised"))
        return dripping(connection, request)

    with a_server(behave) as server:
        notifier = Notifier(
            record, a_quick_client(), url=server.url, secret=SECRET, status_page="https://desk", clock=clock
        )
        began = time.monotonic()
        assert notifier.send_due() == 12
        took = time.monotonic() - began
        assert len(server.requests) == 12
        notifier.close()
    assert took < 12 * 1.5 / 2  # not one after the other
    assert logged_first == [12]
    assert due_work.due_now(record, later(10)).notices  # all are tried again


def test_batch_of_notices_to_a_webhook_that_hangs_ends_before_another_worker_may_try_them() -> None:
    longest = http_client.MOST_AT_ONCE * http_client.NEXT_AFTER + DEADLINES.total
    assert longest < notices.TRY_LASTS.total_seconds() / 2


def test_quick_webhook_gets_the_notices_in_their_order(
    record: Record, operator: Operator, clock: SetClock
) -> None:
    some_notices(record, 9)
    assert a_notifier(record, operator.url, clock).send_due() == 9
    assert [each["data"]["words"] for each in operator.told] == [
        f"by operator: reason {number}" for number in range(9)
    ]


def test_notifier_that_is_closed_while_a_webhook_hangs_ends_soon_and_the_notice_is_sent_later(
    record: Record, clock: SetClock
) -> None:
    some_notices(record, 3)
    with a_server(lambda *_: bool(server.over.wait(20))) as server:
        notifier = a_notifier(record, server.url, clock)
        notifier.start()
        notifier.wake()
        eventually(lambda: bool(server.requests), within=10, what="a notice on its way")
        began = time.monotonic()
        notifier.close()
        assert time.monotonic() - began < 1
    assert due_work.due_now(record, later(61)).notices


def test_a_webhook_on_a_private_address_is_not_called_unless_allowed(operator: Operator) -> None:
    guarded = GuardedClient([], user_agent="test")
    status, words = guarded.post(operator.url, b"{}", {})
    assert status is None
    assert "this machine itself" in words
    assert guarded.post("http://no.such.host.invalid/", b"{}", {})[0] is None
    assert GuardedClient(LOOPBACK, user_agent="test").post(operator.url, b"{}", {})[0] == 204


def test_a_redirect_of_the_webhook_is_not_followed(operator: Operator) -> None:
    answer = f"HTTP/1.1 307 Away\r\nLocation: {operator.url}\r\nContent-Length: 0\r\n\r\n".encode()
    server = Misbehaving(lambda connection, _: bool(connection.sendall(answer)))
    try:
        assert GuardedClient(LOOPBACK, user_agent="test").post(server.url, b"{}", {})[0] == 307
    finally:
        server.stop()
    assert operator.requests == []
