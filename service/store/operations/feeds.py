"""Acts of an operator on partners' own feeds."""

from __future__ import annotations

from datetime import datetime, timedelta

from service.store.database.record import Record
from service.store.feeds import partner_feeds
from service.store.feeds.partner_feeds import NewPartnerFeed
from service.store.operations.audit_line import AuditLine


def add_feed(record: Record, new: NewPartnerFeed, *, actor: str, now: datetime) -> partner_feeds.AddedFeed:
    """Makes a partner a feed of its own."""
    with record.writing() as connection:
        added = partner_feeds.add(connection, new, now)
        detail = {"partner": new.partner, "sections": new.sections, "title": added.title}
        AuditLine(actor, now).write(connection, "partner_feed.added", added.id, **detail)
    return added


def rotate_feed(
    record: Record,
    feed_id: int,
    token_hash: str,
    overlap: timedelta = partner_feeds.TOKEN_OVERLAP,
    *,
    actor: str,
    now: datetime,
) -> partner_feeds.NewToken:
    """Gives a partner's feed a new token; the old ones work on until `overlap` has passed."""
    with record.writing() as connection:
        rotated = partner_feeds.rotate(connection, feed_id, token_hash, overlap, now)
        detail = {"token": rotated.number, "old_until": rotated.old_until.isoformat()}
        AuditLine(actor, now).write(connection, "partner_feed.rotated", feed_id, **detail)
    return rotated


def revoke_feed(record: Record, feed_id: int, *, actor: str, now: datetime) -> bool:
    """Ends a partner's feed at once and for good; whether that is new."""
    with record.writing() as connection:
        revoked = partner_feeds.revoke(connection, feed_id, now)
        if revoked:
            AuditLine(actor, now).write(connection, "partner_feed.revoked", feed_id)
    return revoked
