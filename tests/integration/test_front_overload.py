"""More posts than can be taken are refused early, and shared among the sources; nothing else waits for them."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from service.serving.server.limits import Limits
from service.store.database.record import Record
from tests.front import WebInThread, a_front, a_web_process, accepted_articles, ask, p95, post, seconds_of
from tests.web import Newsroom, a_newsroom, encoded
from tests.wire import Wire

HOST = b"Host: x\r\n"


@contextmanager
def busy_posts(front: WebInThread) -> Iterator[threading.Event]:
    """Posts take a thread until the event is set."""
    go_on = threading.Event()
    inner = front.running.server.site.middleware._app  # type: ignore[attr-defined]

    def wait(environ, start):  # type: ignore[no-untyped-def]
        if environ["PATH_INFO"] == "/v1/articles":
            go_on.wait(20)
        return inner(environ, start)

    front.running.server.site.middleware._app = wait  # type: ignore[attr-defined]
    try:
        yield go_on
    finally:
        go_on.set()


def a_post(newsroom: Newsroom, number: int) -> bytes:
    body = encoded(id=f"{newsroom.slug}-{number}")
    headers = {"Content-Type": "application/json", **newsroom.bearer, "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"POST /v1/articles HTTP/1.1\r\n" + HOST + lines.encode() + b"\r\n" + body


def test_probe_feed_and_page_do_not_wait_behind_posts(sqlite_record: Record) -> None:
    with a_front(sqlite_record) as front, busy_posts(front), ExitStack() as stack:
        for number in range(60):
            stack.enter_context(Wire(front.port)).send(a_post(front.newsroom, number))
        for path in ("/healthz", "/feeds", "/status/login"):
            assert max(seconds_of(lambda path=path: ask(front.port, path), 3)) < 5


def test_source_that_floods_is_refused_its_surplus_while_another_is_taken(sqlite_record: Record) -> None:
    """The flood gets 503, 429 once another waits; each refusal says when to come back, and nothing accepted is lost."""
    with a_front(sqlite_record) as front, ExitStack() as stack:
        other = a_newsroom(sqlite_record, "other")
        context = front.running.server.context
        for newsroom in (front.newsroom, other):  # both are known
            with Wire(front.port) as wire:
                assert wire.send(a_post(newsroom, 10_000)).reply().status == 202
        with busy_posts(front) as go_on:
            flood = [stack.enter_context(Wire(front.port)) for _ in range(200)]
            for number, wire in enumerate(flood):
                wire.send(a_post(front.newsroom, number))
            first = flood[-1].reply()
            assert (first.status, first.headers["retry-after"]) == (503, "1")
            assert context.lanes["posts"].waiting == context.limits.queue
            late = [stack.enter_context(Wire(front.port)) for _ in range(20)]
            for number, wire in enumerate(late):
                wire.send(a_post(other, number))
            again = stack.enter_context(Wire(front.port))
            assert again.send(a_post(front.newsroom, 999)).reply().status == 429
            go_on.set()
            answers = Counter(wire.reply().status for wire in late)
            assert answers == {202: 20}
            statuses = Counter([first.status, *(wire.reply().status for wire in flood[:-1])])
        assert statuses.keys() == {202, 429, 503}
        assert accepted_articles(sqlite_record) == 2 + 20 + statuses[202]
        assert again.send(a_post(front.newsroom, 999)).reply().status == 202


def test_made_up_keys_do_not_make_one_client_many_sources(sqlite_record: Record) -> None:
    with a_front(sqlite_record) as front, ExitStack() as stack:
        with Wire(front.port) as wire:
            assert wire.send(a_post(front.newsroom, 10_000)).reply().status == 202
        with busy_posts(front) as go_on:
            for number in range(150):
                made_up = Newsroom(f"none-{number}", f"dateline_none{number}", "")
                stack.enter_context(Wire(front.port)).send(a_post(made_up, number))
            with Wire(front.port) as wire:
                wire.send(a_post(front.newsroom, 1))
                go_on.set()
                assert wire.reply().status == 202


def test_addresses_of_one_household_do_not_make_one_client_many_senders(sqlite_record: Record) -> None:
    limits = Limits(trusted=(ip_network("127.0.0.0/8"),))
    with a_front(sqlite_record, limits=limits) as front, busy_posts(front) as go_on, ExitStack() as stack:

        def a_post_from(address: str, number: int) -> bytes:
            return a_post(front.newsroom, number).replace(
                HOST, HOST + f"X-Forwarded-For: {address}\r\n".encode()
            )

        for number in range(150):
            wire = stack.enter_context(Wire(front.port))
            wire.send(a_post_from(f"2001:db8::{number:x}", number))
        with Wire(front.port) as other:
            other.send(a_post_from("2001:db8:1::1", 999))
            go_on.set()
            assert other.reply().status == 202


def test_post_that_waits_too_long_is_a_503(sqlite_record: Record) -> None:
    with a_front(sqlite_record) as front, busy_posts(front), ExitStack() as stack:
        object.__setattr__(front.running.server.context.limits, "queue_seconds", 1.0)
        wires = [stack.enter_context(Wire(front.port)) for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.send(a_post(front.newsroom, number))
        assert wires[-1].reply().status == 503


@pytest.mark.slow
def test_flood_of_posts_leaves_the_rest_alone_and_is_over_when_it_ends(
    sqlite_record: Record, tmp_path: Path
) -> None:
    with a_web_process(f"sqlite:///{tmp_path / 'dateline.db'}", tmp_path) as web:
        assert post(web.port, web.newsroom, 10**6) == 202
        quiet = p95(seconds_of(lambda: ask(web.port, "/healthz"), 40))
        articles = accepted_articles(sqlite_record)
        over, statuses, lock = threading.Event(), Counter[int](), threading.Lock()

        def flood(at: int) -> None:
            with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)) as client:
                number = at * 100_000
                while not over.is_set():
                    body = encoded(id=f"f{number}")
                    headers = {"Content-Type": "application/json", **web.newsroom.bearer}
                    client.request("POST", "/v1/articles", body, headers)
                    answer = client.getresponse()
                    answer.read()
                    number += 1
                    with lock:
                        statuses[answer.status] += 1

        threads = [threading.Thread(target=flood, args=(at,)) for at in range(200)]
        for each in threads:
            each.start()
        try:
            time.sleep(1)
            during = p95(seconds_of(lambda: ask(web.port, "/healthz"), 20))
        finally:
            over.set()
            began = time.monotonic()
            for each in threads:
                each.join()
        assert post(web.port, web.newsroom, 2 * 10**6) == 202
        assert time.monotonic() - began < 5
        assert statuses.keys() <= {202, 429, 503}
        assert statuses[202] > 0
        assert accepted_articles(sqlite_record) == articles + statuses[202] + 1
        assert during < max(quiet * 2, quiet + 2)  # 200 clients in this very process take the processor, too
