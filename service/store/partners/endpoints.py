"""Endpoints: where pushes go, and how."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from service.store import names, notices
from service.store.database.keyring import Keyring
from service.store.database.record import Record
from service.store.deliveries.routing_rules import OnLeave
from service.store.errors import AlreadyExists, NotFound, NotPossible
from service.store.feeds.sections import ids_of
from service.store.partners import partners, signing_keys
from service.store.schema.articles import section
from service.store.schema.deliveries import backfill
from service.store.schema.partners import endpoint, partner, subscription


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as operators see it. `sections` None means all of them."""

    id: int
    partner: str
    url: str
    sections: tuple[str, ...] | None
    every_revision: bool
    max_in_flight: int
    schedule: tuple[float, ...] | None
    rate_per_second: float | None
    state: str
    state_reason: str | None
    on_leave: str = OnLeave.UPDATE


@dataclass(frozen=True)
class NewEndpoint:
    """An endpoint to be added. Without `sections` it gets all of them; `rate` is pushes per second.

    `secret` signs its pushes, and so does the key `ed25519` if there is one. `schedule`: the seconds before each
    attempt, None for the default. `backfill_since`: it also gets, behind all that is new, what is public and was
    changed since then; what is under embargo now it gets when that ends.
    """

    partner: str
    url: str
    secret: str = field(repr=False)
    ed25519: str | None = field(default=None, repr=False)
    sections: Sequence[str] | None = None
    every_revision: bool = False
    max_in_flight: int = 4
    schedule: Sequence[float] | None = None
    rate: float | None = None
    backfill_since: datetime | None = None
    on_leave: str = OnLeave.UPDATE


@dataclass(frozen=True)
class Changes:
    """The values to change of an endpoint; None leaves one as it is.

    `all_sections`, `default_schedule` and `no_rate` reset one.
    """

    url: str | None = None
    sections: Sequence[str] | None = None
    all_sections: bool = False
    every_revision: bool | None = None
    max_in_flight: int | None = None
    schedule: Sequence[float] | None = None
    default_schedule: bool = False
    rate: float | None = None
    no_rate: bool = False
    on_leave: str | None = None


def add(connection: Connection, keyring: Keyring, new: NewEndpoint, now: datetime) -> Endpoint:
    """Adds an endpoint. Raises NotFound, UnknownSections, AlreadyExists.

    The URL is checked by the caller (`service.webhooks.endpoint_urls`), its address at each connection.
    """
    owner = connection.execute(select(partner.c.id).where(partner.c.slug == new.partner)).scalar()
    if owner is None:
        raise NotFound("partner", new.partner)
    partners.require_present(connection, owner)
    _refuse_a_second(connection, owner, new.url)
    _check_leave(new.on_leave, every_revision=new.every_revision)
    wanted = ids_of(connection, new.sections)
    row = {
        "partner_id": owner,
        "url": new.url,
        "secret_sealed": signing_keys.seal(keyring, filter(None, (new.secret, new.ed25519))),
        "all_sections": new.sections is None,
        "every_revision": new.every_revision,
        "on_leave": new.on_leave,
        "max_in_flight": new.max_in_flight,
        "schedule": _schedule_text(new.schedule),
        "rate_per_second": new.rate,
        "state": "live",
        "state_since": now,
        "created_at": now,
    }
    number = int(connection.execute(endpoint.insert().returning(endpoint.c.id), row).scalar_one())
    _subscribe(connection, number, wanted)
    since = new.backfill_since or now
    before = since - timedelta(microseconds=1)
    row = {"endpoint_id": number, "since": since, "after_at": before, "created_at": now}
    connection.execute(backfill.insert(), row)
    return one(connection, number)


Differences = dict[str, tuple[Any, Any]]  # by name: the value before, and the value now


def change(
    connection: Connection, endpoint_id: int, changes: Changes, actor: str, now: datetime
) -> tuple[Endpoint, Differences]:
    """The endpoint as it is now, and what became different.

    It holds for what is sent from now on; `every_revision` and sections for what is published from now on. A new
    address starts with a closed breaker and is not held to what the old one asked for (Retry-After). Raises NotFound,
    UnknownSections, AlreadyExists.
    """
    row = locked(connection, endpoint_id)
    before = one(connection, endpoint_id)
    if changes.url not in (None, row.url):
        _refuse_a_second(connection, row.partner_id, str(changes.url))
    values = _columns(changes, row)
    if values:
        connection.execute(update(endpoint).where(endpoint.c.id == endpoint_id).values(**values))
    if changes.all_sections or changes.sections is not None:
        wanted = ids_of(connection, None if changes.all_sections else changes.sections)
        connection.execute(subscription.delete().where(subscription.c.endpoint_id == endpoint_id))
        _subscribe(connection, endpoint_id, wanted)
    after = one(connection, endpoint_id)
    _check_leave(after.on_leave, every_revision=after.every_revision)
    pairs = {each: (getattr(before, each), getattr(after, each)) for each in _CHANGEABLE}
    different = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if "rate_per_second" in different:
        rate = after.rate_per_second
        words = f"by {actor}: " + ("no limit" if rate is None else f"at most {rate:g} pushes a second")
        notices.of_endpoint(connection, "endpoint.rate_changed", endpoint_id, words, now)
    return after, different


