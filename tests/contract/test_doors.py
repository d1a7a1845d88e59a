"""The doors: sessions end with the logout, guessing has limits everywhere, the metrics tell strangers nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any
from urllib.request import urlopen

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service import wsgi
from service.console.metrics_listener import MetricsApplication
from service.http import credentials
from service.http.client_address import client_address, limited_address
from service.serving.document_cache import DocumentCache
from service.store.coordination import auth_limits
from service.store.database.record import Record
from tests import seeded
from tests.web import OPERATOR, PUBLIC_URL, TOKEN, CutOff, a_newsroom, a_partner, an_app

MOMENT = datetime.fromisoformat("2026-07-28T12:00:00Z")
PROXIES = (ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8"))


def cookie_of(client: FlaskClient) -> str:
    found = client.get_cookie("dateline_session")
    assert found is not None
    return found.value


def logged_in(app: Flask) -> FlaskClient:
    client = app.test_client()
    assert client.post("/status/login", data={"token": TOKEN}).status_code == 303
    return client


def log_out(client: FlaskClient) -> None:
    with client.session_transaction() as session:
        form = {"csrf": session["csrf"]}
    assert client.post("/status/logout", data=form).status_code == 303


def test_a_copied_cookie_opens_nothing_after_the_logout(record: Record) -> None:
    app, beside = an_app(record), an_app(record)  # two processes
    client = logged_in(app)
    copy = cookie_of(client)
    thief = beside.test_client()
    thief.set_cookie("dateline_session", copy)
    assert thief.get("/status").status_code == 200
    log_out(client)
    for each in (app, beside):
        thief = each.test_client()
        thief.set_cookie("dateline_session", copy)
        assert thief.get("/status").status_code == 302
        assert thief.get("/status.json").status_code == 401


def test_the_logout_of_one_browser_leaves_the_other_in(sqlite_record: Record) -> None:
    app = an_app(sqlite_record)
    one, other = logged_in(app), logged_in(app)
    log_out(one)
    assert other.get("/status").status_code == 200


def test_a_session_ends_after_twelve_hours_though_its_cookie_is_kept(sqlite_record: Record) -> None:
    moment = [MOMENT]
    app = an_app(sqlite_record, clock=lambda: moment[0])
    client = logged_in(app)
    moment[0] += timedelta(hours=12)
    assert client.get("/status").status_code == 302


def test_a_logout_without_the_record_says_so_and_can_be_repeated(cut_off: CutOff) -> None:
    client = cut_off.desk.inside()
    with client.session_transaction() as session:
        form = {"csrf": session["csrf"]}
    cut_off.cut()
    assert client.post("/status/logout", data=form).status_code == 503
    assert client.get_cookie("dateline_session") is not None


def guess(app: Flask, token: str = "wrong", address: str = "192.0.2.1", path: str = "/v1/events/x") -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return app.test_client().get(path, headers=headers, environ_overrides={"REMOTE_ADDR": address})


@pytest.mark.parametrize(
    "path", ["/v1/events/x", "/v1/articles/x", "/v1/partner/events", "/status.json", "/metrics"]
)
def test_three_hundred_guesses_as_a_bearer_are_limited_at_every_door(
    sqlite_record: Record, path: str
) -> None:
    app = an_app(sqlite_record, clock=lambda: MOMENT)
    answers = [guess(app, f"guess-{number}", path=path) for number in range(300)]
    assert [each.status_code for each in answers].count(401) == 60
    assert answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 61
    assert answers[-1].json["type"] == "/docs#problem-too-many"
    assert guess(app, TOKEN, path=path).status_code == 429, "the guesser's own right guess opens nothing"
    assert guess(app, TOKEN, "192.0.2.2", path).status_code != 429


def test_guesses_at_the_intake_are_limited_and_a_right_key_from_there_is_not(record: Record) -> None:
    app = an_app(record, clock=lambda: MOMENT)
    newsroom, partner = a_newsroom(record), a_partner(record, "herald")
    wrong = credentials.new_api_key().text
    answers = [
        app.test_client().post("/v1/articles", json={}, headers={"Authorization": f"Bearer {wrong}"})
        for _ in range(70)
    ]
    assert [answers[0].status_code, answers[-1].status_code] == [401, 429]
    assert app.test_client().post("/v1/articles", json={}, headers=newsroom.bearer).status_code == 422
    assert app.test_client().get("/v1/partner/events", headers=partner).status_code == 200


def test_guesses_at_partners_feeds_are_limited(sqlite_record: Record) -> None:
    app = an_app(sqlite_record, clock=lambda: MOMENT)
    paths = [f"/partner/feeds/{credentials.new_feed_token().text}.atom" for _ in range(70)]
    answers = [app.test_client().get(each) for each in paths]
    assert [answers[0].status_code, answers[-1].status_code] == [404, 429]


def test_processes_share_the_limit(record: Record) -> None:
    one, other = (an_app(record, clock=lambda: MOMENT) for _ in range(2))
    for number in range(5):
        assert one.test_client().post("/status/login", data={"token": f"{number}"}).status_code == 403
    assert other.test_client().post("/status/login", data={"token": "6"}).status_code == 429


def test_limits_hold_while_the_record_is_away(cut_off: CutOff) -> None:
    app = cut_off.desk.app
    cut_off.cut()
    answers = [guess(app).status_code for _ in range(70)]
    assert answers[-1] == 429
    assert guess(app, address="192.0.2.9").status_code == 401


def test_behind_a_proxy_the_guesser_waits_and_the_operator_does_not(sqlite_record: Record) -> None:
    app = an_app(sqlite_record, clock=lambda: MOMENT, trusted_proxies="10.0.0.0/8")

    def login(token: str, client: str) -> int:
        answer = app.test_client().post(
            "/status/login",
            data={"token": token},
            headers={"X-Forwarded-For": client},
            environ_overrides={"REMOTE_ADDR": "10.0.0.1"},
        )
        return answer.status_code

    assert [login("wrong", "203.0.113.5") for _ in range(6)] == [403] * 5 + [429]
    assert login("wrong", "198.51.100.1, 203.0.113.5") == 429, "what the client wrote itself changes nothing"
    assert login(TOKEN, "203.0.113.6") == 303


def test_behind_a_proxy_that_nobody_named_a_proven_operator_is_not_locked_out(sqlite_record: Record) -> None:
    moment = [MOMENT]
    app = an_app(sqlite_record, clock=lambda: moment[0])
    assert guess(app, TOKEN).status_code == 404
    assert app.test_client().post("/status/login", data={"token": TOKEN}).status_code == 303
    moment[0] += timedelta(days=3)
    for _ in range(70):
        guess(app)
        app.test_client().post("/status/login", data={"token": "wrong"})
    assert guess(app).status_code == 429
    assert guess(app, TOKEN).status_code == 404
    assert app.test_client().post("/status/login", data={"token": TOKEN}).status_code == 303


def test_a_clock_put_back_ends_no_limit_for_ever(sqlite_record: Record) -> None:
    moment = [MOMENT]
    app = an_app(sqlite_record, clock=lambda: moment[0])
    for _ in range(6):
        app.test_client().post("/status/login", data={"token": "wrong"})
    moment[0] -= timedelta(days=400)
    assert app.test_client().post("/status/login", data={"token": TOKEN}).status_code == 303


def test_addresses_that_guess_do_not_fill_the_record(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_limits, "ROWS", 20)
    for number in range(50):
        at = MOMENT + timedelta(seconds=number)
        auth_limits.note_failure(record, "bearer", f"192.0.2.{number}", at)
    found = [auth_limits.find(record, "bearer", f"192.0.2.{number}") for number in range(50)]
    assert sum(each is not None for each in found) == 21
    assert found[-1] is not None


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("203.0.113.1", {"X-Forwarded-For": "198.51.100.7"}, "203.0.113.1"),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.7"}, "198.51.100.7"),
        ("10.0.0.1", {"X-Forwarded-For": "1.2.3.4, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.7:4711"}, "198.51.100.7"),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.7, unknown"}, "10.0.0.1"),
        ("10.0.0.1", {"Forwarded": 'for=1.2.3.4, for="[2001:db8::7]:80";proto=https'}, "2001:db8::7"),
        ("10.0.0.1", {"Forwarded": "for=198.51.100.7, proto=https"}, "10.0.0.1"),
        ("::ffff:10.0.0.1", {"X-Forwarded-For": "198.51.100.7"}, "198.51.100.7"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"X-Forwarded-For": ""}, "10.0.0.1"),
    ],
)
def test_the_client_is_the_right_most_address_that_no_proxy_vouches_for(
    peer: str, headers: dict[str, str], client: str
) -> None:
    app = Flask("doors")
    with app.test_request_context("/", headers=headers, environ_base={"REMOTE_ADDR": peer}) as context:
        assert client_address(context.request, PROXIES) == client


def test_a_household_of_ipv6_counts_as_one_address() -> None:
    app = Flask("doors")
    found = set()
    for each in ("2001:db8::1", "2001:db8::ffff:1"):
        with app.test_request_context("/", environ_base={"REMOTE_ADDR": each}) as context:
            found.add(limited_address(context.request, ()))
    assert found == {"2001:db8::/64"}


@pytest.fixture
def busy(sqlite_record: Record) -> Record:
    seeded.a_desk_at_work(sqlite_record, MOMENT)
    return sqlite_record


def scrape(app: Flask, address: str = "127.0.0.1", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.test_client().get("/metrics", headers=named, environ_overrides={"REMOTE_ADDR": address})


def test_metrics_without_a_token_are_for_this_machine_and_name_nobody(busy: Record) -> None:
    app = an_app(busy, clock=lambda: MOMENT)
    text = scrape(app).text
    assert "dateline_workers 1.0" in text
    for secret in ("herald", "flaky", "scheduled", "partner=", "section="):
        assert secret not in text
    assert scrape(app, "192.0.2.7").status_code == 401
    assert scrape(app, X_Forwarded_For="192.0.2.7").status_code == 401


def test_metrics_with_a_token_are_whole(busy: Record) -> None:
    app = an_app(busy, clock=lambda: MOMENT, metrics_token="a-token-for-the-scraper")
    assert (
        'state="scheduled"' in scrape(app, "192.0.2.7", Authorization="Bearer a-token-for-the-scraper").text
    )
    assert (
        'partner="harbour-herald"' in scrape(app, "192.0.2.7", Authorization=OPERATOR["Authorization"]).text
    )
    assert scrape(app).status_code == 401, "with a token set, this machine needs it too"
    assert scrape(app, Authorization="Bearer another").status_code == 401


@pytest.fixture
def listener(busy: Record) -> Iterator[str]:
    metrics = MetricsApplication(busy, lambda: MOMENT)
    server, port = wsgi.start_metrics("127.0.0.1:0", metrics, DocumentCache(busy, PUBLIC_URL))
    yield f"http://127.0.0.1:{port}/metrics"
    server.stop()


def test_metrics_have_a_listener_of_their_own_which_the_web_then_refuses(busy: Record, listener: str) -> None:
    with urlopen(listener, timeout=10) as answer:
        assert b'partner="harbour-herald"' in answer.read()
    assert scrape(an_app(busy, metrics_listen="127.0.0.1:8602")).status_code == 401


def test_scrapes_are_answered_while_others_hold_connections_to_the_listener_and_cost_no_threads(
    listener: str,
) -> None:
    port = int(listener.split(":")[2].partition("/")[0])
    urlopen(listener, timeout=10).close()
    threads = threading.active_count()
    with ExitStack() as stack:
        for number in range(100):
            client = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), 10)))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n"[: 10 * (number % 4)])
        with urlopen(listener, timeout=10) as answer:
            assert b"dateline_record_up 1.0" in answer.read()
        assert threading.active_count() <= threads


@pytest.mark.parametrize(
    "path", ["/readyz", "/healthz", "/openapi.json", "/docs", "/nothing", "/v1/events/x", "/feeds"]
)
def test_nothing_that_is_open_to_all_names_a_partner_or_an_embargo(busy: Record, path: str) -> None:
    text = an_app(busy, clock=lambda: MOMENT).test_client().get(path).text.casefold()
    assert not [each for each in ("harbour-herald", "flaky", "night-mail", "ferry lines") if each in text]
