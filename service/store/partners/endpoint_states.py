"""The states of endpoints: live, paused, or switched off, each change with a notice to the operators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from service.store import notices
from service.store.deliveries import resumption
from service.store.errors import NotPossible
from service.store.partners import endpoints, partners
from service.store.partners.endpoints import Endpoint
from service.store.schema.partners import endpoint


@dataclass(frozen=True)
class StateChange:
    """A change of an endpoint's state: it was `before`, and is as in `endpoint`. The two may be the same."""

    before: str
    endpoint: Endpoint


def pause(connection: Connection, endpoint_id: int, reason: str, actor: str, now: datetime) -> StateChange:
    """Deliveries wait, takedowns go on. Raises NotFound, NotPossible when it is switched off."""
    row = endpoints.locked(connection, endpoint_id)
    if row.state == "off":
        raise NotPossible(
            f"endpoint {endpoint_id} is switched off; `dateline endpoint resume` brings it back"
        )
    if row.state != "paused":
        _set_state(connection, endpoint_id, "paused", reason, now)
        words = f"by {actor}: {reason}" if reason else f"by {actor}; it was {row.state}"
        notices.of_endpoint(connection, "endpoint.paused", endpoint_id, words, now)
    return StateChange(row.state, endpoints.one(connection, endpoint_id))


def switch_off_all(connection: Connection, partner_id: int, reason: str, now: datetime) -> list[int]:
    """Switches off every endpoint of a partner; returns those that were not off."""
    query = select(endpoint.c.id).where(endpoint.c.partner_id == partner_id, endpoint.c.state != "off")
    locking = query.order_by(endpoint.c.id).with_for_update(key_share=True)
    off = list(connection.execute(locking).scalars())
    for each in off:
        _set_state(connection, each, "off", reason, now)
    return off


def resume(connection: Connection, endpoint_id: int, actor: str, now: datetime) -> StateChange:
    """Back to live from paused or switched off; the breaker starts closed, what waits is due, and what was given up
    since it failed or was paused goes again, newest revisions only. Raises NotFound."""
    row = endpoints.locked(connection, endpoint_id)
    partners.require_present(connection, row.partner_id)
    if row.state != "live":
        _set_state(connection, endpoint_id, "live", None, now)
        since = min(row.failing_since or row.state_since, row.state_since)
        refused = row.refused is not None
        count = resumption.revive(connection, endpoint_id, since, now, refused=refused)
        again = resumption.revived_words(count)
        words = f"by {actor}; it was {row.state}{again}"
        notices.of_endpoint(connection, "endpoint.resumed", endpoint_id, words, now)
    return StateChange(row.state, endpoints.one(connection, endpoint_id))


def _set_state(
    connection: Connection, endpoint_id: int, state: str, reason: str | None, now: datetime
) -> None:
    values = {"state": state, "state_reason": reason, "state_since": now, **endpoints.fresh(state)}
    connection.execute(update(endpoint).where(endpoint.c.id == endpoint_id).values(**values))
