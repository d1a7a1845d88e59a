"""Row `serving`: feeds served a second by the feeds server, one process, beside nginx, one worker, with the same bytes.

`dateline web`, which serves the feeds too, is measured in the same way. The load (wrk) takes one core; on two cores
each server has the rest. They run by turns, never at once. They serve from memory: the database is SQLite alone.

Readers that poll send the same bytes again and again, and so does wrk; the feeds server knows a request by its bytes.
It cannot behind a CDN that gives each request a number of its own: that is measured, too ("no two alike").
"""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.content import SECTION
from bench.desk import BenchDesk
from bench.processes import Failed, Processes, answers, free_port
from bench.run import Run
from bench.table import Line, at_least_times
from service import settings
from service.runtime.programs import dateline
from service.store.deliveries import routing
from workers.publish.builder import FeedBuilder

STORIES = 60
SIZE = 3 * 1024
CONNECTIONS = 32
PATH = f"/feeds/{SECTION}.rss"
# Some seconds after the first request the document is compressed as well as can be.
SETTLED_WITHIN = 15.0
_NGINX = """
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; keepalive_requests 100000000; open_file_cache max=10; default_type application/rss+xml;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server {{
        listen 127.0.0.1:{port}; root files;
        add_header Content-Encoding gzip;
        add_header Cache-Control "public, max-age=60, s-maxage=300, stale-while-revalidate=600";
        add_header Vary Accept-Encoding;
    }}
}}
"""
_NUMBERED = """
number = 0
request = function()
    number = number + 1
    wrk.headers["X-Request-Id"] = number
    return wrk.format()
end
"""


def measure(run: Run, database: str) -> list[Line]:
    """32 connections ask for a feed of 60 stories, gzip: without a tag (200), and with the feed's (304)."""
    missing = [program for program in ("nginx", "wrk") if not shutil.which(program)]
    if database != "sqlite" or missing:
        reason = f"not installed: {', '.join(missing)}" if missing else "measured on sqlite alone"
        print(f"serving on {database}: left out, {reason}", file=sys.stderr)
        return []
    seconds = run.scaled(2, 1)
    with run.desk(database) as (desk, children):
        _build(desk)
        desk.start(workers=False)
        web = _BenchServer(children, "web", desk.settings.port)
        feeds = _BenchServer(children, "feeds", _start_feeds(children, desk))
        nginx = _BenchServer(children, "nginx", _start_nginx(children, run.folder(), _gzipped(web)))
        _gzipped(feeds)
        lines: list[Line] = []
        loads = [_ServingLoad(database, what, ask, lines) for what, ask in _ASKED]
        for _ in run.rounds():
            for load in loads:
                load.measure(nginx, feeds, web, seconds)
    return lines


@dataclass(frozen=True)
class _Ask:
    """One kind of request: from a client that has the document or not; all alike, or each with its own number."""

    has: bool
    numbered: bool
    target: float | None


_ASKED = (
    ("200, gzip", _Ask(has=False, numbered=False, target=2 / 3)),
    ("304", _Ask(has=True, numbered=False, target=1 / 2)),
    ("200, no two alike", _Ask(has=False, numbered=True, target=None)),
    ("304, no two alike", _Ask(has=True, numbered=True, target=None)),
)


class _ServingLoad:
    """One kind of request, put to every server; the web gets only the kind that polling readers send."""

    def __init__(self, database: str, what: str, ask: _Ask, lines: list[Line]) -> None:
        self._ask = ask
        self._feeds = _pair(database, "feeds", what, ask.target)
        self._web = None if ask.numbered else _pair(database, "web", what, None)
        lines += [*self._feeds, *(self._web or ())]

    def measure(self, nginx: _BenchServer, feeds: _BenchServer, web: _BenchServer, seconds: int) -> None:
        bare = nginx.load(seconds, self._ask)
        for server, lines in ((feeds, self._feeds), (web, self._web)):
            for line, theirs, ours in (
                zip(lines, bare, server.load(seconds, self._ask), strict=True) if lines else ()
            ):
                line.bare.append(theirs)
                line.ours.append(ours)


