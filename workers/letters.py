"""Letters: claimed deliveries made into signed pushes. A body is built once per event, signed per endpoint."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime

from service import payload, signatures
from service.store import keys, pushes
from service.store.claims import Claimed
from service.store.record import Record
from workers.transport import Push

KEPT_BODIES = 512


class Letters:
    """Writes pushes; keeps the bodies of the last events, since each goes to many endpoints."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._bodies: OrderedDict[int, bytes] = OrderedDict()

    def write(self, claimed: Sequence[Claimed], now: datetime) -> list[Push]:
        """One push per claimed delivery, in the same order. Signed as of `now`."""
        bodies = self._bodies_of(each.event_id for each in claimed)
        return [self._letter(each, bodies[each.event_id], now) for each in claimed]

    def _letter(self, claimed: Claimed, body: bytes, now: datetime) -> Push:
        seconds = int(now.timestamp())
        secrets = keys.signing_secrets(self._record, claimed.sealed, now)
        headers = (
            ("Content-Type", "application/json"),
            ("webhook-id", claimed.public_id),
            ("webhook-timestamp", str(seconds)),
            ("webhook-signature", signatures.sign(secrets, claimed.public_id, seconds, body)),
            ("dateline-sequence", str(claimed.sequence)),
        )
        return Push(token=(claimed, now), url=claimed.url, headers=headers, body=body)

    def _bodies_of(self, event_ids: Iterable[int]) -> dict[int, bytes]:
        wanted = set(event_ids)
        bodies = {event_id: self._bodies[event_id] for event_id in wanted & self._bodies.keys()}
        missing = wanted - bodies.keys()
        if missing:
            for event_id, told in pushes.told(self._record, missing).items():
                bodies[event_id] = self._bodies[event_id] = payload.body(told)
        while len(self._bodies) > KEPT_BODIES:
            self._bodies.popitem(last=False)
        return bodies
