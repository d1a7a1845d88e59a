"""`dateline`: the command. docs/operations.md goes from symptom to command."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from service import logs
from service.cli.articles import kill, publish, replay, restore
from service.cli.backup import backup
from service.cli.desk import partner, section, source
from service.cli.doctor import doctor
from service.cli.endpoints import endpoint
from service.cli.feeds import feeds, package
from service.cli.keys import reseal
from service.cli.partner_feeds import feed
from service.cli.receive import receive
from service.cli.up import feeds_serve, migrate, up, web, worker
from service.runtime import files
from service.store.errors import NotFound, RecordUnavailable

DONE, FAILED, WRONG_USE = 0, 1, 2
WHERE_TO_LOOK = {
    "article": "name it by its public id (tag:…) or the last part of that; /status/articles finds it by anything",
    "delivered article": "name one that was pushed, by its public id (tag:…) or the last part of that",
    "delivery": "its number (dlv_…) is on the status page, and the partner has it as webhook-id",
    "endpoint": "'dateline endpoint list' shows them",
    "feed": "'dateline feed list' shows them",
    "partner": "'dateline partner list' shows them",
    "source": "'dateline source list' shows them",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dateline")
def dateline() -> None:
    """Event-driven news syndication: articles in, feeds and signed pushes out, proof of who holds what.

    Settings: DATELINE_… in the environment or in .env.
    """


COMMANDS: tuple[click.Command, ...] = (
    up, web, worker, migrate, doctor, backup,
    section, package, feeds, source, partner, endpoint, feed,
    publish, kill, restore, replay, receive, reseal,
)  # fmt: skip
feeds.add_command(feeds_serve)
for _command in COMMANDS:
    dateline.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0, 1 (failed), 2 (wrong use). A failure is a sentence, no traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Until the settings are read: lines before that go to standard error too.
    logs.configure("info", json=not sys.stderr.isatty())
    sys.exit(_run(words, as_json="--json" in words))


def _run(words: list[str], *, as_json: bool) -> int:
    try:
        return int(dateline.main(words, prog_name="dateline", standalone_mode=False) or DONE)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG_USE
    except click.UsageError as error:
        hint = f" ({error.ctx.command_path} --help shows how)" if error.ctx else ""
        return _fail(error.format_message() + hint, WRONG_USE, as_json=as_json)
    except click.ClickException as error:
        return _fail(error.format_message(), FAILED, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", FAILED, as_json=as_json)
    except Exception as error:
        logs.get("cli").debug("command.failed", exc_info=True)
        return _fail(_words(error), FAILED, as_json=as_json)


def _fail(words: str, status: int, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"error": words}, ensure_ascii=False))
    else:
        click.echo(f"dateline: {words}", err=True)
    return status


def _words(error: Exception) -> str:
    """The error as a sentence that a person can act on. Our own errors are sentences already."""
    kind = type(error)
    first_line = (str(error).strip().splitlines() or [kind.__name__])[0]
    if isinstance(error, RecordUnavailable) or kind.__module__.startswith("sqlalchemy."):
        return (
            f"the record does not answer ({first_line}). Check DATELINE_DATABASE_URL, then: dateline doctor"
        )
    if isinstance(error, NotFound):
        return "; ".join(filter(None, (str(error), WHERE_TO_LOOK.get(error.what))))
    if kind.__module__.startswith("service."):
        return str(error)
    if isinstance(error, OSError):
        return _file_trouble(error) if error.filename else files.disk_trouble(error)
    return f"{kind.__name__}: {first_line}. This should not happen; DATELINE_LOG_LEVEL=debug shows where"


def _file_trouble(error: OSError) -> str:
    """Every file that a command opens by itself is in the data directory."""
    if files.is_disk_trouble(error):
        return f"{files.disk_trouble(error)}. Nothing was lost; then run it again"
    trouble = "is no directory" if isinstance(error, FileExistsError) else error.strerror or "cannot be used"
    return (
        f"{error.filename}: {trouble}. The data directory must be one that this user can read and write:"
        " see --data-dir and DATELINE_DATA_DIR"
    )


if __name__ == "__main__":
    main()
