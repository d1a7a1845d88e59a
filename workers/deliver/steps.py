"""Decides the delivery loop's next step: claim, settle, wait, or end. Pure.

Moments are seconds on a monotonic clock.
"""

from __future__ import annotations

from typing import NamedTuple

CLAIM_BATCH = 320  # deliveries claimed at once
IN_HAND = 2 * CLAIM_BATCH  # deliveries claimed and not back from the wire, but for slow partners'
SETTLE_AT = 256  # answers
SETTLE_AFTER = 0.03  # seconds: an attempt that is not settled is made again should we die
IDLE_POLL = 0.1  # seconds: how often to look around while pushes are on the wire and nobody leaves a wish
RECORD_RETRY_AFTER = 0.25  # seconds after a transaction that failed


class LoopState(NamedTuple):
    """The delivery loop at one moment."""

    unsettled: int = 0  # answers that the record does not know yet
    returning: int = 0  # deliveries that were claimed and are to be given back unsent
    queued: int = 0  # deliveries that wait here for their turn on the wire
    in_flight: int = 0  # pushes on the wire
    apart: int = 0  # of these, those to slow and unknown partners: they keep nothing else from being claimed
    may_claim_more: bool = False  # the record may have more that is due
    look_again_at: float | None = None  # when it may have, though nobody says so
    closing: bool = False
    hang_up_at: float = float("inf")
    record_away: bool = False  # the last transaction failed
    transaction_at: float = 0.0  # when the last transaction ended
    polled: bool = True  # the wire has had its turn since

    @property
    def room(self) -> int:
        """How many more deliveries may be in hand."""
        return max(0, IN_HAND - self.queued - self.in_flight + self.apart)

    @property
    def claim_limit(self) -> int:
        """How many deliveries the next transaction may claim."""
        return 0 if self.closing else min(CLAIM_BATCH, self.room)


class Claim(NamedTuple):
    """Settle the answers, give back the deliveries to be returned, and claim up to `limit`: in one transaction."""

    limit: int


class Settle(NamedTuple):
    """The same, without claiming."""


class Wait(NamedTuple):
    """Serve the wire until then, or until an answer or a wish comes."""

    until: float


class Stop(NamedTuple):
    """Nothing is in hand, and nothing is due."""


Step = Claim | Settle | Wait | Stop


def next_step(state: LoopState, now: float) -> Step:
    """The loop's next step. A Wait always ends after `now`."""
    due_at = _transaction_due_at(state, now)
    if due_at is not None and now >= due_at:
        return Claim(state.claim_limit) if state.claim_limit else Settle()
    moments = [] if due_at is None else [due_at]
    if state.look_again_at is not None and state.look_again_at > now and not state.closing:
        moments.append(state.look_again_at)
    if state.in_flight or state.queued:
        moments.append(now + IDLE_POLL)
        if state.hang_up_at > now:
            moments.append(state.hang_up_at)
    return Wait(min(moments)) if moments else Stop()


def _transaction_due_at(state: LoopState, now: float) -> float | None:
    """When the next transaction is due; None if there is nothing to settle, give back or claim."""
    wants_claim = state.claim_limit > 0 and _may_claim(state, now)
    if not (state.unsettled or state.returning or wants_claim):
        return None
    if state.record_away:
        return state.transaction_at + RECORD_RETRY_AFTER
    if not state.in_flight:
        return now
    # A transaction costs much the same for many deliveries as for few, so they gather. Between two transactions the
    # wire has its turn: the claims of the first are sent before the second begins.
    enough = state.unsettled >= SETTLE_AT or (wants_claim and state.room >= CLAIM_BATCH // 2)
    return now if enough and state.polled else state.transaction_at + SETTLE_AFTER


def _may_claim(state: LoopState, now: float) -> bool:
    return state.may_claim_more or (state.look_again_at is not None and now >= state.look_again_at)
