"""The commands about sources: add and change them, list them and the adapters."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any

import click

from service import times
from service.cli import rotation, source_work
from service.cli.command import CommandContext, CommandResult, with_context
from service.cli.desk import KEEP_VALUES_NOW, NO_SECTION
from service.cli.parameter_types import Slug, Text
from service.cli.source_options import Chosen, settings_options
from service.http import credentials
from service.intake.adapters import registry
from service.intake.adapters.adapter import Adapter
from service.store import operations
from service.store.access.replaced_keys import OVERLAP, KeyOwner
from service.store.articles import hooks, sources
from service.store.articles.source_settings import SourceOptions
from service.store.feeds import sections
from service.store.operations import OPERATOR
from service.store.operations.sources import SourceChange
from service.webhooks import signatures

WEAK_SECRET = 16  # characters: a shorter one is worth a word


@click.group()
def source() -> None:
    """The content systems that may send articles."""


@source.command("add")
@click.argument("slug", type=Slug())
@click.option("--name", type=Text(), help="What people call it (default: the slug).")
@click.option("--adapter", default=registry.NATIVE, show_default=True, help="The content system's format.")
@click.option("--secret", help="The secret that the system signs with, if it gave one (default: a new one).")
@settings_options
@with_context
def source_add(
    context: CommandContext, slug: str, name: str | None, adapter: str, secret: str | None, **chosen: Any
) -> CommandResult:
    """Add a source; print its intake URL, API key and signing secret, once."""
    found = _adapter(adapter)
    options = Chosen(**chosen).changed(SourceOptions(), context.settings)
    if found is not None:
        options, secret = _asked_for(found, options, secret, context)
    key, secret = credentials.new_api_key(), secret or signatures.new_secret()
    with context.record() as record:
        operations.add_source(
            record,
            sources.NewSource(
                slug, name or slug, adapter, key_id=key.key_id, key_hash=key.hash, secret=secret
            ),
            None if options == SourceOptions() else options,
            actor=OPERATOR,
            now=times.now(),
        )
        known = sections.all_sections(record)
    intake = f"{context.url}/v1/articles" if found is None else f"{context.url}/v1/hooks/{slug}"
    setup = "" if found is None else setup_words(found, intake, secret)
    facts = {"source": slug, "adapter": adapter, "intake_url": intake, "api_key": key.text, "secret": secret}
    lines = [
        f"Source {slug} added.",
        f"  intake URL      {intake}",
        f"  API key         {key.text}",
        f"  signing secret  {secret}",
        KEEP_VALUES_NOW,
        *([] if len(secret) >= WEAK_SECRET else ["The secret is short: a longer one cannot be guessed."]),
        *([] if known else [NO_SECTION]),
        *(["", f"In {found.title}:", setup] if found is not None and setup else []),
        *([] if found is None else source_work.wanted_words(found, options, slug)),
    ]
    if found is not None:
        return CommandResult({**facts, "setup": setup}, lines)
    curl = curl_line(intake, key.text, known[0].slug if known else "world")
    return CommandResult({**facts, "curl": curl}, [*lines, f"Try it:\n  {curl}"])


def setup_words(adapter: Adapter, url: str, secret: str) -> str:
    """The words on what to paste where in the system's own screens."""
    return adapter.setup.replace("{url}", url).replace("{secret}", secret).strip()


def _adapter(name: str) -> Adapter | None:
    """None for Dateline's own JSON."""
    if name not in registry.names():
        raise click.BadParameter(
            f"{name!r} is not in this version; it has: {', '.join(registry.names())}", param_hint="--adapter"
        )
    return registry.ADAPTERS.get(name)


def _asked_for(
    adapter: Adapter, options: SourceOptions, secret: str | None, context: CommandContext
) -> tuple[SourceOptions, str | None]:
    """The settings with what the adapter needs: asked for at a terminal, else it says what is missing."""
    missing = source_work.missing(adapter, options)
    asks = not context.as_json and sys.stdin.isatty()
    wanted = [] if not asks else source_work.missing(adapter, options, adapter.wants)
    if asks and "secret" in adapter.needs and secret is None:
        words = f"The secret that {adapter.title} signs with (Enter: a new one is made)"
        secret = click.prompt(words, default="", show_default=False, hide_input=True) or None
    if missing and not asks:
        raise click.UsageError(source_work.missing_words(adapter, missing))
    answers: dict[str, Any] = {}
    for need in missing:
        if need == "field":
            raise click.UsageError(source_work.missing_words(adapter, [need]))
        words = f"{adapter.title}: {source_work.NEEDS[need]} (--{need})"
        answers[need.replace("-", "_")] = click.prompt(words, hide_input=need == "api-token")
    for want in wanted:
        words = f"{adapter.title}: {source_work.NEEDS[want]} (--{want}; Enter: without)"
        given = click.prompt(words, default="", show_default=False, hide_input=want == "api-token")
        answers |= {want.replace("-", "_"): given} if given else {}
    return Chosen(**answers).changed(options, context.settings), secret


