"""Acts of an operator on a source's settings and on what was kept of it, each with its line in the audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.store.articles import hooks, source_settings, source_sync, sources
from service.store.articles.hooks import Hook
from service.store.articles.source_settings import SourceOptions
from service.store.database.record import Record
from service.store.operations.audit_line import AuditLine


@dataclass(frozen=True)
class SourceChange:
    """Changes to be made to a source. `secret`: the new one, and until when those before it work."""

    options: Callable[[SourceOptions], SourceOptions]
    name: str | None = None
    secret: tuple[str, datetime] | None = field(default=None, repr=False)


def change_source(
    record: Record, slug: str, change: SourceChange, *, actor: str, now: datetime
) -> dict[str, Any]:
    """Changes a source's settings; returns those that became different, without secrets. Raises NotFound."""
    source = sources.by_slug(record, slug)
    with record.writing() as connection:
        before = source_settings.options_within(connection, record.keyring, source.id)
        after = change.options(before)
        different = _different(before, after)
        if different:
            source_settings.put(connection, record.keyring, source.id, after)
            hooks.hasten(connection, source.id, now)
            source_sync.begin(connection, source.id, now)
        if change.name is not None and change.name != source.name:
            sources.set_name(connection, source.id, change.name)
            different["name"] = change.name
        if change.secret is not None:
            sources.set_secret(connection, record.keyring, slug, change.secret, now)
            different["secret"] = f"another; the old one works until {change.secret[1].isoformat()}"
        if different:
            AuditLine(actor, now).write(connection, "source.changed", slug, **different)
    return different


def retry_hooks(
    record: Record, slug: str, hook_id: int | None, *, after: int = 0, actor: str, now: datetime
) -> list[Hook]:
    """Claims the next held hooks of a source after this number, or the one of its own, to be tried again now."""
    with record.writing() as connection:
        claimed = hooks.claim_held(connection, slug, hook_id, now, after)
        if claimed:
            AuditLine(actor, now).write(connection, "source.retried", slug, count=len(claimed))
    return claimed


def release_takedowns(record: Record, slug: str, *, actor: str, now: datetime) -> int:
    """Lets the next sweep take down the stories that wait for it; returns how many those are."""
    source = sources.by_slug(record, slug)
    with record.writing() as connection:
        count = source_sync.release(connection, source.id, now)
        if count:
            AuditLine(actor, now).write(connection, "source.takedowns_released", slug, count=count)
    return count


def _different(before: SourceOptions, after: SourceOptions) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in vars(after).items():
        if value != getattr(before, name):
            found[name] = ("another" if value else "none") if name == "api_token" else value
    return found
