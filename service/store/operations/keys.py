"""Operations with the keys of sources and partners: rotated with an overlap, or withdrawn at once, each with its audit.

They keep the rules of `operations`: the act and its line are committed together.
"""

from __future__ import annotations

from datetime import datetime

from service.store.articles import sources
from service.store.articles.sources import NewSourceKeys
from service.store.database import locks
from service.store.database.record import Record
from service.store.feeds import partner_feeds
from service.store.operations.audit_line import AuditLine
from service.store.partners import endpoint_states, partners
from service.store.partners.partners import NewKey


def rotate_source(record: Record, slug: str, new: NewSourceKeys, *, actor: str, now: datetime) -> None:
    """Gives a source a new API key and signing secret; the old ones work until `new.old_until`."""
    with record.writing() as connection:
        sources.rotate(connection, record.keyring, slug, new, now)
        detail = {"key_id": new.key_id, "old_until": new.old_until.isoformat()}
        AuditLine(actor, now).write(connection, "source.rotated", slug, **detail)


def remove_source(record: Record, slug: str, *, actor: str, now: datetime) -> bool:
    """Withdraws all keys of a source at once; whether that is new. Its articles stay as they are."""
    with record.writing() as connection:
        removed = sources.remove(connection, slug)
        if removed:
            AuditLine(actor, now).write(connection, "source.removed", slug)
    return removed


def rotate_partner(record: Record, slug: str, new: NewKey, *, actor: str, now: datetime) -> None:
    """Gives a partner a new API key; the old one works until `new.old_until`."""
    with record.writing() as connection:
        partners.rotate(connection, record.keyring, slug, new, now)
        detail = {"key_id": new.key_id, "old_until": new.old_until.isoformat()}
        AuditLine(actor, now).write(connection, "partner.rotated", slug, **detail)


def remove_partner(record: Record, slug: str, *, actor: str, now: datetime) -> bool:
    """Withdraws a partner's keys, switches off its endpoints and revokes its feeds, at once; whether that is new.

    What it holds is still in the ledger: takedowns of that are owed to it.
    """
    with record.writing() as connection:
        locks.lock_documents(connection)
        number, removed = partners.remove(connection, slug, now)
        feeds = partner_feeds.open_feeds(connection, number)
        for each in feeds:
            partner_feeds.revoke(connection, each, now)
        off = endpoint_states.switch_off_all(connection, number, "the partner was removed", now)
        if removed or feeds or off:
            AuditLine(actor, now).write(connection, "partner.removed", slug, endpoints=off, feeds=feeds)
    return removed
