"""The delivery loop's next step: it claims, settles, waits or ends by what is in hand, without a socket."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.deliver.steps import (
    CLAIM_BATCH,
    IDLE_POLL,
    IN_HAND,
    RECORD_RETRY_AFTER,
    SETTLE_AFTER,
    SETTLE_AT,
    Claim,
    LoopState,
    Settle,
    Step,
    Stop,
    Wait,
    next_step,
)

NOW = 1000.0


def a_state(**changes: Any) -> LoopState:
    """A loop at rest, whose last transaction ended this moment."""
    return LoopState(**{"transaction_at": NOW} | changes)


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (a_state(), Stop()),
        # claiming
        (a_state(may_claim_more=True), Claim(CLAIM_BATCH)),
        (a_state(may_claim_more=True, in_flight=IN_HAND - 160), Claim(160)),
        (a_state(may_claim_more=True, queued=IN_HAND - 200, in_flight=40), Claim(160)),
        (a_state(may_claim_more=True, in_flight=IN_HAND, apart=IN_HAND), Claim(CLAIM_BATCH)),
        (a_state(may_claim_more=True, in_flight=IN_HAND - 159), Wait(NOW + SETTLE_AFTER)),
        (a_state(may_claim_more=True, in_flight=IN_HAND - 1, transaction_at=NOW - 1), Claim(1)),
        (a_state(may_claim_more=True, in_flight=IN_HAND, transaction_at=NOW - 1), Wait(NOW + IDLE_POLL)),
        # the wire has its turn between two transactions
        (a_state(may_claim_more=True, in_flight=9, polled=False), Wait(NOW + SETTLE_AFTER)),
        # settling, and claiming by the same transaction
        (a_state(unsettled=1), Claim(CLAIM_BATCH)),
        (a_state(returning=1), Claim(CLAIM_BATCH)),
        (a_state(unsettled=1, in_flight=1), Wait(NOW + SETTLE_AFTER)),
        (a_state(unsettled=1, in_flight=1, transaction_at=NOW - SETTLE_AFTER), Claim(CLAIM_BATCH)),
        (a_state(unsettled=SETTLE_AT - 1, in_flight=1), Wait(NOW + SETTLE_AFTER)),
        (a_state(unsettled=SETTLE_AT, in_flight=1), Claim(CLAIM_BATCH)),
        (a_state(unsettled=SETTLE_AT, in_flight=IN_HAND), Settle()),
        # waiting for the wire
        (a_state(in_flight=1), Wait(NOW + IDLE_POLL)),
        (a_state(queued=1), Wait(NOW + IDLE_POLL)),
        # waiting for a rate, or for another worker
        (a_state(look_again_at=NOW + 0.7), Wait(NOW + 0.7)),
        (a_state(look_again_at=NOW + 0.05, in_flight=1), Wait(NOW + 0.05)),
        (a_state(look_again_at=NOW + 0.7, in_flight=1), Wait(NOW + IDLE_POLL)),
        (a_state(look_again_at=NOW), Claim(CLAIM_BATCH)),
        (a_state(look_again_at=NOW - 1, in_flight=IN_HAND), Wait(NOW + IDLE_POLL)),
        # the record is away
        (a_state(record_away=True, unsettled=SETTLE_AT), Wait(NOW + RECORD_RETRY_AFTER)),
        (a_state(record_away=True, unsettled=1, transaction_at=NOW - RECORD_RETRY_AFTER), Claim(CLAIM_BATCH)),
        (a_state(record_away=True, unsettled=1, in_flight=1), Wait(NOW + IDLE_POLL)),
        # closing
        (a_state(closing=True, may_claim_more=True, look_again_at=NOW + 0.7), Stop()),
        (a_state(closing=True, may_claim_more=True, unsettled=1), Settle()),
        (a_state(closing=True, returning=1), Settle()),
        (a_state(closing=True, in_flight=1, look_again_at=NOW + 0.01), Wait(NOW + IDLE_POLL)),
        (a_state(closing=True, in_flight=1, hang_up_at=NOW + 0.02), Wait(NOW + 0.02)),
        (a_state(closing=True, in_flight=1, hang_up_at=NOW), Wait(NOW + IDLE_POLL)),
        (a_state(closing=True, in_flight=1, hang_up_at=NOW - 1), Wait(NOW + IDLE_POLL)),
    ],
)
def test_the_next_step_follows_from_what_is_in_hand(state: LoopState, step: Step) -> None:
    assert next_step(state, NOW) == step


MOMENTS = st.floats(NOW - 3, NOW + 3)
STATES = st.builds(
    LoopState,
    unsettled=st.integers(0, 2 * SETTLE_AT),
    returning=st.integers(0, IN_HAND),
    queued=st.integers(0, IN_HAND),
    in_flight=st.integers(0, IN_HAND),
    may_claim_more=st.booleans(),
    look_again_at=st.none() | MOMENTS,
    closing=st.booleans(),
    hang_up_at=st.just(float("inf")) | MOMENTS,
    record_away=st.booleans(),
    transaction_at=st.floats(NOW - 3, NOW),
    polled=st.booleans(),
)


def claimable(state: LoopState) -> bool:
    looks_again = state.look_again_at is not None and state.look_again_at <= NOW
    return (state.may_claim_more or looks_again) and state.room > 0 and not state.closing


@given(STATES)
def test_nothing_settleable_or_claimable_waits_longer_than_it_may(state: LoopState) -> None:
    step = next_step(state, NOW)
    if not (state.unsettled or state.returning or claimable(state)):
        return
    assert not isinstance(step, Stop)
    if isinstance(step, Wait):
        pause = RECORD_RETRY_AFTER if state.record_away else SETTLE_AFTER
        assert step.until <= state.transaction_at + pause
        assert state.in_flight or state.record_away, "with an idle wire there is nothing to wait for"
        assert state.record_away or not state.polled or state.unsettled < SETTLE_AT


@given(STATES)
def test_it_never_claims_more_than_there_is_room_for_and_nothing_once_it_is_closing(state: LoopState) -> None:
    step = next_step(state, NOW)
    if isinstance(step, Claim):
        assert 0 < step.limit <= CLAIM_BATCH
        assert state.queued + state.in_flight - state.apart + step.limit <= IN_HAND
        assert not state.closing


@given(STATES)
def test_a_transaction_always_has_something_to_do(state: LoopState) -> None:
    step = next_step(state, NOW)
    if isinstance(step, Claim | Settle):
        assert state.unsettled or state.returning or claimable(state)


@given(STATES)
def test_it_ends_when_nothing_is_in_hand_and_nothing_is_due_and_only_then(state: LoopState) -> None:
    in_hand = state.unsettled or state.returning or state.queued or state.in_flight
    due = claimable(state) or (state.look_again_at is not None and not state.closing)
    assert isinstance(next_step(state, NOW), Stop) == (not in_hand and not due)


@given(STATES)
def test_a_wait_ends_in_time_to_come_so_that_the_loop_never_spins(state: LoopState) -> None:
    step = next_step(state, NOW)
    if isinstance(step, Wait):
        assert step.until > NOW
        if state.in_flight:
            assert step.until <= NOW + IDLE_POLL
            assert step.until <= state.hang_up_at or state.hang_up_at <= NOW


class World:
    """A record with a backlog and partners that answer after some time: all that the loop obeys, as numbers."""

    def __init__(self, backlog: int, seconds: list[float], outages: set[int]) -> None:
        self.backlog, self.settled = backlog, 0
        self.now, self.transactions = 0.0, 0
        self.state = LoopState(may_claim_more=True)
        self._seconds = seconds
        self._outages = outages  # transactions that fail
        self._wire: deque[float] = deque()  # when each answer comes

    def obey(self, step: Step) -> None:
        self.now += 0.001
        match step:
            case Claim(limit=limit):
                self._transact(limit)
            case Settle():
                self._transact(0)
            case Wait(until=until):
                self._wait(until)

    def _transact(self, limit: int) -> None:
        self.transactions += 1
        state = self.state._replace(transaction_at=self.now, polled=False)
        if self.transactions in self._outages:
            self.state = state._replace(record_away=True)
            return
        claimed = min(limit, self.backlog)
        self.backlog -= claimed
        self.settled += state.unsettled
        for number in range(claimed):
            self._wire.append(self.now + self._seconds[number % len(self._seconds)])
        self.state = state._replace(
            unsettled=0,
            in_flight=len(self._wire),
            may_claim_more=claimed == limit if limit else state.may_claim_more,
            record_away=False,
        )

    def _wait(self, until: float) -> None:
        first = min(self._wire, default=until)
        self.now = max(self.now, min(until, first))
        answered = [at for at in self._wire if at <= self.now]
        self._wire = deque(at for at in self._wire if at > self.now)
        self.state = self.state._replace(
            polled=True, in_flight=len(self._wire), unsettled=self.state.unsettled + len(answered)
        )


@given(
    st.integers(0, 3000),
    st.lists(st.floats(0.001, 15.0), min_size=1, max_size=20),
    st.sets(st.integers(1, 30), max_size=10),
)
def test_every_backlog_is_settled_whole_in_few_transactions_whatever_fails(
    backlog: int, seconds: list[float], outages: set[int]
) -> None:
    world = World(backlog, seconds, outages)
    while not isinstance(step := next_step(world.state, world.now), Stop):
        world.obey(step)
        assert world.state.in_flight <= IN_HAND
        assert world.now < 15.1 * (backlog / CLAIM_BATCH + 2) + len(outages)
    assert (world.backlog, world.settled) == (0, backlog)
    most = world.now / SETTLE_AFTER + backlog / (CLAIM_BATCH // 2) + backlog / SETTLE_AT
    assert world.transactions <= most + len(outages) + 3
