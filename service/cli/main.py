"""`dateline`: the command. docs/operations.md goes from symptom to command."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from service.plain_text import terminal_text
from service.runtime import files
from service.store.errors import NotFound, RecordUnavailable

DONE, FAILED, WRONG_USE = 0, 1, 2
WHERE_TO_LOOK = {
    "article": "name it by its public id (tag:…) or the last part of that; /status/articles finds it by anything",
    "delivered article": "name one that was pushed, by its public id (tag:…) or the last part of that",
    "delivery": "its number (dlv_…) is on the status page, and the partner has it as webhook-id",
    "endpoint": "'dateline endpoint list' shows them",
    "feed": "'dateline feed list' shows them",
    "held hook": "'dateline source held SLUG' shows them",
    "partner": "'dateline partner list' shows them",
    "section": "'dateline section list' shows them",
    "source": "'dateline source list' shows them",
}


# Each command's module in service.cli, and its line in the help: a command is imported when it is run.
COMMANDS = {
    "up": ("up", "Run all of Dateline here: web, workers and, unless their..."),
    "web": ("serve", "Run the web process alone: intake, feeds, status page."),
    "worker": ("serve", "Run one worker alone."),
    "migrate": ("migrate", "Bring the record to the newest schema."),
    "doctor": ("doctor", "Check every part; say what is wrong and what to do."),
    "backup": ("backup", "Copy the record into a new FILE while Dateline runs..."),
    "section": ("desk", "The sections, which have a feed each."),
    "package": ("feeds", "Special reports: stories of any section under one title."),
    "feeds": ("serve", "The feeds as a whole."),
    "source": ("sources", "The content systems that may send articles."),
    "partner": ("desk", "The outlets that republish."),
    "endpoint": ("endpoints", "The addresses that pushes go to."),
    "feed": ("partner_feeds", "Partners' own feeds, each at an address with a token in it."),
    "publish": ("articles", "Post an article FILE (JSON; - for standard input) to the..."),
    "kill": ("articles", "Take ARTICLE back everywhere: its partners hear of it..."),
    "restore": ("articles", "Bring back an ARTICLE that was taken down."),
    "replay": ("articles", "Send deliveries again: one, an article's, an endpoint's or..."),
    "receive": ("receive", "Receive pushes: verify each signature, print each push."),
    "reseal": ("keys", "Seal every stored secret with the first key of..."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used: help and version need none of them."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        from service import logs  # noqa: PLC0415 - it takes longer to load than the help to print

        # Until the settings are read: lines before that go to standard error too.
        logs.configure("info", json=not sys.stderr.isatty())
        command: click.Command = getattr(import_module(f"service.cli.{COMMANDS[name][0]}"), name)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dateline")
def dateline() -> None:
    """Event-driven news syndication: articles in, feeds and signed pushes out, proof of who holds what.

    Settings: DATELINE_… in the environment or in .env.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0, 1 (failed), 2 (wrong use). A failure is a sentence, no traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
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
        from service import logs  # noqa: PLC0415

        logs.get("cli").debug("command.failed", exc_info=True)
        return _fail(_words(error), FAILED, as_json=as_json)


def _fail(words: str, status: int, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"error": words}, ensure_ascii=False))
    else:
        click.echo(f"dateline: {terminal_text(words)}", err=True)
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
    """Files elsewhere, which its caller names, are the command's own trouble: see ElsewhereTrouble."""
    if files.is_disk_trouble(error):
        return f"{files.disk_trouble(error)}. Nothing was lost; then run it again"
    trouble = "is no directory" if isinstance(error, FileExistsError) else error.strerror or "cannot be used"
    return (
        f"{error.filename}: {trouble}. The data directory must be one that this user can read and write:"
        " see --data-dir and DATELINE_DATA_DIR"
    )


if __name__ == "__main__":
    main()
