"""Page, JSON, metrics, probe and doctor judge alike: what one of them says is so, none of the others denies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from prometheus_client.parser import text_string_to_metric_families

from service import settings
from service.cli.doctor import GOOD, WARNING, WRONG, Finding, examine
from service.runtime import key_files
from service.settings import Settings
from service.store import migrations, operations
from service.store.coordination import heartbeats
from service.store.database.record import Record, open_record
from service.store.deliveries import routing, settlements
from service.store.deliveries.health import Health, update_health
from service.store.feeds import partner_feeds
from service.store.views.thresholds import SILENT_AFTER
from tests import builders, seeded
from tests.web import OPERATOR, TOKEN, an_app

MOMENT = builders.NOW
NOBODY = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Judges:
    """A desk, asked by all who judge it at one moment."""

    settings: Settings
    record: Record

    def page(self, now: datetime) -> str:
        client = an_app(self.record, clock=lambda: now).test_client()
        client.post("/status/login", data={"token": TOKEN})
        return " ".join(html.document_fromstring(client.get("/status").text).text_content().split())

    def facts(self, now: datetime) -> dict[str, Any]:
        client = an_app(self.record, clock=lambda: now).test_client()
        facts: dict[str, Any] = client.get("/status.json", headers=OPERATOR).json
        return facts

    def probe(self, check: str, now: datetime) -> bool:
        checks = an_app(self.record, clock=lambda: now).test_client().get("/readyz").json["checks"]
        [found] = [each["ok"] for each in checks if each["check"] == check]
        return bool(found)

    def metric(self, name: str, now: datetime) -> float:
        text = an_app(self.record, clock=lambda: now).test_client().get("/metrics").text
        [family] = [each for each in text_string_to_metric_families(text) if each.name == name]
        return float(family.samples[0].value)

    def doctor(self, check: str, now: datetime) -> list[Finding]:
        return [each for each in examine(self.settings, NOBODY, now) if each.check == check]


@pytest.fixture
def judges(tmp_path: Path) -> Iterator[Judges]:
    chosen = settings.load(env_file=None, data_dir=tmp_path / "desk", redis_url="redis://127.0.0.1:1/0")
    keyed = key_files.ensure_keys(chosen)
    record = open_record(keyed.database_url, keyed.secret_key)
    migrations.migrate(record)
    yield Judges(chosen, record)
    record.close()


@pytest.mark.parametrize(
    ("silent", "running"), [(0, True), (12, True), (15, True), (16, False), (3600, False)]
)
def test_a_worker_runs_for_all_or_for_none(judges: Judges, silent: int, running: bool) -> None:
    heartbeats.heartbeat(judges.record, "w1", broker="up", now=MOMENT)
    now = MOMENT + timedelta(seconds=silent)
    assert ("1 running" in judges.page(now)) is running
    assert ("No worker is running" in judges.page(now)) is not running
    facts = judges.facts(now)
    assert facts["pipeline"]["workers"][0]["running"] is running
    assert (facts["pipeline"]["redis"]["state"] == "Up") is running
    assert judges.metric("dateline_workers", now) == running
    assert judges.metric("dateline_redis_up", now) == running
    assert judges.probe("workers", now) is running
    [finding] = judges.doctor("workers", now)
    assert (finding.state == GOOD) is running
    assert ("no worker runs" in finding.words) is not running


def test_one_of_two_workers_that_falls_silent_is_told_by_page_and_doctor(judges: Judges) -> None:
    heartbeats.heartbeat(judges.record, "w1", broker="up", now=MOMENT - timedelta(minutes=1))
    heartbeats.heartbeat(judges.record, "w2", broker="up", now=MOMENT)
    assert "1 worker fell silent" in judges.page(MOMENT)
    [finding] = judges.doctor("workers", MOMENT)
    assert (finding.state, finding.words) == (WARNING, "1 at work, and 1 worker fell silent")
    assert judges.metric("dateline_workers", MOMENT) == 1


def test_a_worker_without_redis_is_told_by_all(judges: Judges) -> None:
    heartbeats.heartbeat(judges.record, "w1", broker="connection refused", now=MOMENT)
    assert judges.facts(MOMENT)["pipeline"]["redis"]["level"] == "warn"
    assert judges.metric("dateline_redis_up", MOMENT) == 0
    [finding] = judges.doctor("workers", MOMENT)
    assert finding.state == WARNING
    assert judges.probe("redis", MOMENT), "the desk is ready without it"


@pytest.mark.parametrize(
    ("age", "state", "ready"), [(20, GOOD, True), (45, WARNING, True), (90, WRONG, False)]
)
def test_an_event_that_waits_for_routing_is_late_for_all_or_for_none(
    judges: Judges, age: int, state: str, ready: bool
) -> None:
    now = MOMENT + timedelta(seconds=age)
    heartbeats.heartbeat(judges.record, "w1", broker="up", now=now)
    builders.post(judges.record, builders.a_desk(judges.record), builders.an_article(), now=MOMENT)
    [finding] = [each for each in judges.doctor("backlog", now) if "routed" in each.words]
    assert finding.state == state
    assert judges.probe("routing", now) is ready
    assert (judges.facts(now)["summary"]["level"] == "bad") is not ready
    assert ("New articles are stuck" in judges.page(now)) is not ready
    assert judges.metric("dateline_event_oldest_unrouted_seconds", now) == age


@pytest.mark.parametrize(("age", "state"), [(20, GOOD), (45, WARNING)])
def test_a_feed_that_is_not_built_is_late_for_page_and_doctor(judges: Judges, age: int, state: str) -> None:
    now = MOMENT + timedelta(seconds=age)
    heartbeats.heartbeat(judges.record, "w1", broker="up", now=now)
    builders.post(judges.record, builders.a_desk(judges.record), builders.an_article(), now=MOMENT)
    routing.route(judges.record, MOMENT)
    behind = judges.facts(now)["pipeline"]["feeds_behind"]
    assert "world" in behind
    assert judges.metric("dateline_feeds_behind", now) == len(behind)
    [finding] = [each for each in judges.doctor("backlog", now) if "not built" in each.words]
    assert finding.state == state
    assert f"{len(behind)} feed" in finding.words


def test_a_delivery_that_nobody_sends_is_told_by_all(judges: Judges) -> None:
    source = builders.a_desk(judges.record)
    endpoint = builders.an_endpoint(judges.record, "herald")
    builders.post(judges.record, source, builders.an_article(), now=MOMENT)
    routing.route(judges.record, MOMENT)
    for age, state in ((20, GOOD), (90, WRONG)):
        now = MOMENT + timedelta(seconds=age)
        heartbeats.heartbeat(judges.record, "w1", broker="up", now=now)
        [partner] = judges.facts(now)["partners"]
        assert (partner["current"], partner["backlog"]) == (state == GOOD, 1)
        assert judges.probe("deliveries", now) is (state == GOOD)
        [finding] = [each for each in judges.doctor("backlog", now) if "undelivered" in each.words]
        assert (finding.state, finding.words[:22]) == (state, "1 delivery undelivered"), finding
    operations.pause_endpoint(judges.record, endpoint.id, reason="moving", actor="operator", now=MOMENT)
    [finding] = [each for each in judges.doctor("backlog", now) if "undelivered" in each.words]
    assert finding.state == WARNING, "nobody is to send it, and the partner is behind"
    assert "1 partner is behind" in judges.page(now)


def test_given_up_is_a_trouble_until_something_newer_made_up_for_it(judges: Judges) -> None:
    source = builders.a_desk(judges.record)
    endpoint = builders.an_endpoint(judges.record, "herald")
    heartbeats.heartbeat(judges.record, seeded.WORKER, broker="up", now=MOMENT)
    builders.post(judges.record, source, builders.an_article(), now=MOMENT)
    routing.route(judges.record, MOMENT)
    [claimed] = seeded.claim_all(judges.record, MOMENT)
    ends = seeded.a_settlement(claimed, "dead", "answered 404 Not Found", MOMENT, status=404)
    settlements.settle(judges.record, [ends], lease=seeded.WORKER, now=MOMENT)
    [finding] = judges.doctor("endpoints", MOMENT)
    assert finding.words == f"endpoint {endpoint.id} of herald has 1 delivery given up"
    assert finding.remedy.endswith(f"dateline replay --endpoint {endpoint.id} --dead")
    assert judges.facts(MOMENT)["partners"][0]["current"] is False
    builders.post(judges.record, source, builders.an_article(headline="Newer"), now=MOMENT)
    seeded.deliver_all(judges.record, MOMENT)
    assert judges.doctor("endpoints", MOMENT) == []
    assert judges.facts(MOMENT)["partners"][0]["current"] is True


def test_an_endpoint_that_retries_is_told_by_page_and_doctor(judges: Judges) -> None:
    source = builders.a_desk(judges.record)
    endpoint = builders.an_endpoint(judges.record, "herald")
    builders.post(judges.record, source, builders.an_article(), now=MOMENT)
    routing.route(judges.record, MOMENT)
    [claimed] = seeded.claim_all(judges.record, MOMENT)
    later = MOMENT + timedelta(hours=1)
    ends = seeded.a_settlement(claimed, "waiting", "answered 500", MOMENT, status=500, due_at=later)
    settlements.settle(judges.record, [ends], lease=seeded.WORKER, now=MOMENT)

    def recovered(_: int, health: Health) -> Health:
        return replace(health, failures=0, last_success_at=MOMENT)

    with judges.record.writing() as connection:
        update_health(connection, {endpoint.id}, recovered, MOMENT)
    [partner] = judges.facts(MOMENT)["partners"]
    assert partner["state"] == "Retrying"
    [finding] = judges.doctor("endpoints", MOMENT)
    assert (finding.state, finding.words) == (WARNING, "endpoint 1 of herald failed to take 1 delivery")


def test_a_partner_that_stops_fetching_its_feed_is_told_by_all(judges: Judges) -> None:
    builders.a_desk(judges.record)
    builders.an_endpoint(judges.record, "herald")
    operations.add_feed(
        judges.record,
        partner_feeds.NewPartnerFeed("herald", token_hash="hash"),
        actor="operator",
        now=MOMENT - timedelta(days=3),
    )
    heartbeats.heartbeat(judges.record, "w1", broker="up", now=MOMENT)
    assert "has not fetched its feed for more than a day" in judges.page(MOMENT)
    assert judges.metric("dateline_partner_feed_unfetched_seconds", MOMENT) == 3 * 86400
    [finding] = judges.doctor("feeds", MOMENT)
    assert finding.state == WARNING
    assert finding.words.startswith("feed 1 of herald: never fetched")


def test_a_worker_is_told_as_silent_only_after_others_took_over_its_work() -> None:
    assert SILENT_AFTER > heartbeats.ALIVE
