"""Settings of sources as data: the system's address and API token, its fields, and how its sections are ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.database.keyring import Keyring
from service.store.database.record import Record
from service.store.database.sql import Query, Statement, insert
from service.store.schema.sources import source_settings

KEEP, HOLD = "keep", "hold"
TAKEDOWN_LIMIT = 20  # of one sweep, unless the source has another


@dataclass(frozen=True)
class SourceOptions:
    """A source's settings. `fields`: ours → (JSON pointer, converter). `api_token` is in the clear: keep it out of
    logs. A section that is mapped to an empty name is left out."""

    base_url: str = ""
    api_token: str = field(default="", repr=False)
    language: str | None = None
    content_type: str = ""
    fields: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    section_map: Mapping[str, str] = field(default_factory=dict)
    default_section: str | None = None
    unknown_sections: str = KEEP
    takedown_limit: int = TAKEDOWN_LIMIT


def options(record: Record, source_id: int) -> SourceOptions:
    """The settings of a source; the defaults for one that has none."""
    with record.reading() as connection:
        return options_within(connection, record.keyring, source_id)


def options_within(connection: Connection, keyring: Keyring, source_id: int) -> SourceOptions:
    """The same in a transaction of the caller's."""
    row = _FIND.one(connection, source=source_id)
    if row is None:
        return SourceOptions()
    return _options(row, keyring.open(row.secret_sealed).decode())


def _options(row: _SettingsRow, api_token: str) -> SourceOptions:
    return SourceOptions(
        base_url=row.base_url,
        api_token=api_token,
        language=row.language,
        content_type=row.content_type,
        fields={name: (rule[0], rule[1]) for name, rule in json.loads(row.fields).items()},
        section_map=json.loads(row.section_map),
        default_section=row.default_section,
        unknown_sections=row.unknown_sections,
        takedown_limit=row.takedown_limit,
    )


def all_options(record: Record) -> dict[int, SourceOptions]:
    """The settings of every source that has any, by its row; without API tokens."""
    with record.reading() as connection:
        return {row.source_id: _options(row, "") for row in _ALL.all(connection)}


def put(connection: Connection, keyring: Keyring, source_id: int, new: SourceOptions) -> None:
    """Writes a source's settings in place of those it had."""
    values = {
        "source_id": source_id,
        "base_url": new.base_url,
        "secret_sealed": keyring.seal(new.api_token.encode()),
        "language": new.language,
        "content_type": new.content_type,
        "fields": json.dumps(dict(new.fields)),
        "section_map": json.dumps(dict(new.section_map)),
        "default_section": new.default_section,
        "unknown_sections": new.unknown_sections,
        "takedown_limit": new.takedown_limit,
    }
    if not _REPLACE.run(connection, values):
        _ADD.run(connection, values)


class _SettingsRow(NamedTuple):
    source_id: int
    base_url: str
    secret_sealed: bytes
    language: str | None
    content_type: str
    fields: str
    section_map: str
    default_section: str | None
    unknown_sections: str
    takedown_limit: int


_SELECT = (
    "SELECT source_id, base_url, secret_sealed, language, content_type, fields, section_map, default_section,"
    " unknown_sections, takedown_limit FROM source_settings"
)
_FIND = Query(_SettingsRow, f"{_SELECT} WHERE source_id = :source")
_ALL = Query(_SettingsRow, _SELECT)
_REPLACE = Statement(
    "UPDATE source_settings SET base_url = :base_url, secret_sealed = :secret_sealed, language = :language,"
    " content_type = :content_type, fields = :fields, section_map = :section_map,"
    " default_section = :default_section, unknown_sections = :unknown_sections, takedown_limit = :takedown_limit"
    " WHERE source_id = :source_id"
)
_ADD = insert(
    source_settings,
    "source_id base_url secret_sealed language content_type fields section_map default_section unknown_sections"
    " takedown_limit",
)
