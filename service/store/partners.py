"""Partners and their endpoints: who republishes, where pushes go, what each wants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.exc import IntegrityError

from service.store import audit
from service.store.errors import AlreadyExists, NotFound, NotPossible, UnknownSections
from service.store.record import Record
from service.store.schema import endpoint, partner, section, subscription

ROTATION_OVERLAP = timedelta(days=2)


@dataclass(frozen=True)
class Partner:
    id: int
    slug: str
    name: str


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as operators see it. `sections` None means all of them."""

    id: int
    partner: str
    url: str
    sections: tuple[str, ...] | None
    every_revision: bool
    max_in_flight: int
    state: str
    state_reason: str | None


def add_partner(
    record: Record,
    slug: str,
    name: str,
    *,
    key_id: str,
    key_hash: str,
    now: datetime,
    actor: str = "operator",
) -> Partner:
    """Adds a partner. Raises AlreadyExists."""
    row = {"slug": slug, "name": name, "key_id": key_id, "key_hash": key_hash, "created_at": now}
    try:
        with record.writing() as connection:
            number = connection.execute(partner.insert().returning(partner.c.id), row).scalar_one()
            audit.note(
                connection, actor=actor, action="partner.added", target=slug, detail={"name": name}, now=now
            )
    except IntegrityError:
        raise AlreadyExists("partner", slug) from None
    return Partner(int(number), slug, name)


def partner_by_key(record: Record, key_id: str) -> tuple[Partner, str] | None:
    """The partner with this key id and the hash of its key, which the caller compares."""
    with record.reading() as connection:
        row = connection.execute(select(partner).where(partner.c.key_id == key_id)).one_or_none()
    return None if row is None else (Partner(row.id, row.slug, row.name), row.key_hash)


def all_partners(record: Record) -> list[Partner]:
    with record.reading() as connection:
        rows = connection.execute(select(partner.c.id, partner.c.slug, partner.c.name).order_by(partner.c.id))
        return [Partner(*row) for row in rows]


def add_endpoint(
    record: Record,
    partner_slug: str,
    url: str,
    *,
    secret: str,
    sections: Sequence[str] | None,
    every_revision: bool = False,
    max_in_flight: int = 4,
    now: datetime,
    actor: str = "operator",
) -> Endpoint:
    """Adds an endpoint; without `sections` it gets all of them. Raises NotFound, UnknownSections, AlreadyExists.

    The URL is checked by the caller (`service.endpoint_urls`), and its address at each connection.
    """
    with record.writing() as connection:
        owner = connection.execute(select(partner.c.id).where(partner.c.slug == partner_slug)).scalar()
        if owner is None:
            raise NotFound("partner", partner_slug)
        _refuse_a_second(connection, owner, url)
        wanted = _section_ids(connection, sections)
        row = {
            "partner_id": owner,
            "url": url,
            "secret_sealed": _seal(record, [{"secret": secret, "until": None}]),
            "all_sections": sections is None,
            "every_revision": every_revision,
            "max_in_flight": max_in_flight,
            "state": "live",
            "state_since": now,
            "created_at": now,
        }
        number = int(connection.execute(endpoint.insert().returning(endpoint.c.id), row).scalar_one())
        for section_id in wanted:
            connection.execute(subscription.insert(), {"endpoint_id": number, "section_id": section_id})
        detail = {"partner": partner_slug, "url": url, "sections": sections and list(sections)}
        audit.note(
            connection, actor=actor, action="endpoint.added", target=str(number), detail=detail, now=now
        )
    return get_endpoint(record, number)


def get_endpoint(record: Record, endpoint_id: int) -> Endpoint:
    """Raises NotFound."""
    found = [each for each in all_endpoints(record) if each.id == endpoint_id]
    if not found:
        raise NotFound("endpoint", str(endpoint_id))
    return found[0]


def all_endpoints(record: Record) -> list[Endpoint]:
    with record.reading() as connection:
        wanted: dict[int, list[str]] = {}
        pairs = select(subscription.c.endpoint_id, section.c.slug).join(section).order_by(section.c.id)
        for endpoint_id, slug in connection.execute(pairs):
            wanted.setdefault(endpoint_id, []).append(slug)
        rows = connection.execute(
            select(endpoint, partner.c.slug.label("partner_slug")).join(partner).order_by(endpoint.c.id)
        ).all()
    return [_endpoint(row, wanted) for row in rows]


