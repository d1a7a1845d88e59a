"""The commands that set up a desk: sections, sources, partners."""

from __future__ import annotations

import json
import shlex

import click

from service import times
from service.cli import rotation
from service.cli.command import CommandContext, CommandResult, with_context
from service.cli.parameter_types import Language, Slug, Text
from service.http import credentials
from service.intake.adapters import registry
from service.store import operations
from service.store.access.replaced_keys import KeyOwner
from service.store.articles import sources
from service.store.feeds import sections
from service.store.operations import OPERATOR
from service.store.partners import partners
from service.webhooks import signatures

NO_SECTION = "There is no section yet. Add one: dateline section add world --title World"
KEEP_VALUES_NOW = "Keep the secret values now: they are shown this once and cannot be shown again."


@click.group()
def section() -> None:
    """The sections, which have a feed each."""


@section.command("add")
@click.argument("slug", type=Slug())
@click.option("--title", required=True, type=Text(), help="The name that readers see, such as 'World'.")
@click.option("--language", type=Language(), help="Its language, as a BCP 47 tag: en, zh-Hans, ur.")
@with_context
def section_add(context: CommandContext, slug: str, title: str, language: str | None) -> CommandResult:
    """Add a section, with its feeds."""
    with context.record() as record:
        operations.add_section(record, slug, title, language, actor=OPERATOR, now=times.now())
    context.wake()
    feeds = {form: f"{context.url}/feeds/{slug}.{form}" for form in ("rss", "atom", "json")}
    facts = {"section": slug, "title": title, "language": language, "feeds": feeds}
    return CommandResult(
        facts, [f"Section {slug} added. Its feeds:", *(f"  {url}" for url in feeds.values())]
    )


@section.command("list")
@with_context
def section_list(context: CommandContext) -> CommandResult:
    """List the sections."""
    with context.record() as record:
        found = sections.all_sections(record)
    rows = [{"section": one.slug, "title": one.title, "language": one.language} for one in found]
    lines = [f"{one.slug:<20} {one.language or '-':<8} {one.title}" for one in found]
    return CommandResult({"sections": rows}, lines or [NO_SECTION])


@section.command("rename")
@click.argument("old", type=Slug())
@click.argument("new", type=Slug())
@with_context
def section_rename(context: CommandContext, old: str, new: str) -> CommandResult:
    """Give a section another address; the old one leads there for ever."""
    with context.record() as record:
        operations.rename_section(record, old, new, actor=OPERATOR, now=times.now())
    context.wake()
    lines = [
        f"Section {old} is now {new}: {context.url}/feeds/{new}.rss",
        f"Its old addresses lead there for ever. Sources may still use the name {old}.",
    ]
    return CommandResult({"section": new, "was": old}, lines)


@section.command("close")
@click.argument("slug", type=Slug())
@with_context
def section_close(context: CommandContext, slug: str) -> CommandResult:
    """End a section's feed for good: its addresses answer 410."""
    with context.record() as record:
        operations.close_section(record, slug, actor=OPERATOR, now=times.now())
    lines = [
        f"Section {slug} is closed: its feed answers 410 Gone, and readers unsubscribe.",
        "Articles may still name it; they go into the other feeds.",
    ]
    return CommandResult({"section": slug, "state": "closed"}, lines)


@click.group()
def source() -> None:
    """The content systems that may send articles."""


@source.command("add")
@click.argument("slug", type=Slug())
@click.option("--name", type=Text(), help="What people call it (default: the slug).")
@click.option("--adapter", default="native", show_default=True, help="The content system's format.")
@with_context
def source_add(context: CommandContext, slug: str, name: str | None, adapter: str) -> CommandResult:
    """Add a source; print its intake URL, API key and signing secret, once."""
    _check_adapter(adapter)
    key, secret = credentials.new_api_key(), signatures.new_secret()
    with context.record() as record:
        operations.add_source(
            record,
            sources.NewSource(
                slug, name or slug, adapter, key_id=key.key_id, key_hash=key.hash, secret=secret
            ),
            actor=OPERATOR,
            now=times.now(),
        )
        known = sections.all_sections(record)
    intake = f"{context.url}/v1/articles" if adapter == "native" else f"{context.url}/v1/hooks/{slug}"
    curl = curl_line(intake, key.text, known[0].slug if known else "world")
    facts = {"source": slug, "adapter": adapter, "intake_url": intake, "api_key": key.text, "secret": secret}
    lines = [
        f"Source {slug} added.",
        f"  intake URL      {intake}",
        f"  API key         {key.text}",
        f"  signing secret  {secret}",
        KEEP_VALUES_NOW,
        *([] if known else [NO_SECTION]),
        *([f"Try it:\n  {curl}"] if adapter == "native" else []),
    ]
    return CommandResult({**facts, "curl": curl}, lines)


def _check_adapter(name: str) -> None:
    if name not in registry.names():
        raise click.BadParameter(
            f"{name!r} is not in this version; it has: {', '.join(registry.names())}", param_hint="--adapter"
        )


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
    return shlex.join([*parts, "-d", json.dumps(article)])


@click.group()
def partner() -> None:
    """The outlets that republish."""


@partner.command("add")
@click.argument("slug", type=Slug())
@click.option("--name", required=True, type=Text(), help="What people call it, such as 'Harbour Herald'.")
@with_context
def partner_add(context: CommandContext, slug: str, name: str) -> CommandResult:
    """Add a partner; print its API key, once."""
    key = credentials.new_api_key()
    with context.record() as record:
        operations.add_partner(
            record,
            partners.NewPartner(slug, name, key_id=key.key_id, key_hash=key.hash),
            actor=OPERATOR,
            now=times.now(),
        )
    facts = {"partner": slug, "name": name, "api_key": key.text}
    lines = [
        f"Partner {slug} added.",
        f"  API key  {key.text}",
        KEEP_VALUES_NOW,
        f"Next: dateline endpoint add {slug} https://…  (where its pushes go)",
    ]
    return CommandResult(facts, lines)


@partner.command("list")
@with_context
def partner_list(context: CommandContext) -> CommandResult:
    """List the partners."""
    with context.record() as record:
        found = partners.all_partners(record)
        ends = [rotation.old_keys(record, KeyOwner(partner_id=one.id)) for one in found]
    rows = [
        {"partner": one.slug, "name": one.name, **rotation.old_key_facts(each)}
        for one, each in zip(found, ends, strict=True)
    ]
    lines = [
        f"{one.slug:<20} {one.name}{rotation.old_key_words(each)}"
        for one, each in zip(found, ends, strict=True)
    ]
    return CommandResult(
        {"partners": rows}, lines or ["No partner yet. Add one: dateline partner add SLUG --name NAME"]
    )


source.add_command(rotation.source_rotate)
source.add_command(rotation.source_remove)
partner.add_command(rotation.partner_rotate)
partner.add_command(rotation.partner_remove)
