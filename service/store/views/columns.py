"""Columns that several views read."""

from __future__ import annotations

from service.store.database.record import Record


def headline_of(record: Record) -> str:
    """The SQL of a revision's headline, without reading its body into this process."""
    return "json_extract(r.content, '$.headline')" if record.is_sqlite else "(r.content::json ->> 'headline')"


def language_of(record: Record) -> str:
    return "json_extract(r.content, '$.language')" if record.is_sqlite else "(r.content::json ->> 'language')"
