"""The states of a delivery: every act keeps to the table of transitions, in any order of acts, and nothing is stuck."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy import select

from service.store import operations
from service.store.coordination import heartbeats
from service.store.database.record import open_record
from service.store.deliveries import claims, recovery, routing, settlements, states
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from service.store.deliveries.recovery import InFlight
from service.store.deliveries.replays import ReplayRequest
from service.store.deliveries.states import TERMINAL, TRANSITIONS, UNSETTLED, State, Transition
from service.store.partners.endpoints import Changes
from service.store.schema.deliveries import DELIVERY_STATES, delivery
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.conftest import KEY
from tests.seeded import a_settlement

WORKER = "w1.test"


def test_the_table_of_deliveries_knows_the_same_states() -> None:
    assert set(State) == set(DELIVERY_STATES)


def test_a_settled_delivery_leaves_its_state_only_by_a_revival_or_a_cancellation() -> None:
    leaving = {each for each in TRANSITIONS if set(each.sources) & set(TERMINAL)}
    assert leaving == {states.REVIVE, states.CANCEL}


def test_every_state_is_reached_and_left_as_the_table_says() -> None:
    reached = {target for each in TRANSITIONS for target in each.targets}
    assert reached == set(State)
    left = {source for each in TRANSITIONS for source in each.sources}
    assert left == {*UNSETTLED, State.SENDING, State.DEAD, State.SUPERSEDED}


def reachable(before: State | None, acts: Sequence[Transition]) -> set[State | None]:
    """The states after these transitions, each of which may happen or not, in this order."""
    found = {before}
    for act in acts:
        found |= {after for state in found for after in State if act.allows(state, after)}
    return found


class Traffic(RuleBasedStateMachine):
    """Two stories, an endpoint that wants the newest revision and one that wants every one; all that can happen."""

    template: Path
    folder: Path
    _numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        path = self.folder / f"{next(self._numbers)}.db"
        shutil.copy(self.template, path)
        self.record = open_record(f"sqlite:///{path}", KEY)
        self.source = a_desk(self.record)
        self.endpoints = [
            an_endpoint(self.record, every_revision=every, max_in_flight=8).id for every in (False, True)
        ]
        heartbeats.heartbeat(self.record, WORKER, broker="up", now=NOW)
        self.seconds = 0.0
        self.withheld = {"a": True, "b": True}  # not public
        self.in_hand: list[ClaimedDelivery] = []
        self.claimed: dict[tuple[int, int], int] = {}  # (endpoint, article) → the newest revision that was

    @contextmanager
    def only(self, *acts: Transition) -> Iterator[None]:
        """Each delivery goes only where these transitions lead it."""
        self.seconds += 1
        before = self.current()
        yield
        for number, state in self.current().items():
            was = before.get(number)
            assert state in reachable(was, acts) - {None}, f"{was} became {state}"

    def current(self) -> dict[int, State]:
        with self.record.reading() as connection:
            rows = connection.execute(select(delivery.c.id, delivery.c.state)).all()
        return {row.id: State(row.state) for row in rows}

    @rule(story=st.sampled_from("ab"), corrected=st.booleans())
    def newsroom_publishes(self, story: str, corrected: bool) -> None:
        note = "The date was wrong." if corrected and not self.withheld[story] else None
        with self.only(states.SUPERSEDE):
            posted = an_article(external_id=story, headline=f"At {self.seconds}", correction_note=note)
            post(self.record, self.source, posted, now=later(self.seconds))
        self.withheld[story] = False

    @rule(story=st.sampled_from("ab"))
    def newsroom_withholds(self, story: str) -> None:
        if not self.withheld[story]:
            with self.only(states.SUPERSEDE):
                posted = a_takedown("withheld", external_id=story)
                post(self.record, self.source, posted, now=later(self.seconds))
            self.withheld[story] = True

    @rule()
    def router_routes(self) -> None:
        with self.only(states.ENQUEUE, states.SUPERSEDE, states.CANCEL, states.WITHDRAW):
            routing.route(self.record, later(self.seconds))

    @rule(limit=st.integers(1, 4))
    def worker_claims(self, limit: int) -> None:
        with self.only(states.CLAIM):
            self.claim(limit)

    def claim(self, limit: int) -> list[ClaimedDelivery]:
        claimed, _ = claims.claim(
            self.record, lease=WORKER, limit=limit, cursor=Cursor(), now=later(self.seconds)
        )
        assert len(claimed) <= limit
        for each in claimed:
            place = each.endpoint_id, each.article_id
            assert each.revision >= self.claimed.get(place, 0), "an older revision after a newer one"
            self.claimed[place] = each.revision
        self.in_hand += claimed
        return claimed

    @precondition(lambda self: self.in_hand)
    @rule(state=st.sampled_from(states.SETTLE.targets), reached=st.booleans(), lost=st.booleans())
    def worker_settles(self, state: State, reached: bool, lost: bool) -> None:
        outcome = "lost" if lost and state is State.WAITING else "delivered"
        with self.only(states.SETTLE, states.SUPERSEDE, states.WITHDRAW, states.CANCEL):
            each = self.in_hand.pop(0)
            due_at = later(self.seconds + 2)
            end = a_settlement(each, state, "", later(self.seconds), due_at=due_at, outcome=outcome)
            end = end._replace(reached=reached or state is State.DELIVERED)
            settled = settlements.settle(self.record, [end], lease=WORKER, now=later(self.seconds))
            assert settled == {each.id}

    @precondition(lambda self: self.in_hand)
    @rule()
    def worker_gives_back(self) -> None:
        with (
            self.only(states.GIVE_BACK, states.SUPERSEDE, states.WITHDRAW, states.CANCEL),
            self.record.writing() as connection,
        ):
            each = [self.in_hand.pop()]
            settlements.give_back(connection, each, lease=WORKER, now=later(self.seconds))

    @precondition(lambda self: self.in_hand)
    @rule()
    def worker_dies(self) -> None:
        with self.only(states.RECOVER, states.SUPERSEDE):
            lost = [InFlight(each.id, each.attempts, WORKER, None) for each in self.in_hand]
            self.in_hand = []
            assert recovery.recover(self.record, lost, later(self.seconds)) == len(lost)

    @rule(dead=st.booleans())
    def operator_replays(self, dead: bool) -> None:
        with self.only(states.REVIVE, states.REPEAT):
            request = ReplayRequest(dead=dead, since=None if dead else NOW)
            operations.replay(self.record, request, actor="operator", now=later(self.seconds))

    @rule(which=st.integers(0, 1), kind=st.sampled_from(["pause", "resume"]))
    def operator_pauses_or_resumes(self, which: int, kind: str) -> None:
        with self.only(states.REVIVE):
            if kind == "pause":
                self.pause(self.endpoints[which])
            else:
                self.resume(self.endpoints[which])

    def pause(self, endpoint_id: int) -> None:
        operations.pause_endpoint(
            self.record, endpoint_id, reason="", actor="operator", now=later(self.seconds)
        )

    def resume(self, endpoint_id: int) -> None:
        operations.resume_endpoint(self.record, endpoint_id, actor="operator", now=later(self.seconds))

    @rule(which=st.integers(0, 1), every_revision=st.booleans())
    def operator_changes_the_wish_for_every_revision(self, which: int, every_revision: bool) -> None:
        with self.only():
            changes = Changes(every_revision=every_revision)
            operations.change_endpoint(
                self.record, self.endpoints[which], changes, actor="operator", now=later(self.seconds)
            )

    def teardown(self) -> None:
        """Once all is well again, every delivery comes to an end."""
        try:
            for endpoint_id in self.endpoints:
                self.resume(endpoint_id)
            routing.route(self.record, later(self.seconds))
            self.seconds += 100
            while self.in_hand or self.claim(9):
                ends = [a_settlement(each, "delivered", "", later(self.seconds)) for each in self.in_hand]
                settlements.settle(self.record, ends, lease=WORKER, now=later(self.seconds))
                self.in_hand = []
            assert set(self.current().values()) <= set(TERMINAL)
        finally:
            self.record.close()


@pytest.mark.slow
def test_each_delivery_keeps_to_its_states_and_none_is_stuck_in_any_order_of_events(
    sqlite_template: Path, tmp_path: Path
) -> None:
    Traffic.template, Traffic.folder = sqlite_template, tmp_path
    run_state_machine_as_test(Traffic, settings=settings(max_examples=30, stateful_step_count=40))
