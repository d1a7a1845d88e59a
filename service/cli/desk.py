"""The commands that set up a desk: sections and partners."""

from __future__ import annotations

from urllib.parse import quote

import click

from service import times
from service.cli import rotation
from service.cli.command import CommandContext, CommandResult, with_context
from service.cli.parameter_types import Language, SectionSlug, Slug, Text
from service.http import credentials
from service.store import operations
from service.store.access.replaced_keys import KeyOwner
from service.store.feeds import sections
from service.store.operations import OPERATOR
from service.store.partners import partners

NO_SECTION = "There is no section yet. Add one: dateline section add world --title World"
KEEP_VALUES_NOW = "Keep the secret values now: they are shown this once and cannot be shown again."


@click.group()
def section() -> None:
    """The sections, which have a feed each."""


@section.command("add")
@click.argument("slug", type=SectionSlug())
@click.option("--title", required=True, type=Text(), help="The name that readers see, such as 'World'.")
@click.option("--language", type=Language(), help="Its language, as a BCP 47 tag: en, zh-Hans, ur.")
@with_context
def section_add(context: CommandContext, slug: str, title: str, language: str | None) -> CommandResult:
    """Add a section, with its feeds."""
    with context.record() as record:
        operations.add_section(record, slug, title, language, actor=OPERATOR, now=times.now())
    context.wake()
    feeds = {form: f"{context.url}/feeds/{quote(slug)}.{form}" for form in ("rss", "atom", "json")}
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
@click.argument("old", type=SectionSlug())
@click.argument("new", type=SectionSlug())
@with_context
def section_rename(context: CommandContext, old: str, new: str) -> CommandResult:
    """Give a section another address; the old one leads there for ever."""
    with context.record() as record:
        operations.rename_section(record, old, new, actor=OPERATOR, now=times.now())
    context.wake()
    lines = [
        f"Section {old} is now {new}: {context.url}/feeds/{quote(new)}.rss",
        f"Its old addresses lead there for ever. Sources may still use the name {old}.",
    ]
    return CommandResult({"section": new, "was": old}, lines)


@section.command("close")
@click.argument("slug", type=SectionSlug())
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


partner.add_command(rotation.partner_rotate)
partner.add_command(rotation.partner_remove)
