"""The answers to idempotency keys are forgotten after 30 days, but for those of the newest revisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from service.store.articles import hooks, idempotency
from service.store.articles.hooks import HOOK_DONE, HookResult, NewHook
from service.store.articles.idempotency import START
from service.store.database.record import Record
from service.store.schema.articles import answer
from tests.builders import NOW, a_desk, a_takedown, an_article, post
from tests.sending import WORKER
from workers.hints.broker import BrokerState
from workers.leader import Clocks
from workers.runner import TaskRunner
from workers.sweep import CLOCK_PROVEN, Sweep

LATER = NOW + timedelta(days=31)


def keys(record: Record) -> set[str]:
    with record.reading() as connection:
        return set(connection.execute(select(answer.c.key)).scalars())


def prune_all(record: Record, now: datetime) -> int:
    """The number of batches until all were looked at."""
    place, batches = START, 0
    while True:
        place, batches = idempotency.prune(record, place, now), batches + 1
        if place == START:
            return batches


def test_answers_of_old_revisions_are_forgotten_after_thirty_days_and_not_before(record: Record) -> None:
    source = a_desk(record)
    for number in range(3):
        story = an_article(headline=f"Revision {number}", version=number)
        post(record, source, story, key=f"key-{number}", now=NOW + timedelta(seconds=number))
    fresh = an_article(external_id="43", version=1)
    post(record, source, fresh, key="fresh", now=LATER - timedelta(days=1))
    prune_all(record, NOW + timedelta(days=29))
    assert keys(record) == {"key-0", "key-1", "key-2", "fresh"}
    prune_all(record, LATER)
    assert keys(record) == {"key-2", "fresh"}
    newest = an_article(headline="Revision 2", version=2)
    assert post(record, source, newest, key="key-2", now=LATER).outcome == "accepted"
    oldest = an_article(headline="Revision 0", version=0)
    assert post(record, source, oldest, key="key-0", now=LATER).outcome == "stale"


def test_many_answers_are_looked_at_in_batches(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = a_desk(sqlite_record)
    for number in range(idempotency.ANSWERS_AT_ONCE + 10):
        post(sqlite_record, source, an_article(headline=f"{number}"), key=f"key-{number}", now=NOW)
    assert prune_all(sqlite_record, LATER) == 2
    assert len(keys(sqlite_record)) == 1


@dataclass
class TwoClocks:
    """The time of day and a steady clock, as the test has them go."""

    now: datetime
    steady: float = 0.0

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.steady += seconds


def a_sweep(record: Record, clocks: TwoClocks) -> Sweep:
    broker = BrokerState(lambda: "up", lambda _: None)
    pair = Clocks(lambda: clocks.now, lambda: clocks.steady)
    return Sweep(record, TaskRunner({}), WORKER, broker=broker, notify=lambda: None, clocks=pair)


def test_the_sweep_forgets_old_answers(sqlite_record: Record) -> None:
    source = a_desk(sqlite_record)
    for number in range(2):
        post(sqlite_record, source, an_article(headline=f"{number}"), key=f"key-{number}", now=NOW)
    clocks = TwoClocks(LATER)
    sweep = a_sweep(sqlite_record, clocks)
    sweep.run_once()
    clocks.go_on(CLOCK_PROVEN)
    sweep.run_once()
    assert keys(sqlite_record) == {"key-1"}


def test_a_clock_that_is_ahead_for_minutes_makes_no_answer_no_hook_and_no_early_takedown_old(
    sqlite_record: Record,
) -> None:
    """Without its answer an old post that is repeated would be put over a newer one."""
    source = a_desk(sqlite_record)
    for number in range(2):
        post(sqlite_record, source, an_article(headline=f"{number}"), key=f"key-{number}", now=NOW)
    hooks.keep(
        sqlite_record, NewHook(source.id, "a", "POST", "/", {}, b"{}"), HookResult(HOOK_DONE, "accepted"), NOW
    )
    post(sqlite_record, source, a_takedown(external_id="early", version=2))
    clocks = TwoClocks(NOW)
    sweep = a_sweep(sqlite_record, clocks)
    for _ in range(3):
        sweep.run_once()
        clocks.go_on(CLOCK_PROVEN)
    for ahead in (timedelta(days=400), -timedelta(days=400)):
        clocks.now += ahead
        for _ in range(5):
            sweep.run_once()
            clocks.go_on(20)
    assert keys(sqlite_record) == {"key-0", "key-1"}
    assert hooks.counts(sqlite_record, source.id) == {"done": 1}
    assert post(sqlite_record, source, an_article(external_id="early", version=1)).type == "article.killed"
