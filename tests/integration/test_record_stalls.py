"""A PostgreSQL that stands still, or whose connections fall silent, holds nobody for longer than seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from service.store import migrations, operations
from service.store.database.circuit import PROBE_EVERY, RecordCircuit
from service.store.database.record import Record, open_record
from service.store.errors import RecordUnavailable
from service.store.feeds import sections
from tests import builders, postgres, web
from tests.conftest import KEY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stops processes found in /proc")

STATEMENT_SECONDS = 0.5
AT_ONCE = 0.3
WITHIN_SECONDS = 4.0


@pytest.fixture
def url(postgres_record: Record) -> str:
    return postgres_record.engine.url.render_as_string(hide_password=False)


@pytest.fixture
def impatient(url: str) -> Iterator[Record]:
    record = open_record(url, KEY, statement_seconds=STATEMENT_SECONDS)
    yield record
    record.close()


def ask(record: Record) -> int:
    with record.reading() as connection:
        return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def refused_after(record: Record) -> float:
    begun = time.monotonic()
    with pytest.raises(RecordUnavailable):
        ask(record)
    return time.monotonic() - begun


def wait_until_it_answers(record: Record) -> int:
    deadline = time.monotonic() + 10
    while True:
        try:
            return ask(record)
        except RecordUnavailable:
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)


def test_nobody_waits_for_a_postgresql_that_stands_still_and_it_is_used_again_when_it_goes_on(
    impatient: Record, postgres_server: Any
) -> None:
    ask(impatient)
    with postgres.standing_still(postgres_server):
        assert refused_after(impatient) < WITHIN_SECONDS
        assert refused_after(impatient) < AT_ONCE
    wait_until_it_answers(impatient)
    operations.add_section(impatient, "world", "World", "en", actor="operator", now=builders.NOW)


def test_a_transaction_is_given_up_in_the_middle_when_postgresql_stands_still(
    impatient: Record, postgres_server: Any
) -> None:
    def write() -> None:
        with impatient.writing() as connection:
            sections.ids_of(connection, [])
            with postgres.standing_still(postgres_server):
                sections.ids_of(connection, [])

    begun = time.monotonic()
    with pytest.raises(RecordUnavailable, match="has not answered for"):
        write()
    assert time.monotonic() - begun < WITHIN_SECONDS
    wait_until_it_answers(impatient)


def test_a_process_that_starts_while_postgresql_stands_still_is_told_within_seconds(
    url: str, postgres_server: Any
) -> None:
    record = open_record(url, KEY)
    with postgres.standing_still(postgres_server):
        assert refused_after(record) < WITHIN_SECONDS
    record.close()


def test_only_one_thread_at_a_time_waits_for_a_database_that_stands_still(
    impatient: Record, postgres_server: Any
) -> None:
    ask(impatient)
    with postgres.standing_still(postgres_server):
        refused_after(impatient)
        threading.Event().wait(PROBE_EVERY)
        waited: list[float] = []
        threads = [threading.Thread(target=lambda: waited.append(refused_after(impatient))) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert len([seconds for seconds in waited if seconds > AT_ONCE]) <= 1


def test_an_article_is_refused_with_retry_after_while_postgresql_stands_still_and_the_web_lives(
    impatient: Record, postgres_server: Any
) -> None:
    client = web.an_app(impatient).test_client()
    newsroom = web.a_newsroom(impatient)
    web.some_sections(impatient)
    headers = {**newsroom.bearer, "Content-Type": "application/json"}
    with postgres.standing_still(postgres_server):
        begun = time.monotonic()
        refused = client.post("/v1/articles", data=web.encoded(), headers=headers)
        assert time.monotonic() - begun < WITHIN_SECONDS
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "record" in ready.get_json()["because"]
    wait_until_it_answers(impatient)
    assert client.post("/v1/articles", data=web.encoded(), headers=headers).status_code == 202


def test_connections_that_fell_silent_are_replaced_by_new_ones(url: str, postgres_server: Any) -> None:
    network = postgres.Forwarder(postgres_server)
    through = make_url(url).set(host="127.0.0.1", port=network.port, query={})
    record = open_record(
        through.render_as_string(hide_password=False), KEY, statement_seconds=STATEMENT_SECONDS
    )
    try:
        with record.reading(), record.reading():  # two connections are made
            pass
        before = ask(record)
        network.lose_connections()
        assert refused_after(record) < WITHIN_SECONDS
        assert wait_until_it_answers(record) != before
        assert [ask(record) for _ in range(5)], "the other silent connection is not used either"
    finally:
        record.close()
        network.close()


def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_the_connection_serves_on(
    impatient: Record,
) -> None:
    def sleep() -> None:
        with impatient.reading() as connection:
            connection.execute(text("SELECT pg_sleep(30)"))

    before = ask(impatient)
    with pytest.raises(RecordUnavailable, match="statement timeout"):
        sleep()
    assert ask(impatient) == before


def test_a_migration_takes_as_long_as_it_takes_and_the_next_statement_has_its_deadline_again(
    impatient: Record,
) -> None:
    with impatient.writing(patient=True) as connection:
        connection.execute(text("SELECT pg_sleep(2)"))
    migrations.migrate(impatient)
    with pytest.raises(RecordUnavailable, match="statement timeout"), impatient.reading() as connection:
        connection.execute(text("SELECT pg_sleep(30)"))


def test_settings_hold_after_a_rollback_and_a_transaction_that_idles_is_ended_by_the_server(
    impatient: Record,
) -> None:
    for _ in range(2):
        with impatient.reading() as connection:
            query = text("SELECT current_setting('idle_in_transaction_session_timeout'),"
                         " current_setting('enable_seqscan')")  # fmt: skip
            assert tuple(connection.execute(query).one()) == ("15s", "off")


class TestCircuit:
    """The circuit alone."""

    def test_it_lets_everybody_pass_until_the_database_falls_silent(self) -> None:
        circuit = RecordCircuit(lambda: None)
        circuit.leave(circuit.enter(), answered=True)
        circuit.enter()

    def test_it_opens_once_and_closes_when_the_probe_is_answered(self) -> None:
        now, opened = [0.0], []
        circuit = RecordCircuit(lambda: opened.append(now[0]), clock=lambda: now[0])
        for entered in [circuit.enter() for _ in range(3)]:
            circuit.leave(entered, answered=False)
        with pytest.raises(RecordUnavailable):
            circuit.enter()
        now[0] = PROBE_EVERY
        circuit.leave(circuit.enter(), answered=True)
        circuit.enter()
        assert opened == [0.0]

    def test_a_call_that_met_the_silence_before_the_database_came_back_keeps_nobody_out_after_it(
        self,
    ) -> None:
        now, opened = [0.0], []
        circuit = RecordCircuit(lambda: opened.append(now[0]), clock=lambda: now[0])
        first, late = circuit.enter(), circuit.enter()
        circuit.leave(first, answered=False)
        now[0] = PROBE_EVERY
        circuit.leave(circuit.enter(), answered=True)
        circuit.leave(late, answered=False)
        after = circuit.enter()
        circuit.leave(after, answered=False)
        with pytest.raises(RecordUnavailable):
            circuit.enter()
        assert opened == [0.0, PROBE_EVERY], "a new silence opens it again"