@source.command("set")
@click.argument("slug", type=Slug())
@click.option("--name", type=Text(), help="What people call it.")
@click.option(
    "--secret", help="Another secret that the system signs with; the old one works for 24 hours more."
)
@click.option("--unmap", multiple=True, metavar="THEIRS", help="Maps this section of theirs no more.")
@settings_options
@with_context
def source_set(
    context: CommandContext,
    slug: str,
    name: str | None,
    secret: str | None,
    unmap: tuple[str, ...],
    **chosen: Any,
) -> CommandResult:
    """Change a source's settings: only what is named. An empty text takes a setting away."""
    asked = Chosen(**chosen, unmap=unmap)
    if asked == Chosen() and name is None and secret is None:
        raise click.UsageError("say what to change")
    now = times.now()
    change = SourceChange(
        lambda before: asked.changed(before, context.settings),
        name=name,
        secret=None if secret is None else (secret, now + OVERLAP),
    )
    with context.record() as record:
        different = operations.change_source(record, slug, change, actor=OPERATOR, now=now)
        waiting = hooks.counts(record, sources.by_slug(record, slug).id).get(hooks.HELD, 0)
    lines = [
        f"Source {slug}: changed {', '.join(different)}." if different else f"Source {slug} is so already."
    ]
    if waiting:
        lines.append(f"{waiting} of its hooks are held. To try them again: dateline source retry {slug}")
    return CommandResult({"source": slug, "changed": different, "held": waiting}, lines)


@source.command("adapters")
@with_context
def source_adapters(_context: CommandContext) -> CommandResult:
    """List the content systems that this version knows, with what each needs."""
    rows: list[dict[str, Any]] = [
        {
            "adapter": registry.NATIVE,
            "title": "Dateline's own JSON",
            "needs": [],
            "wants": [],
            "compares": False,
        }
    ]
    rows += [
        {
            "adapter": each.name,
            "title": each.title,
            "needs": list(each.needs),
            "wants": list(each.wants),
            "compares": each.reconciliation is not None,
        }
        for each in registry.ADAPTERS.values()
    ]
    lines = [
        f"{row['adapter']:<12} {row['title']:<24} needs: {', '.join(row['needs']) or 'nothing'}"
        + (f"; wants: {', '.join(row['wants'])}" if row["wants"] else "")
        + ("; compared every minute" if row["compares"] else "")
        for row in rows
    ]
    return CommandResult({"adapters": rows}, lines)


@source.command("list")
@with_context
def source_list(context: CommandContext) -> CommandResult:
    """List the sources, without their secrets."""
    with context.record() as record:
        found = sources.active(record)
        ends = [rotation.old_keys(record, KeyOwner(source_id=one.id)) for one in found]
    rows = [
        {"source": one.slug, "name": one.name, "adapter": one.adapter, **rotation.old_key_facts(each)}
        for one, each in zip(found, ends, strict=True)
    ]
    lines = [
        f"{one.slug:<20} {one.adapter:<10} {one.name}{rotation.old_key_words(each)}"
        for one, each in zip(found, ends, strict=True)
    ]
    return CommandResult(
        {"sources": rows}, lines or ["There is no source yet. Add one: dateline source add newsroom"]
    )


def curl_line(intake: str, key: str, section_slug: str) -> str:
    """A command line for a shell that posts a first article."""
    article = {
        "id": "1",
        "headline": "Hello from Dateline",
        "sections": [section_slug],
        "body_html": "<p>It works.</p>",
    }
    parts = [
        "curl",
        "-i",
        intake,
        "-H",
        f"Authorization: Bearer {key}",
        "-H",
        "Content-Type: application/json",
    ]
    return shlex.join([*parts, "-d", json.dumps(article, ensure_ascii=False)])


source.add_command(rotation.source_rotate)
source.add_command(rotation.source_remove)
source.add_command(source_work.source_show)
source.add_command(source_work.source_held)
source.add_command(source_work.source_retry)
source.add_command(source_work.source_sync_command)
