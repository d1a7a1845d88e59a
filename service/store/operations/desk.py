"""Acts of an operator on the desk itself: its sections, packages and sources, and the secrets of all."""

from __future__ import annotations

from datetime import datetime

from service.store.articles import source_settings, source_sync, sources
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import NewSource, Source
from service.store.database import resealing
from service.store.database.record import Record
from service.store.feeds import sections
from service.store.feeds.sections import Section
from service.store.operations.audit_line import AuditLine


def add_section(
    record: Record, slug: str, title: str, language: str | None, *, actor: str, now: datetime
) -> Section:
    """Adds a section, with its feed."""
    with record.writing() as connection:
        added = sections.add(connection, slug, title, language, now)
        AuditLine(actor, now).write(connection, "section.added", slug, title=title, language=language)
    return added


def rename_section(record: Record, slug: str, new: str, *, actor: str, now: datetime) -> None:
    """Gives a section another slug; its old addresses lead to the new ones for ever."""
    with record.writing() as connection:
        sections.rename(connection, slug, new, now)
        AuditLine(actor, now).write(connection, "section.renamed", slug, to=new)


def close_section(record: Record, slug: str, *, actor: str, now: datetime) -> None:
    """Ends a section's feed for good. Closed already: nothing happens."""
    with record.writing() as connection:
        if sections.close(connection, slug, now):
            AuditLine(actor, now).write(connection, "section.closed", slug)


def add_package(record: Record, name: str, title: str, *, actor: str, now: datetime) -> str:
    """Gives a package's feed a title, and makes the feed if there is none; returns the feed's slug."""
    with record.writing() as connection:
        slug = sections.add_package(connection, name, title, now)
        AuditLine(actor, now).write(connection, "package.added", slug, title=title)
    return slug


def add_source(
    record: Record, new: NewSource, options: SourceOptions | None = None, *, actor: str, now: datetime
) -> Source:
    """Adds a source, with its settings if it has any."""
    with record.writing() as connection:
        added = sources.add(connection, record.keyring, new, now)
        if options is not None:
            source_settings.put(connection, record.keyring, added.id, options)
            source_sync.begin(connection, added.id, now)
        AuditLine(actor, now).write(connection, "source.added", new.slug, adapter=new.adapter)
    return added


def reseal(record: Record, *, actor: str, now: datetime) -> dict[str, int]:
    """Seals every stored secret with the first key, in batches; returns how many, by table."""
    counts = resealing.reseal(record)
    with record.writing() as connection:
        AuditLine(actor, now).write(connection, "secrets.resealed", "all", **counts)
    return counts
