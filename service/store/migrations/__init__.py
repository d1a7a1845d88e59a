"""Brings the record to the newest schema with Alembic, and says whether this version can use the record as it is.

A schema's name is four digits. Versions whose schemas have the same first digit share a record: each migration only
adds to what the one before had, so an older program works on beside a newer one. A migration that takes something away
begins the next thousand, and older programs refuse its record.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, inspect

from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.errors import SchemaBehind
from service.store.migrations.differences import differences

_FOLDER = Path(__file__).parent
_GENERATION = slice(0, 1)
_VERSION_TABLE = "alembic_version"
_CURRENT = Statement(f"SELECT version_num FROM {_VERSION_TABLE}")


class Schema(NamedTuple):
    """The record's schema (None: it is empty) beside the newest that this version knows."""

    current: str | None
    head: str

    @property
    def is_newer(self) -> bool:
        """Whether a newer version of Dateline made it."""
        return self.current is not None and self.current > self.head

    @property
    def is_usable(self) -> bool:
        if self.current is None or not self.is_newer:
            return self.current == self.head
        return self.current[_GENERATION] == self.head[_GENERATION]

    @property
    def words(self) -> str:
        """How the two stand to each other, and what is to be done if they do not fit."""
        if self.current == self.head:
            return "is the newest"
        if self.current is None:
            return (
                f"the record is empty, this version needs schema {self.head}; if this is the database you meant:"
                " run dateline migrate"
            )
        if not self.is_newer:
            return f"the record is at schema {self.current}, this version needs {self.head}: run dateline migrate"
        made = f"the record is at schema {self.current}, made by a newer Dateline; this one knows {self.head}"
        if self.is_usable:
            return f"{made} and works on with it: update this one too"
        return f"{made} and cannot use it: install the newer version here"


def migrate(record: Record) -> str:
    """Upgrades to the newest schema, in one transaction; returns its name. Run twice, it changes nothing.

    A record of a newer version stays as it is if this one can use it; raises SchemaBehind if not.
    """
    if (schema := schema_state(record)).is_newer:
        require_schema(record)
        return str(schema.current)
    if schema.current == schema.head:
        return schema.head
    from alembic import command  # noqa: PLC0415 - a start on the newest schema does without: it takes long to load

    config = _config()
    with record.writing(patient=True) as connection:
        locks.lock_schema(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return _current(connection) or ""


def schema_state(record: Record) -> Schema:
    """The record's schema and the one this version needs."""
    with record.reading() as connection:
        return Schema(_current(connection), _head())


def require_schema(record: Record) -> None:
    """Raises SchemaBehind, in words, unless this version can use the record's schema."""
    schema = schema_state(record)
    if not schema.is_usable:
        raise SchemaBehind(schema.words)


def faults(record: Record) -> list[str]:
    """The differences of the record from its schema's name, each in words; none for a schema that is not ours.

    A record has such faults if a migration was changed after it had landed, or if somebody changed tables by hand.
    """
    schema = schema_state(record)
    return differences(record) if schema.current == schema.head else []


def _config() -> Any:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config


@cache
def _head() -> str:
    """The name of the newest migration, with which its file's name begins."""
    return max(path.name for path in (_FOLDER / "versions").glob("[0-9]*.py"))[:4]


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return _CURRENT.value(connection)  # type: ignore[no-any-return]
