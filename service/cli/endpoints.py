"""The commands about endpoints: add, change, list, pause and resume them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from service import times
from service.cli.command import CommandContext, CommandResult, sections_in, with_context
from service.cli.keys import KEEP_KEY_NOW, public_key_lines, rotate_secret, switch_ed25519
from service.cli.parameter_types import RATE, Moment, RateOrNone, Schedule, ScheduleOrDefault, Slug
from service.store import operations
from service.store.deliveries import resumption
from service.store.deliveries.resumption import Outlook
from service.store.deliveries.routing_rules import OnLeave
from service.store.operations import OPERATOR
from service.store.partners import endpoints
from service.store.partners.endpoints import Changes
from service.webhooks import endpoint_urls, signatures


@click.group()
def endpoint() -> None:
    """The addresses that pushes go to."""


@endpoint.command("add")
@click.argument("partner_slug", metavar="PARTNER", type=Slug())
@click.argument("url")
@click.option("--sections", "wanted", help="Only these, separated by commas (default: all).")
@click.option("--every-revision", is_flag=True, help="Each revision in order, not only the newest.")
@click.option("--max-in-flight", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("--schedule", type=Schedule(), help="Seconds before each attempt, such as 0,5,30,120.")
@click.option("--rate", type=RATE, help="Pushes per second at the most, such as 5 or 0.2 (kills go at once).")
@click.option(
    "--backfill",
    type=Moment(),
    metavar="SINCE",
    help="Also the articles changed since then: 2026-11-01T00:00:00Z, or 7d for the last week.",
)
@click.option(
    "--on-leave",
    type=click.Choice([each.value for each in OnLeave]),
    default=OnLeave.UPDATE.value,
    show_default=True,
    help="What it gets of a story that it holds and that leaves its sections.",
)
@click.option("--ed25519", is_flag=True, help="Sign with a key pair, too (v1a); print its public key.")
@with_context
def endpoint_add(
    context: CommandContext,
    partner_slug: str,
    url: str,
    wanted: str | None,
    every_revision: bool,
    max_in_flight: int,
    schedule: tuple[float, ...] | None,
    rate: float | None,
    backfill: datetime | None,
    on_leave: str,
    ed25519: bool,
) -> CommandResult:
    """Add an endpoint to a partner; print its signing secret, once."""
    _check_url(context, url)
    slugs = _slugs(wanted)
    secret = signatures.new_secret()
    pair = signatures.new_key_pair() if ed25519 else None
    with context.record() as record:
        added = operations.add_endpoint(
            record,
            endpoints.NewEndpoint(
                partner_slug,
                url,
                secret=secret,
                ed25519=pair.secret if pair else None,
                sections=slugs,
                every_revision=every_revision,
                max_in_flight=max_in_flight,
                schedule=schedule,
                rate=rate,
                backfill_since=backfill,
                on_leave=on_leave,
            ),
            actor=OPERATOR,
            now=times.now(),
        )
    context.wake()
    facts = {"endpoint": added.id, "partner": partner_slug, "url": url, "sections": slugs, "secret": secret}
    lines = [
        f"Endpoint {added.id} added: {partner_slug} gets {wanted or 'all sections'} at {url}",
        f"  signing secret  {secret}",
        KEEP_KEY_NOW,
        *public_key_lines(pair.public if pair else None),
        *(
            [f"Articles changed since {backfill:%Y-%m-%d %H:%M} UTC follow, the oldest first."]
            if backfill
            else []
        ),
    ]
    return CommandResult({**facts, "public_key": pair.public if pair else None}, lines)


@endpoint.command("set")
@click.argument("endpoint_id", metavar="ID", type=int)
@click.option("--url", help="Its new address.")
@click.option("--sections", "wanted", help="Only these from now on, separated by commas.")
@click.option("--all-sections", is_flag=True, help="All sections from now on.")
@click.option("--every-revision/--newest-only", default=None, help="Each revision in order, or the newest.")
@click.option("--max-in-flight", type=click.IntRange(1, 64))
@click.option(
    "--schedule",
    type=ScheduleOrDefault(),
    help="Seconds before each attempt, such as 0,5,30,120; or default.",
)
@click.option("--rate", type=RateOrNone(), help="Pushes per second at the most, such as 5 or 0.2; or none.")
@click.option(
    "--on-leave",
    type=click.Choice([each.value for each in OnLeave]),
    help="What it gets of a story that it holds and that leaves its sections.",
)
@click.option("--ed25519/--no-ed25519", default=None, help="Sign with a key pair, too (v1a), or no more.")
@with_context
def endpoint_set(
    context: CommandContext,
    endpoint_id: int,
    url: str | None,
    wanted: str | None,
    all_sections: bool,
    every_revision: bool | None,
    max_in_flight: int | None,
    schedule: tuple[float, ...] | None,
    rate: float | None,
    on_leave: str | None,
    ed25519: bool | None,
) -> CommandResult:
    """Change an endpoint: only what is named."""
    if all_sections and wanted is not None:
        raise click.UsageError("--sections and --all-sections exclude each other")
    changes = Changes(
        url=url,
        sections=_slugs(wanted),
        all_sections=all_sections,
        every_revision=every_revision,
        max_in_flight=max_in_flight,
        schedule=schedule or None,
        default_schedule=schedule == (),
        rate=rate or None,
        no_rate=rate == 0,
        on_leave=on_leave,
    )
    if changes == Changes() and ed25519 is None:
        raise click.UsageError("say what to change")
    if url is not None:
        _check_url(context, url)
    with context.record() as record:
        changed, names = operations.change_endpoint(
            record, endpoint_id, changes, actor=OPERATOR, now=times.now()
        )
        public = switch_ed25519(record, endpoint_id, on=ed25519)
    context.wake()
    facts = {
        "endpoint": changed.id,
        "url": changed.url,
        "sections": changed.sections,
        "every_revision": changed.every_revision,
        "on_leave": changed.on_leave,
        "max_in_flight": changed.max_in_flight,
        "schedule": changed.schedule,
        "rate_per_second": changed.rate_per_second,
        "changed": names,
        "public_key": public,
    }
    lines = [f"  {each.replace('_', ' ')}: {_value_text(each, getattr(changed, each))}" for each in names]
    head = f"Endpoint {endpoint_id} is changed:" if lines else f"Endpoint {endpoint_id} is as it was."
    if ed25519 is not None and not lines:
        head = f"Endpoint {endpoint_id}: ed25519 signatures are {'on' if ed25519 else 'off'}."
    return CommandResult(facts, [head, *lines, *public_key_lines(public)])


def _value_text(name: str, value: Any) -> str:
    if value is None:
        return {"schedule": "the default", "rate_per_second": "no limit"}.get(name, "all")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    return str(value)


def _check_url(context: CommandContext, url: str) -> None:
    endpoint_urls.check_url(
        url, allow_http=context.settings.allow_http, allowed=context.settings.allow_networks
    )


def _slugs(wanted: str | None) -> list[str] | None:
    slugs = sections_in(wanted)
    if slugs == []:
        raise click.BadParameter("it names no section", param_hint="--sections")
    return slugs


@endpoint.command("list")
@with_context
def endpoint_list(context: CommandContext) -> CommandResult:
    """List the endpoints."""
    with context.record() as record:
        found = endpoints.all_endpoints(record)
    rows: list[dict[str, Any]] = [
        {"endpoint": one.id, "partner": one.partner, "url": one.url, "state": one.state} for one in found
    ]
    lines = [f"{row['endpoint']:>4}  {row['partner']:<20} {row['state']:<7} {row['url']}" for row in rows]
    return CommandResult(
        {"endpoints": rows}, lines or ["No endpoint yet. Add one: dateline endpoint add PARTNER URL"]
    )


@endpoint.command("pause")
@click.argument("endpoint_id", metavar="ID", type=int)
@click.option("--reason", default="paused by hand", show_default=True, help="Shown on the status page.")
@with_context
def endpoint_pause(context: CommandContext, endpoint_id: int, reason: str) -> CommandResult:
    """Hold an endpoint's deliveries; takedowns still go."""
    with context.record() as record:
        operations.pause_endpoint(record, endpoint_id, reason=reason, actor=OPERATOR, now=times.now())
    return CommandResult(
        {"endpoint": endpoint_id, "state": "paused"},
        [
            f"Endpoint {endpoint_id} is paused: its deliveries wait; takedowns still go.",
            f"To let them go: dateline endpoint resume {endpoint_id}",
        ],
    )


