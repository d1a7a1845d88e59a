"""The commands about feeds: packages' titles, and feeds as files."""

from __future__ import annotations

from pathlib import Path

import click

from feeds import Masthead
from service import times
from service.cli.command import CommandContext, CommandResult, with_context
from service.cli.parameter_types import PackageName, Text
from service.serving.export import Exporter
from service.store import operations
from service.store.operations import OPERATOR


@click.group()
def package() -> None:
    """Special reports: stories of any section under one title."""


@package.command("add")
@click.argument("slug", type=PackageName())
@click.option(
    "--title", required=True, type=Text(), help="The name that readers see, such as 'China in focus'."
)
@with_context
def package_add(context: CommandContext, slug: str, title: str) -> CommandResult:
    """Give a package a title, and its feed, before its first article or after. SLUG: as articles name it."""
    with context.record() as record:
        feed = operations.add_package(record, slug, title, actor=OPERATOR, now=times.now())
    context.wake()
    urls = {form: f"{context.url}/feeds/{feed}.{form}" for form in ("rss", "atom", "json")}
    facts = {"package": slug, "feed": feed, "title": title, "feeds": urls}
    return CommandResult(
        facts, [f"Package {slug} is titled {title}. Its feeds:", *(f"  {url}" for url in urls.values())]
    )


@click.group()
def feeds() -> None:
    """The feeds as a whole."""


@feeds.command("export")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@with_context
def feeds_export(context: CommandContext, directory: Path) -> CommandResult:
    """Write all feeds into DIR as files, for a web server to serve; another run writes only the changes.

    With DATELINE_EXPORT_DIR workers do it by themselves.
    """
    with context.record() as record:
        chosen = context.settings
        masthead = Masthead(chosen.desk_name, chosen.logo_url)
        done = Exporter(record, chosen.public_url, directory, times.now, masthead).sync()
    facts = {
        "directory": str(directory),
        "written": done.written,
        "deleted": done.deleted,
        "files": done.files,
    }
    line = f"{directory} has {done.files} files: {done.written} written now, {done.deleted} deleted."
    return CommandResult(facts, [line])
