"""`dateline backup`: a copy of the record on SQLite while Dateline runs."""

from __future__ import annotations

from pathlib import Path

import click

from service.cli.command import CommandContext, CommandResult, with_context
from service.store.database import backup as copies


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@with_context
def backup(context: CommandContext, file: Path) -> CommandResult:
    """Copy the record into a new FILE while Dateline runs (SQLite; for PostgreSQL: pg_dump)."""
    with context.record(make=False) as record:
        size = copies.back_up(record, file)
    lines = [
        f"{file} holds the record as it is now: {size:,} bytes.",
        "Keep the keys, too, in another place: secret-key and operator-token, or what sets them.",
    ]
    return CommandResult({"file": str(file), "bytes": size}, lines)
