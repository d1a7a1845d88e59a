"""The commands about partners' own feeds: made, listed, given new addresses, revoked."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import click

from feeds import FORMATS
from service.cli.command import UNITS, Desk, Slug, Text, Told, names_in, now, operation
from service.console import words_desk
from service.http import credentials
from service.store import operations
from service.store.feeds import partner_feeds
from service.store.operations import OPERATOR
from service.store.views import feeds
from service.store.views.feeds import FeedNow

ONCE = "Keep them now: they are shown this once, and whoever has one can read the feed."
OVERLAP_MAX = timedelta(days=90)


class Span(click.ParamType[timedelta]):
    """How long: 30m, 12h, 7d, or 0."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        read = re.fullmatch(r"([0-9]{1,6})([smhd])|0", str(value))
        span = timedelta(**{UNITS[read[2]]: int(read[1])}) if read and read[2] else timedelta()
        if not read or span > OVERLAP_MAX:
            words = (
                f"{value!r} does not work; write 30m, 12h or 7d, up to {OVERLAP_MAX.days}d, or 0 for at once"
            )
            self.fail(words, param, ctx)
        return span


@click.group()
def feed() -> None:
    """Partners' own feeds, each at an address with a token in it."""


@feed.command("add")
@click.argument("partner_slug", metavar="PARTNER", type=Slug())
@click.option("--sections", "wanted", help="Only these, separated by commas (default: all).")
@click.option("--title", type=Text(), help="The name that its readers see (default: those of its sections).")
@operation
def feed_add(desk: Desk, partner_slug: str, wanted: str | None, title: str | None) -> Told:
    """Make a partner a feed of its own; print its addresses, once."""
    slugs = names_in(wanted)
    if slugs == []:
        raise click.UsageError("--sections names none; leave it out for all sections")
    token = credentials.new_feed_token()
    with desk.record() as record:
        added = operations.add_feed(
            record,
            partner_feeds.NewPartnerFeed(partner_slug, token_hash=token.hash, sections=slugs, title=title),
            actor=OPERATOR,
            now=now(),
        )
    desk.wake()
    urls = addresses(desk, token.text)
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
        ONCE,
        f"Each fetch is noted: /status/partners/{partner_slug}",
    ]
    return Told(facts, lines)


@feed.command("list")
@operation
def feed_list(desk: Desk) -> Told:
    """List the partners' feeds and who fetches them, without their addresses."""
    with desk.record() as record:
        found = feeds.feeds_now(record)
    lines = [_line(each, now()) for each in found]
    none = "No partner has a feed of its own yet. Make one: dateline feed add PARTNER"
    return Told({"feeds": [_facts(each) for each in found]}, lines or [none])


@feed.command("rotate")
@click.argument("feed_id", metavar="ID", type=int)
@click.option(
    "--overlap",
    type=Span(),
    default=f"{partner_feeds.ROTATION_OVERLAP.days}d",
    show_default=True,
    help="How long the old address still works: 12h, 7d, or 0 for not at all.",
)
@operation
def feed_rotate(desk: Desk, feed_id: int, overlap: timedelta) -> Told:
    """Give a feed new addresses; the old ones work for a while."""
    token = credentials.new_feed_token()
    with desk.record() as record:
        rotated = operations.rotate_feed(record, feed_id, token.hash, overlap, actor=OPERATOR, now=now())
    urls = addresses(desk, token.text)
    until = rotated.old_until
    ends = (
        f"The old ones work until {until:%Y-%m-%d %H:%M} UTC; the partner's page shows whether they are used."
        if overlap
        else "The old ones answer 410 from now on."
    )
    lines = [f"Feed {feed_id} has new addresses:", *(f"  {url}" for url in urls.values()), ONCE, ends]
    facts = {"feed": feed_id, "token": rotated.number, "feeds": urls, "old_until": until.isoformat()}
    return Told(facts, lines)


@feed.command("revoke")
@click.argument("feed_id", metavar="ID", type=int)
@operation
def feed_revoke(desk: Desk, feed_id: int) -> Told:
    """End a feed at once and for good; who fetched it stays in the record."""
    with desk.record() as record:
        new = operations.revoke_feed(record, feed_id, actor=OPERATOR, now=now())
    line = (
        f"Feed {feed_id} is revoked: its addresses answer 410 from now on. What was fetched stays in the record."
        if new
        else f"Feed {feed_id} was revoked before."
    )
    return Told({"feed": feed_id, "revoked": True, "changed": new}, [line])


def addresses(desk: Desk, token: str) -> dict[str, str]:
    """Where the partner finds the feed, by format."""
    return {fmt: f"{desk.url}/partner/feeds/{token}.{fmt}" for fmt in FORMATS}


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
