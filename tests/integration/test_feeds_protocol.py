"""The feeds server's connections: what is known by its bytes is the same answer, and no client harms the others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from service.serving.server import request_cache
from service.serving.server.limits import Limits
from service.store import operations
from service.store.database.record import Record
from tests import postgres
from tests.builders import later
from tests.desk import eventually
from tests.feeds_server import FeedsServerInThread, a_feeds_server
from tests.publisher import RSS, FeedPublisher, a_story, some_stories
from tests.wire import Wire


def a_request(path: str = RSS, method: str = "GET", version: str = "1.1", **headers: str) -> bytes:
    named = {"Host": "news.example.org", "Accept_Encoding": "gzip", **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items()]
    return f"{method} {path} HTTP/{version}\r\n{''.join(lines)}\r\n".encode()


LIMITS = Limits()
GET = a_request()
SLOW = a_request("/feeds")  # asks the record, in a thread


@pytest.fixture(scope="module")
def room(standing_record: Record) -> FeedPublisher:
    room = FeedPublisher(standing_record)
    room.publish(*some_stories(40))
    return room


@pytest.fixture(scope="module")
def leaving() -> Iterator[ExitStack]:
    """A server takes a fifth of a second to end: they are waited for together."""
    with ExitStack() as servers:
        yield servers


@pytest.fixture(params=["uvloop", "asyncio"])
def server(
    room: FeedPublisher, leaving: ExitStack, request: pytest.FixtureRequest
) -> Iterator[FeedsServerInThread]:
    running = leaving.enter_context(a_feeds_server(room.record, loop=request.param))
    yield running
    running.server.stop()
    running.documents.close()


def lower(monkeypatch: pytest.MonkeyPatch, server: FeedsServerInThread, **limits: float) -> None:
    """Gives the server's connections other limits."""
    context = server.server.context
    monkeypatch.setattr(context, "limits", replace(context.limits, **limits))  # type: ignore[arg-type]


def whole(server: FeedsServerInThread, request: bytes = GET) -> bytes:
    """The document; the request is known afterwards."""
    with Wire(server.port) as wire:
        wire.send(request).reply()
        body = wire.send(request).reply().body
    is_known(server, request)
    return body


def is_known(server: FeedsServerInThread, request: bytes) -> None:
    """The server's thread notes it after it has answered."""
    eventually(lambda: server.requests.find(request) is not None, within=10, what="the request is known")


def test_a_request_is_known_once_it_was_answered_and_is_answered_alike(server: FeedsServerInThread) -> None:
    with Wire(server.port) as wire:
        replies = [wire.send(GET).reply() for _ in range(5)]
        unchanged = a_request(If_None_Match=replies[0].headers["etag"])
        others = [wire.send(unchanged).reply() for _ in range(3)]
    assert len(server.requests) == 2
    for same in (replies, others):
        assert {each.body for each in same} == {same[0].body}
        assert {str({**each.headers, "date": ""}) for each in same} == {str({**same[0].headers, "date": ""})}
    assert (replies[0].status, others[0].status, others[0].body) == (200, 304, b"")


def test_a_request_that_comes_in_parts_is_answered_known_or_not(server: FeedsServerInThread) -> None:
    with Wire(server.port) as wire:
        first = wire.send(GET[:30], GET[30:]).reply()
        assert len(server.requests) == 0
        assert wire.send(GET).reply().body == first.body
        is_known(server, GET)
        for cut in (1, 30, len(GET) - 1):
            assert wire.send(GET[:cut], GET[cut:]).reply().body == first.body
        assert wire.send(GET).reply().body == first.body


def test_requests_that_come_together_are_answered_in_their_order_and_are_not_known(
    server: FeedsServerInThread,
) -> None:
    other = a_request("/feeds/world.atom")
    wait_for_forms(server)
    with Wire(server.port) as wire:
        wire.send(GET + other + SLOW + GET)
        types = [wire.reply().headers["content-type"].partition(";")[0] for _ in range(4)]
        assert types == ["application/rss+xml", "application/atom+xml", "text/html", "application/rss+xml"]
        assert len(server.requests) == 0
        # A known one together with another, and with the beginning of another.
        wire.send(GET).reply()
        wire.send(GET + other)
        assert wire.reply().headers["content-type"].startswith("application/rss")
        assert wire.reply().headers["content-type"].startswith("application/atom")
        wire.send(GET + other[:20], other[20:])
        assert wire.reply().headers["content-type"].startswith("application/rss")
        assert wire.reply().headers["content-type"].startswith("application/atom")


def wait_for_forms(server: FeedsServerInThread) -> None:
    """The documents in the form that the tests ask for: made in a thread when it is first asked for."""
    with Wire(server.port) as wire:
        for path in (RSS, "/feeds/world.atom"):
            wire.send(a_request(path, User_Agent="first")).reply()
    server.requests._by_head.clear()