@endpoint.command("resume")
@click.argument("endpoint_id", metavar="ID", type=int)
@with_context
def endpoint_resume(context: CommandContext, endpoint_id: int) -> CommandResult:
    """Let an endpoint's deliveries go again, newest revisions only."""
    with context.record() as record:
        before = endpoints.get_endpoint(record, endpoint_id).state
        operations.resume_endpoint(record, endpoint_id, actor=OPERATOR, now=times.now())
        now = times.now()
        outlook = resumption.outlook(record, endpoint_id, now)
    context.wake()
    head = f"Endpoint {endpoint_id} {'was live already' if before == 'live' else 'is live again'}"
    found = _outlook_result(outlook, head, now)
    if outlook.state == "live" and outlook.next_at is not None and outlook.next_at > now:
        found.lines.append(f"To send at once: dateline endpoint try-now {endpoint_id}")
    return found


@endpoint.command("try-now")
@click.argument("endpoint_id", metavar="ID", type=int)
@with_context
def endpoint_try_now(context: CommandContext, endpoint_id: int) -> CommandResult:
    """Have what waits for an endpoint sent now: its partner has mended it."""
    now = times.now()
    with context.record() as record:
        outlook = operations.try_endpoint_now(record, endpoint_id, actor=OPERATOR, now=now)
    context.wake()
    return _outlook_result(outlook, f"Endpoint {endpoint_id} is tried now", now)


def _outlook_result(outlook: Outlook, head: str, now: datetime) -> CommandResult:
    facts = {
        "endpoint": outlook.endpoint_id,
        "state": outlook.state,
        "waiting": outlook.waiting,
        "takedowns": outlook.takedowns,
        "next_at": outlook.next_at and times.to_iso(outlook.next_at),
        "trial": outlook.trial,
    }
    if not outlook.waiting:
        return CommandResult(facts, [f"{head}; nothing waits for it."])
    lines = [
        f"{head}; {outlook.waiting} wait{'s' if outlook.waiting == 1 else ''}{_next_text(outlook, now)}."
    ]
    if outlook.state != "live":
        lines.append(
            f"It is {'paused' if outlook.state == 'paused' else 'switched off'}: only its takedowns go"
            f" ({outlook.takedowns}). For the rest: dateline endpoint resume {outlook.endpoint_id}"
        )
    elif outlook.trial:
        lines.append("Its circuit is open: one push goes as a trial; the others follow when it is accepted.")
    return CommandResult(facts, lines)


def _next_text(outlook: Outlook, now: datetime) -> str:
    if outlook.next_at is None:
        return ""
    if outlook.next_at <= now:
        return ", the next goes now"
    return f", the next goes at {outlook.next_at:%Y-%m-%d %H:%M:%S} UTC"


endpoint.add_command(rotate_secret)
