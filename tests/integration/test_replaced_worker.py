"""A worker that was killed is replaced by the next of its name, which sends at once what that one had on the wire."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service import settings
from service.runtime import key_files
from service.settings import Settings
from service.store import migrations
from service.store.coordination import heartbeats, leases
from service.store.database.record import Record, open_record
from service.store.deliveries import recovery
from service.store.views.pipeline import workers_now
from tests.builders import NOW, a_desk, an_article, an_endpoint, later, post
from tests.desk import eventually
from tests.integration.test_transport import OK, a_server
from tests.sending import WORKER, claim, work
from workers.failure_detector import FailureDetector
from workers.process import replace_predecessor


def flying(record: Record) -> list[recovery.InFlight]:
    """The deliveries on the wire that are lost, as is seen at the first look."""
    return FailureDetector().lost(recovery.in_flight(record), 0.0)


def claimed_by_a_worker(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    work(record, NOW)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    leases.acquire(record, "sweep", WORKER, now=NOW, lasts=later(60) - NOW)
    assert len(claim(record, NOW)) == 1


def test_pushes_of_a_dead_worker_are_lost_as_soon_as_the_next_of_its_name_has_started(
    record: Record, tmp_path: Path
) -> None:
    claimed_by_a_worker(record)
    dead = replace_predecessor(tmp_path, record, "w1", WORKER)
    assert dead is not None
    assert flying(record) == []
    dead.close()  # as the kernel does at its death
    successor = replace_predecessor(tmp_path, record, "w1", "w1.next")
    assert successor is not None
    successor.close()
    assert len(flying(record)) == 1
    assert leases.acquire(record, "sweep", "w1.next", now=NOW, lasts=later(3) - NOW)


def test_a_worker_that_lives_keeps_its_claims_though_another_of_its_name_starts(
    record: Record, tmp_path: Path
) -> None:
    claimed_by_a_worker(record)
    living = replace_predecessor(tmp_path, record, "w1", WORKER)
    assert replace_predecessor(tmp_path, record, "w1", "w1.other") is None
    of_another_name = replace_predecessor(tmp_path, record, "w2", "w2.other")
    assert living is not None
    assert of_another_name is not None
    assert flying(record) == []
    living.close()
    of_another_name.close()


@pytest.mark.parametrize("name", ["../w1", "", "w1/x", "w" * 101])
def test_a_name_that_is_no_files_name_locks_nothing(record: Record, tmp_path: Path, name: str) -> None:
    assert replace_predecessor(tmp_path, record, name, "w1.next") is None
    assert not list(tmp_path.glob("**/*.lock"))


def test_a_data_directory_that_is_not_there_is_no_fault(record: Record, tmp_path: Path) -> None:
    assert replace_predecessor(tmp_path / "none", record, "w1", "w1.next") is None


@contextmanager
def a_worker(desk: Settings) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "workers", "--name", "w1", "--tasks", "route,deliver"]
    with subprocess.Popen(words, env=settings.environment(desk)) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def test_a_push_that_a_killed_worker_had_on_the_wire_goes_again_before_its_heartbeat_is_missed(
    tmp_path: Path,
) -> None:
    desk = key_files.ensure_keys(
        settings.load(env_file=None, data_dir=tmp_path, allow_networks="127.0.0.0/8", allow_http=True)
    )
    record = open_record(desk.database_url, desk.secret_key)
    migrations.migrate(record)
    answers = False

    def behave(connection: Any, _: bytes) -> bool:
        if answers:
            connection.sendall(OK)
            return True
        return server.over.wait(20)

    with a_server(behave) as server:
        source = a_desk(record)
        an_endpoint(record, url=server.url)
        post(record, source, an_article(), now=datetime.now(UTC))
        with a_worker(desk) as killed:
            eventually(lambda: len(server.requests) == 1, within=60, what="the push is on the wire")
            killed.send_signal(signal.SIGKILL)
            killed.wait(10)
        [dead] = [each.name for each in workers_now(record)]
        answers = True
        with a_worker(desk):
            eventually(
                lambda: [each for each in workers_now(record) if each.name != dead],
                within=60,
                what="the next worker is at work",
            )
            began = time.monotonic()
            eventually(lambda: len(server.requests) == 2, within=60, what="the push went again")
            assert time.monotonic() - began < heartbeats.ALIVE.total_seconds()
    record.close()
