"""Withdrawals: takedowns that turn out to be no news, since their endpoints hold nothing of the story.

Written when what was on the wire comes back refused or unsent. Deliveries are locked, and endpoints before them, as
`state_writes` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.database.sql import Query, Statement
from service.store.deliveries.state_writes import NewRevision
from service.store.deliveries.states import CANCEL, WITHDRAW, Priority, State, in_states, may_hold


class Place(NamedTuple):
    """An article at an endpoint."""

    article_id: int
    endpoint_id: int


# The takedown and what it superseded there, both judged before either changes.
_TAKEDOWN = f"{{0}}.priority = {Priority.TAKEDOWN.value} AND {WITHDRAW.guard('{0}')}"
_WITHDRAW = f"""
    UPDATE delivery SET state = '{State.CANCELLED.value}', superseded_by = NULL,
        settled_at = coalesce(settled_at, :now)
    WHERE article_id = :article_id AND NOT {may_hold("delivery")} AND (({_TAKEDOWN.format("delivery")})
        OR ({CANCEL.guard()} AND EXISTS (SELECT 1 FROM delivery t WHERE t.article_id = delivery.article_id
            AND t.endpoint_id = delivery.endpoint_id AND t.revision = delivery.superseded_by
            AND {_TAKEDOWN.format("t")})))"""
_WITHDRAW_EVERYWHERE = Statement(_WITHDRAW)
_WITHDRAW_THERE = Statement(f"{_WITHDRAW} AND endpoint_id = :endpoint_id")
_FAILED = Query(
    Place,
    "SELECT DISTINCT article_id, endpoint_id FROM delivery WHERE id IN :ids[] AND NOT reached"
    f" AND {in_states([State.SUPERSEDED, State.DEAD])}",
)


def withdraw(connection: Connection, takedowns: Sequence[NewRevision], now: datetime) -> None:
    """Of these takedowns none goes to an endpoint that holds nothing: what was on the wire there came back unsent."""
    rows = [{"article_id": each.article_id, "now": now} for each in takedowns]
    _WITHDRAW_EVERYWHERE.run_all(connection, rows)


def withdraw_after(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """These came back from the wire and go no more. Where one was all that its endpoint might have held, the takedown
    that was routed meanwhile is no news."""
    if ids:
        places = _FAILED.all(connection, ids=list(ids))
        _WITHDRAW_THERE.run_all(connection, [each._asdict() | {"now": now} for each in places])
