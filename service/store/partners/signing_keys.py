"""The keys that an endpoint's pushes are signed with, sealed: made, rotated with overlap, switched on and off.

An endpoint always has a shared secret (`v1`, `whsec_…`), and may have an ed25519 key (`v1a`, `whsk_…`) beside it. What
is sealed is a JSON list of `{"secret": …, "until": null or a time}`, the newest first; while a key is being rotated
there are two of its kind. The private ed25519 key never leaves the record: the partner gets the public half.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from service.store import names
from service.store.database.keyring import Keyring
from service.store.database.record import Record
from service.store.errors import NotFound, NotPossible
from service.store.schema.partners import endpoint

KEY_OVERLAP = timedelta(days=2)
KINDS = ("v1", "v1a")


@dataclass(frozen=True)
class Rotation:
    """Which kinds of keys get a successor, and for how long the old ones sign along."""

    kinds: tuple[str, ...] = KINDS
    overlap: timedelta = KEY_OVERLAP


@dataclass(frozen=True)
class NewKeys:
    """The new keys, and until when the old ones sign along: their end is now if there is no overlap."""

    secrets: tuple[str, ...] = field(repr=False)
    kinds: tuple[str, ...]
    old_until: datetime


def kind_of(secret: str) -> str:
    """Which signatures a key makes: v1 (a shared secret) or v1a (an ed25519 key)."""
    return "v1a" if secret.startswith("whsk_") else "v1"


def seal(keyring: Keyring, secrets: Iterable[str]) -> bytes:
    """The keys of a new endpoint."""
    return _seal(keyring, [{"secret": each, "until": None} for each in secrets])


def signing_secrets(record: Record, sealed: bytes, now: datetime) -> tuple[str, ...]:
    """The keys to sign with now, the newest first."""
    return tuple(each["secret"] for each in _open(record.keyring, sealed) if not _over(each, now))


class SigningKeys:
    """The keys of one endpoint, in a transaction that holds its lock. Raises NotFound."""

    def __init__(self, connection: Connection, keyring: Keyring, endpoint_id: int, now: datetime) -> None:
        self._connection = connection
        self._keyring = keyring
        self._id = endpoint_id
        self._now = now
        sealed = _locked(connection, endpoint_id).secret_sealed
        self._entries = [each for each in _open(keyring, sealed) if not _over(each, now)]

    def rotate(self, make: Callable[[str], str], rotation: Rotation) -> NewKeys:
        """Gives the endpoint a new key, by `make(kind)`, of each kind of the rotation that it has.

        The old ones sign along until the overlap has passed. Raises NotPossible if it has none of the kinds.
        """
        until = self._now + rotation.overlap
        kinds = tuple(kind for kind in rotation.kinds if _newest(self._entries, kind))
        if not kinds:
            raise NotPossible(
                f"endpoint {self._id} has no ed25519 key to rotate; "
                f"give it one: dateline endpoint set {self._id} --ed25519"
            )
        for each in self._entries:
            if kind_of(each["secret"]) in kinds:
                each["until"] = _sooner(each["until"], until)
        secrets = tuple(make(kind) for kind in kinds)
        new = [{"secret": each, "until": None} for each in secrets]
        self._store([*new, *(each for each in self._entries if not _over(each, self._now))])
        return NewKeys(secrets, kinds, until)

    def add_ed25519(self, make: Callable[[str], str]) -> bool:
        """Adds an ed25519 key, by `make("v1a")`, unless there is one; whether there was none."""
        if _newest(self._entries, "v1a"):
            return False
        self._store([*self._entries, {"secret": make("v1a"), "until": None}])
        return True

    def remove_ed25519(self) -> bool:
        """Leaves the shared secrets alone; whether there was another key."""
        shared = [each for each in self._entries if kind_of(each["secret"]) == "v1"]
        if len(shared) == len(self._entries):
            return False
        self._store(shared)
        return True

    def newest(self, kind: str) -> str | None:
        """The newest key of this kind, if the endpoint has one."""
        return _newest(self._entries, kind)

    def _store(self, entries: list[dict[str, Any]]) -> None:
        values = {"secret_sealed": _seal(self._keyring, entries)}
        self._connection.execute(update(endpoint).where(endpoint.c.id == self._id).values(values))
        self._entries = entries


def _locked(connection: Connection, endpoint_id: int) -> Row[Any]:
    if not names.is_row(endpoint_id):
        raise NotFound("endpoint", str(endpoint_id))
    query = select(endpoint.c.secret_sealed).where(endpoint.c.id == endpoint_id)
    row = connection.execute(query.with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise NotFound("endpoint", str(endpoint_id))
    return row


def _seal(keyring: Keyring, entries: list[dict[str, Any]]) -> bytes:
    return keyring.seal(json.dumps(entries).encode())


def _open(keyring: Keyring, sealed: bytes) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(keyring.open(sealed))
    return entries


def _newest(entries: Iterable[dict[str, Any]], kind: str) -> str | None:
    return next((str(each["secret"]) for each in entries if kind_of(each["secret"]) == kind), None)


def _sooner(until: str | None, moment: datetime) -> str:
    return (moment if until is None else min(moment, datetime.fromisoformat(until))).isoformat()


def _over(entry: dict[str, Any], now: datetime) -> bool:
    return entry["until"] is not None and datetime.fromisoformat(entry["until"]) <= now
