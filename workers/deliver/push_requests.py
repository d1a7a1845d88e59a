"""Push requests: claimed deliveries made into signed pushes. A body is built once per event, signed per endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from cachetools import LRUCache

from service.store.database.record import Record
from service.store.deliveries.claims import ClaimedDelivery
from service.store.deliveries.push_content import PushContent
from service.store.deliveries.states import Priority
from service.store.partners import signing_keys
from service.webhooks import push_body
from service.webhooks.signatures import Signer
from workers.net.transport import Push

_TAKEDOWN = Priority.TAKEDOWN.value
CACHED_BODY_BYTES = 32 * 2**20
CACHED_SIGNERS = 4096
# A secret that was rotated out two days ago signs along for this much longer.
SIGNERS_LAST = timedelta(seconds=5)


class _BodyName(NamedTuple):
    """An event's public id, and whether the delivery is a takedown: of what is usable, it is one endpoint's alone."""

    event: str
    takedown: bool


def _body_of(claimed: ClaimedDelivery) -> _BodyName:
    return _BodyName(claimed.event, claimed.priority == _TAKEDOWN)


class PushBuilder:
    """Builds pushes. Caches the bodies of the last events, since each goes to many endpoints, and opened secrets."""

    def __init__(self, record: Record) -> None:
        self._record = record
        # By the event's public id, which names its content for ever: a row's number would, in a record that is set
        # back, name another event.
        self._bodies: LRUCache[_BodyName, bytes] = LRUCache(CACHED_BODY_BYTES, len)
        self._signers: dict[bytes, Signer] = {}  # by the sealed secrets
        self._signers_until: datetime | None = None

    def missing(self, claimed: Sequence[ClaimedDelivery]) -> set[int]:
        """The events that must be read before these can be built: the bodies of the others are cached."""
        return {each.event_id for each in claimed if _body_of(each) not in self._bodies}

    def bodies(
        self, claimed: Sequence[ClaimedDelivery], content: Mapping[int, PushContent]
    ) -> list[tuple[ClaimedDelivery, bytes]]:
        """Each with the bytes to send, in the same order. `content` are the `missing` events.

        A delivery whose very event was not found is left out: the record was set back since it was claimed, and knows
        it no more, or gives it to another worker when its lease has run out.
        """
        fresh: dict[_BodyName, bytes] = {}
        for each in claimed:
            told, name = content.get(each.event_id), _body_of(each)
            if name not in fresh and told is not None and told.event == each.event:
                removed = name.takedown and told.status == "usable"
                fresh[name] = push_body.removal(told) if removed else push_body.body(told)
        known = {name: fresh.get(name) or self._bodies.get(name) for name in map(_body_of, claimed)}
        for name, made in fresh.items():
            with suppress(ValueError):  # it is larger than the whole cache
                self._bodies[name] = made
        return [(each, body) for each in claimed if (body := known[_body_of(each)]) is not None]

    def build(self, claimed: ClaimedDelivery, body: bytes, now: datetime) -> Push:
        """The push, signed as of `now`."""
        self._drop_old_signers(now)
        seconds = int(now.timestamp())
        signer = self._signer(claimed.sealed, now)
        headers = (
            ("Content-Type", "application/json"),
            ("webhook-id", claimed.public_id),
            ("webhook-timestamp", str(seconds)),
            ("webhook-signature", signer.sign(claimed.public_id, seconds, body)),
            ("dateline-sequence", str(claimed.sequence)),
        )
        return Push(token=(claimed, now), url=claimed.url, headers=headers, body=body)

    def _signer(self, sealed: bytes, now: datetime) -> Signer:
        """Opened and decoded once for the many pushes to one endpoint: Fernet takes longer than the signature."""
        signer = self._signers.get(sealed)
        if signer is None:
            signer = self._signers[sealed] = Signer(signing_keys.signing_secrets(self._record, sealed, now))
        return signer

    def _drop_old_signers(self, now: datetime) -> None:
        if self._signers_until is None or now >= self._signers_until or len(self._signers) > CACHED_SIGNERS:
            self._signers.clear()
            self._signers_until = now + SIGNERS_LAST
