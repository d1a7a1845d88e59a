"""The web on its own server, in a thread or in a process, with clients that behave well and badly."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from sqlalchemy import func, select

from service import wsgi
from service.app import create_app
from service.serving.document_cache import DocumentCache
from service.serving.middleware import FeedMiddleware
from service.serving.server.context import Site
from service.serving.server.limits import Limits
from service.serving.server.request_cache import RequestCache
from service.store.database.record import Record, open_record
from service.store.schema.articles import article
from tests.desk import eventually
from tests.http_server import ServerInThread, a_server_in_a_thread
from tests.publisher import FeedPublisher, a_story
from tests.web import PUBLIC_URL, SECRET_KEY, Newsroom, a_newsroom, encoded, some_sections, the_settings


@dataclass(frozen=True)
class WebInThread:
    """The web in a thread, on a desk with a newsroom."""

    running: ServerInThread
    newsroom: Newsroom
    record: Record

    @property
    def port(self) -> int:
        return self.running.port

    def post(self, number: int = 0, address: str = "127.0.0.1", **changes: str) -> int:
        return post(self.port, self.newsroom, number, address, **changes)


def post(port: int, newsroom: Newsroom, number: int, address: str = "127.0.0.1", **changes: str) -> int:
    """Posts a signed article from this address; the status of the answer."""
    body = encoded(id=str(number), **changes)
    headers = {"Content-Type": "application/json", **newsroom.signed(body, id=f"msg_{number}")}
    return ask(port, "/v1/articles", "POST", body, headers=headers, address=address)


def ask(
    port: int,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    *,
    headers: dict[str, str] | None = None,
    address: str = "127.0.0.1",
) -> int:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(address, 0))
    with closing(client):
        client.request(method, path, body, headers or {})
        answer = client.getresponse()
        answer.read()
        return answer.status


def a_web_site(record: Record) -> Site:
    documents = DocumentCache(record, PUBLIC_URL)
    middleware = create_app(the_settings(), record, lambda: None, documents=documents).wsgi_app
    assert isinstance(middleware, FeedMiddleware)
    return Site(middleware, RequestCache(documents), wsgi.plan, wsgi.LANES)


@contextmanager
def a_front(record: Record, *, loop: str = "auto", limits: Limits | None = None) -> Iterator[WebInThread]:
    """`record` is new: the desk is set up in it."""
    some_sections(record)
    newsroom = a_newsroom(record)
    with a_server_in_a_thread(a_web_site(record), loop=loop, limits=limits) as running:
        yield WebInThread(running, newsroom, record)


@dataclass(frozen=True)
class WebProcess:
    """`dateline web` in a process of its own, with a feed and a newsroom."""

    pid: int
    port: int
    newsroom: Newsroom
    log: Path

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        facts = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def a_web_process(
    database_url: str, folder: Path, *, files: int = 0, **settings: str
) -> Iterator[WebProcess]:
    """`files`: its limit of open files. Nothing is sealed in the record yet."""
    record = open_record(database_url, SECRET_KEY)
    room = FeedPublisher(record)
    room.publish(a_story(1), a_story(2))
    newsroom = a_newsroom(record, "front")
    record.close()
    config = the_settings()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DATELINE_")},
        "DATELINE_DATA_DIR": str(folder / "desk"),
        "DATELINE_DATABASE_URL": database_url,
        "DATELINE_SECRET_KEY": SECRET_KEY,
        "DATELINE_OPERATOR_TOKEN": config.operator_token,
        "DATELINE_LISTEN": f"127.0.0.1:{port}",
        **{f"DATELINE_{name.upper()}": value for name, value in settings.items()},
    }
    log = folder / "web.log"
    limit: Callable[[], None] | None = None
    if files:
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))  # noqa: E731
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "service.cli.main", "web"],
            env=environment,
            stdout=out,
            stderr=out,
            preexec_fn=limit,  # noqa: PLW1509
        )
    try:
        eventually(lambda: answers(port, "/feeds/world.rss"), within=60, what=f"the web is ready: {log}")
        yield WebProcess(process.pid, port, newsroom, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            ended = process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            ended = process.wait()
    assert ended == 0, log.read_text()[-3000:]


def answers(port: int, path: str) -> bool:
    try:
        return ask(port, path) == 200
    except (OSError, HTTPException):  # nobody listens yet: a connection may even meet itself
        return False


def seconds_of(act: Callable[[], int], times: int, *, status: int = 200) -> list[float]:
    """How long each call takes, which must return this status; in order of length."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        assert act() == status
        took.append(time.perf_counter() - began)
    return sorted(took)


def p95(took: list[float]) -> float:
    return took[int(len(took) * 0.95) - 1]


def accepted_articles(record: Record) -> int:
    with record.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(article)).scalar_one())


def problem_of(body: bytes) -> dict[str, object]:
    read: dict[str, object] = json.loads(body)
    assert {"type", "title", "status", "detail"} <= read.keys()
    return read
