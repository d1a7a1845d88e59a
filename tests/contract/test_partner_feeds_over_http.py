"""Partners' own feeds when something goes wrong, and that nothing of ours tells their addresses."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from service import logs
from service.http import credentials
from service.store import operations
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.feeds import fetches, partner_feeds
from tests.web import PUBLIC_URL, CutOff, WebDesk, a_partner, now, the_problem
from workers.publish.builder import FeedBuilder


@pytest.fixture(autouse=True)
def logged() -> None:
    """Every line, as it is in production."""
    logs.configure("info", json=True)


def a_feed(desk: WebDesk) -> str:
    """The token of a feed in which one story stands."""
    a_partner(desk.record, "herald")
    made = credentials.new_feed_token()
    operations.add_feed(
        desk.record, partner_feeds.NewPartnerFeed("herald", token_hash=made.hash), actor="operator", now=now()
    )
    assert desk.post().status_code == 202
    routing.route(desk.record, now())
    FeedBuilder(desk.record, PUBLIC_URL, now).drain()
    return made.text


def address(token: str, fmt: str = "rss") -> str:
    return f"/partner/feeds/{token}.{fmt}"


def test_without_the_record_there_is_no_answer_and_it_is_said_when_to_come_again(
    cut_off: CutOff, capfd: pytest.CaptureFixture[str]
) -> None:
    token = a_feed(cut_off.desk)
    assert cut_off.desk.get(address(token)).status_code == 200
    cut_off.cut()
    answer = cut_off.desk.get(address(token))
    the_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1
    told = "".join(capfd.readouterr())
    assert "record.unavailable" in told
    assert token not in told


def test_no_log_and_no_answer_tells_an_address(
    sqlite_desk: WebDesk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = a_feed(sqlite_desk)
    bodies = [
        sqlite_desk.get(path).get_data()
        for path in (
            address(token), address(token, "html"), f"/partner/feeds/{token}", f"/partner/feeds/{token}/x",
            f"/partner/{token}", f"/feeds/{token}.rss", f"/partner/feeds/{token}x.rss",
        )
    ]  # fmt: skip
    # What asks for a public feed is told its own words; they are nobody's address there.
    assert all(token.encode() not in body for body in bodies[:5])

    def fault(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(fetches, "find", fault)
    the_problem(sqlite_desk.get(address(token)), 500)
    told = "".join(capfd.readouterr())
    assert "a fault of ours" in told
    assert "feed.fetched" in told
    assert token not in told
    assert token[5:] not in told


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_feed_is_only_read(sqlite_desk: WebDesk, method: str) -> None:
    answer = sqlite_desk.client.open(address(a_feed(sqlite_desk)), method=method)
    the_problem(answer, 405)
    assert "GET" in answer.headers["Allow"]


def test_a_browser_on_another_site_is_not_let_in(sqlite_desk: WebDesk) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    answer = sqlite_desk.client.options(address(a_feed(sqlite_desk)), headers=headers)
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_address_is_not_guessed_by_its_hash(app: Flask, record: Record) -> None:
    made = credentials.new_feed_token()
    a_partner(record, "herald")
    operations.add_feed(
        record, partner_feeds.NewPartnerFeed("herald", token_hash=made.hash), actor="operator", now=now()
    )
    assert app.test_client().get(address(made.hash)).status_code == 404


@pytest.fixture
def app(desk: WebDesk) -> Flask:
    return desk.app
