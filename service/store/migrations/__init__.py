"""Brings the record to the newest schema with Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from service.store.database import locks
from service.store.database.record import Record
from service.store.errors import SchemaBehind

_FOLDER = Path(__file__).parent


def migrate(record: Record) -> str:
    """Upgrades to the newest schema, in one transaction; returns its name. Run twice, it changes nothing."""
    config = _config()
    with record.writing(patient=True) as connection:
        locks.lock_schema(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return _current(connection) or ""


def schema_state(record: Record) -> tuple[str | None, str | None]:
    """(the record's schema, the one this version needs); the first is None for an empty database."""
    with record.reading() as connection:
        return _current(connection), ScriptDirectory.from_config(_config()).get_current_head()


def require_schema(record: Record) -> None:
    """Raises SchemaBehind, in words, unless the record is at the newest schema."""
    current, head = schema_state(record)
    if current != head:
        raise SchemaBehind(
            f"the record's schema is {current or 'empty'}, this version needs {head}: run `dateline migrate`"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
