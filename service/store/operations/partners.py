"""Acts of an operator on partners, their endpoints and the keys that sign pushes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from service.store import names
from service.store.database.record import Record
from service.store.deliveries import health, resumption
from service.store.deliveries.resumption import Outlook
from service.store.errors import NotFound
from service.store.operations.audit_line import AuditLine
from service.store.partners import endpoint_states, endpoints, partners, signing_keys
from service.store.partners.endpoint_states import StateChange
from service.store.partners.endpoints import Changes, Endpoint, NewEndpoint
from service.store.partners.partners import NewPartner, Partner
from service.store.partners.signing_keys import Rotation, SigningKeys


def add_partner(record: Record, new: NewPartner, *, actor: str, now: datetime) -> Partner:
    """Adds a partner."""
    with record.writing() as connection:
        added = partners.add(connection, new, now)
        AuditLine(actor, now).write(connection, "partner.added", new.slug, name=new.name)
    return added


def add_endpoint(record: Record, new: NewEndpoint, *, actor: str, now: datetime) -> Endpoint:
    """Adds an endpoint to a partner."""
    with record.writing() as connection:
        added = endpoints.add(connection, record.keyring, new, now)
        AuditLine(actor, now).write(
            connection,
            "endpoint.added",
            added.id,
            partner=new.partner,
            url=new.url,
            sections=new.sections,
            backfill_since=new.backfill_since and new.backfill_since.isoformat(),
        )
    return added


def change_endpoint(
    record: Record, endpoint_id: int, changes: Changes, *, actor: str, now: datetime
) -> tuple[Endpoint, tuple[str, ...]]:
    """Changes what is named of an endpoint; returns it as it is now, and the names of what became different."""
    with record.writing() as connection:
        changed, different = endpoints.change(connection, endpoint_id, changes, actor, now)
        if different:
            AuditLine(actor, now).write(connection, "endpoint.changed", endpoint_id, **different)
    return changed, tuple(different)


def pause_endpoint(record: Record, endpoint_id: int, *, reason: str, actor: str, now: datetime) -> Endpoint:
    """Has an endpoint's deliveries wait; takedowns go on. Paused already: nothing happens."""
    with record.writing() as connection:
        change = endpoint_states.pause(connection, endpoint_id, reason, actor, now)
        _write_state_line(connection, "endpoint.paused", change, AuditLine(actor, now))
    return change.endpoint


def resume_endpoint(record: Record, endpoint_id: int, *, actor: str, now: datetime) -> Endpoint:
    """Lets an endpoint's deliveries go again, newest revisions only. Live already: nothing happens."""
    with record.writing() as connection:
        change = endpoint_states.resume(connection, endpoint_id, actor, now)
        _write_state_line(connection, "endpoint.resumed", change, AuditLine(actor, now))
    return change.endpoint


def try_endpoint_now(record: Record, endpoint_id: int, *, actor: str, now: datetime) -> Outlook:
    """Has what waits at an endpoint tried now, after its partner has mended something; says what is to be expected."""
    with record.writing() as connection:
        if not (names.is_row(endpoint_id) and health.probe_now(connection, endpoint_id, now)):
            raise NotFound("endpoint", str(endpoint_id))
        found = resumption.try_now(connection, endpoint_id, now)
        detail = {"waiting": found.waiting, "trial": found.trial}
        AuditLine(actor, now).write(connection, "endpoint.try_now", endpoint_id, **detail)
    return found


def _write_state_line(connection: Connection, action: str, change: StateChange, line: AuditLine) -> None:
    if change.before != change.endpoint.state:
        detail = {"reason": change.endpoint.state_reason, "was": change.before}
        line.write(connection, action, change.endpoint.id, **detail)


def rotate_keys(
    record: Record,
    endpoint_id: int,
    make: Callable[[str], str],
    rotation: Rotation,
    *,
    actor: str,
    now: datetime,
) -> signing_keys.NewKeys:
    """Gives an endpoint new signing keys, each by `make(kind)`; the old ones sign along for the overlap."""
    with record.writing() as connection:
        rotated = SigningKeys(connection, record.keyring, endpoint_id, now).rotate(make, rotation)
        detail = {"kinds": rotated.kinds, "old_until": rotated.old_until.isoformat()}
        AuditLine(actor, now).write(connection, "endpoint.secret_rotated", endpoint_id, **detail)
    return rotated


def sign_with_ed25519(
    record: Record, endpoint_id: int, make: Callable[[str], str], *, actor: str, now: datetime
) -> str:
    """Has an endpoint's pushes signed with an ed25519 key too; returns the key, made by `make("v1a")` if need be."""
    with record.writing() as connection:
        keys = SigningKeys(connection, record.keyring, endpoint_id, now)
        if keys.add_ed25519(make):
            AuditLine(actor, now).write(connection, "endpoint.ed25519_on", endpoint_id)
        key = keys.newest("v1a")
    assert key is not None
    return key


def stop_ed25519(record: Record, endpoint_id: int, *, actor: str, now: datetime) -> bool:
    """Has an endpoint's pushes signed with the shared secret alone; whether that is new."""
    with record.writing() as connection:
        removed = SigningKeys(connection, record.keyring, endpoint_id, now).remove_ed25519()
        if removed:
            AuditLine(actor, now).write(connection, "endpoint.ed25519_off", endpoint_id)
    return removed
