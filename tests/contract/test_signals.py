"""The signals for machines: alive, ready and why not, metrics, and the API described by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from prometheus_client.parser import text_string_to_metric_families

from service.store.coordination import heartbeats
from service.store.database.record import Record, open_record
from tests import builders, seeded
from tests.web import OPERATOR, PUBLIC_URL, SECRET_KEY, CutOff, an_app

MOMENT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
# Of docs/operations: alerts rest on these.
COUNTERS = {"dateline_partner_feed_fetches", "dateline_intake_refused"}
PROMISED = {
    "dateline_record_up": set(),
    "dateline_record_wal_bytes": set(),
    "dateline_workers": set(),
    "dateline_intake_refused": {"source", "reason"},
    "dateline_redis_up": set(),
    "dateline_deliveries": {"partner", "state"},
    "dateline_delivery_oldest_pending_seconds": {"partner"},
    "dateline_partner_inflight": {"partner"},
    "dateline_partner_breaker_state": {"partner"},
    "dateline_partner_endpoints_live": {"partner"},
    "dateline_partner_feed_fetches": {"partner"},
    "dateline_partner_feed_unfetched_seconds": {"partner"},
    "dateline_leases_oldest_seconds": set(),
    "dateline_events_unrouted": set(),
    "dateline_event_oldest_unrouted_seconds": set(),
    "dateline_feeds_behind": set(),
    "dateline_feed_staleness_seconds": {"section"},
    "dateline_source_silent": {"source"},
    "dateline_sweeper_last_run_timestamp_seconds": set(),
}


def ready(record: Record, now: datetime = MOMENT) -> tuple[int, dict[str, Any]]:
    answer = an_app(record, clock=lambda: now).test_client().get("/readyz")
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = answer.json
    assert body["ready"] is (answer.status_code == 200)
    return answer.status_code, body


def wrong(body: dict[str, Any]) -> set[str]:
    assert all(each["words"] for each in body["checks"])
    return {each["check"] for each in body["checks"] if not each["ok"]}


def metrics(record: Record, now: datetime = MOMENT) -> dict[str, Any]:
    answer = an_app(record, clock=lambda: now).test_client().get("/metrics", headers=OPERATOR)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.get_data(as_text=True)))
    assert len({each.name for each in families}) == len(families)
    return {each.name: each for each in families}


def values(family: Any) -> dict[tuple[str, ...], float]:
    return {tuple(each.labels.values()): each.value for each in family.samples}


def test_alive_is_answered_without_touching_the_record(tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "dateline.db"
    client = an_app(open_record(f"sqlite:///{file}", SECRET_KEY)).test_client()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.data) == (200, b"alive\n")
    assert "Set-Cookie" not in answer.headers
    assert not file.exists()


def test_a_desk_with_a_worker_is_ready_whether_redis_answers_or_not(record: Record) -> None:
    for broker in ("up", "down"):
        heartbeats.heartbeat(record, "desk-1:1", broker=broker, now=MOMENT)
        status, body = ready(record)
        assert (status, body["because"]) == (200, "")
        [redis] = [each for each in body["checks"] if each["check"] == "redis"]
        assert redis["ok"] is True
        assert ("down" in redis["words"].lower()) is (broker == "down")


def test_a_desk_without_a_worker_is_not_ready_and_says_what_to_do(record: Record) -> None:
    status, body = ready(record)
    assert (status, wrong(body)) == (503, {"workers"})
    assert "dateline worker" in body["because"]
    heartbeats.heartbeat(record, "desk-1:1", broker="up", now=MOMENT - timedelta(minutes=5))
    assert wrong(ready(record)[1]) == {"workers"}


def test_an_event_that_nobody_routes_makes_the_desk_unready(record: Record) -> None:
    source = builders.a_desk(record)
    builders.post(record, source, builders.an_article(), now=MOMENT - timedelta(minutes=5))
    heartbeats.heartbeat(record, "desk-1:1", broker="up", now=MOMENT)
    status, body = ready(record)
    assert (status, wrong(body)) == (503, {"routing"})
    assert "5 min" in body["because"]


def test_a_record_of_an_older_schema_is_told_with_the_remedy(tmp_path: Path) -> None:
    record = open_record(f"sqlite:///{tmp_path / 'empty.db'}", SECRET_KEY)
    status, body = ready(record)
    assert (status, wrong(body)) == (503, {"schema"})
    assert "dateline migrate" in body["because"]
    record.close()


def test_a_record_that_is_away_is_told_by_readiness_and_by_the_metrics(cut_off: CutOff) -> None:
    cut_off.cut()
    status, body = ready(cut_off.desk.record)
    assert (status, wrong(body)) == (503, {"record"})
    assert "dateline doctor" in body["because"]
    assert set(metrics(cut_off.desk.record)) == {"dateline_record_up"}
    assert values(metrics(cut_off.desk.record)["dateline_record_up"]) == {(): 0}


def test_readiness_names_no_partner_since_anybody_may_ask(record: Record) -> None:
    seeded.a_desk_at_work(record, MOMENT)
    _, body = ready(record)
    assert all(
        slug not in str(body) for slug in ("harbour-herald", "flaky-times", "night-mail", "example.org")
    )


def test_the_metrics_are_what_prometheus_reads_and_tell_the_desks_state(record: Record) -> None:
    seeded.a_desk_at_work(record, MOMENT)
    families = metrics(record)
    assert set(families) == set(PROMISED)
    for name, labels in PROMISED.items():
        assert families[name].type == ("counter" if name in COUNTERS else "gauge")
        assert families[name].documentation
        assert all(set(each.labels) == labels for each in families[name].samples), name
    assert values(families["dateline_record_up"]) == {(): 1}
    assert values(families["dateline_workers"]) == {(): 1}
    assert values(families["dateline_redis_up"]) == {(): 1}
    assert values(families["dateline_events_unrouted"]) == {(): 1}
    deliveries = values(families["dateline_deliveries"])
    assert deliveries["flaky-times", "dead"] == 1
    assert deliveries["flaky-times", "waiting"] == 1
    assert deliveries["harbour-herald", "dead"] == 0
    live = values(families["dateline_partner_endpoints_live"])
    assert live == {("harbour-herald",): 1, ("flaky-times",): 1, ("night-mail",): 0, ("quiet-post",): 0}


def test_the_docs_show_every_route_field_and_refusal(sqlite_record: Record) -> None:
    client = an_app(sqlite_record).test_client()
    answer = client.get("/docs")
    assert answer.content_type == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Set-Cookie" not in answer.headers
    page = html.document_fromstring(answer.get_data(as_text=True))
    assert page.xpath("//script | //*[@style]") == []
    api = client.get("/openapi.json").json
    headings = {" ".join(str(each.text_content()).split()) for each in page.xpath("//h3")}
    assert headings == {f"{method.upper()} {path}" for path, item in api["paths"].items() for method in item}
    fields = {
        str(each.text_content()).split()[0]
        for each in page.xpath("//h2[@id='fields']/following::tbody[1]//th")
    }
    assert fields == set(api["components"]["schemas"]["Article"]["properties"])
    for link in page.xpath("//@href"):
        with client.get(str(link)) as found:
            assert found.status_code in {200, 302}, link
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert PUBLIC_URL in page.text_content()


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [("GET", "/nothing", "not-found"), ("PUT", "/v1/articles", "method-not-allowed"),
     ("GET", "/v1/articles", "unauthenticated"), ("GET", "/feeds/x.rss", "not-found")],
)  # fmt: skip
def test_each_refusals_type_is_a_paragraph_of_the_docs(
    sqlite_record: Record, method: str, path: str, kind: str
) -> None:
    client = an_app(sqlite_record).test_client()
    address, _, anchor = client.open(path, method=method).json["type"].partition("#")
    assert anchor == f"problem-{kind}"
    assert html.document_fromstring(client.get(address).data).get_element_by_id(anchor) is not None
