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

from service.store import audit, names
from service.store.database.record import Record
from service.store.errors import NotFound, NotPossible
from service.store.schema.partners import endpoint

ROTATION_OVERLAP = timedelta(days=2)
KINDS = ("v1", "v1a")


@dataclass(frozen=True)
class Rotated:
    """The new keys, and until when the old ones sign along: their end is now if there is no overlap."""

    secrets: tuple[str, ...] = field(repr=False)
    old_until: datetime


def kind_of(secret: str) -> str:
    """Which signatures a key makes: v1 (a shared secret) or v1a (an ed25519 key)."""
    return "v1a" if secret.startswith("whsk_") else "v1"


def seal(record: Record, secrets: Iterable[str]) -> bytes:
    """The keys of a new endpoint."""
    return _seal(record, [{"secret": each, "until": None} for each in secrets])


def signing_secrets(record: Record, sealed: bytes, now: datetime) -> tuple[str, ...]:
    """The keys to sign with now, the newest first."""
    return tuple(each["secret"] for each in _open(record, sealed) if not _over(each, now))


def current(record: Record, endpoint_id: int, kind: str) -> str | None:
    """The newest key of this kind, if the endpoint has one. Raises NotFound."""
    with record.reading() as connection:
        query = select(endpoint.c.secret_sealed).where(endpoint.c.id == endpoint_id)
        sealed = connection.execute(query).scalar() if names.is_row(endpoint_id) else None
    if sealed is None:
        raise NotFound("endpoint", str(endpoint_id))
    return _newest(_open(record, sealed), kind)


def rotate(
    record: Record,
    endpoint_id: int,
    make: Callable[[str], str],
    *,
    kinds: Iterable[str] = KINDS,
    overlap: timedelta = ROTATION_OVERLAP,
    actor: str,
    now: datetime,
) -> Rotated:
    """Gives the endpoint a new key, by `make(kind)`, of each of these kinds that it has.

    The old ones sign along until `overlap` has passed. Raises NotFound, and NotPossible if it has none of the kinds.
    """
    until = now + overlap
    with record.writing() as connection:
        kept = _kept(record, _locked(connection, endpoint_id), now)
        turned = [kind for kind in kinds if _newest(kept, kind)]
        if not turned:
            raise NotPossible(
                f"endpoint {endpoint_id} has no ed25519 key to rotate; "
                f"give it one: dateline endpoint set {endpoint_id} --ed25519"
            )
        for each in kept:
            if kind_of(each["secret"]) in turned:
                each["until"] = _sooner(each["until"], until)
        made = [make(kind) for kind in turned]
        fresh = [{"secret": each, "until": None} for each in made]
        detail = {"kinds": turned, "old_until": until.isoformat()}
        _store(record, connection, endpoint_id, [*fresh, *(each for each in kept if not _over(each, now))])
        _note(connection, endpoint_id, "endpoint.secret_rotated", detail, actor, now)
    return Rotated(tuple(made), until)


def sign_with_ed25519(
    record: Record, endpoint_id: int, make: Callable[[str], str], *, actor: str, now: datetime
) -> str:
    """The endpoint's ed25519 key, made by `make("v1a")` unless it has one already. Raises NotFound."""
    with record.writing() as connection:
        kept = _kept(record, _locked(connection, endpoint_id), now)
        known = _newest(kept, "v1a")
        if known is not None:
            return known
        made = make("v1a")
        _store(record, connection, endpoint_id, [*kept, {"secret": made, "until": None}])
        _note(connection, endpoint_id, "endpoint.ed25519_on", {}, actor, now)
    return made


def stop_ed25519(record: Record, endpoint_id: int, *, actor: str, now: datetime) -> bool:
    """Signs with the shared secret alone from now on; whether that is new. Raises NotFound."""
    with record.writing() as connection:
        kept = _kept(record, _locked(connection, endpoint_id), now)
        shared = [each for each in kept if kind_of(each["secret"]) == "v1"]
        if len(shared) == len(kept):
            return False
        _store(record, connection, endpoint_id, shared)
        _note(connection, endpoint_id, "endpoint.ed25519_off", {}, actor, now)
    return True


def _locked(connection: Connection, endpoint_id: int) -> Row[Any]:
    if not names.is_row(endpoint_id):
        raise NotFound("endpoint", str(endpoint_id))
    query = select(endpoint.c.secret_sealed).where(endpoint.c.id == endpoint_id)
    row = connection.execute(query.with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise NotFound("endpoint", str(endpoint_id))
    return row


def _store(record: Record, connection: Connection, endpoint_id: int, entries: list[dict[str, Any]]) -> None:
    sealed = _seal(record, entries)
    connection.execute(update(endpoint).where(endpoint.c.id == endpoint_id).values(secret_sealed=sealed))


def _note(
    connection: Connection, endpoint_id: int, action: str, detail: dict[str, Any], actor: str, now: datetime
) -> None:
    audit.note(connection, actor=actor, action=action, target=str(endpoint_id), detail=detail, now=now)


def _seal(record: Record, entries: list[dict[str, Any]]) -> bytes:
    return record.keyring.seal(json.dumps(entries).encode())


def _open(record: Record, sealed: bytes) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(record.keyring.open(sealed))
    return loaded


def _kept(record: Record, row: Row[Any], now: datetime) -> list[dict[str, Any]]:
    return [each for each in _open(record, row.secret_sealed) if not _over(each, now)]


def _newest(entries: Iterable[dict[str, Any]], kind: str) -> str | None:
    return next((str(each["secret"]) for each in entries if kind_of(each["secret"]) == kind), None)


def _sooner(until: str | None, moment: datetime) -> str:
    return (moment if until is None else min(moment, datetime.fromisoformat(until))).isoformat()


def _over(entry: dict[str, Any], now: datetime) -> bool:
    return entry["until"] is not None and datetime.fromisoformat(entry["until"]) <= now
