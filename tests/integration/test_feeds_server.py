"""The feeds server has what is public to read, answers as the web does, and ends in good order."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from werkzeug.test import Client

from service import app, settings
from service.http import credentials
from service.runtime import key_files
from service.serving.document_cache import DocumentCache
from service.serving.server import limits as limits_of_a_server
from service.serving.server.limits import Limits
from service.store import migrations, operations
from service.store.database.record import Record, open_record
from tests.architecture.test_routes import EVERYBODY, USERS
from tests.builders import NOW
from tests.desk import eventually
from tests.feeds_server import FeedsServerInThread, a_feeds_server
from tests.publisher import PUBLIC_URL, FeedPublisher, a_web, get, some_stories
from tests.wire import Wire

TOKEN = credentials.new_feed_token().text
GZIP = {"Accept_Encoding": "gzip"}
ASKED: list[tuple[str, str, dict[str, str]]] = [
    *(("GET", f"/feeds/{name}", GZIP) for name in ("world.rss", "all.atom", "world.json", "language/en.rss")),
    *(("GET", path, {}) for path in ("/feeds", "/feeds.opml", "/sitemaps/news.xml", "/feeds/world")),
    *(("GET", f"/feeds/world/{page}", {}) for page in ("1.atom", "2.rss", "9.rss", "1.json", "x.rss")),
    *(("GET", path, {}) for path in ("/feeds/old.rss", "/feeds/old", "/feeds/old/1.atom")),
    *(("GET", path, {}) for path in ("/feeds/shut.rss", "/feeds/shut", "/feeds/none.rss", "/feeds/a/b.rss")),
    *(("GET", path, {}) for path in ("/sitemaps/news-1.xml", "/feeds/%E4%B8%96.rss")),
    *(("HEAD", path, {}) for path in ("/feeds/world.rss", "/feeds", "/feeds/world/1.atom", "/feeds/none.rss")),
    *(("OPTIONS", path, {"Origin": "https://a.example"}) for path in ("/feeds/world.rss", "/feeds.opml")),
    *(("POST", path, {}) for path in ("/feeds/world.rss", "/feeds", "/feeds/world/1.atom")),
    ("GET", "/feeds/world.rss", {"If_None_Match": "*"}),
    ("GET", "/feeds/world/1.atom", {"If_None_Match": "*"}),
    ("GET", "/feeds.opml", {"If_None_Match": "*"}),
    ("GET", "/feeds/world.rss", {"Range": "bytes=0-99"}),
    ("GET", "/feeds/world.rss", {"Range": "bytes=99999999-"}),
    ("GET", "/feeds/world.rss", {"Accept_Encoding": "identity;q=0"}),
    ("GET", "/feeds/world.rss?utm_source=x", GZIP),
]  # fmt: skip


@pytest.fixture(scope="module")
def room(standing_record: Record) -> FeedPublisher:
    """Sixty stories, so that there is an archive; a section that was renamed, and one that was closed."""
    room = FeedPublisher(standing_record)
    for slug in ("old", "shut"):
        operations.add_section(standing_record, slug, slug.title(), "en", actor="operator", now=NOW)
    room.publish(*some_stories(60))
    operations.rename_section(standing_record, "old", "new", actor="operator", now=NOW)
    operations.close_section(standing_record, "shut", actor="operator", now=NOW)
    room._build()
    return room


@pytest.fixture(scope="module")
def server(room: FeedPublisher) -> Iterator[FeedsServerInThread]:
    with a_feeds_server(room.record) as running:
        yield running


@pytest.fixture(scope="module")
def web(room: FeedPublisher) -> Client:
    return a_web(room)


@pytest.mark.parametrize(("method", "path", "headers"), ASKED, ids=str)
def test_both_servers_give_the_same_answer(
    server: FeedsServerInThread, web: Client, method: str, path: str, headers: dict[str, str]
) -> None:
    theirs = get(web, path, method=method, **headers)
    ours = get(server, path, method=method, **headers)  # type: ignore[arg-type]
    assert (ours.status_code, ours.data) == (theirs.status_code, theirs.data)
    told = {name.lower(): value for name, value in ours.headers}
    assert told == {name.lower(): value for name, value in theirs.headers}


def test_the_routes_are_public_ones_of_the_web(sqlite_record: Record) -> None:
    made = app.create_feeds_app(settings.Settings(), sqlite_record, DocumentCache(sqlite_record, PUBLIC_URL))
    rules = {("GET", rule.rule) for rule in made.url_map.iter_rules()}
    public = {key for key, users in USERS.items() if users == {EVERYBODY}}
    assert rules == {
        key
        for key in public
        if key[1].startswith(("/feeds", "/sitemaps")) or key[1] in {"/favicon.ico", "/healthz", "/readyz"}
    }


@pytest.mark.parametrize(
    "path", ["/", "/status", "/v1/articles", "/metrics", "/partner/feeds/dlf_secret.rss"]
)
def test_route_of_the_web_alone_is_a_404_that_says_so(server: FeedsServerInThread, path: str) -> None:
    answer = server.open(path)
    problem = json.loads(answer.data)
    assert (answer.status_code, problem["status"]) == (404, 404)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "the web has the rest" in problem["detail"]
    assert TOKEN not in problem["detail"]


def test_article_posted_to_the_feeds_server_gets_a_405_that_names_the_web(
    server: FeedsServerInThread,
) -> None:
    with Wire(server.port) as wire:
        wire.send(b"POST /v1/articles HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n")
        assert "the web takes articles" in json.loads(wire.reply().body)["detail"]


def test_it_is_alive_at_once_and_ready_when_it_has_looked_at_the_record(
    server: FeedsServerInThread, sqlite_record: Record
) -> None:
    assert server.open("/healthz").data == b"alive\n"
    ready = json.loads(server.open("/readyz").data)
    assert (ready["ready"], ready["because"]) == (True, "")
    assert re.fullmatch(r"at most \d+\.\d s behind the record", ready["feeds"])
    documents = DocumentCache(sqlite_record, PUBLIC_URL)
    client = app.create_feeds_app(settings.Settings(), sqlite_record, documents).test_client()
    assert client.get("/readyz").status_code == 503
    documents.refresh()
    assert client.get("/readyz").status_code == 200


def test_headers_that_could_pass_for_others_are_not_heard(server: FeedsServerInThread) -> None:
    tag = server.open("/feeds.opml").headers["ETag"].encode()
    with Wire(server.port) as wire:
        for name, status in ((b"If-None-Match", 304), (b"If_None_Match", 200)):
            wire.send(b"GET /feeds.opml HTTP/1.1\r\nHost: x\r\n%b: %b\r\n\r\n" % (name, tag))
            assert wire.reply().status == status


def test_log_says_that_idle_connections_were_closed_for_others(
    room: FeedPublisher, capfd: pytest.CaptureFixture[str]
) -> None:
    limits = Limits(connections=2)
    with a_feeds_server(room.record, limits=limits) as server, ExitStack() as wires:
        for _ in range(3):
            wires.enter_context(Wire(server.port))
        eventually(
            lambda: "idle-connection" in "".join(capfd.readouterr()),
            within=10,
            what="a line in the log",
        )


def test_limit_of_open_files_allows_the_connections_and_other_files() -> None:
    asked = limits_of_a_server.connections_max()
    assert 0 < asked <= limits_of_a_server.CONNECTIONS


@dataclass(frozen=True)
class Process:
    """`dateline feeds serve` in a process of its own, ready."""

    popen: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str) -> int:
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=20).status_code


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    chosen = key_files.ensure_keys(settings.load(None, data_dir=tmp_path / "desk"))
    record = open_record(chosen.database_url, chosen.secret_key)
    migrations.migrate(record)
    FeedPublisher(record, chosen.public_url).publish(*some_stories(3))
    record.close()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    command = [
        sys.executable,
        "-P",
        "-m",
        "service.cli.main",
        "feeds",
        "serve",
        "--listen",
        f"127.0.0.1:{port}",
    ]
    environment = {**os.environ, **settings.environment(chosen)}
    with (tmp_path / "log").open("wb") as log:
        popen = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=log)
    served = Process(popen, port, tmp_path / "log")

    def ready() -> bool:
        assert popen.poll() is None, served.log.read_text()
        with suppress(requests.ConnectionError):
            return served.get("/readyz") == 200
        return False

    try:
        eventually(ready, within=60, what="the feeds server is ready")
        yield served
    finally:
        popen.kill()
        popen.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_ends_in_good_order_within_seconds_with_any_clients(
    process: Process, number: signal.Signals
) -> None:
    assert process.get("/feeds/world.rss") == 200
    request = b"GET /feeds/world.rss HTTP/1.1\r\nHost: x\r\n\r\n"
    with Wire(process.port) as idle, Wire(process.port) as halfway, Wire(process.port, room=4096) as deaf:
        idle.send(request).reply()
        halfway.send(request[:20])
        while deaf.send_what_goes(request * 10_000):
            time.sleep(0.05)
        process.popen.send_signal(number)
        began = time.monotonic()
        assert process.popen.wait(60) == 0
        assert time.monotonic() - began < Limits().end_seconds + 5
        assert idle.ends()
    assert "Exception" not in process.log.read_text()


@pytest.mark.slow
def test_port_in_use_is_reported_with_a_remedy(process: Process, tmp_path: Path) -> None:
    listen = f"127.0.0.1:{process.port}"
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "service.cli.main", "feeds", "serve", "--json", "--listen", listen],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    words = json.loads(ran.stdout)["error"]
    assert words == (
        f"another program already listens on {listen}; end it, or choose: "
        f"DATELINE_FEEDS_LISTEN=127.0.0.1:{process.port + 1}"
    )