def test_a_known_request_does_not_overtake_one_that_is_being_answered(server: FeedsServerInThread) -> None:
    body = whole(server)
    with Wire(server.port) as wire:
        for _ in range(20):
            wire.send(SLOW)
            wire.send(GET)
            assert wire.reply().headers["content-type"].startswith("text/html")
            assert wire.reply().body == body


def test_a_document_that_changed_is_served_to_a_request_that_was_known(sqlite_record: Record) -> None:
    room = FeedPublisher(sqlite_record)
    _, killed = room.publish(a_story(1), a_story(2, headline="Minister named"))
    plain = a_request(Accept_Encoding="identity")
    with a_feeds_server(room.record) as server, Wire(server.port) as wire:
        assert b"Minister named" in whole(server, plain)
        tag = wire.send(plain).reply().headers["etag"]
        unchanged = a_request(Accept_Encoding="identity", If_None_Match=tag)
        assert [wire.send(unchanged).reply().status for _ in range(2)] == [304, 304]
        room.kill(killed.article)
        server.documents.refresh()  # what the web sees from here on, this server sees too
        assert b"Minister" not in wire.send(plain).reply().body
        assert b"Minister" not in wire.send(unchanged).reply().body
        server.requests.drop_stale()
        assert all(
            each.selection.cached.document.etag not in tag for each in server.requests._by_head.values()
        )


def test_a_feed_that_is_gone_is_gone_for_a_request_that_was_known(sqlite_record: Record) -> None:
    room = FeedPublisher(sqlite_record)
    room.publish(a_story(1))
    with a_feeds_server(room.record) as server:
        whole(server)
        operations.close_section(sqlite_record, "world", actor="operator", now=later(120))
        server.documents.refresh()
        with Wire(server.port) as wire:
            assert wire.send(GET).reply().status == 410


def test_while_the_record_is_away_known_and_unknown_requests_are_answered(
    postgres_server: Any, postgres_record: Record
) -> None:
    room = FeedPublisher(postgres_record)
    room.publish(a_story(1))
    with a_feeds_server(room.record) as server, Wire(server.port) as wire:
        body = whole(server)
        with postgres.away(postgres_server, "one_test"):
            eventually(
                lambda: server.documents._record_away, within=20, what="the record is noticed to be away"
            )
            assert wire.send(GET).reply().body == body
            assert wire.send(a_request(User_Agent="another")).reply().body == body
            assert wire.send(a_request("/readyz")).reply().status == 200
            assert wire.send(a_request("/feeds/none.rss")).reply().status in {404, 503}


def test_head_has_no_body_and_is_not_mistaken_for_get(server: FeedsServerInThread) -> None:
    head = a_request(method="HEAD")
    body = whole(server)
    with Wire(server.port) as wire:
        for _ in range(3):
            told = wire.send(head).reply(head_only=True)
            assert (told.status, int(told.headers["content-length"])) == (200, len(body))
            assert wire.send(GET).reply().body == body


@pytest.mark.parametrize("request_", [a_request(Connection="close"), a_request(version="1.0")])
def test_a_connection_that_is_to_end_ends_after_its_answer(
    server: FeedsServerInThread, request_: bytes
) -> None:
    body = whole(server)
    for _ in range(2):
        with Wire(server.port) as wire:
            answer = wire.send(request_).reply()
            assert (answer.body, answer.headers["connection"]) == (body, "close")
            assert wire.ends()
    assert len(server.requests) == 1


def test_a_request_to_change_the_protocol_is_answered_as_if_it_were_none(server: FeedsServerInThread) -> None:
    upgrade = a_request(Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="AAMAAABk")
    body = whole(server)
    with Wire(server.port) as wire:
        for _ in range(2):
            assert wire.send(upgrade).reply().body == body
            assert wire.send(GET).reply().body == body
    assert len(server.requests) == 1


def test_request_whose_answer_depends_on_more_than_its_bytes_is_not_cached(
    server: FeedsServerInThread,
) -> None:
    plain = {"Accept_Encoding": "identity"}
    asked = [
        a_request(**plain, Range="bytes=0-9"),
        a_request(**plain, Range="bytes=0-9", If_Range='"older"'),
        a_request(A_IM="feed", If_None_Match='"older"', User_Agent="newsboat/2.21"),
        a_request(method="OPTIONS"),
        a_request("/feeds/none.rss"),
        a_request("/feeds/world"),
        a_request(Accept_Encoding="identity;q=0"),
    ]
    with Wire(server.port) as wire:
        statuses = [wire.send(each).reply().status for each in asked for _ in range(2)]
    assert statuses[::2] == statuses[1::2] == [206, 200, 200, 204, 404, 200, 406]
    assert len(server.requests) == 0


