"""The commands about partners' own feeds: add, list, rotate and revoke them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from feeds import FORMATS
from service import times
from service.cli.command import CommandContext, CommandResult, sections_in, with_context
from service.cli.parameter_types import Overlap, Slug, Text
from service.console import words_desk
from service.http import credentials
from service.store import operations
from service.store.feeds import partner_feeds
from service.store.operations import OPERATOR
from service.store.views import feeds
from service.store.views.feeds import FeedNow

KEEP_ADDRESSES_NOW = "Keep them now: they are shown this once, and anyone who has one can read the feed."


@click.group()
def feed() -> None:
    """Partners' own feeds, each at an address with a token in it."""


@feed.command("add")
@click.argument("partner_slug", metavar="PARTNER", type=Slug())
@click.option("--sections", "wanted", help="Only these, separated by commas (default: all).")
@click.option("--title", type=Text(), help="The name that its readers see (default: those of its sections).")
@with_context
def feed_add(
    context: CommandContext, partner_slug: str, wanted: str | None, title: str | None
) -> CommandResult:
    """Make a partner a feed of its own; print its addresses, once."""
    slugs = sections_in(wanted)
    if slugs == []:
        raise click.UsageError("--sections names none; leave it out for all sections")
    token = credentials.new_feed_token()
    with context.record() as record:
        added = operations.add_feed(
            record,
            partner_feeds.NewPartnerFeed(partner_slug, token_hash=token.hash, sections=slugs, title=title),
            actor=OPERATOR,
            now=times.now(),
        )
    context.wake()
    urls = addresses(context, token.text)
    facts = {
        "feed": added.id,
        "partner": partner_slug,
        "title": added.title,
        "sections": slugs,
        "token": 1,
        "feeds": urls,
    }
    lines = [
        f"Feed {added.id} added: {partner_slug} reads {', '.join(slugs) if slugs else 'all sections'} at",
        *(f"  {url}" for url in urls.values()),
        KEEP_ADDRESSES_NOW,
        f"Each fetch is recorded: /status/partners/{partner_slug}",
    ]
    return CommandResult(facts, lines)


@feed.command("list")
@with_context
def feed_list(context: CommandContext) -> CommandResult:
    """List the partners' feeds and who fetches them, without their addresses."""
    with context.record() as record:
        found = feeds.feeds_now(record)
    lines = [_line(each, times.now()) for each in found]
    none = "No partner has a feed of its own yet. Make one: dateline feed add PARTNER"
    return CommandResult({"feeds": [_facts(each) for each in found]}, lines or [none])


@feed.command("rotate")
@click.argument("feed_id", metavar="ID", type=int)
@click.option(
    "--overlap",
    type=Overlap(),
    default=f"{partner_feeds.TOKEN_OVERLAP.days}d",
    show_default=True,
    help="How long the old address still works: 12h, 7d, or 0 for not at all.",
)
@with_context
def feed_rotate(context: CommandContext, feed_id: int, overlap: timedelta) -> CommandResult:
    """Give a feed new addresses; the old ones work for a while."""
    token = credentials.new_feed_token()
    with context.record() as record:
        rotated = operations.rotate_feed(
            record, feed_id, token.hash, overlap, actor=OPERATOR, now=times.now()
        )
    urls = addresses(context, token.text)
    until = rotated.old_until
    ends = (
        f"The old ones work until {until:%Y-%m-%d %H:%M} UTC; the partner's page shows whether they are used."
        if overlap
        else "The old ones answer 410 from now on."
    )
    lines = [
        f"Feed {feed_id} has new addresses:",
        *(f"  {url}" for url in urls.values()),
        KEEP_ADDRESSES_NOW,
        ends,
    ]
    facts = {"feed": feed_id, "token": rotated.number, "feeds": urls, "old_until": until.isoformat()}
    return CommandResult(facts, lines)


@feed.command("revoke")
@click.argument("feed_id", metavar="ID", type=int)
@with_context
def feed_revoke(context: CommandContext, feed_id: int) -> CommandResult:
    """End a feed at once and for good; its fetches stay in the record."""
    with context.record() as record:
        new = operations.revoke_feed(record, feed_id, actor=OPERATOR, now=times.now())
    line = (
        f"Feed {feed_id} is revoked: its addresses answer 410 from now on. Its fetches stay in the record."
        if new
        else f"Feed {feed_id} was revoked before."
    )
    return CommandResult({"feed": feed_id, "revoked": True, "changed": new}, [line])


def addresses(context: CommandContext, token: str) -> dict[str, str]:
    """The feed's addresses, by format."""
    return {fmt: f"{context.url}/partner/feeds/{token}.{fmt}" for fmt in FORMATS}


def _line(each: FeedNow, moment: datetime) -> str:
    state = words_desk.feed_state(each, moment)
    sections = "all sections" if each.sections is None else ", ".join(each.sections)
    return f"{each.id:>3}  {each.partner:<20} {state.word}, {state.detail}  ({sections})"


def _facts(each: FeedNow) -> dict[str, Any]:
    return {
        "feed": each.id,
        "partner": each.partner,
        "title": each.title,
        "sections": each.sections,
        "created_at": each.created_at.isoformat(),
        "revoked_at": each.revoked_at and each.revoked_at.isoformat(),
        "last_fetched_at": each.fetched_at and each.fetched_at.isoformat(),
        "fetches": each.fetches,
        "tokens": [
            {
                "number": token.number,
                "works_until": token.until and token.until.isoformat(),
                "last_fetched_at": token.fetched_at and token.fetched_at.isoformat(),
            }
            for token in each.tokens
        ],
    }
