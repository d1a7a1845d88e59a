"""Partners' own feeds: made, given new tokens, revoked. `partner_contents` has their stories, `fetches` who read them.

A token is known here by its SHA-256 alone, and to people by its number in its feed. A revoked feed stays in the record
with its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, update

from service.store import names
from service.store.database import locks
from service.store.database.sql import Statement
from service.store.errors import NotFound, NotPossible
from service.store.feeds import documents, feeds, kinds
from service.store.feeds.feeds import make_feed
from service.store.feeds.kinds import Definition
from service.store.feeds.sections import ids_of
from service.store.schema.articles import section
from service.store.schema.feeds import feed_token, partner_feed, partner_feed_section
from service.store.schema.partners import partner

TOKEN_OVERLAP = timedelta(days=7)


@dataclass(frozen=True)
class NewPartnerFeed:
    """A feed to be made for a partner: of these sections, or of all. Without a title it has its sections'."""

    partner: str
    token_hash: str = field(repr=False)
    sections: Sequence[str] | None = None
    title: str | None = None


@dataclass(frozen=True)
class AddedFeed:
    id: int
    title: str


@dataclass(frozen=True)
class NewToken:
    """`number` is the new token's; the old ones work until `old_until`, which is now if there is no overlap."""

    number: int
    old_until: datetime


def add(connection: Connection, new: NewPartnerFeed, now: datetime) -> AddedFeed:
    """Makes the feed and asks for it to be built. Raises NotFound, UnknownSections."""
    row_of = select(partner.c.id, partner.c.removed_at).where(partner.c.slug == new.partner)
    found = connection.execute(row_of).one_or_none()
    if found is None:
        raise NotFound("partner", new.partner)
    if found.removed_at is not None:
        raise NotPossible(f"the partner {new.partner!r} was removed and stays so; add one under another name")
    owner = found.id
    section_ids = ids_of(connection, new.sections)
    row = {"partner_id": owner, "all_sections": new.sections is None, "created_at": now}
    number = int(connection.execute(partner_feed.insert().returning(partner_feed.c.id), row).scalar_one())
    for each in section_ids:
        pair = {"partner_feed_id": number, "section_id": each}
        connection.execute(partner_feed_section.insert(), pair)
    _add_token(connection, number, 1, new.token_hash, now)
    definition = _definition(connection, number, new.title, section_ids)
    make_feed(connection, definition, now)
    return AddedFeed(number, definition.title or "")


def rotate(
    connection: Connection, feed_id: int, token_hash: str, overlap: timedelta, now: datetime
) -> NewToken:
    """Gives the feed a new token; the old ones work on until `overlap` has passed. Raises NotFound, NotPossible."""
    until = now + overlap
    if _locked(connection, feed_id).revoked_at is not None:
        raise NotPossible(
            f"feed {feed_id} was revoked and stays so; make the partner another: dateline feed add PARTNER"
        )
    mine = feed_token.c.partner_feed_id == feed_id
    sooner = or_(feed_token.c.until.is_(None), feed_token.c.until > until)
    connection.execute(update(feed_token).where(mine, sooner).values(until=until))
    last = connection.execute(select(func.max(feed_token.c.number)).where(mine)).scalar_one()
    _add_token(connection, feed_id, last + 1, token_hash, now)
    return NewToken(last + 1, until)


def revoke(connection: Connection, feed_id: int, now: datetime) -> bool:
    """Ends the feed at once and for good; whether that is new. A fetch under way is refused. Raises NotFound."""
    slug = kinds.of_partner(feed_id)
    locks.lock_documents(connection)
    if _locked(connection, feed_id).revoked_at is not None:
        return False
    connection.execute(update(partner_feed).where(partner_feed.c.id == feed_id).values(revoked_at=now))
    feeds.close_feed(connection, slug, now)
    documents.delete_documents(connection, slug)
    return True


def open_feeds(connection: Connection, partner_id: int) -> list[int]:
    """The partner's feeds that are not revoked."""
    mine = select(partner_feed.c.id).where(
        partner_feed.c.partner_id == partner_id, partner_feed.c.revoked_at.is_(None)
    )
    return list(connection.execute(mine.order_by(partner_feed.c.id)).scalars())


def count_fetch(connection: Connection, feed_id: int, token_id: int, now: datetime) -> int | None:
    """Counts a fetch; returns how often the feed was fetched, with this time, or None if it was revoked."""
    # The feed is locked before the token.
    fetches: int | None = _COUNT_FEED.value(connection, feed=feed_id, now=now)
    if fetches is not None:
        _COUNT_TOKEN.run(connection, {"token": token_id, "now": now})
    return fetches


_COUNT_FEED = Statement(
    "UPDATE partner_feed SET fetches = fetches + 1, fetched_at = :now WHERE id = :feed AND revoked_at IS NULL"
    " RETURNING fetches"
)
_COUNT_TOKEN = Statement("UPDATE feed_token SET fetches = fetches + 1, fetched_at = :now WHERE id = :token")


def note_refused(connection: Connection, token_id: int, now: datetime) -> None:
    """Notes that the token was tried after its end."""
    _NOTE_REFUSED.run(connection, {"token": token_id, "now": now})


_NOTE_REFUSED = Statement("UPDATE feed_token SET refused_at = :now WHERE id = :token")


def _locked(connection: Connection, feed_id: int) -> Row[Any]:
    if not names.is_row(feed_id):
        raise NotFound("feed", str(feed_id))
    query = select(partner_feed).where(partner_feed.c.id == feed_id).with_for_update(key_share=True)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("feed", str(feed_id))
    return row


def _add_token(connection: Connection, feed_id: int, number: int, token_hash: str, now: datetime) -> None:
    row = {"partner_feed_id": feed_id, "number": number, "hash": token_hash, "created_at": now}
    connection.execute(feed_token.insert(), row)


def _definition(
    connection: Connection, feed_id: int, title: str | None, section_ids: Sequence[int]
) -> Definition:
    """Titled by its sections, and in their language, if that is one."""
    query = select(section.c.title, section.c.language).where(section.c.id.in_(section_ids))
    rows = connection.execute(query.order_by(section.c.id)).all()
    languages = {row.language for row in rows}
    return Definition(
        kinds.of_partner(feed_id),
        title or ", ".join(row.title for row in rows) or "All sections",
        languages.pop() if len(languages) == 1 else None,
    )
