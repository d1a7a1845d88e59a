"""Row `serving`: feeds served a second by `dateline web`, one process, beside nginx, one worker, with the same bytes.

The load (wrk) takes one core; on two cores both servers have what is left. They run by turns, never at once. It is the
same from memory whatever the database is: measured on SQLite, where the web is one process.
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
from bench.desk import Desk
from bench.processes import Failed, Processes, answers, free_port
from bench.run import Run
from bench.table import Line, at_least_times
from service.store import routing
from workers.publish import Press

STORIES = 60
SIZE = 3 * 1024
CONNECTIONS = 32
PATH = f"/feeds/{SECTION}.rss"
# Compressed as well as can be, some seconds after it was first asked for.
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


def measure(run: Run, database: str) -> list[Line]:
    """32 connections ask for a feed of 60 stories, gzip: without a tag (200), and with the feed's (304)."""
    missing = [program for program in ("nginx", "wrk") if not shutil.which(program)]
    if database != "sqlite" or missing:
        reason = f"not installed: {', '.join(missing)}" if missing else "measured on sqlite alone"
        print(f"serving on {database}: left out, {reason}", file=sys.stderr)
        return []
    lines = {
        None: _lines(database, "200, gzip", 2 / 3),
        "If-None-Match": _lines(database, "304", 1 / 2),
    }
    seconds = run.scaled(3, 1)
    with run.desk(database) as (desk, children):
        _build(desk)
        desk.start(workers=False)
        web = _Server(children, "web", desk.settings.port)
        nginx = _Server(children, "nginx", _start_nginx(children, run.folder(), _gzipped(web)))
        for _ in run.rounds():
            for condition, (rate, cpu) in lines.items():
                for server, rates, spent in ((nginx, rate.bare, cpu.bare), (web, rate.ours, cpu.ours)):
                    per_second, each = server.load(seconds, condition)
                    rates.append(per_second)
                    spent.append(each)
    return [line for pair in lines.values() for line in pair]


def _lines(database: str, what: str, target: float) -> tuple[Line, Line]:
    return (
        Line("serving", database, f"answers, {what}", "1/s", at_least_times(target)),
        Line("serving", database, f"CPU of the web, each {what}", "µs"),
    )


def _build(desk: Desk) -> None:
    desk.feed("story", STORIES, SIZE)
    routing.route(desk.record, datetime.now(UTC))
    Press(desk.record, desk.settings.public_url, lambda: datetime.now(UTC)).drain()


@dataclass(frozen=True)
class _Server:
    children: Processes
    name: str
    port: int

    def load(self, seconds: int, condition: str | None) -> tuple[float, float]:
        """Answers a second, and microseconds of this server's processor for each."""
        headers = ["-H", "Accept-Encoding: gzip"]
        if condition:
            headers += ["-H", f"{condition}: {self.head()['ETag']}"]
        url = f"http://127.0.0.1:{self.port}{PATH}"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *headers, url]
        before, began = self.children.cpu(self.name), time.monotonic()
        told = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=seconds + 30
        ).stdout
        took, after = time.monotonic() - began, self.children.cpu(self.name)
        found = re.search(r"(\d+) requests in .* ([\d.]+)([KMG]?)B read", told)
        if found is None or "Non-2xx or 3xx" in told or "Socket errors" in told:
            raise Failed(f"wrk could not load {url}:\n{told}")
        count = int(found.group(1))
        read = float(found.group(2)) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[found.group(3)]
        if (read / count < 2048) != bool(condition):
            raise Failed(f"{url} gave {'a body to who has it' if condition else 'no body'}:\n{told}")
        return count / took, (
            after - before
        ) / count * 1e6 if before is not None and after is not None else 0.0

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


def _gzipped(web: _Server) -> bytes:
    """The body that both serve: once it is compressed well, or when it will not get smaller."""
    first, deadline = web.head()["Content-Length"], time.monotonic() + SETTLED_WITHIN
    while web.head()["Content-Length"] == first and time.monotonic() < deadline:
        time.sleep(0.2)
    return web.body()


def _start_nginx(children: Processes, folder: Path, body: bytes) -> int:
    """Returns its port."""
    file = folder / "files" / PATH.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(body)
    (folder / "tmp").mkdir()
    port = free_port()
    (folder / "nginx.conf").write_text(_NGINX.format(port=port))
    children.start("nginx", ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"])
    children.wait("nginx", lambda: answers(port))
    return port