def _pair(database: str, server: str, what: str, target: float | None) -> tuple[Line, Line]:
    wanted = () if target is None else (at_least_times(target),)
    return (
        Line("serving", database, f"{server}: answers, {what}", "1/s", *wanted),
        Line("serving", database, f"{server}: CPU, each {what}", "µs"),
    )


def _build(desk: BenchDesk) -> None:
    desk.feed("story", STORIES, SIZE)
    routing.route(desk.record, datetime.now(UTC))
    FeedBuilder(desk.record, desk.settings.public_url, lambda: datetime.now(UTC)).drain()


@dataclass(frozen=True)
class _BenchServer:
    children: Processes
    name: str
    port: int

    def load(self, seconds: int, ask: _Ask) -> tuple[float, float]:
        """Answers a second, and microseconds of this server's processor for each."""
        headers = ["-H", "Accept-Encoding: gzip"]
        if ask.has:
            headers += ["-H", f"If-None-Match: {self.head()['ETag']}"]
        if ask.numbered:
            headers += ["-s", str(self._script())]
        url = f"http://127.0.0.1:{self.port}{PATH}"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *headers, url]
        before, began = self.children.cpu(self.name), time.monotonic()
        report = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=seconds + 30
        ).stdout
        took, after = time.monotonic() - began, self.children.cpu(self.name)
        found = re.search(r"(\d+) requests in .* ([\d.]+)([KMG]?)B read", report)
        if found is None or "Non-2xx or 3xx" in report or "Socket errors" in report:
            raise Failed(f"wrk could not load {url}:\n{report}")
        count = int(found.group(1))
        read = float(found.group(2)) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[found.group(3)]
        if (read / count < 2048) != ask.has:
            raise Failed(
                f"{url} gave {'a body to a client that has it' if ask.has else 'no body'}:\n{report}"
            )
        return count / took, (
            after - before
        ) / count * 1e6 if before is not None and after is not None else 0.0

    def _script(self) -> Path:
        script = self.children.log("numbered").with_suffix(".lua")
        script.write_text(_NUMBERED)
        return script

    def head(self) -> http.client.HTTPMessage:
        return self._ask("HEAD")[0]

    def body(self) -> bytes:
        return self._ask("GET")[1]

    def _ask(self, method: str) -> tuple[http.client.HTTPMessage, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as client:
            client.request(method, PATH, headers={"Accept-Encoding": "gzip"})
            answer = client.getresponse()
            if answer.status != 200 or answer.headers["Content-Encoding"] != "gzip":
                raise Failed(f"{self.name} answered {answer.status} to {method} {PATH}")
            return answer.headers, answer.read()


def _gzipped(web: _BenchServer) -> bytes:
    """The body that every server serves: taken once it is compressed well, or when it will not get smaller."""
    first, deadline = web.head()["Content-Length"], time.monotonic() + SETTLED_WITHIN
    while web.head()["Content-Length"] == first and time.monotonic() < deadline:
        time.sleep(0.2)
    return web.body()


def _start_feeds(children: Processes, desk: BenchDesk) -> int:
    """Starts it and returns its port."""
    port = free_port()
    command = dateline("feeds", "serve", "--listen", f"127.0.0.1:{port}").command_line()
    children.start("feeds", command, settings.environment(desk.settings))
    children.wait("feeds", lambda: answers(port))
    return port


def _start_nginx(children: Processes, folder: Path, body: bytes) -> int:
    """Starts it and returns its port."""
    file = folder / "files" / PATH.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(body)
    (folder / "tmp").mkdir()
    port = free_port()
    (folder / "nginx.conf").write_text(_NGINX.format(port=port))
    children.start("nginx", ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"])
    children.wait("nginx", lambda: answers(port))
    return port
