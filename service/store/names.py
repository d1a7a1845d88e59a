"""Public ids: this module alone makes and reads the names that articles, events, deliveries and notices have outside.

    article   tag:AUTHORITY,DATE:item/ULID (RFC 4151); its last part, the ULID, names it too
    event     evt_ULID
    delivery  dlv_ULID_ENDPOINT, or dlv_ULID_ENDPOINT_REPLAY when it was sent again; the ULID is its event's
    notice    ntc_ULID

Endpoints and partners' feeds are named by the number of their row.

Any text may be asked for. It names one thing or nothing, no text raises, and none is a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection
from ulid import ULID

from service.store.database.sql import Statement

NAME_MAX = 500  # characters of a name; an authority is a host name of 253 at the most
ROW_MAX = 2**63 - 1  # the greatest number that both databases hold
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_EVENT = re.compile(rf"evt_({_ULID.pattern})")
_NUMBER = r"[1-9][0-9]{0,17}"
_DELIVERY = re.compile(rf"dlv_({_ULID.pattern})_({_NUMBER})(?:_({_NUMBER}))?")


class DeliveryName(NamedTuple):
    """The parts of a delivery's id. `replay` is 0 for the first delivery, and counts those made by replays."""

    event: str
    endpoint_id: int
    replay: int


def new_article_id(authority: str, now: datetime) -> str:
    """`authority` is this desk's host name; it and the day of `now` stay in the id for ever."""
    return f"tag:{authority},{now.date().isoformat()}:item/{ULID()}"


def new_event_id() -> str:
    return f"evt_{ULID()}"


def new_notice_id() -> str:
    return f"ntc_{ULID()}"


def delivery_id(event: str, endpoint_id: int, replay: int) -> str:
    """The push's webhook-id: the same on every attempt, another per replay."""
    name = f"dlv_{event.removeprefix('evt_')}_{endpoint_id}"
    return f"{name}_{replay}" if replay else name


def read_delivery_id(text: str) -> DeliveryName | None:
    """The parts of `delivery_id`; None for any other text."""
    read = _DELIVERY.fullmatch(text)
    return read and DeliveryName(f"evt_{read[1]}", int(read[2]), int(read[3] or 0))


def read_event_id(text: str) -> str | None:
    """The event's id; None for any other text."""
    return text if _EVENT.fullmatch(text) else None


def last_part(article: str) -> str:
    """The part of an article's id that is enough to name it."""
    return article.rpartition("/")[2]


def is_row(number: int) -> bool:
    """Whether a row can have this number: a greater one is an error in SQLite and another type in PostgreSQL."""
    return 0 < number <= ROW_MAX


def is_article(text: str) -> bool:
    """Whether an article can have this public id, or this last part of it."""
    shape = text.isascii() and len(text) <= NAME_MAX and _ULID.fullmatch(last_part(text.upper())) is not None
    return shape and ("/" not in text or text.startswith("tag:"))


def is_storable(text: str) -> bool:
    """Whether both databases can hold this text: without NUL and without half a character (a lone surrogate)."""
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def find_article(connection: Connection, text: str) -> int | None:
    """The row of the article with this public id, or with this last part of it in either case; None without one."""
    if len(text) > NAME_MAX or not is_storable(text):
        return None
    if text.startswith("tag:"):
        return _row(_BY_ID.value(connection, id=text))
    last = text.upper() if text.isascii() else ""
    return _by_last_part(connection, last) if _ULID.fullmatch(last) else None


# The ULID tells the date, and the oldest and the newest article the authorities, so that the index of public ids can
# be asked. The scan is for a desk that changed its name twice.
_BY_ID = Statement("SELECT id FROM article WHERE public_id = :id")
_AUTHORITIES = Statement(
    "SELECT public_id FROM article WHERE id IN ((SELECT min(id) FROM article), (SELECT max(id) FROM article))"
)
_BY_IDS = Statement("SELECT id FROM article WHERE public_id IN :ids[text] LIMIT 1")
_BY_ENDING = Statement("SELECT id FROM article WHERE public_id LIKE :ending LIMIT 1")


def _by_last_part(connection: Connection, last: str) -> int | None:
    authorities = sorted({each.partition(",")[0] for (each,) in _AUTHORITIES.rows(connection)})
    likely = [f"{authority},{day}:item/{last}" for authority in authorities for day in _days(last)]
    found = _row(_BY_IDS.value(connection, ids=likely)) if likely else None
    # `last` has no character that LIKE takes for a pattern.
    return found or _row(_BY_ENDING.value(connection, ending=f"%:item/{last}"))


def _days(last: str) -> Sequence[str]:
    """The day that the ULID tells and its neighbours, since the article's day is by another look at the clock."""
    try:
        made = ULID.from_str(last).datetime
        return [(made + timedelta(days=offset)).date().isoformat() for offset in (-1, 0, 1)]
    except (ValueError, OverflowError):  # a ULID from after the year 9999
        return []


def _row(value: int | None) -> int | None:
    return None if value is None else int(value)
