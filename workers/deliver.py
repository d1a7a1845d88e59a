"""Deliver: claim what is due, send it at once over many connections, settle in batches, until nothing is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from service import logs
from service.store import claims, health, pushes, rates, settlements
from service.store.claims import Claimed, Cursor
from service.store.errors import RecordUnavailable
from service.store.pushes import Told
from service.store.record import Record
from workers import outcome
from workers.letters import Letters
from workers.settling import Sent, Watch, settlement_of, touched, verdict_on
from workers.transport import Sender

log = logs.get("deliver")

BATCH = 128  # claimed at once; a settlement of as many rows takes some 5 ms
SETTLE_AT = 32
SETTLE_AFTER = 0.015  # seconds: what was sent and not settled is sent again should we die
IDLE_POLL = 0.02
REST = (
    0.02,
    1.0,
)  # seconds: how long a drain waits for a rate-limited endpoint; what takes longer the sweep finds
GIVE_UP_AFTER = 60.0  # seconds without the record; then the leases run out and another worker sends again


@dataclass
class _Drain:
    """What one drain has in hand."""

    sent: list[Sent]
    hungry: bool = True
    settled: int = 0
    turned_at: float = 0.0
    failing_since: float | None = None
    tokens_at: float | None = None  # a rate-limited endpoint may be sent to again; monotonic


@dataclass(frozen=True)
class _Turn:
    """What was claimed, and what its pushes say; if that is all there is now, when a rate lets more go."""

    claimed: list[Claimed]
    told: dict[int, Told]
    token_at: datetime | None


class Courier:
    """One per process. `drain` may be called from any thread: one drains, the others leave word and return."""

    def __init__(
        self,
        record: Record,
        sender: Sender,
        worker: str,
        clock: Callable[[], datetime],
        dice: Callable[[], float],
        stops: Callable[[], int] = lambda: 0,
    ) -> None:
        """`stops`: how often this process stood still so far (workers/pulse.py)."""
        self._record = record
        self._sender = sender
        self._worker = worker
        self._clock = clock
        self._dice = dice
        self._stops = stops
        self._letters = Letters(record)
        self._busy = threading.Lock()
        self._again = threading.Event()
        self._closing = threading.Event()
        self._cursor = Cursor()
        self._watch = Watch()

    def drain(self) -> int:
        """Delivers until nothing is due; returns how many attempts were settled."""
        settled = 0
        self._again.set()
        while self._again.is_set() and self._busy.acquire(blocking=False):
            try:
                settled += self._drain()
            finally:
                self._busy.release()
        return settled

    def stop(self) -> None:
        """Claims nothing more; what is on the wire is waited for and settled."""
        self._closing.set()
        self._again.set()

    def close(self, seconds: float = 20.0) -> None:
        """Stops, and returns when what was on the wire is settled."""
        self.stop()
        if self._busy.acquire(timeout=seconds):
            self._sender.close()

    def _drain(self) -> int:
        drain = _Drain(sent=[])
        while self._goes_on(drain):
            rested = drain.tokens_at is not None and time.monotonic() >= drain.tokens_at
            if rested or self._again.is_set():
                self._again.clear()
                drain.tokens_at = None
                drain.hungry = not self._closing.is_set()
            if self._wants_turn(drain):
                self._turn(drain)
            if self._sender.in_flight:
                self._poll(drain)
            elif drain.tokens_at is not None:
                self._again.wait(max(0.0, drain.tokens_at - time.monotonic()))
        return drain.settled

    def _goes_on(self, drain: _Drain) -> bool:
        if drain.hungry or drain.sent or self._sender.in_flight or self._again.is_set():
            return True
        return drain.tokens_at is not None

    def _wants_turn(self, drain: _Drain) -> bool:
        if drain.failing_since is not None:
            return time.monotonic() - drain.turned_at > 0.25
        if drain.hungry or len(drain.sent) >= SETTLE_AT:
            return True
        waited = time.monotonic() - drain.turned_at > SETTLE_AFTER
        return bool(drain.sent) and (waited or not self._sender.in_flight)

    def _poll(self, drain: _Drain) -> None:
        for push, answer in self._sender.poll(SETTLE_AFTER if drain.sent else IDLE_POLL):
            claimed, started_at = push.token
            drain.sent.append(Sent(claimed, started_at, answer))

    def _turn(self, drain: _Drain) -> None:
        """Settles what came back and claims what there is room for, in one transaction; then sends it."""
        sent, now, stops = drain.sent, self._clock(), self._stops()
        limit = 0 if self._closing.is_set() else min(BATCH, self._sender.room)
        drain.turned_at = time.monotonic()
        try:
            turn = self._settle_and_claim(sent, limit, now)
        except RecordUnavailable as error:
            self._record_failed(drain, error)
            return
        drain.failing_since = None
        drain.sent = []
        drain.settled += len(sent)
        drain.hungry = bool(limit) and len(turn.claimed) >= limit
        if turn.token_at is not None and (wait := (turn.token_at - now).total_seconds()) <= REST[1]:
            drain.tokens_at = drain.turned_at + max(REST[0], wait)
        letters = self._letters.write(turn.claimed, turn.told, self._clock())
        if self._stops() != stops:  # another worker may have taken these over: they go back unsent
            late = outcome.unsent("the worker stood still before sending")
            drain.sent = [Sent(each, now, late) for each in turn.claimed]
            return
        for letter in letters:
            self._sender.submit(letter)

    def _settle_and_claim(self, sent: Sequence[Sent], limit: int, now: datetime) -> _Turn:
        verdicts = [verdict_on(each, now, self._dice()) for each in sent]
        settled = [settlement_of(each, verdict, now) for each, verdict in zip(sent, verdicts, strict=True)]
        with self._record.writing() as connection:
            # Endpoints are locked before deliveries, as routing does.
            ids, decide = touched(sent, verdicts, self._watch, now, self._dice)
            turns = health.update_health(connection, ids, decide, now) if ids else []
            settlements.settle_within(connection, settled, lease=self._worker, now=now)
            claimed, cursor = claims.claim_within(
                self._record, connection, lease=self._worker, limit=limit, cursor=self._cursor, now=now
            )
            # Read here, so that what is claimed can be written and sent whatever becomes of the record.
            unread = self._letters.unread(claimed)
            told = pushes.told_within(connection, unread) if unread else {}
            token_at = rates.next_token(connection, now) if len(claimed) < limit else None
        self._cursor = cursor
        self._watch.committed(sent, ids, now)
        for each, end in zip(sent, settled, strict=True):
            _log_attempt(each, end.state)
        for turn in turns:
            log.warning(turn.what, endpoint=turn.endpoint_id, words=turn.words)
        return _Turn(claimed, told, token_at)

    def _record_failed(self, drain: _Drain, error: RecordUnavailable) -> None:
        """The record is away or busy: what was sent is kept in hand and settled when it is back."""
        drain.failing_since = drain.failing_since or time.monotonic()
        log.warning("record.unavailable", unsettled=len(drain.sent), error=str(error))
        if time.monotonic() - drain.failing_since > GIVE_UP_AFTER or not drain.sent:
            drain.hungry = False
            raise error
        if not self._sender.in_flight:
            time.sleep(0.25)


def _log_attempt(sent: Sent, state: str) -> None:
    log.info(
        "delivery.attempted",
        delivery=sent.claimed.public_id,
        endpoint=sent.claimed.endpoint_id,
        attempt=sent.claimed.attempts,
        outcome=sent.outcome.kind,
        status=sent.outcome.status,
        state=state,
        words=sent.outcome.words,
    )