def _check_leave(on_leave: str, *, every_revision: bool) -> None:
    if on_leave == OnLeave.TAKEDOWN and every_revision:
        raise NotPossible(
            "an endpoint that wants every revision in order cannot be told to remove what leaves its sections"
        )


_CHANGEABLE = (
    "url",
    "sections",
    "every_revision",
    "max_in_flight",
    "schedule",
    "rate_per_second",
    "on_leave",
)


def _columns(changes: Changes, row: Row[Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if changes.url not in (None, row.url):
        values |= {"url": changes.url, **fresh("live")}
    if changes.all_sections or changes.sections is not None:
        values["all_sections"] = changes.all_sections
    if changes.every_revision is not None:
        values["every_revision"] = changes.every_revision
    if changes.on_leave is not None:
        values["on_leave"] = changes.on_leave
    if changes.max_in_flight is not None:
        values["max_in_flight"] = changes.max_in_flight
    if changes.default_schedule or changes.schedule is not None:
        values["schedule"] = _schedule_text(None if changes.default_schedule else changes.schedule)
    if changes.no_rate or changes.rate is not None:
        # The new bucket starts full.
        values |= {"rate_per_second": changes.rate, "tokens": None, "refilled_at": None}
    return values


def get_endpoint(record: Record, endpoint_id: int) -> Endpoint:
    """Raises NotFound."""
    with record.reading() as connection:
        return one(connection, endpoint_id)


def all_endpoints(record: Record) -> list[Endpoint]:
    with record.reading() as connection:
        return _endpoints(connection)


def fresh(state: str) -> dict[str, Any]:
    """The columns with which an endpoint starts in this state."""
    if state != "live":
        return {}
    blank = ("breaker_until", "breaker_counts", "slow_start", "not_before", "failing_since", "refused")
    return dict.fromkeys(blank) | {"breaker": "closed", "breaker_opened": 0, "failures": 0}


def locked(connection: Connection, endpoint_id: int) -> Row[Any]:
    """The endpoint's row, locked until the transaction ends. Raises NotFound."""
    if not names.is_row(endpoint_id):
        raise NotFound("endpoint", str(endpoint_id))
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


def _subscribe(connection: Connection, endpoint_id: int, section_ids: Sequence[int]) -> None:
    for each in section_ids:
        connection.execute(subscription.insert(), {"endpoint_id": endpoint_id, "section_id": each})


def _schedule_text(schedule: Sequence[float] | None) -> str | None:
    return None if schedule is None else json.dumps(list(schedule))


def one(connection: Connection, endpoint_id: int) -> Endpoint:
    """The endpoint as operators see it. Raises NotFound."""
    found = [each for each in _endpoints(connection) if each.id == endpoint_id]
    if not found:
        raise NotFound("endpoint", str(endpoint_id))
    return found[0]


def _endpoints(connection: Connection) -> list[Endpoint]:
    wanted: dict[int, list[str]] = {}
    pairs = select(subscription.c.endpoint_id, section.c.slug).join(section).order_by(section.c.id)
    for endpoint_id, slug in connection.execute(pairs):
        wanted.setdefault(endpoint_id, []).append(slug)
    query = select(endpoint, partner.c.slug.label("partner_slug")).join(partner).order_by(endpoint.c.id)
    return [_endpoint(row, wanted) for row in connection.execute(query)]


def _endpoint(row: Row[Any], wanted: dict[int, list[str]]) -> Endpoint:
    return Endpoint(
        id=row.id,
        partner=row.partner_slug,
        url=row.url,
        sections=None if row.all_sections else tuple(wanted.get(row.id, ())),
        every_revision=row.every_revision,
        max_in_flight=row.max_in_flight,
        schedule=tuple(json.loads(row.schedule)) if row.schedule else None,
        rate_per_second=row.rate_per_second,
        state=row.state,
        state_reason=row.state_reason,
        on_leave=row.on_leave,
    )
