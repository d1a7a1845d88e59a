"""Real feed readers against a running web process: their requests, its answers, and the stories that they then show."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import feedparser
import feedparser_sgmllib
import pytest

from service.store.database.record import Record
from tests.conftest import KEY
from tests.publisher import FeedPublisher, a_story, some_stories

# reader brings its own feedparser, which imports the module by its old name.
sys.modules.setdefault("sgmllib", feedparser_sgmllib)
import reader as lemon24  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("readers")]

NEEDS_NEWSBOAT = pytest.mark.skipif(
    not shutil.which("newsboat") and not os.environ.get("CI"), reason="newsboat is not installed"
)


@dataclass
class Recorder:
    """A proxy between reader and web that records each exchange: (method, status, A-IM, bytes of the body)."""

    web_port: int = 0
    exchanges: list[tuple[str, int, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        recorder = self

        class FeedHandler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with closing(http.client.HTTPConnection("127.0.0.1", recorder.web_port, timeout=10)) as web:
                    web.request("GET", self.path, headers=dict(self.headers.items()))
                    answer = web.getresponse()
                    body = answer.read()
                recorder.exchanges.append(("GET", answer.status, self.headers.get("A-IM", ""), len(body)))
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), FeedHandler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def last(self) -> int:
        return self.exchanges[-1][1]


@dataclass
class FeedsSite:
    """A publisher and the web that serves its feeds, behind the recorder."""

    room: FeedPublisher
    recorder: Recorder

    def url(self, fmt: str) -> str:
        return f"{self.recorder.url}/feeds/world.{fmt}"

    def publish(self, *stories: dict[str, Any]) -> list[str]:
        before = self._tags()
        ids = [answer.article for answer in self.room.publish(*stories)]
        self._wait_for_other_tags(before)
        return ids

    def kill(self, article: str) -> None:
        before = self._tags()
        self.room.kill(article)
        self._wait_for_other_tags(before)

    def _tags(self) -> set[str | None]:
        """The ETags of all formats: the web takes up one document after another."""
        tags = set()
        with closing(http.client.HTTPConnection("127.0.0.1", self.recorder.web_port, timeout=10)) as web:
            for fmt in ("rss", "atom", "json"):
                web.request("HEAD", f"/feeds/world.{fmt}")
                answer = web.getresponse()
                answer.read()
                tags.add(answer.headers["ETag"])
        return tags

    def _wait_for_other_tags(self, before: set[str | None]) -> None:
        deadline = time.monotonic() + 10
        while self._tags() & before:
            assert time.monotonic() < deadline, "the web does not serve the new stories"
            time.sleep(0.02)


@pytest.fixture
def site(sqlite_record: Record, tmp_path: Path) -> Iterator[FeedsSite]:
    recorder = Recorder()
    room = FeedPublisher(sqlite_record, recorder.url)
    room.publish(*some_stories(8))
    port = _free_port()
    environment = {
        "DATELINE_DATABASE_URL": str(sqlite_record.engine.url),
        "DATELINE_DATA_DIR": str(tmp_path),
        "DATELINE_SECRET_KEY": KEY,
        "DATELINE_OPERATOR_TOKEN": "the-operators-token-of-the-tests",
        "DATELINE_PUBLIC_URL": recorder.url,
        "DATELINE_LISTEN": f"127.0.0.1:{port}",
    }
    command = [sys.executable, "-P", "-m", "service.cli.main", "web"]
    web = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True)
    try:
        _wait_until_it_listens(port, web)
        recorder.web_port = port
        yield FeedsSite(room, recorder)
    finally:
        web.terminate()
        web.wait(15)
        recorder.close()


def test_feedparser_fetches_once_and_then_gets_a_304(site: FeedsSite) -> None:
    for fmt in ("rss", "atom"):
        first = feedparser.parse(site.url(fmt))
        assert (first.status, first.bozo, len(first.entries)) == (200, False, 8)
        again = feedparser.parse(site.url(fmt), etag=first.etag, modified=first.modified)
        assert (again.status, again.entries) == (304, [])
        assert feedparser.parse(site.url(fmt), modified=first.modified).status == 304


def test_feedparser_which_misreads_deltas_gets_the_whole_feed(site: FeedsSite) -> None:
    first = feedparser.parse(site.url("atom"))
    site.publish(a_story(9))
    second = feedparser.parse(site.url("atom"), etag=first.etag, modified=first.modified)
    assert site.recorder.exchanges[-1][2] == "feed"
    assert (second.status, len(second.entries)) == (200, 9)


def test_a_client_of_http_1_0_gets_a_whole_answer_that_it_can_read(site: FeedsSite) -> None:
    def raw(method: str, *headers: str) -> tuple[list[bytes], bytes]:
        lines = [f"{method} /feeds/world.rss HTTP/1.0", *headers, "", ""]
        with socket.create_connection(("127.0.0.1", site.recorder.web_port), timeout=10) as client:
            client.sendall("\r\n".join(lines).encode())
            head, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
        return head.lower().split(b"\r\n"), body

    head, body = raw("GET")
    # The version is the server's own, as RFC 9110 (6.2) wants it; what 1.0 does not know is not in the answer.
    assert head[0] == b"http/1.1 200 ok"
    assert b"connection: close" in head
    assert not [line for line in head if line.startswith((b"transfer-encoding:", b"content-encoding:"))]
    assert f"content-length: {len(body)}".encode() in head
    assert body.endswith(b"</rss>")
    only_head, nothing = raw("HEAD")
    assert (f"content-length: {len(body)}".encode() in only_head, nothing) == (True, b"")
    unchanged, nothing = raw("GET", "If-None-Match: *")
    assert (unchanged[0].startswith(b"http/1.1 304"), nothing) == (True, b"")


@pytest.mark.parametrize("fmt", ["rss", "atom"])
def test_lemon24s_reader_keeps_up_by_deltas_and_shows_a_notice_for_a_killed_story(
    site: FeedsSite, fmt: str
) -> None:
    with closing(lemon24.make_reader(":memory:")) as client:
        client.add_feed(site.url(fmt))

        def updated() -> dict[str, str]:
            client.update_feed(site.url(fmt))
            return {entry.id: entry.title or "" for entry in client.get_entries()}

        assert len(updated()) == 8
        assert site.recorder.last == 200
        whole = site.recorder.exchanges[-1][3]
        updated()
        assert site.recorder.last == 304
        nine, named = site.publish(a_story(9), a_story(10, headline="Minister named"))
        titles = updated()
        assert (len(titles), titles[nine], titles[named]) == (10, "Story 9", "Minister named")
        assert (site.recorder.last, site.recorder.exchanges[-1][3] < whole) == (226, True)
        site.kill(named)
        titles = updated()
        assert site.recorder.last == 226
        assert len(titles) == 10
        assert "Minister" not in titles[named]
        updated()
        assert site.recorder.last == 304


@NEEDS_NEWSBOAT
@pytest.mark.parametrize("fmt", ["rss", "atom"])
def test_newsboat_keeps_up_by_deltas_and_shows_a_notice_for_a_killed_story(
    site: FeedsSite, fmt: str, tmp_path: Path
) -> None:
    newsboat = Newsboat(tmp_path, site.url(fmt))
    # newsboat stores a feed's validators from its second fetch on: it looks for the feed's row before it makes it.
    assert [len(newsboat.reload()) for _ in range(2)] == [8, 8]
    assert site.recorder.last == 200
    newsboat.reload()
    assert site.recorder.last == 304
    nine, named = site.publish(a_story(9), a_story(10, headline="Minister named"))
    titles = newsboat.reload()
    assert (len(titles), titles[nine], titles[named]) == (10, "Story 9", "Minister named")
    assert site.recorder.last == 226
    site.kill(named)
    titles = newsboat.reload()
    assert site.recorder.last == 226
    assert len(titles) == 10
    assert "Minister" not in titles[named]
    newsboat.reload()
    assert site.recorder.last == 304


class Newsboat:
    """The program newsboat, with a home folder of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self._home = folder / "newsboat"
        self._home.mkdir()
        (self._home / "urls").write_text(f"{url}\n")
        (self._home / "config").write_text("")
        self._cache = self._home / "cache.db"

    def reload(self) -> dict[str, str]:
        """Fetches; returns the titles that it then has, by id."""
        files = ["-u", "urls", "-C", "config", "-c", "cache.db"]
        environment = {**os.environ, "HOME": str(self._home), "LC_ALL": "C.UTF-8"}
        subprocess.run(
            ["newsboat", *files, "-x", "reload"], cwd=self._home, env=environment, check=True, timeout=30
        )
        with closing(sqlite3.connect(self._cache)) as cache:
            return dict(cache.execute("SELECT guid, title FROM rss_item").fetchall())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_listens(port: int, web: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and web.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the web does not listen; it ended with {web.poll()}")
