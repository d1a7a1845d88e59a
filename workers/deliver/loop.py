"""Deliver: claim what is due, send it at once over many connections, settle in batches, until nothing is due.

`steps.next_step` decides, and the loop obeys: its transactions and its sending are here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service import logs
from service.store.database.record import Record
from service.store.deliveries import attempts as tries
from service.store.deliveries import claims, health, push_content, rates, settlements
from service.store.deliveries.capacity import Allowance, Lane
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from service.store.deliveries.push_content import PushContent
from service.store.errors import RecordUnavailable
from workers.deliver.prefetch import PrefetchWindow
from workers.deliver.push_requests import PushBuilder
from workers.deliver.send_queue import Queued, SendQueue
from workers.deliver.settle import (
    Attempt,
    HealthWriteThrottle,
    endpoints_to_update,
    ends_by_age,
    facts_of,
    settlement_of,
    verdict_on,
)
from workers.deliver.slots import WireSlots, key_of
from workers.deliver.steps import Claim, LoopState, Settle, Step, Stop, Wait, next_step
from workers.net import outcome
from workers.net.outcome import Outcome
from workers.net.transport import Sender
from workers.single_flight import SingleFlight

log = logs.get("deliver")

CONTENDED = 0.05  # seconds: how long to leave alone what another worker claims of, or routes to
# Seconds that a drain waits for a rate-limited endpoint, at least and at most: the sweep finds what takes longer.
SHORTEST_REST, LONGEST_REST = 0.02, 1.0
HANG_UP_AFTER = 3.0  # seconds after it is stopped: the partners' time to answer what is on the wire
CUT_OFF = outcome.lost("cut off after a second: others waited for their first push")
LONGEST_OUTAGE = 60.0  # seconds without the record; then the leases run out and another worker sends again


@dataclass
class _Drain:
    """One drain, and all that it has in hand."""

    attempts: list[Attempt] = field(default_factory=list)  # to be settled
    returning: list[ClaimedDelivery] = field(default_factory=list)  # to be given back unsent
    may_claim_more: bool = True
    look_again_at: float | None = None  # monotonic
    transaction_at: float = 0.0
    polled: bool = True
    failing_since: float | None = None
    settled: int = 0


@dataclass(frozen=True)
class _Claims:
    """The claimed deliveries and the content of their pushes; if there are no more now, when a rate lets more go."""

    claimed: list[ClaimedDelivery]
    content: dict[int, PushContent]
    token_at: datetime | None


class DeliveryLoop:
    """One per process. `drain` may be called from any thread: one drains, the others leave a wish and return."""

    def __init__(
        self,
        record: Record,
        sender: Sender,
        worker: str,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        stalls: Callable[[], int] = lambda: 0,
    ) -> None:
        """`jitter` in [0, 1) spreads the retries. `stalls`: how often this process stood still so far."""
        self._record = record
        self._sender = sender
        self._worker = worker
        self._clock = clock
        self._jitter = jitter
        self._stalls = stalls
        self._stalls_seen = stalls()
        self._pushes = PushBuilder(record)
        # The thread that drains may be waiting for a partner that is slow.
        self._flight = SingleFlight(self._run, interrupt=sender.wake)
        self._hang_up_at = float("inf")  # monotonic
        self._cursor = Cursor()
        self._throttle = HealthWriteThrottle()
        self._slots = WireSlots(sender.capacity)
        self._queue = SendQueue(self._slots)
        self._window = PrefetchWindow()

    def drain(self) -> int:
        """Delivers until nothing is due; returns how many attempts were settled."""
        return self._flight.run()

    def request(self) -> bool:
        """Has a drain that is running look again at what is due; False if none is running."""
        return self._flight.request()

    def stop(self) -> None:
        """Claims nothing more; pushes on the wire are waited for, though not for long, and settled."""
        if not self._flight.stopped():
            self._hang_up_at = time.monotonic() + HANG_UP_AFTER
        self._flight.stop()

    def close(self, seconds: float = HANG_UP_AFTER + 2.0) -> None:
        """Stops, and returns when the pushes on the wire are settled; or the record was away for as long as that."""
        self.stop()
        if self._flight.close(seconds):
            self._sender.close()

    def _run(self) -> int:
        drain = _Drain()
        while not isinstance(step := self._next_step(drain), Stop):
            match step:
                case Claim(limit=limit):
                    self._transact(drain, limit)
                case Settle():
                    self._transact(drain, 0)
                case Wait(until=until):
                    self._wait(drain, until)
            self._send(drain)
        return drain.settled

    def _next_step(self, drain: _Drain) -> Step:
        if self._flight.take_wish():
            drain.may_claim_more = True
        state = LoopState(
            unsettled=len(drain.attempts),
            returning=len(drain.returning),
            queued=len(self._queue),
            in_flight=self._sender.in_flight,
            apart=self._slots.apart,
            may_claim_more=drain.may_claim_more,
            look_again_at=drain.look_again_at,
            closing=self._flight.stopped(),
            hang_up_at=self._hang_up_at,
            record_away=drain.failing_since is not None,
            transaction_at=drain.transaction_at,
            polled=drain.polled,
        )
        return next_step(state, time.monotonic())

    def _wait(self, drain: _Drain, until: float) -> None:
        drain.polled = True
        if not self._sender.in_flight:
            self._flight.wait(until - time.monotonic())
            return
        if self._is_late():
            self._sender.drop(outcome.lost("the worker was stopped before an answer came"))
        for push, answer in self._sender.poll(max(0.0, until - time.monotonic())):
            claimed, started_at = push.token
            drain.attempts.append(Attempt(claimed, started_at, answer))
            self._queue.done(claimed, _seconds(answer))
            if answer.delivered:
                self._window.answered(claimed, answer.timings.total / 1000)
            else:
                self._window.failed(claimed)
                drain.returning += self._queue.remove(claimed.endpoint_id)

    def _send(self, drain: _Drain) -> None:
        """Puts as many pushes on the wire as there is room for."""
        at = time.monotonic()
        self._slots.age(at)
        if not self._queue:
            return
        late = self._queue.clear() if self._flight.stopped() else self._queue.remove_late(at)
        for claimed in late:
            self._window.failed(claimed)
        drain.returning += late
        for queued in self._queue.ready(self._sender.room, at):
            if self._stood_still(drain):
                self._queue.done(queued.claimed)
                drain.returning.append(queued.claimed)
                return
            push = self._pushes.build(queued.claimed, queued.body, self._clock())
            self._sender.submit(push, stalls_seen=self._stalls_seen)
        if in_the_way := set(self._queue.in_the_way(at)):
            self._sender.drop(CUT_OFF, lambda push: key_of(push.token[0]) in in_the_way)

    def _stood_still(self, drain: _Drain) -> bool:
        """True if this process stood still since its last claim: others may have its claims, so they go back unsent."""
        stalls = self._stalls()
        if stalls == self._stalls_seen:
            return False
        self._stalls_seen = stalls
        drain.returning += self._queue.clear()
        return True

    def _is_late(self, more: float = 0.0) -> bool:
        return time.monotonic() >= self._hang_up_at + more

    def _transact(self, drain: _Drain, limit: int) -> None:
        """Settles the attempts that came back and claims up to `limit`, in one transaction."""
        self._stood_still(drain)
        now = self._clock()
        try:
            found = self._settle_and_claim(drain.attempts, drain.returning, limit, now)
        except RecordUnavailable as error:
            self._record_failed(drain, error)
            return
        finally:
            drain.transaction_at = time.monotonic()
            drain.polled = False
        drain.failing_since = None
        drain.settled += len(drain.attempts)
        drain.attempts, drain.returning = [], []
        if limit:
            drain.may_claim_more = bool(found.claimed) and self._cursor.more
            drain.look_again_at = self._look_again_at(found, drain.transaction_at, now)
        for claimed, body in self._pushes.bodies(found.claimed, found.content):
            self._queue.put(Queued(claimed, body, drain.transaction_at))

    def _look_again_at(self, found: _Claims, at: float, now: datetime) -> float | None:
        """When to look again though nobody leaves a wish; `at` and the answer are monotonic."""
        if self._cursor.more and not found.claimed:
            return at + CONTENDED
        if found.token_at is not None and (wait := (found.token_at - now).total_seconds()) <= LONGEST_REST:
            return at + max(SHORTEST_REST, wait)
        return None

    def _settle_and_claim(
        self, attempts: Sequence[Attempt], returning: Sequence[ClaimedDelivery], limit: int, now: datetime
    ) -> _Claims:
        # Takedowns that the time of day would end: a clock that jumped ends none.
        old = [each.claimed.id for each in attempts if ends_by_age(each, now)]
        tried_for = tries.tried_for_each(self._record, old, now)
        verdicts = [
            verdict_on(each, now, self._jitter(), tried_for.get(each.claimed.id)) for each in attempts
        ]
        settled = [
            settlement_of(each, verdict, now) for each, verdict in zip(attempts, verdicts, strict=True)
        ]
        with self._record.writing() as connection:
            # Endpoints are locked before deliveries, as routing does.
            ids, decide = endpoints_to_update(attempts, verdicts, self._throttle, now, self._jitter)
            turns = health.update_health(connection, ids, decide, now) if ids else []
            settlements.settle_within(connection, settled, lease=self._worker, now=now)
            settlements.give_back(connection, returning, lease=self._worker, now=now)
            claimed, cursor = claims.claim_within(
                connection,
                lease=self._worker,
                limit=limit,
                cursor=self._cursor,
                now=now,
                allowance=self._allowance(),
            )
            # Read here, so that the claimed deliveries can be sent even if the record goes away.
            missing = self._pushes.missing(claimed)
            content = push_content.push_contents_within(connection, missing) if missing else {}
            waits = cursor.limited and len(claimed) < limit
            token_at = rates.next_token(connection, now) if waits else None
        self._cursor = cursor
        self._throttle.committed(attempts, ids, now)
        ends = zip(attempts, settled, strict=True)
        logs.info_each(log, "delivery.attempted", (facts_of(each, end.state) for each, end in ends))
        for turn in turns:
            log.warning(turn.what, endpoint=turn.endpoint_id, words=turn.words)
        return _Claims(claimed, content, token_at)

    def _allowance(self) -> Allowance:
        takedowns, news = (
            self._slots.closed(lane, self._queue.waiting(lane)) for lane in (Lane.TAKEDOWNS, Lane.NEWS)
        )
        return Allowance(self._window.ahead, self._slots.proven, takedowns, news)

    def _record_failed(self, drain: _Drain, error: RecordUnavailable) -> None:
        """The record is away or busy: the attempts stay in hand and are settled when it is back."""
        now = time.monotonic()
        drain.failing_since = drain.failing_since or now
        log.warning("record.unavailable", unsettled=len(drain.attempts), error=str(error))
        drain.returning += self._queue.clear()
        gives_up = now - drain.failing_since > LONGEST_OUTAGE or self._is_late(1.0)
        if gives_up or not (drain.attempts or drain.returning):
            raise error


def _seconds(answer: Outcome) -> float | None:
    """How long the partner took; None where the end was our own doing."""
    return None if answer.kind in ("lost", "unsent") else answer.timings.total / 1000
