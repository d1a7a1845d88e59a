"""The commands that rotate and withdraw the keys of sources and partners; `desk` has them in its groups."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from service import times
from service.cli.command import CommandContext, CommandResult, with_context
from service.cli.parameter_types import Overlap, Slug
from service.http import credentials
from service.store.access import replaced_keys
from service.store.access.replaced_keys import OVERLAP, KeyOwner
from service.store.articles.sources import NewSourceKeys
from service.store.database.record import Record
from service.store.operations import OPERATOR
from service.store.operations import keys as key_operations
from service.store.partners.partners import NewKey
from service.webhooks import signatures

ONCE = "Keep the secret values now: they are shown this once and cannot be shown again."
_OVERLAP = click.option(
    "--overlap",
    type=Overlap(),
    default=OVERLAP,
    help="For how long the old ones still work (default: 24h); 0 if they leaked.",
)


@click.command("rotate")
@click.argument("slug", type=Slug())
@_OVERLAP
@click.option("--secret", help="The new secret, if the system itself gave one (default: a new one of ours).")
@with_context
def source_rotate(
    context: CommandContext, slug: str, overlap: timedelta, secret: str | None
) -> CommandResult:
    """Give a source a new API key and signing secret; print them, once."""
    key, secret, now = credentials.new_api_key(), secret or signatures.new_secret(), times.now()
    until = now + overlap
    with context.record() as record:
        new = NewSourceKeys(key.key_id, key.hash, secret, until)
        key_operations.rotate_source(record, slug, new, actor=OPERATOR, now=now)
    facts = {"source": slug, "api_key": key.text, "secret": secret, "old_until": until.isoformat()}
    lines = [
        f"Source {slug} has a new key and a new secret:",
        f"  API key         {key.text}",
        f"  signing secret  {secret}",
        ONCE,
        _end_words(until, overlap),
    ]
    return CommandResult(facts, lines)


@click.command("remove")
@click.argument("slug", type=Slug())
@with_context
def source_remove(context: CommandContext, slug: str) -> CommandResult:
    """Withdraw a source's keys at once and for good; its articles stay."""
    with context.record() as record:
        new = key_operations.remove_source(record, slug, actor=OPERATOR, now=times.now())
    words = "is removed" if new else "was removed already"
    lines = [
        f"Source {slug} {words}: within a second every process refuses its key and signature.",
        "Its articles stay as they are; take one down with: dateline kill ARTICLE --reason R",
    ]
    return CommandResult({"source": slug, "removed": True, "new": new}, lines)


@click.command("rotate")
@click.argument("slug", type=Slug())
@_OVERLAP
@with_context
def partner_rotate(context: CommandContext, slug: str, overlap: timedelta) -> CommandResult:
    """Give a partner a new API key; print it, once."""
    key, now = credentials.new_api_key(), times.now()
    until = now + overlap
    with context.record() as record:
        new = NewKey(key.key_id, key.hash, until)
        key_operations.rotate_partner(record, slug, new, actor=OPERATOR, now=now)
    facts = {"partner": slug, "api_key": key.text, "old_until": until.isoformat()}
    lines = [
        f"Partner {slug} has a new key:",
        f"  API key  {key.text}",
        ONCE,
        _end_words(until, overlap),
        "Its endpoints' secrets are others: dateline endpoint rotate-secret ID",
    ]
    return CommandResult(facts, lines)


@click.command("remove")
@click.argument("slug", type=Slug())
@with_context
def partner_remove(context: CommandContext, slug: str) -> CommandResult:
    """Withdraw a partner's key, switch off its endpoints and revoke its feeds, at once and for good."""
    with context.record() as record:
        new = key_operations.remove_partner(record, slug, actor=OPERATOR, now=times.now())
    words = "is removed" if new else "was removed already"
    lines = [
        f"Partner {slug} {words}: its key is refused, its endpoints are switched off, its feeds are revoked.",
        "It keeps what it has: the ledger still says which stories those are.",
    ]
    return CommandResult({"partner": slug, "removed": True, "new": new}, lines)


def old_keys(record: Record, owner: KeyOwner) -> datetime | None:
    """Until when the last of its replaced keys works; None without one."""
    with record.reading() as connection:
        return max(replaced_keys.ends(connection, owner, times.now()), default=None)


def old_key_words(until: datetime | None) -> str:
    """The same in words, for a list."""
    return "" if until is None else f"  (an old key works until {until:%Y-%m-%d %H:%M} UTC)"


def old_key_facts(until: datetime | None) -> dict[str, str]:
    """The same for --json."""
    return {} if until is None else {"old_keys_until": times.to_iso(until)}


def _end_words(until: datetime, overlap: timedelta) -> str:
    if not overlap:
        return "The old ones are refused within a second."
    return f"The old ones work until {until:%Y-%m-%d %H:%M} UTC; --overlap 0 ends them at once."
