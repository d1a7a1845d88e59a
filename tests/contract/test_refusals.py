"""Refusals of the intake are counted by source and reason: on the status page, as a metric, for the limits."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from service.intake import refusal_counter
from service.store.articles import refusals
from service.store.articles.refusals import RefusalKey, hour_of
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.schema.articles import intake_refusal
from tests.builders import an_endpoint
from tests.seeded import WORKER
from tests.web import OPERATOR, Newsroom, a_newsroom, an_app, encoded, some_sections

MOMENT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
WRONG = "v1,QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


class ClockAt:
    def __init__(self) -> None:
        self.now = MOMENT

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each refusal is written before the next request."""
    monkeypatch.setattr(refusal_counter, "WRITE_EVERY", 0.0)


def counted(record: Record) -> dict[tuple[str, str], int]:
    return {(each.source, each.reason): each.count for each in refusals.totals(record)}


def summary(record: Record, app: Flask, now: datetime) -> tuple[str, str]:
    heartbeats.heartbeat(record, WORKER, broker="up", now=now)
    told = app.test_client().get("/status.json", headers=OPERATOR).json["summary"]
    return told["level"], told["sentence"]


def signed(app: Flask, newsroom: Newsroom, path: str = "/v1/articles", **changes: str) -> int:
    body = encoded()
    headers = newsroom.signed(body, at=MOMENT, **changes)
    posted = app.test_client().post(path, data=body, content_type="application/json", headers=headers)
    return int(posted.status_code)


def test_refusals_are_counted_by_source_and_reason(record: Record) -> None:
    app, newsroom = an_app(record, clock=ClockAt()), a_newsroom(record)
    some_sections(record)
    client = app.test_client()
    for _ in range(2):
        assert client.post("/v1/articles", json={}, headers=newsroom.bearer).status_code == 422
    assert client.post("/v1/articles", data=b"{", headers=newsroom.bearer).status_code == 415
    assert client.post("/v1/articles", json={}, headers={"Authorization": "Bearer x"}).status_code == 401
    spoilt = {"Authorization": newsroom.bearer["Authorization"][:-3] + "AAA"}
    assert client.post("/v1/articles", json={}, headers=spoilt).status_code == 401
    assert signed(app, newsroom, "/v1/hooks/wire", signature=WRONG) == 401
    assert signed(app, newsroom, "/v1/hooks/nobody", signature=WRONG) == 401
    assert counted(record) == {
        ("wire", "invalid"): 2,
        ("", "media-type"): 1,  # before the key is looked at
        ("wire", "unauthenticated"): 2,
        ("", "unauthenticated"): 2,
    }
    metrics = client.get("/metrics", headers=OPERATOR).text
    assert 'dateline_intake_refused_total{reason="invalid",source="wire"} 2.0' in metrics
    unnamed = client.get("/metrics").text
    assert 'dateline_intake_refused_total{reason="unauthenticated"} 4.0' in unnamed
    assert '"wire"' not in unnamed


def test_sentence_says_that_all_of_a_source_is_refused_until_something_is_accepted(record: Record) -> None:
    clock = ClockAt()
    app, newsroom = an_app(record, clock=clock), a_newsroom(record)
    some_sections(record)
    an_endpoint(record, "herald")
    assert summary(record, app, MOMENT) == ("good", "The one partner is current")
    for _ in range(3):
        app.test_client().post("/v1/articles", json={}, headers=newsroom.bearer)
    clock.now += timedelta(minutes=5)
    words = "The intake refused each of the last 3 posts of 'wire': invalid, 5 min ago"
    assert summary(record, app, clock.now) == ("warn", words)
    pipeline = app.test_client().get("/status.json", headers=OPERATOR).json["pipeline"]
    assert [(each["source"], each["in_a_row"]) for each in pipeline["refused"]] == [("wire", 3)]
    assert app.test_client().post(
        "/v1/articles", data=encoded(), content_type="application/json", headers=newsroom.bearer
    ).status_code == 202  # fmt: skip
    assert "refused" not in summary(record, app, clock.now)[1]
    assert counted(record) == {("wire", "invalid"): 3}


