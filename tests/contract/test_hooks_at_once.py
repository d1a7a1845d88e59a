"""A hook with one story is one transaction: all of it stands or nothing, wherever it breaks off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import IntegrityError

from service import times
from service.store import operations
from service.store.articles import hooks
from service.store.database.record import Record
from service.store.operations.sources import SourceChange
from tests import paper_system
from tests.paper_hooks import kept, send, status_of, told
from tests.paper_system import a_paper_source, a_story
from tests.web import CutOff, WebDesk, rows, the_problem


@pytest.fixture(autouse=True)
def _paper(monkeypatch: pytest.MonkeyPatch) -> None:
    paper_system.install(monkeypatch)


class _Killed(BaseException):
    """The process ends here."""


@contextmanager
def _before_each_write(record: Record, act: Callable[[int], None]) -> Iterator[None]:
    """Has `act` called before each statement, and before the commit, of transactions that write; it gets its number."""
    count = 0

    def listen(connection: Connection, *_: Any) -> None:
        nonlocal count
        if connection.get_execution_options().get("dateline_writing"):
            count += 1
            act(count)

    event.listen(record.engine, "before_cursor_execute", listen)
    event.listen(record.engine, "commit", listen)
    try:
        yield
    finally:
        event.remove(record.engine, "before_cursor_execute", listen)
        event.remove(record.engine, "commit", listen)


def _commits(record: Record, act: Callable[[], object]) -> int:
    found: list[bool] = []

    def note(connection: Connection) -> None:
        if connection.get_execution_options().get("dateline_writing"):
            found.append(True)

    event.listen(record.engine, "commit", note)
    act()
    event.remove(record.engine, "commit", note)
    return len(found)


@pytest.mark.parametrize(
    ("hook", "outcome"),
    [
        ({"stories": [a_story()]}, "accepted"),
        ({"gone": ["12"]}, "ignored"),
        ({"stories": [a_story(headline=None)]}, "held"),
        ({"ping": "hello"}, "ignored"),
        ({"bell": True}, "queued"),
        ({"stories": [a_story()], "bell": True}, "queued"),
    ],
)
def test_a_hook_with_a_story_at_the_most_costs_one_commit(desk: WebDesk, hook: Any, outcome: str) -> None:
    a_paper_source(desk.record, base_url="https://paper.example")
    told(send(desk, {"ping": "the first of all writes that nothing was refused since"}), "ignored")
    assert _commits(desk.record, lambda: told(send(desk, hook), outcome)) == 1


def test_a_hook_that_is_killed_between_any_two_statements_leaves_nothing_and_its_repeat_goes_through(
    desk: WebDesk,
) -> None:
    a_paper_source(desk.record)
    told(send(desk, {"ping": "the first of all writes that nothing was refused since"}), "ignored")
    before = rows(desk.record)

    def goes_through(last: int) -> bool:
        def kill(number: int) -> None:
            if number == last:
                raise _Killed

        with _before_each_write(desk.record, kill), suppress(_Killed):
            told(send(desk, {"stories": [a_story()]}), "accepted")
            return True
        return False

    steps = 1
    while not goes_through(steps):
        assert rows(desk.record) == before
        steps += 1
    assert steps > 4
    told(send(desk, {"stories": [a_story()]}), "repeat")
    assert status_of(desk) == "usable"
    assert [hook.claim.repeats for hook in kept(desk.record)] == [0, 1]


def test_a_hook_whose_transaction_fails_is_kept_first_and_accepted_then(desk: WebDesk) -> None:
    a_paper_source(desk.record)

    def fail(number: int) -> None:
        if number == 5:
            raise IntegrityError("another was faster", None, ValueError())

    with _before_each_write(desk.record, fail):
        told(send(desk, {"stories": [a_story()]}), "accepted")
    [hook] = kept(desk.record)
    assert (hook.result.state, len(hook.result.articles)) == (hooks.HOOK_DONE, 1)


def test_a_fault_of_ours_in_accepting_leaves_the_hook_to_a_worker(
    desk: WebDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_paper_source(desk.record)

    def fail(*_: Any) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr("service.store.articles.revisions.create", fail)
    desk.app.config["PROPAGATE_EXCEPTIONS"] = False
    assert send(desk, {"stories": [a_story()]}).status_code == 500
    monkeypatch.undo()
    [hook] = hooks.claim_due(desk.record, 10, times.now() + hooks.REQUEST_LASTS)
    assert b"Harbour reopens" in hook.body


def test_a_hook_while_the_record_is_away_is_a_503_so_that_its_system_may_try_again(cut_off: CutOff) -> None:
    desk = cut_off.desk
    a_paper_source(desk.record)
    told(send(desk, {"ping": "hello"}), "ignored")
    cut_off.cut()
    the_problem(send(desk, {"stories": [a_story()]}), 503)


@pytest.mark.parametrize(
    ("hook", "outcome", "kept_whole"),
    [
        ({"stories": [a_story()]}, "accepted", False),
        ({"stories": [a_story(headline=None)]}, "held", True),
        ({"ping": "hello"}, "ignored", True),
        ({"changed": ["7"]}, "queued", True),
    ],
)
def test_a_hook_is_kept_without_its_body_once_its_story_is_in_the_record(
    desk: WebDesk, hook: Any, outcome: str, kept_whole: bool
) -> None:
    a_paper_source(desk.record, base_url="https://paper.example")
    told(send(desk, hook), outcome)
    [found] = kept(desk.record)
    assert bool(found.body) is kept_whole


def _map(record: Record, **section_map: str) -> None:
    change = SourceChange(lambda options: replace(options, section_map=section_map))
    operations.change_source(record, "paper", change, actor="operator", now=times.now())


def test_a_repeat_that_must_wait_is_held_with_its_body_though_the_first_was_accepted(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    _map(desk.record, Docks="world")
    hook = {"stories": [a_story(sections=["Docks"])]}
    told(send(desk, hook), "accepted")
    _map(desk.record)
    told(send(desk, hook), "held")
    [found] = hooks.held(desk.record, "paper")
    assert b"Docks" in found.body
    _map(desk.record, Docks="business")
    told(send(desk, hook), "accepted")
    [found] = kept(desk.record)
    assert [each["outcome"] for each in found.result.articles] == ["accepted"]


def test_two_hooks_of_a_new_story_at_once_are_both_answered_and_make_one_article(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    sent = [{"stories": [a_story(headline=f"Version {number}")]} for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda hook: send(desk, hook), sent))
    assert {each.status_code for each in answers} == {202}
    assert {each.json["outcome"] for each in answers} <= {"accepted", "stale"}
    assert len({each.json["articles"][0]["article"] for each in answers}) == 1
    assert len(kept(desk.record)) == 8
