"""The ledger: per partner, article and endpoint the highest revision that the partner is known to hold.

The only module that writes receipts (tests/architecture/test_glossary.py). A receipt never goes back to an older
revision, and is never pruned: takedowns go to those who have one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.database.sql import Statement
from service.store.schema.base import to_micros


class Channel(StrEnum):
    """How the revision came to the partner."""

    PUSH = "push"
    PULL = "pull"  # the partner read it in its own stream
    FEED = "feed"


BY_FEED = 0  # the endpoint of a receipt for what a partner's feed showed


class Receipt(NamedTuple):
    """The partner holds this revision. Sorted, receipts are in the order of articles."""

    article_id: int
    partner_id: int
    endpoint_id: int
    revision: int


_INTO = "INSERT INTO receipt (article_id, partner_id, endpoint_id, revision, channel, held_since)"
_UNLESS_NEWER = """ON CONFLICT (partner_id, article_id, endpoint_id) DO UPDATE
    SET revision = excluded.revision, channel = excluded.channel, held_since = excluded.held_since
    WHERE receipt.revision < excluded.revision"""
_WRITE = Statement(
    f"{_INTO} VALUES (:article_id, :partner_id, :endpoint_id, :revision, :channel, :now) {_UNLESS_NEWER}"
)


def write(connection: Connection, receipts: Iterable[Receipt], channel: Channel, now: datetime) -> None:
    """In the order of articles, so that two that write at once never wait in a circle. Nothing for none."""
    common = {"channel": channel.value, "now": to_micros(now)}
    _WRITE.run_all(connection, [each._asdict() | common for each in sorted(receipts)])


def writing_pushed(settled: str, now: str) -> str:
    """PostgreSQL: the same for what the query or table `settled` names, as a part of a larger statement.

    It has a receipt's columns. The revisions of one article are grouped: a statement writes no row twice.
    """
    return f"""{_INTO}
        SELECT article_id, partner_id, endpoint_id, max(revision), '{Channel.PUSH.value}', {now} FROM {settled}
        GROUP BY article_id, partner_id, endpoint_id ORDER BY article_id, partner_id, endpoint_id
        {_UNLESS_NEWER}"""