def test_a_refused_takedown_is_red_whatever_else_of_its_source_is_accepted(record: Record) -> None:
    clock = ClockAt()
    app, newsroom = an_app(record, clock=clock), a_newsroom(record)
    some_sections(record)
    an_endpoint(record, "herald")
    client = app.test_client()
    takedown = {"id": "x" * 300, "status": "killed"}
    assert client.post("/v1/articles", json=takedown, headers=newsroom.bearer).status_code == 422
    stranger = {"Authorization": "Bearer x"}
    assert client.post("/v1/articles", json=takedown, headers=stranger).status_code == 401
    assert counted(record) == {("wire", "takedown"): 1, ("", "unauthenticated"): 1}
    clock.now += timedelta(hours=2)
    assert client.post(
        "/v1/articles", data=encoded(), content_type="application/json", headers=newsroom.bearer
    ).status_code == 202  # fmt: skip
    words = "The intake refused a takedown of 'wire' 2 h ago: its story may still be everywhere"
    assert summary(record, app, clock.now) == ("bad", words)
    metrics = client.get("/metrics", headers=OPERATOR).text
    assert 'dateline_intake_refused_total{reason="takedown",source="wire"} 1.0' in metrics


def test_strangers_who_knock_once_are_no_trouble_and_those_who_keep_on_are(record: Record) -> None:
    clock = ClockAt()
    app = an_app(record, clock=clock)
    an_endpoint(record, "herald")
    client = app.test_client()
    for knocks in (1, 2, 3):
        client.post("/v1/articles", json={}, headers={"Authorization": "Bearer x"})
        level, words = summary(record, app, clock.now)
        assert level == ("warn" if knocks == 3 else "good"), words
    assert words.startswith("The intake refused each of the last 3 posts of unknown senders: unauthenticated")
    clock.now += timedelta(hours=2)
    assert summary(record, app, clock.now)[0] == "good"


def test_wrong_signatures_are_limited_and_a_right_one_from_there_is_not(record: Record) -> None:
    app, newsroom = an_app(record, clock=ClockAt()), a_newsroom(record)
    some_sections(record)
    answers = [signed(app, newsroom, signature=WRONG) for _ in range(250)]
    assert [answers[0], answers.count(401), answers[-1]] == [401, 240, 429]
    assert counted(record) == {("", "unauthenticated"): 240, ("", "too-many"): 10}
    assert signed(app, newsroom) == 202


def test_a_flood_of_refusals_is_few_writes_and_loses_no_count(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusal_counter, "WRITE_EVERY", 60.0)
    counter = refusal_counter.RefusalCounter(sqlite_record, ClockAt())
    for number in range(500):
        counter.refused(f"source{number % 3}", "invalid")
    assert sum(counted(sqlite_record).values()) == 1
    counter.flush()
    assert sum(counted(sqlite_record).values()) == 500


def test_counts_of_old_hours_are_added_up_and_never_fall(record: Record) -> None:
    for days in range(40):
        moment = MOMENT + timedelta(days=days)
        refusals.add(record, {RefusalKey("wire", "invalid", hour_of(moment)): 2}, moment)
        refusals.add_up(record, moment)
        assert counted(record) == {("wire", "invalid"): 2 * (days + 1)}
    with record.reading() as connection:
        rows = connection.execute(select(func.count()).select_from(intake_refusal)).scalar_one()
    assert rows <= 5


def test_log_names_the_source_and_the_reason_and_not_the_text(
    sqlite_record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    app, newsroom = an_app(sqlite_record), a_newsroom(sqlite_record)
    app.test_client().post("/v1/articles", json={"headline": "Merger"}, headers=newsroom.bearer)
    logged = capsys.readouterr()
    text = logged.out + logged.err
    assert "intake.refused" in text
    assert re.search(r"reason=invalid source=wire|\"source\":\"wire\",\"reason\":\"invalid\"", text)
    assert "Merger" not in text