def test_the_date_is_that_of_the_moment_however_often_the_same_is_asked(server: FeedsServerInThread) -> None:
    whole(server)
    with Wire(server.port) as wire:
        for pause in (0, 0.7, 0.7):
            time.sleep(pause)
            told = parsedate_to_datetime(wire.send(GET).reply().headers["date"]).timestamp()
            assert -1.5 < told - time.time() <= 0


def test_request_cache_is_bounded(server: FeedsServerInThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_cache, "REQUEST_CACHE_HEADS", 10)
    wait_for_forms(server)
    with Wire(server.port) as wire:
        for number in range(25):
            request = a_request(X_Request_Id=str(number))
            wire.send(request).reply()
            is_known(server, request)
            assert len(server.requests) <= 10
        before = len(server.requests)
        assert wire.send(a_request(Cookie="x" * request_cache.LONGEST_HEAD)).reply().status == 200
        assert len(server.requests) == before


@pytest.mark.parametrize("known", [True, False])
def test_a_client_that_does_not_read_makes_no_memory_grow(server: FeedsServerInThread, known: bool) -> None:
    body = whole(server, a_request(Accept_Encoding="identity"))
    with Wire(server.port, room=4096) as wire:
        sent = 0
        for number in range(4000):
            unique = {} if known else {"X_Request_Id": f"{number:06}"}
            request = a_request(Accept_Encoding="identity", **unique)
            if wire.send_what_goes(request) < len(request):
                break
            sent += 1
            if number % 50 == 0:
                time.sleep(0.01)
        connections = list(server.server.context.table.all)
        buffered = max(each.transport.get_write_buffer_size() for each in connections)
        assert buffered < 2 * len(body) + (1 << 17)
        assert all(len(each.pipeline) <= 2 * LIMITS.pipelined for each in connections)
        if known:  # what was answered is whole; what could not wait was not answered
            for _ in range(min(sent, LIMITS.pipelined)):
                assert wire.reply().body == body
    with Wire(server.port) as wire:
        assert wire.send(GET).reply().status == 200


