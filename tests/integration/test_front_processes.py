"""Several web processes on one port: each answers, one that dies is started again, and SIGTERM ends all in order."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from service.store.database.record import Record
from tests import postgres
from tests.desk import eventually
from tests.front import WebProcess, a_web_process, accepted_articles, answers, post
from tests.web import encoded


@pytest.fixture
def web(postgres_server: Any, postgres_record: Record, tmp_path: Path) -> Iterator[WebProcess]:
    url = postgres.database_url(postgres_server, "one_test")
    with a_web_process(url, tmp_path, workers="2") as running:
        yield running


def children(pid: int) -> set[int]:
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.mark.slow
def test_web_process_that_dies_on_postgresql_is_started_again_while_the_other_answers(
    web: WebProcess,
) -> None:
    before = eventually(
        lambda: len(children(web.pid)) == 2 and children(web.pid), within=20, what="two processes"
    )
    assert isinstance(before, set)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    assert all(answers(web.port, "/healthz") for _ in range(20))
    eventually(
        lambda: len(children(web.pid)) == 2 and victim not in children(web.pid),
        within=20,
        what="a new process",
    )
    assert "web.process_died" in web.log.read_text()
    assert post(web.port, web.newsroom, 1) == 202


@pytest.mark.slow
def test_posts_that_are_being_answered_when_the_web_is_ended_are_answered_and_none_is_lost(
    postgres_server: Any, postgres_record: Record, tmp_path: Path
) -> None:
    url = postgres.database_url(postgres_server, "one_test")
    accepted, lock = [0], threading.Lock()
    with a_web_process(url, tmp_path, workers="2") as web:

        def keep_posting(at: int) -> None:
            number = at * 100_000
            with suppress(OSError, http.client.HTTPException):
                while True:
                    number += 1
                    body = encoded(id=f"p{number}")
                    with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)) as client:
                        client.request(
                            "POST",
                            "/v1/articles",
                            body,
                            {"Content-Type": "application/json", **web.newsroom.bearer},
                        )
                        if client.getresponse().status == 202:
                            with lock:
                                accepted[0] += 1

        before = accepted_articles(postgres_record)
        threads = [threading.Thread(target=keep_posting, args=(at,)) for at in range(8)]
        for each in threads:
            each.start()
        eventually(lambda: accepted[0] > 20, within=30, what="posts are accepted")
        os.kill(web.pid, signal.SIGTERM)
        began = time.monotonic()
        for each in threads:
            each.join()
        assert time.monotonic() - began < 15
        eventually(lambda: not runs(web.pid), within=15, what="the web ends")
    assert accepted_articles(postgres_record) >= before + accepted[0]


@pytest.mark.slow
def test_web_processes_end_with_their_parent(
    postgres_server: Any, postgres_record: Record, tmp_path: Path
) -> None:
    url = postgres.database_url(postgres_server, "one_test")
    with pytest.raises(AssertionError), a_web_process(url, tmp_path, workers="2") as web:  # noqa: PT012 - it was killed
        started = children(web.pid)
        os.kill(web.pid, signal.SIGKILL)
        eventually(lambda: not any(map(runs, started)), within=10, what="none is left")
        eventually(lambda: not answers(web.port, "/healthz"), within=10, what="nobody answers")


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
