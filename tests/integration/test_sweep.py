"""The sweep of a worker that does not lead: it sees for itself what is due."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest

from service.store import leases, routing
from service.store.record import Record
from tests.builders import a_desk, an_article, an_endpoint, post
from workers.deliver import Courier
from workers.hands import Hands
from workers.publish import Press
from workers.sweep import Sweep
from workers.transport import Sender


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def partner() -> Iterator[tuple[str, list[str]]]:
    """A partner that takes everything: its URL, and the ids it took."""
    taken: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            taken.append(self.headers["webhook-id"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", taken
        server.shutdown()
        thread.join()


def test_idle_worker_delivers_though_another_one_leads_and_took_the_hint(
    record: Record, partner: tuple[str, list[str]]
) -> None:
    url, taken = partner
    source = a_desk(record)
    an_endpoint(record, url=url)
    post(record, source, an_article(), now=now())
    routing.route(record, now())
    assert leases.take(record, "sweep", "the-leader", now=now(), lasts=timedelta(minutes=1))
    sender = Sender((ip_network("127.0.0.0/8"),), user_agent="test")
    courier = Courier(record, sender, "idle", now, random.random)
    hints: list[str] = []
    hands = Hands(record, Press(record, "https://news.example.org", now), courier, "idle", now, hints.append)
    sweep = Sweep(record, hands, "idle", hint=hints.append, broker=lambda: "up", tell=lambda: None, clock=now)
    sweep.look()
    deadline = time.monotonic() + 10
    while not taken and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    hands.close()
    assert len(taken) == 1
    assert hints == []  # it is the leader's to tell the others
