"""The commands that set up a desk: sections, sources, partners."""

from __future__ import annotations

import json
import shlex
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from service.cli.command import Desk, Slug, Text, Told, now, operation
from service.http import credentials
from service.intake import article
from service.store import operations
from service.store.articles import sources
from service.store.feeds import sections
from service.store.operations import OPERATOR
from service.store.partners import partners
from service.webhooks import signatures

NO_SECTION = "There is no section yet. Add one: dateline section add world --title World"
ONCE = "Keep what is secret now: it is shown this once and cannot be shown again."


class Language(click.ParamType[str]):
    """A language tag, as in an article."""

    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(TypeAdapter(article.Language).validate_python(value))
        except ValidationError as error:
            self.fail(f"{value!r} is none: {error.errors()[0]['msg']}", param, ctx)


@click.group()
def section() -> None:
    """The desks that have a feed of their own."""


@section.command("add")
@click.argument("slug", type=Slug())
@click.option("--title", required=True, type=Text(), help="The name that readers see, such as 'World'.")
@click.option("--language", type=Language(), help="Its language, as a BCP 47 tag: en, zh-Hans, ur.")
@operation
def section_add(desk: Desk, slug: str, title: str, language: str | None) -> Told:
    """Add a section, with its feeds."""
    with desk.record() as record:
        operations.add_section(record, slug, title, language, actor=OPERATOR, now=now())
    desk.wake()
    feeds = {form: f"{desk.url}/feeds/{slug}.{form}" for form in ("rss", "atom", "json")}
    facts = {"section": slug, "title": title, "language": language, "feeds": feeds}
    return Told(facts, [f"Section {slug} added. Its feeds:", *(f"  {url}" for url in feeds.values())])


@section.command("list")
@operation
def section_list(desk: Desk) -> Told:
    """List the sections."""
    with desk.record() as record:
        found = sections.all_sections(record)
    rows = [{"section": one.slug, "title": one.title, "language": one.language} for one in found]
    lines = [f"{one.slug:<20} {one.language or '-':<8} {one.title}" for one in found]
    return Told({"sections": rows}, lines or [NO_SECTION])


@section.command("rename")
@click.argument("old", type=Slug())
@click.argument("new", type=Slug())
@operation
def section_rename(desk: Desk, old: str, new: str) -> Told:
    """Give a section another address; the old one leads there for ever."""
    with desk.record() as record:
        operations.rename_section(record, old, new, actor=OPERATOR, now=now())
    desk.wake()
    lines = [
        f"Section {old} is {new} now: {desk.url}/feeds/{new}.rss",
        f"Its old addresses lead there for ever. Sources may go on using the name {old}.",
    ]
    return Told({"section": new, "was": old}, lines)


@section.command("close")
@click.argument("slug", type=Slug())
@operation
def section_close(desk: Desk, slug: str) -> Told:
    """End a section's feed for good: its addresses answer 410."""
    with desk.record() as record:
        operations.close_section(record, slug, actor=OPERATOR, now=now())
    lines = [
        f"Section {slug} is closed: its feed answers 410 Gone, and readers unsubscribe.",
        "Articles that name it are taken still, and stand in the other feeds.",
    ]
    return Told({"section": slug, "state": "closed"}, lines)


@click.group()
def source() -> None:
    """The content systems that may send articles."""


@source.command("add")
@click.argument("slug", type=Slug())
@click.option("--name", type=Text(), help="What people call it (default: the slug).")
@click.option("--adapter", default="native", show_default=True, help="How it speaks.")
@operation
def source_add(desk: Desk, slug: str, name: str | None, adapter: str) -> Told:
    """Add a source; print its intake URL, API key and signing secret, once."""
    _check_adapter(adapter)
    key, secret = credentials.new_api_key(), signatures.new_secret()
    with desk.record() as record:
        operations.add_source(
            record,
            sources.NewSource(
                slug, name or slug, adapter, key_id=key.key_id, key_hash=key.hash, secret=secret
            ),
            actor=OPERATOR,
            now=now(),
        )
        known = sections.all_sections(record)
    intake = f"{desk.url}/v1/articles" if adapter == "native" else f"{desk.url}/v1/hooks/{slug}"
    curl = curl_line(intake, key.text, known[0].slug if known else "world")
    facts = {"source": slug, "adapter": adapter, "intake_url": intake, "api_key": key.text, "secret": secret}
    lines = [
        f"Source {slug} added.",
        f"  intake URL      {intake}",
        f"  API key         {key.text}",
        f"  signing secret  {secret}",
        ONCE,
        *([] if known else [NO_SECTION]),
        *([f"Try it:\n  {curl}"] if adapter == "native" else []),
    ]
    return Told({**facts, "curl": curl}, lines)


def _check_adapter(name: str) -> None:
    from service.intake.routes import ADAPTERS  # noqa: PLC0415 - the other commands need no Flask

    if name not in ADAPTERS:
        raise click.BadParameter(
            f"{name!r} is not in this version; it has: {', '.join(ADAPTERS)}", param_hint="--adapter"
        )


@source.command("list")
@operation
def source_list(desk: Desk) -> Told:
    """List the sources, without their secrets."""
    with desk.record() as record:
        found = sources.active(record)
    rows = [{"source": one.slug, "name": one.name, "adapter": one.adapter} for one in found]
    lines = [f"{one.slug:<20} {one.adapter:<10} {one.name}" for one in found]
    return Told({"sources": rows}, lines or ["There is no source yet. Add one: dateline source add newsroom"])


def curl_line(intake: str, key: str, section_slug: str) -> str:
    """A command to paste into a shell that posts a first article."""
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
@operation
def partner_add(desk: Desk, slug: str, name: str) -> Told:
    """Add a partner; print its API key, once."""
    key = credentials.new_api_key()
    with desk.record() as record:
        operations.add_partner(
            record,
            partners.NewPartner(slug, name, key_id=key.key_id, key_hash=key.hash),
            actor=OPERATOR,
            now=now(),
        )
    facts = {"partner": slug, "name": name, "api_key": key.text}
    lines = [
        f"Partner {slug} added.",
        f"  API key  {key.text}",
        ONCE,
        f"Next: dateline endpoint add {slug} https://…  (where its pushes go)",
    ]
    return Told(facts, lines)


@partner.command("list")
@operation
def partner_list(desk: Desk) -> Told:
    """List the partners."""
    with desk.record() as record:
        found = partners.all_partners(record)
    rows = [{"partner": one.slug, "name": one.name} for one in found]
    lines = [f"{one.slug:<20} {one.name}" for one in found]
    return Told(
        {"partners": rows}, lines or ["No partner yet. Add one: dateline partner add SLUG --name NAME"]
    )
