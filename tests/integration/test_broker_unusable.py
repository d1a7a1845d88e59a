"""A Redis that answers but cannot be used: workers start and deliver without it, say why, and come back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from service import settings
from service.cli import checks
from service.console import words_desk
from service.runtime import embedded_redis, key_files
from service.runtime.broker_check import BROKER_UP, BrokerCheck, unusable_words
from service.runtime.celery_app import ROUTE, make_celery, send_hint
from service.settings import Settings
from service.store import migrations
from service.store.database.record import Record, open_record
from service.store.views import pipeline
from tests.builders import a_desk, an_article, an_endpoint, post
from tests.desk import eventually
from tests.integration.test_transport import OK, a_server, answering
from workers.hints.broker import SEND_AGAIN_AFTER, BrokerState


class Fault(NamedTuple):
    """A fault of Redis: how it comes, how it goes, and the words that must name it."""

    begin: Callable[[redis.Redis], object]
    end: Callable[[redis.Redis], object]
    words: str


def command(*words: str) -> Callable[[redis.Redis], object]:
    return lambda client: client.execute_command(*words)


FAULTS = {
    "full": Fault(
        command("CONFIG", "SET", "maxmemory", "1"), command("CONFIG", "SET", "maxmemory", "0"), "full"
    ),
    "a replica": Fault(
        command("REPLICAOF", "127.0.0.1", "1"), command("REPLICAOF", "NO", "ONE"), "it is a replica"
    ),
    "another program's key": Fault(
        command("SET", "dateline:route", "x"), command("DEL", "dateline:route"), "another program's"
    ),
    "another program's binding": Fault(
        command("SET", "dateline:_kombu.binding.route", "x"),
        command("DEL", "dateline:_kombu.binding.route"),
        "another program's",
    ),
    "without permission": Fault(
        command("ACL", "SETUSER", "default", "-sadd"),
        command("ACL", "SETUSER", "default", "+sadd"),
        "permission",
    ),
}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Settings:
    return key_files.ensure_keys(
        settings.load(env_file=None, data_dir=tmp_path, allow_networks="127.0.0.0/8", allow_http=True)
    )


@pytest.fixture
def broker(desk: Settings) -> Iterator[redis.Redis]:
    with subprocess.Popen(embedded_redis.command(desk)) as server:
        try:
            path = embedded_redis.socket_path(desk)
            embedded_redis.wait_until_answers(path, seconds=10)
            with redis.Redis(unix_socket_path=str(path)) as client:
                yield client
        finally:
            server.terminate()


@contextmanager
def a_worker(desk: Settings) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "workers", "--name", "w1", "--tasks", "route,deliver"]
    with subprocess.Popen(words, env=settings.environment(desk)) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def broker_words(record: Record) -> list[str]:
    return [each.broker for each in pipeline.workers_now(record)]


def waiting(broker: redis.Redis) -> int:
    return int(broker.llen("dateline:route"))


@pytest.mark.parametrize("name", FAULTS)
def test_worker_that_starts_with_an_unusable_redis_delivers_says_why_and_takes_hints_when_it_is_well_again(
    desk: Settings, broker: redis.Redis, name: str
) -> None:
    fault = FAULTS[name]
    record = open_record(desk.database_url, desk.secret_key)
    migrations.migrate(record)
    fault.begin(broker)
    with a_server(answering(OK, keep=True)) as partner, a_worker(desk) as worker:
        source = a_desk(record)
        an_endpoint(record, url=partner.url)
        post(record, source, an_article(external_id="1"), now=now())
        eventually(lambda: len(partner.requests) == 1, within=15, what="the push arrived without Redis")
        eventually(
            lambda: any(fault.words in each for each in broker_words(record)),
            within=15,
            what="the heartbeat names the cause",
        )
        assert "Redis cannot be used" in words_desk.redis_word(pipeline.pipeline_now(record), now()).detail
        assert worker.poll() is None
        fault.end(broker)
        eventually(lambda: broker_words(record) == [BROKER_UP], within=20, what="the broker is up again")
        app = make_celery(embedded_redis.redis_url_of(desk), worker=False)
        send_hint(app, ROUTE)
        app.close()
        eventually(lambda: waiting(broker) == 0, within=10, what="the hint was taken")
        post(record, source, an_article(external_id="2"), now=now())
        eventually(lambda: len(partner.requests) == 2, within=10, what="the next push arrived")
    record.close()


@pytest.mark.parametrize("name", ["full", "a replica", "another program's key"])
def test_doctor_names_the_cause(desk: Settings, broker: redis.Redis, name: str) -> None:
    fault = FAULTS[name]
    assert checks._broker(desk).state == checks.GOOD
    fault.begin(broker)
    finding = checks._broker(desk)
    assert (finding.state, fault.words in finding.words) == (checks.WRONG, True)
    fault.end(broker)
    assert checks._broker(desk).state == checks.GOOD


def test_hints_never_fill_redis_however_many_stories_come_without_a_worker(
    desk: Settings, broker: redis.Redis
) -> None:
    app = make_celery(embedded_redis.redis_url_of(desk), worker=False)
    for _ in range(200):
        send_hint(app, ROUTE)
    assert waiting(broker) == 1
    broker.rpop("dateline:route")
    send_hint(app, ROUTE)
    assert waiting(broker) == 1
    app.close()


def test_a_hint_that_cannot_be_sent_is_told_and_after_a_while_tried_again(
    desk: Settings, broker: redis.Redis
) -> None:
    at = 0.0
    app = make_celery(embedded_redis.redis_url_of(desk), worker=False)
    state = BrokerState(
        BrokerCheck(embedded_redis.redis_url_of(desk)), lambda task: send_hint(app, task), lambda: at
    )
    assert state.words() == BROKER_UP
    broker.execute_command("ACL", "SETUSER", "default", "-lpush")
    assert state.words() == BROKER_UP  # nothing was sent
    with pytest.raises(redis.exceptions.NoPermissionError):
        state.hint(ROUTE)
    assert "its user lacks a permission" in state.words()
    broker.execute_command("ACL", "SETUSER", "default", "+lpush")
    assert "its user lacks a permission" in state.words()
    at = SEND_AGAIN_AFTER
    assert state.words() == BROKER_UP
    app.close()


def test_the_words_for_what_redis_says_are_short_and_on_one_line() -> None:
    assert unusable_words(redis.exceptions.ResponseError("a\nb" * 300)).startswith(
        "Redis cannot be used: a ba b"
    )
    assert len(unusable_words(redis.exceptions.ResponseError("a\nb" * 300))) == 200
    assert unusable_words(TimeoutError()) == "Redis cannot be used: TimeoutError"
