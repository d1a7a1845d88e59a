"""Partners that misbehave harm no partner beside them, and the pages name each fault in words."""

from __future__ import annotations

import gzip
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.runtime import key_files
from service.settings import Settings
from service.store import operations
from service.store.database.record import open_record
from service.store.partners import endpoints
from tests.builders import SECRET
from tests.chaos import ledger
from tests.chaos.conftest import LONG
from tests.chaos.steps import a_story, balance, some_stories, under_load
from tests.desk import RunningDesk, eventually
from tests.integration.test_transport import a_certificate, a_server, answering
from tests.outlet import Outlet

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.xdist_group("desks")]

STORIES = 40 if LONG else 8
SOON = 5.0  # for a healthy partner, in seconds
HEALTHY = ("/healthy-1", "/healthy-2")
METADATA = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
# The fault that the waiting delivery names.
NAMED = {"closes": "closed the connection", "redirects": "redirect", "certificate": "certificate"}


def drip(connection: Any, _request: bytes) -> None:
    """Sends a byte a second, until the other side hangs up."""
    for byte in b"HTTP/1.1 200 OK\r\n" * 10:
        connection.sendall(bytes([byte]))
        time.sleep(1)


def bomb(connection: Any, _request: bytes) -> None:
    body = gzip.compress(bytes(16 * 1024 * 1024))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    connection.sendall(head + body)


def hang(connection: Any, _request: bytes) -> None:
    connection.recv(1)  # until the other side hangs up


@contextmanager
def misbehaving_partners(folder: Path) -> Iterator[dict[str, str]]:
    """Their URLs by their behaviour."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(a_certificate(folder))
    with ExitStack() as stack:
        servers = {
            "hangs": stack.enter_context(a_server(hang)),
            "drips": stack.enter_context(a_server(drip)),
            "closes": stack.enter_context(a_server(answering(b"HTTP/1.1 200 OK\r\nServ"))),
            "bombs": stack.enter_context(a_server(bomb)),
            "redirects": stack.enter_context(a_server(answering(METADATA))),
            "certificate": stack.enter_context(a_server(answering(b""), tls)),
        }
        yield {name: server.url for name, server in servers.items()}


def furnish(desk: RunningDesk, urls: dict[str, str]) -> dict[str, int]:
    """Adds an endpoint at each URL; returns their numbers by their behaviour."""
    keyed = key_files.ensure_keys(Settings(data_dir=desk.data_dir))
    record = open_record(keyed.database_url, keyed.secret_key)
    try:
        return {
            name: operations.add_endpoint(
                record,
                endpoints.NewEndpoint("harbour", url, secret=SECRET),
                actor="operator",
                now=datetime.now(UTC),
            ).id
            for name, url in urls.items()
        }
    finally:
        record.close()


def test_partners_that_misbehave_delay_no_other_and_their_faults_are_named(tmp_path: Path) -> None:
    # They misbehave on while the desk ends; RunningDesk asserts that it ends soon and in good order.
    with (
        Outlet() as outlet,
        misbehaving_partners(tmp_path) as urls,
        RunningDesk(tmp_path, workers="2") as desk,
    ):
        desk.furnish(outlet, *HEALTHY)
        numbers = furnish(desk, urls)
        stories = some_stories(STORIES)
        with under_load(desk, stories, 3.0):
            events = [post_and_see_it_come(desk, outlet) for _ in range(STORIES)]

        first = eventually(lambda: tried(desk, events[0], numbers), within=15, what="an attempt at each")
        for name, words in NAMED.items():
            assert first[name]["state"] == "waiting", first[name]
            assert words in first[name]["last_words"]
        assert first["bombs"]["state"] == "delivered"
        states = {state_of(desk, event, numbers["hangs"]) for event in events}
        assert states <= {"pending", "sending", "waiting"}
        balanced = balance(desk, outlet, stories)
        assert ledger.assert_repeats_are_the_same(balanced) == 0
    assert "the worker was stopped before an answer came; it may have arrived" in desk.log()


def post_and_see_it_come(desk: RunningDesk, outlet: Outlet) -> str:
    """Posts a story, asserts that both healthy partners have it soon, and returns its event."""
    answer, accepted = desk.post(a_story()).json(), time.time()
    pushes = eventually(
        lambda: len(found := outlet.of(answer["article"])) == len(HEALTHY) and found,
        within=15,
        what="the healthy partners' pushes",
    )
    assert max(each.at for each in pushes or ()) - accepted < SOON
    return str(answer["event"])


def deliveries(desk: RunningDesk, event: str) -> dict[int, dict[str, Any]]:
    return {each["endpoint_id"]: each for each in desk.get(f"/v1/events/{event}").json()["deliveries"]}


def state_of(desk: RunningDesk, event: str, endpoint: int) -> str:
    return str(deliveries(desk, event)[endpoint]["state"])


def tried(desk: RunningDesk, event: str, numbers: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The event's deliveries by their partners' behaviour; none until every partner that answers has answered."""
    found = deliveries(desk, event)
    named = {name: found[number] for name, number in numbers.items()}
    answered = all(
        named[name]["attempts"] and named[name]["state"] != "sending" for name in (*NAMED, "bombs")
    )
    return named if answered else {}