def test_a_client_that_never_reads_is_hung_up_on(
    server: FeedsServerInThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower(monkeypatch, server, head_seconds=0.3, send_seconds=0.3, keep_alive_seconds=1)
    request = a_request(Accept_Encoding="identity")
    whole(server, request)
    with Wire(server.port, room=4096) as wire:
        with suppress(ConnectionResetError):
            while wire.send_what_goes(request * 20):
                time.sleep(0.01)
        eventually(lambda: not server.server.context.table.all, within=20, what="the connection is given up")


def test_a_client_that_reads_slowly_gets_all_of_it(
    server: FeedsServerInThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower(monkeypatch, server, head_seconds=0.2, send_seconds=0.2, keep_alive_seconds=1)
    request = a_request(Accept_Encoding="identity")
    body = whole(server, request)
    with Wire(server.port, room=4096) as wire:
        count = (3 << 20) // len(body) + 1
        wire.send(*[request] * 3)
        wire.send(request * (min(count, LIMITS.pipelined) - 3))
        for _ in range(min(count, LIMITS.pipelined)):
            time.sleep(0.05)
            assert wire.reply().body == body


def test_a_client_that_leaves_before_it_is_answered_is_no_fault(
    server: FeedsServerInThread, caplog: pytest.LogCaptureFixture
) -> None:
    whole(server)
    for _ in range(3):
        with Wire(server.port, room=4096) as wire:
            wire.send(SLOW * 5)
        with Wire(server.port, room=4096) as wire:
            while wire.send_what_goes(a_request(Accept_Encoding="identity") * 10_000):
                time.sleep(0.05)
    eventually(lambda: not server.server.context.table.all, within=20, what="all are gone")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_more_requests_than_can_wait_end_the_connection_after_those_before(
    server: FeedsServerInThread,
) -> None:
    many = LIMITS.pipelined * 3
    with Wire(server.port) as wire:
        wire.send(SLOW * many)
        for _ in range(LIMITS.pipelined + 1):
            assert wire.reply().status == 200
        assert wire.ends()


@pytest.mark.parametrize("parts", [1, 9])
def test_a_head_that_is_too_large_is_refused(server: FeedsServerInThread, parts: int) -> None:
    head = a_request(Cookie="x" * LIMITS.head_bytes * 3)
    size = len(head) // parts + 1
    with Wire(server.port) as wire:
        for at in range(0, len(head), size):
            if not wire.send_what_goes(head[at : at + size]):
                break
            time.sleep(0.01)
        assert wire.reply().status == 431
        assert wire.ends()
    with Wire(server.port) as wire:
        assert wire.send(a_request(Cookie="x" * (LIMITS.head_bytes - 500))).reply().status == 200


def test_one_header_without_an_end_is_refused(server: FeedsServerInThread) -> None:
    with Wire(server.port) as wire:
        wire.send(b"GET / HTTP/1.1\r\nX: ", *[b"x" * 8192] * (2 + LIMITS.head_bytes // 8192))
        assert wire.reply().status == 431


def test_a_head_that_trickles_in_is_given_up(
    server: FeedsServerInThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower(monkeypatch, server, head_seconds=0.6)
    whole(server)
    begun = b"GET /feeds/world.rss HTTP/1.1\r\nX: "
    # At the connection's start; after an answer of each kind; and begun together with the request before.
    beginnings = (
        [begun],
        [GET, begun],
        [a_request(User_Agent="new"), begun],
        [SLOW, begun],
        [SLOW + begun],
    )
    with ThreadPoolExecutor(len(beginnings)) as clients:
        lasted = list(clients.map(lambda chunks: trickles(server, chunks), beginnings))
    assert len(lasted) == 5
    assert all(0.4 < seconds < 10 for seconds in lasted), lasted


def trickles(server: FeedsServerInThread, chunks: list[bytes]) -> float:
    """Goes on by a byte at a time; how long the server bore with it."""
    with Wire(server.port) as wire:
        wire.send(*chunks)
        began = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012
            while time.monotonic() - began < 20:
                wire.send(b"", b"x")
        return time.monotonic() - began


def test_a_connection_on_which_nothing_comes_is_ended(
    server: FeedsServerInThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower(monkeypatch, server, head_seconds=0.3)
    with Wire(server.port) as wire:
        assert wire.ends()


def test_connection_stays_open_while_it_is_used_and_then_for_its_time(
    server: FeedsServerInThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower(monkeypatch, server, keep_alive_seconds=1)
    whole(server)
    with ThreadPoolExecutor(3) as clients:
        seconds = list(
            clients.map(lambda asks: kept_after_use(server, asks), [GET, SLOW, a_request(If_None_Match="*")])
        )
    assert len(seconds) == 3
    assert max(seconds) < 5


def kept_after_use(server: FeedsServerInThread, request: bytes) -> float:
    """Asks now and then for longer than a connection is kept; how long it is kept afterwards."""
    with Wire(server.port) as wire:
        for _ in range(5):
            wire.send(request).reply()
            time.sleep(0.4)
        began = time.monotonic()
        assert wire.ends()
        return time.monotonic() - began


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (a_request(Content_Length="1000000"), 413),
        (a_request(Transfer_Encoding="chunked"), 413),
        (a_request(method="HEAD", Content_Length="3"), 413),
        (a_request(method="POST", Content_Length="1000000"), 405),
        (a_request("/v1/articles", method="POST", Content_Length="1000000", Expect="100-continue"), 405),
    ],
)
def test_a_body_is_refused_before_it_is_sent(
    server: FeedsServerInThread, request_: bytes, status: int
) -> None:
    whole(server)
    with Wire(server.port) as wire:
        answer = wire.send(request_).reply(head_only=request_.startswith(b"HEAD"))
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert wire.ends()


def test_a_body_that_is_empty_is_none(server: FeedsServerInThread) -> None:
    with Wire(server.port) as wire:
        assert wire.send(a_request(Content_Length="0")).reply().status == 200
        assert wire.send(a_request(method="POST", Content_Length="0")).reply().status == 405
        assert wire.send(GET).reply().status == 200


@pytest.mark.parametrize(
    "rubbish",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET  HTTP/1.1\r\n\r\n",
        b"BREW /feeds/world.rss HTTP/1.1\r\n\r\n",
        b"GET /feeds/world.rss HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /feeds/world.rss HTTP/1.1\r\n X: folded\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_request_is_refused_and_the_connection_ends(
    server: FeedsServerInThread, rubbish: bytes
) -> None:
    body = whole(server)
    with Wire(server.port) as wire:
        assert wire.send(GET).reply().body == body
        assert wire.send(rubbish).reply().status == 400
        assert wire.ends()


def test_further_connection_closes_the_one_that_is_idle_for_longest(room: FeedPublisher) -> None:
    with a_feeds_server(room.record, limits=Limits(connections=3)) as server:
        whole(server)
        eventually(lambda: not server.server.context.table.all, within=10, what="none is open")
        with Wire(server.port) as one, Wire(server.port) as two, Wire(server.port) as three:
            for wire in (one, two, three):
                assert wire.send(b"", GET).reply().status == 200
            assert (
                one.send(b"", GET).reply().status == 200
            )  # later than the others by more than a clock's step
            with Wire(server.port) as four:
                assert four.send(GET).reply().status == 200
                assert two.ends()
                assert one.send(GET).reply().status == 200
                assert three.send(GET).reply().status == 200
