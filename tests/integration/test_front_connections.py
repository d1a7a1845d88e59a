"""Clients that hold on to the web and want nothing: the others do not notice them, and the process stays small."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from service.serving.server.limits import Limits
from service.store.database.record import Record
from tests.desk import eventually
from tests.front import (
    WebProcess,
    a_front,
    a_web_process,
    accepted_articles,
    ask,
    p95,
    post,
    seconds_of,
)
from tests.open_files import raise_open_files
from tests.wire import Wire

IDLE, HALF_SENT, DRIPPING = 2_000, 500, 200
# By which a web process may grow while all these connections are open.
GROWTH_BYTES = 150 * 2**20
HEAD = b"POST /v1/articles HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ASKED = 60
# What is measured on a machine that has other work: so much more is no delay of ours.
NOISE_SECONDS = 0.05


@pytest.fixture
def web(sqlite_record: Record, tmp_path: Path) -> Iterator[WebProcess]:
    with a_web_process(f"sqlite:///{tmp_path / 'dateline.db'}", tmp_path) as running:
        yield running


def open_from(port: int, address: str) -> socket.socket:
    client = socket.socket()
    client.bind((address, 0))
    client.settimeout(10)
    client.connect(("127.0.0.1", port))
    return client


@contextmanager
def a_siege(port: int, addresses: int) -> Iterator[list[socket.socket]]:
    """Connections that want nothing, opened again where they are closed, and bodies a byte a second."""
    raise_open_files(8192)
    over = threading.Event()
    with ExitStack() as stack:
        clients: list[socket.socket] = []

        def one(number: int) -> socket.socket:
            client = open_from(port, f"127.0.{1 + number % addresses // 200}.{1 + number % addresses % 200}")
            stack.callback(client.close)
            if number >= IDLE + HALF_SENT:
                client.sendall(
                    HEAD
                    + (
                        b"Content-Length: 9999\r\n\r\n"
                        if number % 2
                        else b"Transfer-Encoding: chunked\r\n\r\n"
                    )
                )
            elif number >= IDLE:
                client.sendall(HEAD + b"Content-Length: 9999\r\n" + (b"\r\n{" if number % 2 else b""))
            return client

        for number in range(IDLE + HALF_SENT + DRIPPING):
            clients.append(one(number))

        def drip() -> None:
            while not over.wait(1):
                for number in range(IDLE + HALF_SENT, len(clients)):
                    try:
                        clients[number].sendall(b"x" if number % 2 else b"1\r\nx\r\n")
                    except OSError:  # it was given up: once more
                        with suppress(OSError):
                            clients[number] = one(number)

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            yield clients
        finally:
            over.set()
            dripping.join()


@pytest.mark.slow
@pytest.mark.parametrize("addresses", [1, 400])
def test_connections_that_want_nothing_delay_nobody_and_cost_little_memory(
    web: WebProcess, sqlite_record: Record, addresses: int
) -> None:
    browser = f"/status?token={web.port}"
    asks = {
        "/healthz": lambda: ask(web.port, "/healthz"),
        "a feed": lambda: ask(web.port, "/feeds/world.rss"),
        "status": lambda: ask(web.port, browser, headers={"Authorization": "Bearer " + "x" * 40}),
    }
    numbers = iter(range(1, 10**6))
    statuses = {"/healthz": 200, "a feed": 200, "status": asks["status"]()}
    before = {name: p95(seconds_of(act, ASKED, status=statuses[name])) for name, act in asks.items()}
    before_post = p95(seconds_of(lambda: post(web.port, web.newsroom, next(numbers)), ASKED, status=202))
    articles, memory = accepted_articles(sqlite_record), web.resident_bytes()
    with a_siege(web.port, addresses):
        during = {name: p95(seconds_of(act, ASKED, status=statuses[name])) for name, act in asks.items()}
        during_post = p95(seconds_of(lambda: post(web.port, web.newsroom, next(numbers)), ASKED, status=202))
        grown = web.resident_bytes() - memory
    slower = {
        name: (before[name], took) for name, took in during.items() if took > 2 * before[name] + NOISE_SECONDS
    }
    assert slower == {}
    assert during_post <= 2 * before_post + NOISE_SECONDS
    assert accepted_articles(sqlite_record) == articles + ASKED
    assert grown < GROWTH_BYTES, f"{grown >> 20} MiB"


@pytest.mark.slow
def test_web_without_free_file_descriptors_says_so_and_pauses_and_goes_on(
    sqlite_record: Record, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'dateline.db'}"
    with a_web_process(url, tmp_path, files=150) as web, ExitStack() as stack:
        cpu = web.cpu_seconds()
        for _ in range(400):
            stack.callback(open_from(web.port, "127.0.0.1").close)
        began = time.monotonic()
        eventually(lambda: ask(web.port, "/healthz") == 200, within=20, what="somebody else is answered")
        while time.monotonic() - began < 2:
            assert ask(web.port, "/healthz") == 200
        assert post(web.port, web.newsroom, 1) == 202
        lines = web.log.read_text().splitlines()
        assert (
            len([line for line in lines if "http.no_file_descriptors" in line or "idle-connection" in line])
            >= 1
        )
        assert len(lines) < 60
        assert web.cpu_seconds() - cpu < 4


def test_idle_connection_is_closed_after_seconds(sqlite_record: Record) -> None:
    with a_front(sqlite_record) as front:
        context = front.running.server.context
        assert context.limits.head_seconds <= 10
        object.__setattr__(context.limits, "head_seconds", 0.3)
        with Wire(front.port) as wire:
            assert wire.ends()


def test_further_connection_of_an_address_closes_its_own_longest_idle_one_alone(
    sqlite_record: Record,
) -> None:
    with a_front(sqlite_record) as front, ExitStack() as stack:
        object.__setattr__(front.running.server.context.limits, "per_address", 8)
        other = stack.enter_context(open_from(front.port, "127.0.0.2"))
        mine = [stack.enter_context(open_from(front.port, "127.0.0.3")) for _ in range(9)]
        assert mine[0].recv(1) == b""
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        for client in (other, *mine[1:]):
            client.sendall(request)
            assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_readers_that_hold_every_connection_keep_no_other_out(sqlite_record: Record) -> None:
    limits = Limits(connections=16, per_address=4)
    with a_front(sqlite_record, limits=limits) as front, ExitStack() as stack:
        table = front.running.server.context.table
        large = b"x" * (8 << 20)
        inner = front.running.server.site.middleware._app  # type: ignore[attr-defined]

        def answer(environ, start):  # type: ignore[no-untyped-def]
            if environ["PATH_INFO"] == "/large":
                start("200 OK", [("Content-Type", "text/plain")])
                return [large]
            return inner(environ, start)

        front.running.server.site.middleware._app = answer  # type: ignore[attr-defined]
        for number in range(limits.connections):
            client = stack.enter_context(open_from(front.port, f"127.0.1.{1 + number // 4}"))
            client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(
            lambda: len(table._slow) == limits.connections, within=20, what="all connections are taken"
        )
        assert ask(front.port, "/healthz", address="127.0.0.2") == 200, "another client"
        assert ask(front.port, "/healthz", address="127.0.1.1") == 200, "the very address that has its share"


@pytest.mark.slow
def test_slow_readers_of_a_large_answer_share_one_copy_and_what_they_do_not_read_is_bounded(
    sqlite_record: Record, tmp_path: Path
) -> None:
    with a_front(sqlite_record) as front, ExitStack() as stack:
        table = front.running.server.context.table
        large = b"x" * (20 << 20)
        documents = {f"/large/{number}": bytes([number]) * (20 << 20) for number in range(6)} | {
            "/large": large
        }
        inner = front.running.server.site.middleware._app  # type: ignore[attr-defined]

        def answer(environ, start):  # type: ignore[no-untyped-def]
            if environ["PATH_INFO"] in documents:
                start("200 OK", [("Content-Type", "text/plain")])
                return [documents[environ["PATH_INFO"]]]
            return inner(environ, start)

        front.running.server.site.middleware._app = answer  # type: ignore[attr-defined]

        def reads_slowly(path: str) -> None:
            wire = stack.enter_context(Wire(front.port, room=4096))
            wire.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        before = resident()
        for _ in range(30):
            reads_slowly("/large")
        eventually(lambda: len(table._slow) == 30, within=20, what="none of them reads")
        assert table.unsent_bytes == len(large)
        assert resident() - before < 60 << 20
        for number in range(6):
            reads_slowly(f"/large/{number}")
        eventually(lambda: len(table._slow) <= 3, within=20, what="the slowest are hung up on")
        assert table.unsent_bytes <= table.limits.unsent_bytes
        assert ask(front.port, "/healthz") == 200


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
