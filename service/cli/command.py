"""Commands: what all of them share, which is their settings, the record opened and checked, and how they answer."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from service import logs, settings
from service.plain_text import terminal_text
from service.runtime import celery_app, embedded_redis, files, key_files, supervise
from service.settings import Settings
from service.store import migrations
from service.store.database.record import Record, open_record
from service.store.feeds import slugs

# A Redis that is away keeps a command no longer than this.
WAKE_SECONDS = 0.7
# An act may concern everything that the record holds, and the operator is there to end it.
COMMAND_STATEMENT_SECONDS = 60.0


def sections_in(listed: str | None) -> list[str] | None:
    """The sections that an option lists, separated by commas; None without the option."""
    return None if listed is None else [slugs.fold(each) for each in listed.split(",") if each.strip()]


class ElsewhereTrouble(Exception):
    """A file or folder that the caller named, not one of the data directory, cannot be used. The text says why."""


@dataclass(frozen=True)
class CommandResult:
    """A command's answer: `facts` for --json, `lines` for people, and the exit status."""

    facts: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    status: int = 0

    def text(self, *, as_json: bool) -> str:
        return json.dumps(self.facts, ensure_ascii=False) if as_json else terminal_text("\n".join(self.lines))


@dataclass(frozen=True)
class CommandContext:
    """The surroundings of a command: the settings of this call, the record, the workers, and the terminal."""

    settings: Settings
    as_json: bool

    @property
    def url(self) -> str:
        """The service's address: of the running `up` or `web` of this data directory, else the public URL."""
        folder = self.settings.data_dir
        state = supervise.read_state(folder) or supervise.read_web_state(folder)
        return str(state["url"]) if state else self.settings.public_url

    @contextmanager
    def record(self, *, make: bool = True) -> Iterator[Record]:
        """The record, its schema checked. Raises SchemaBehind; an empty record is migrated first if `make`.

        A part that runs for long does not make one: a service that was pointed to the wrong database would take
        articles for a desk that nobody knows.
        """
        configured = key_files.ensure_keys(self.settings)
        record = open_record(
            configured.database_url, configured.secret_key, statement_seconds=COMMAND_STATEMENT_SECONDS
        )
        try:
            if make and migrations.schema_state(record).current is None:
                migrations.migrate(record)
                # A line for it, because a directory named by mistake looks like a desk that lost everything.
                click.echo(f"dateline: made a new, empty desk: {self._place}", err=True)
            migrations.require_schema(record)
            yield record
        finally:
            record.close()

    @property
    def _place(self) -> str:
        on_file = self.settings.on_sqlite and str(self.settings.data_dir) in self.settings.database_url
        return str(self.settings.data_dir) if on_file else "in the database of DATELINE_DATABASE_URL"

    def wake(self) -> None:
        """Tells the workers that there is something to do. Best effort: they find it by themselves too."""
        waker = celery_app.Waker(embedded_redis.redis_url_of(self.settings))
        waker.wake()
        waker.close(WAKE_SECONDS)

    def say(self, line: str) -> None:
        """A line of progress: on standard output, or beside it when that belongs to the JSON."""
        with suppress(OSError):  # its reader is gone, or the disk that has the log is full: no reason to end
            click.echo(line, err=self.as_json)


def with_context(function: Callable[..., CommandResult | None]) -> Callable[..., int]:
    """Makes a command of `function(context, …) -> CommandResult`: adds --json and --data-dir, prints the result."""

    @click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object on standard output.")
    @click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where this desk keeps its data (default: DATELINE_DATA_DIR, else ./var).",
    )
    @functools.wraps(function)
    def run(*, as_json: bool, data_dir: Path | None, **options: Any) -> int:
        loaded = settings.load(data_dir=data_dir)
        logs.configure(loaded.log_level, json=not sys.stderr.isatty())
        try:
            result = function(CommandContext(loaded, as_json), **options)
        except OSError as error:
            raise _elsewhere(error, loaded.data_dir) or error from None
        if result is None:
            return 0
        click.echo(result.text(as_json=as_json))
        return result.status

    return run


def _elsewhere(error: OSError, data_dir: Path) -> ElsewhereTrouble | None:
    """The trouble in words, if it is with a path outside of the data directory and the disk is well."""
    name = error.filename
    if not isinstance(name, str) or files.is_disk_trouble(error):
        return None
    if Path(name).absolute().is_relative_to(data_dir.absolute()):
        return None
    return ElsewhereTrouble(
        f"{name}: {error.strerror or 'cannot be used'}; name another place, or make it usable"
    )
