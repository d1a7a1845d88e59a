"""The partners that hold an article, those first that have not confirmed its newest revision. Read-only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import Connection

from service.store.database.sql import Query
from service.store.deliveries.states import Priority


class HoldingPlace(NamedTuple):
    """The place of a holding among those of its article."""

    confirmed: int
    partner_id: int
    endpoint_id: int

    def __str__(self) -> str:
        return ".".join(map(str, self))


FIRST_PLACE = HoldingPlace(-1, 0, 0)
_PLACE = re.compile(r"[01](\.[0-9]{1,18}){2}", re.ASCII)


def read_place(text: str) -> HoldingPlace | None:
    """The place that this text is of; None for any other text."""
    return HoldingPlace(*map(int, text.split("."))) if _PLACE.fullmatch(text) else None


@dataclass(frozen=True)
class HoldingNow:
    """A revision that a partner is known to hold, `confirmed` if it is the newest. `channel`: push or pull (at
    `endpoint_id`) or feed (`endpoint_id` is 0). `removed`: the revision told this holder to remove the article, by a
    takedown of it or because it left the holder's sections."""

    partner: str
    partner_name: str
    endpoint_id: int
    url: str | None
    channel: str
    revision: int
    since: datetime
    partner_id: int
    confirmed: bool
    removed: bool

    @property
    def state(self) -> Literal["held", "removed"]:
        """`removed`, or `held`: it has the text."""
        return "removed" if self.removed else "held"

    @property
    def place(self) -> HoldingPlace:
        return HoldingPlace(int(self.confirmed), self.partner_id, self.endpoint_id)


@dataclass(frozen=True)
class HoldingsPart:
    """A part of an article's holdings: of `total`, and `before` come before it."""

    shown: tuple[HoldingNow, ...]
    total: int
    before: int


def holdings_of(
    connection: Connection, article: int, newest: int, after: HoldingPlace, limit: int
) -> HoldingsPart:
    """Those after a place. `newest`: the article's revision, which they are compared with."""
    of = {
        "article": article,
        "newest": newest,
        "confirmed": after.confirmed,
        "partner": after.partner_id,
        "endpoint": after.endpoint_id,
    }
    counts = _HOLDING_COUNTS.one(connection, **of)
    assert counts is not None, "a count has one row"
    return HoldingsPart(tuple(_HOLDINGS.all(connection, **of, limit=limit)), counts.total, counts.before)


# The article's receipts are a range of their key: as many as there are endpoints and channels, whatever happened.
_RECEIPTS = """(SELECT partner_id, endpoint_id, channel, revision, held_since,
        CASE WHEN revision >= :newest THEN 1 ELSE 0 END AS confirmed FROM receipt WHERE article_id = :article)"""
_AFTER = "(confirmed, partner_id, endpoint_id) > (:confirmed, :partner, :endpoint)"
# A delivery that told one endpoint to remove a story which is public elsewhere.
_REMOVAL = f"""SELECT 1 FROM delivery d WHERE d.article_id = :article AND d.endpoint_id = r.endpoint_id
    AND d.revision = r.revision AND d.priority = {Priority.TAKEDOWN.value}"""
_HOLDINGS = Query(
    HoldingNow,
    f"""
    SELECT p.slug, p.name, r.endpoint_id, e.url, r.channel, r.revision, r.held_since, r.partner_id, r.confirmed,
        EXISTS (SELECT 1 FROM revision v WHERE v.article_id = :article AND v.number = r.revision
            AND v.status <> 'usable') OR EXISTS ({_REMOVAL})
    FROM (SELECT * FROM {_RECEIPTS} q WHERE {_AFTER}
        ORDER BY confirmed, partner_id, endpoint_id LIMIT :limit) r
    JOIN partner p ON p.id = r.partner_id LEFT JOIN endpoint e ON e.id = r.endpoint_id
    ORDER BY r.confirmed, r.partner_id, r.endpoint_id""",
)


class _HoldingCounts(NamedTuple):
    total: int
    before: int


_HOLDING_COUNTS = Query(
    _HoldingCounts,
    f"SELECT count(*), coalesce(sum(CASE WHEN {_AFTER} THEN 0 ELSE 1 END), 0) FROM {_RECEIPTS} q",
)
