"""Deliver: claim what is due, send it at once over many connections, settle in batches, until nothing is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from service import logs
from service.store.database.record import Record
from service.store.deliveries import claims, health, push_content, rates, settlements
from service.store.deliveries.claims import Claimed, Cursor
from service.store.deliveries.push_content import PushContent
from service.store.errors import RecordUnavailable
from workers.deliver.prefetch import Pace
from workers.deliver.push_requests import Letters
from workers.deliver.send_queue import Laid, Tray
from workers.deliver.settle import Sent, Watch, settlement_of, touched, verdict_on
from workers.net import outcome
from workers.net.transport import Sender

log = logs.get("deliver")

BATCH = 320  # claimed at once
IN_HAND = 2 * BATCH  # claimed and not back from the wire
SETTLE_AT = 256
SETTLE_AFTER = 0.03  # seconds: what was sent and not settled is sent again should we die
BESIDE = 0.05  # seconds: how long to leave alone what another worker claims of, or routes to, at this moment
IDLE_POLL = 0.1  # seconds: how often to look around while pushes are on the wire and nobody leaves word
REST = (
    0.02,
    1.0,
)  # seconds: how long a drain waits for a rate-limited endpoint; what takes longer the sweep finds
HANG_UP_AFTER = 3.0  # seconds after the word to stop: the partners' time to answer what is on the wire
GIVE_UP_AFTER = 60.0  # seconds without the record; then the leases run out and another worker sends again


@dataclass
class _Drain:
    """What one drain has in hand."""

    sent: list[Sent]
    unsent: list[Claimed]  # to be given back
    hungry: bool = True
    settled: int = 0
    turned_at: float = 0.0
    failing_since: float | None = None
    again_at: float | None = None  # when to look again though nothing is said; monotonic


@dataclass(frozen=True)
class _Turn:
    """What was claimed, and what its pushes say; if that is all there is now, when a rate lets more go."""

    claimed: list[Claimed]
    told: dict[int, PushContent]
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
        self._hang_up_at = float("inf")  # monotonic
        self._cursor = Cursor()
        self._watch = Watch()
        self._tray = Tray()
        self._pace = Pace()
        self._stood = stops()

    def drain(self) -> int:
        """Delivers until nothing is due; returns how many attempts were settled."""
        settled = 0
        self._again.set()
        while self._again.is_set() and self._busy.acquire(blocking=False):
            try:
                settled += self._drain()
            finally:
                self._busy.release()
        if self._again.is_set():
            self._sender.wake()  # who drains may be waiting for a partner that is slow
        return settled

    def stop(self) -> None:
        """Claims nothing more; what is on the wire is waited for, though not for long, and settled."""
        if not self._closing.is_set():
            self._hang_up_at = time.monotonic() + HANG_UP_AFTER
        self._closing.set()
        self._again.set()
        self._sender.wake()

    def close(self, seconds: float = HANG_UP_AFTER + 2.0) -> None:
        """Stops, and returns when what was on the wire is settled; or the record was away for as long as that."""
        self.stop()
        if self._busy.acquire(timeout=seconds):
            self._sender.close()

    def _drain(self) -> int:
        drain = _Drain(sent=[], unsent=[])
        while self._goes_on(drain):
            rested = drain.again_at is not None and time.monotonic() >= drain.again_at
            if rested or self._again.is_set():
                self._again.clear()
                drain.again_at = None
                drain.hungry = not self._closing.is_set()
            if self._wants_turn(drain):
                self._turn(drain)
            self._send(drain)
            if self._sender.in_flight:
                self._poll(drain)
            elif drain.again_at is not None:
                self._again.wait(max(0.0, drain.again_at - time.monotonic()))
        return drain.settled

    def _goes_on(self, drain: _Drain) -> bool:
        in_hand = drain.sent or drain.unsent or self._tray or self._sender.in_flight
        return bool(drain.hungry or in_hand or self._again.is_set() or drain.again_at is not None)

    def _wants_turn(self, drain: _Drain) -> bool:
        waited = time.monotonic() - drain.turned_at
        if drain.failing_since is not None:
            return waited > 0.25
        if len(drain.sent) >= SETTLE_AT or (drain.hungry and self._room >= BATCH // 2):
            return True
        idle = not self._sender.in_flight
        return bool(drain.sent or drain.unsent or drain.hungry) and (waited > SETTLE_AFTER or idle)

    @property
    def _room(self) -> int:
        return IN_HAND - len(self._tray) - self._sender.in_flight

    def _poll(self, drain: _Drain) -> None:
        if self._late():
            self._sender.drop(outcome.lost("the worker was stopped before an answer came"))
        soon = drain.sent or drain.unsent or drain.hungry
        wait = SETTLE_AFTER if soon else IDLE_POLL
        if drain.again_at is not None:
            wait = min(wait, max(0.0, drain.again_at - time.monotonic()))
        for push, answer in self._sender.poll(wait):
            claimed, started_at = push.token
            drain.sent.append(Sent(claimed, started_at, answer))
            self._tray.landed(claimed)
            if answer.delivered:
                self._pace.answered(claimed, answer.timings.total / 1000)
            else:
                self._pace.failed(claimed)
                drain.unsent += self._tray.withdraw(claimed.endpoint_id)

    def _send(self, drain: _Drain) -> None:
        """Puts on the wire what there is room for."""
        if not self._tray:
            return
        late = self._tray.clear() if self._closing.is_set() else self._tray.late(time.monotonic())
        for claimed in late:
            self._pace.failed(claimed)
        drain.unsent += late
        for laid in self._tray.ready(self._sender.room):
            if self._stood_still(drain):
                self._tray.landed(laid.claimed)
                drain.unsent.append(laid.claimed)
                return
            self._sender.submit(self._letters.letter(laid.claimed, laid.body, self._clock()))

    def _stood_still(self, drain: _Drain) -> bool:
        """If this process did since its last claim, others may have what it claimed: it goes back unsent."""
        stops = self._stops()
        if stops == self._stood:
            return False
        self._stood = stops
        drain.unsent += self._tray.clear()
        return True

    def _late(self, more: float = 0.0) -> bool:
        return time.monotonic() >= self._hang_up_at + more

    def _turn(self, drain: _Drain) -> None:
        """Settles what came back and claims what there is room for, in one transaction."""
        self._stood_still(drain)
        sent, unsent, now = drain.sent, drain.unsent, self._clock()
        limit = 0 if self._closing.is_set() else min(BATCH, self._room)
        try:
            turn = self._settle_and_claim(sent, unsent, limit, now)
        except RecordUnavailable as error:
            self._record_failed(drain, error)
            return
        finally:
            drain.turned_at = time.monotonic()
        drain.failing_since = None
        drain.sent, drain.unsent = [], []
        drain.settled += len(sent)
        drain.hungry = bool(turn.claimed) and self._cursor.more
        if turn.token_at is not None and (wait := (turn.token_at - now).total_seconds()) <= REST[1]:
            drain.again_at = drain.turned_at + max(REST[0], wait)
        if limit and self._cursor.more and not turn.claimed:
            drain.again_at = time.monotonic() + BESIDE
        for claimed, body in self._letters.bodies(turn.claimed, turn.told):
            self._tray.lay(Laid(claimed, body, drain.turned_at))

    def _settle_and_claim(
        self, sent: Sequence[Sent], unsent: Sequence[Claimed], limit: int, now: datetime
    ) -> _Turn:
        verdicts = [verdict_on(each, now, self._dice()) for each in sent]
        settled = [settlement_of(each, verdict, now) for each, verdict in zip(sent, verdicts, strict=True)]
        with self._record.writing() as connection:
            # Endpoints are locked before deliveries, as routing does.
            ids, decide = touched(sent, verdicts, self._watch, now, self._dice)
            turns = health.update_health(connection, ids, decide, now) if ids else []
            settlements.settle_within(connection, settled, lease=self._worker, now=now)
            settlements.give_back(connection, unsent, lease=self._worker, now=now)
            claimed, cursor = claims.claim_within(
                connection,
                lease=self._worker,
                limit=limit,
                cursor=self._cursor,
                now=now,
                ahead=self._pace.ahead,
            )
            # Read here, so that what is claimed can be written and sent whatever becomes of the record.
            unread = self._letters.unread(claimed)
            told = push_content.push_contents_within(connection, unread) if unread else {}
            waits = cursor.limited and len(claimed) < limit
            token_at = rates.next_token(connection, now) if waits else None
        self._cursor = cursor
        self._watch.committed(sent, ids, now)
        ends = zip(sent, settled, strict=True)
        logs.info_each(log, "delivery.attempted", (_facts(each, end.state) for each, end in ends))
        for turn in turns:
            log.warning(turn.what, endpoint=turn.endpoint_id, words=turn.words)
        return _Turn(claimed, told, token_at)

    def _record_failed(self, drain: _Drain, error: RecordUnavailable) -> None:
        """The record is away or busy: what was sent is kept in hand and settled when it is back."""
        drain.failing_since = drain.failing_since or time.monotonic()
        log.warning("record.unavailable", unsettled=len(drain.sent), error=str(error))
        drain.unsent += self._tray.clear()
        waited = time.monotonic() - drain.failing_since
        if waited > GIVE_UP_AFTER or self._late(1.0) or not (drain.sent or drain.unsent):
            drain.hungry = False
            raise error
        if not self._sender.in_flight:
            time.sleep(0.25)


def _facts(sent: Sent, state: str) -> dict[str, object]:
    return {
        "delivery": sent.claimed.public_id,
        "endpoint": sent.claimed.endpoint_id,
        "attempt": sent.claimed.attempts,
        "outcome": sent.outcome.kind,
        "status": sent.outcome.status,
        "state": state,
        "words": sent.outcome.words,
    }
