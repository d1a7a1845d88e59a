"""Hints to the workers, sent through a real Redis: soon, but never one per article in a burst."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service import settings
from service.runtime import embedded_redis
from service.runtime.celery_app import HINT_PACE, ROUTE, Waker


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    desk = settings.load(env_file=None, data_dir=tmp_path)
    with subprocess.Popen(embedded_redis.command(desk)) as server:
        try:
            embedded_redis.wait_until_answers(embedded_redis.socket_path(desk), seconds=10)
            yield embedded_redis.redis_url_of(desk)
        finally:
            server.terminate()


def take(tmp_path: Path) -> int:
    """Takes the hint that waits, as a worker does; returns how many there were."""
    with redis.Redis(unix_socket_path=str(tmp_path / "redis.sock")) as client:
        return 0 if client.rpop("dateline:route") is None else 1


def test_articles_that_come_one_after_another_share_hints(address: str, tmp_path: Path) -> None:
    stop = threading.Event()
    waker = Waker(address)
    started = time.monotonic()

    def post() -> None:
        while not stop.wait(0.001):
            waker.wake()

    posting = threading.Thread(target=post)
    posting.start()
    deadline = started + 10
    taken = 0
    while taken < 5 and time.monotonic() < deadline:
        taken += take(tmp_path)
        stop.wait(0.001)
    stop.set()
    posting.join()
    waker.close()
    taken += take(tmp_path)
    most = (time.monotonic() - started) / HINT_PACE[
        ROUTE
    ] + 2  # the first, and what was wanted when it closed
    assert 5 <= taken <= most


def test_the_last_wish_is_hinted_at_before_the_process_ends(address: str, tmp_path: Path) -> None:
    sent = threading.Semaphore(0)
    waker = Waker(address, on_sent=lambda _: sent.release())
    waker.wake()
    assert sent.acquire(timeout=10)
    assert take(tmp_path) == 1
    waker.wake()  # not due yet
    waker.close()
    assert take(tmp_path) == 1