def pause(record: Record, endpoint_id: int, *, reason: str, actor: str, now: datetime) -> Endpoint:
    """Deliveries wait, takedowns go on. Raises NotFound, NotPossible when it is switched off."""
    return _set_state(record, endpoint_id, "paused", reason, actor, now)


def resume(record: Record, endpoint_id: int, *, actor: str, now: datetime) -> Endpoint:
    """Back to live from paused or switched off; the breaker starts closed, and what waits is due."""
    return _set_state(record, endpoint_id, "live", None, actor, now)


def rotate_secret(record: Record, endpoint_id: int, *, secret: str, actor: str, now: datetime) -> datetime:
    """Signs with the new secret and, for two days, with the old one too; returns when the old one ends."""
    until = now + ROTATION_OVERLAP
    with record.writing() as connection:
        row = _locked(connection, endpoint_id)
        kept = [each for each in _secrets(record, row.secret_sealed) if not _over(each, now)]
        for each in kept:
            each["until"] = each["until"] or until.isoformat()
        sealed = _seal(record, [{"secret": secret, "until": None}, *kept])
        connection.execute(update(endpoint).where(endpoint.c.id == endpoint_id).values(secret_sealed=sealed))
        audit.note(
            connection,
            actor=actor,
            action="endpoint.secret_rotated",
            target=str(endpoint_id),
            detail={"old_until": until.isoformat()},
            now=now,
        )
    return until


def signing_secrets(record: Record, sealed: bytes, now: datetime) -> tuple[str, ...]:
    """The secrets to sign with now, the newest first."""
    return tuple(each["secret"] for each in _secrets(record, sealed) if not _over(each, now))


def _set_state(
    record: Record, endpoint_id: int, after: str, reason: str | None, actor: str, now: datetime
) -> Endpoint:
    with record.writing() as connection:
        row = _locked(connection, endpoint_id)
        if row.state == "off" and after == "paused":
            raise NotPossible(
                f"endpoint {endpoint_id} is switched off; `dateline endpoint resume` brings it back"
            )
        if row.state != after:
            connection.execute(
                update(endpoint)
                .where(endpoint.c.id == endpoint_id)
                .values(state=after, state_reason=reason, state_since=now, **_fresh(after))
            )
            audit.note(
                connection,
                actor=actor,
                action=f"endpoint.{'resumed' if after == 'live' else after}",
                target=str(endpoint_id),
                detail={"reason": reason, "was": row.state},
                now=now,
            )
    return get_endpoint(record, endpoint_id)


def _fresh(state: str) -> dict[str, Any]:
    if state != "live":
        return {}
    return {
        "breaker": "closed",
        "breaker_until": None,
        "breaker_opened": 0,
        "failures": 0,
        "not_before": None,
        "failing_since": None,
    }


def _locked(connection: Connection, endpoint_id: int) -> Row[Any]:
    row = connection.execute(
        select(endpoint).where(endpoint.c.id == endpoint_id).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise NotFound("endpoint", str(endpoint_id))
    return row


def _refuse_a_second(connection: Connection, owner: int, url: str) -> None:
    same = select(endpoint.c.id).where(endpoint.c.partner_id == owner, endpoint.c.url == url)
    if connection.execute(same).first():
        raise AlreadyExists("endpoint", url)


def _section_ids(connection: Connection, slugs: Sequence[str] | None) -> list[int]:
    if slugs is None:
        return []
    known = {row.slug: row.id for row in connection.execute(select(section.c.slug, section.c.id))}
    if unknown := [slug for slug in slugs if slug not in known]:
        raise UnknownSections(unknown, sorted(known))
    return [known[slug] for slug in dict.fromkeys(slugs)]


def _endpoint(row: Row[Any], wanted: dict[int, list[str]]) -> Endpoint:
    return Endpoint(
        id=row.id,
        partner=row.partner_slug,
        url=row.url,
        sections=None if row.all_sections else tuple(wanted.get(row.id, ())),
        every_revision=row.every_revision,
        max_in_flight=row.max_in_flight,
        state=row.state,
        state_reason=row.state_reason,
    )


def _seal(record: Record, secrets: list[dict[str, Any]]) -> bytes:
    return record.keyring.seal(json.dumps(secrets).encode())


def _secrets(record: Record, sealed: bytes) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(record.keyring.open(sealed))
    return loaded


def _over(secret: dict[str, Any], now: datetime) -> bool:
    return secret["until"] is not None and datetime.fromisoformat(secret["until"]) <= now
