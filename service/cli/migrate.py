"""`dateline migrate`: the record's schema, brought to the newest."""

from __future__ import annotations

import click

from service.cli.command import CommandContext, CommandResult, with_context
from service.runtime import key_files
from service.store import migrations
from service.store.database.record import open_record


@click.command()
@with_context
def migrate(context: CommandContext) -> CommandResult:
    """Bring the record to the newest schema. Run twice, it changes nothing."""
    config = key_files.ensure_keys(context.settings)
    record = open_record(config.database_url, config.secret_key)
    try:
        before = migrations.schema_state(record).current
        after = migrations.migrate(record)
        newer = migrations.schema_state(record)
    finally:
        record.close()
    words = (
        f"The record was at schema {after} already."
        if before == after
        else f"The record is at schema {after} now."
    )
    if newer.is_newer:
        words = f"Nothing to do: {newer.words}."
    return CommandResult({"before": before, "schema": after}, [words])
