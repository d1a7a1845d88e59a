"""The commands about endpoints: added, changed, paused, given new keys; and all that is sealed, sealed anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from service.cli.articles import Moment
from service.cli.command import Desk, Slug, Told, names_in, now, operation
from service.store import operations
from service.store.deliveries import rates
from service.store.operations import OPERATOR
from service.store.partners import endpoints, signing_keys
from service.store.partners.endpoints import Changes
from service.webhooks import endpoint_urls, signatures

ONCE = "Keep it now: it is shown this once and cannot be shown again."
ATTEMPTS_MAX = 50
WAIT_MAX = timedelta(days=3)  # between two attempts
DEFAULT = "default"


class Schedule(click.ParamType[tuple[float, ...]]):
    """The seconds before each attempt, separated by commas. The first attempt is at once."""

    name = "schedule"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if not isinstance(value, str):
            return tuple(value)
        try:
            waits = tuple(float(int(each)) for each in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no schedule; write whole seconds, such as 0,5,30,120", param, ctx)
        if waits[0] != 0:
            self.fail("a schedule begins with 0: the first attempt is at once", param, ctx)
        if min(waits) < 0 or max(waits) > WAIT_MAX.total_seconds() or len(waits) > ATTEMPTS_MAX:
            words = (
                f"each wait is from 0 to {WAIT_MAX.total_seconds():.0f} s, in {ATTEMPTS_MAX} attempts at most"
            )
            self.fail(words, param, ctx)
        return waits


class ScheduleOrDefault(Schedule):
    """A schedule, or the word default."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        return () if value == DEFAULT else super().convert(value, param, ctx)


RATE = click.FloatRange(rates.LOWEST, rates.HIGHEST)


class RateOrNone(click.ParamType[float]):
    """Pushes per second, or the word none, which is 0."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        return 0.0 if value == "none" else RATE.convert(value, param, context)


@click.group()
def endpoint() -> None:
    """Where pushes go."""


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
    help="Also what was changed since then: 2026-11-01T00:00:00Z, or 7d for the last week.",
)
@click.option("--ed25519", is_flag=True, help="Sign with a key pair, too (v1a); print its public key.")
@operation
def endpoint_add(
    desk: Desk,
    partner_slug: str,
    url: str,
    wanted: str | None,
    every_revision: bool,
    max_in_flight: int,
    schedule: tuple[float, ...] | None,
    rate: float | None,
    backfill: datetime | None,
    ed25519: bool,
) -> Told:
    """Add an endpoint to a partner; print its signing secret, once."""
    _check_url(desk, url)
    slugs = _slugs(wanted)
    secret = signatures.new_secret()
    pair = signatures.new_key_pair() if ed25519 else None
    with desk.record() as record:
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
            ),
            actor=OPERATOR,
            now=now(),
        )
    desk.wake()
    facts = {"endpoint": added.id, "partner": partner_slug, "url": url, "sections": slugs, "secret": secret}
    lines = [
        f"Endpoint {added.id} added: {partner_slug} gets {wanted or 'all sections'} at {url}",
        f"  signing secret  {secret}",
        ONCE,
        *_public_lines(pair.public if pair else None),
        *(
            [f"What was changed since {backfill:%Y-%m-%d %H:%M} UTC follows, the oldest first."]
            if backfill
            else []
        ),
    ]
    return Told({**facts, "public_key": pair.public if pair else None}, lines)


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
@click.option("--ed25519/--no-ed25519", default=None, help="Sign with a key pair, too (v1a), or no more.")
@operation
def endpoint_set(
    desk: Desk,
    endpoint_id: int,
    url: str | None,
    wanted: str | None,
    all_sections: bool,
    every_revision: bool | None,
    max_in_flight: int | None,
    schedule: tuple[float, ...] | None,
    rate: float | None,
    ed25519: bool | None,
) -> Told:
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
    )
    if changes == Changes() and ed25519 is None:
        raise click.UsageError("say what to change")
    if url is not None:
        _check_url(desk, url)
    with desk.record() as record:
        changed, names = operations.change_endpoint(record, endpoint_id, changes, actor=OPERATOR, now=now())
        public = _switch_ed25519(record, endpoint_id, ed25519)
    desk.wake()
    facts = {
        "endpoint": changed.id,
        "url": changed.url,
        "sections": changed.sections,
        "every_revision": changed.every_revision,
        "max_in_flight": changed.max_in_flight,
        "schedule": changed.schedule,
        "rate_per_second": changed.rate_per_second,
        "changed": names,
        "public_key": public,
    }
    told = [f"  {each.replace('_', ' ')}: {_shown(each, getattr(changed, each))}" for each in names]
    head = f"Endpoint {endpoint_id} is changed:" if told else f"Endpoint {endpoint_id} is as it was."
    if ed25519 is not None and not told:
        head = f"Endpoint {endpoint_id}: ed25519 signatures are {'on' if ed25519 else 'off'}."
    return Told(facts, [head, *told, *_public_lines(public)])


def _switch_ed25519(record: Any, endpoint_id: int, on: bool | None) -> str | None:
    """The public key, if the endpoint has one and that was asked for."""
    if on is None:
        return None
    if not on:
        operations.stop_ed25519(record, endpoint_id, actor=OPERATOR, now=now())
        return None
    private = operations.sign_with_ed25519(record, endpoint_id, signatures.new_key, actor=OPERATOR, now=now())
    return signatures.public_key(private)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return {"schedule": "the default", "rate_per_second": "no limit"}.get(name, "all")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    return str(value)


def _public_lines(public: str | None) -> list[str]:
    if public is None:
        return []
    return [
        f"  public key      {public}",
        "The public key is no secret: it only verifies, and may be shown to anyone.",
    ]


def _check_url(desk: Desk, url: str) -> None:
    endpoint_urls.check_url(url, allow_http=desk.settings.allow_http, allowed=desk.settings.allow_networks)


def _slugs(wanted: str | None) -> list[str] | None:
    slugs = names_in(wanted)
    if slugs == []:
        raise click.BadParameter("it names no section", param_hint="--sections")
    return slugs


@endpoint.command("list")
@operation
def endpoint_list(desk: Desk) -> Told:
    """List the endpoints."""
    with desk.record() as record:
        found = endpoints.all_endpoints(record)
    rows: list[dict[str, Any]] = [
        {"endpoint": one.id, "partner": one.partner, "url": one.url, "state": one.state} for one in found
    ]
    lines = [f"{row['endpoint']:>4}  {row['partner']:<20} {row['state']:<7} {row['url']}" for row in rows]
    return Told({"endpoints": rows}, lines or ["No endpoint yet. Add one: dateline endpoint add PARTNER URL"])


@endpoint.command("pause")
@click.argument("endpoint_id", metavar="ID", type=int)
@click.option("--reason", default="paused by hand", show_default=True, help="Shown on the status page.")
@operation
def endpoint_pause(desk: Desk, endpoint_id: int, reason: str) -> Told:
    """Hold an endpoint's deliveries; takedowns still go."""
    with desk.record() as record:
        operations.pause_endpoint(record, endpoint_id, reason=reason, actor=OPERATOR, now=now())
    return Told(
        {"endpoint": endpoint_id, "state": "paused"},
        [
            f"Endpoint {endpoint_id} is paused: its deliveries wait; takedowns still go.",
            f"To let them go: dateline endpoint resume {endpoint_id}",
        ],
    )


@endpoint.command("resume")
@click.argument("endpoint_id", metavar="ID", type=int)
@operation
def endpoint_resume(desk: Desk, endpoint_id: int) -> Told:
    """Let an endpoint's deliveries go again, newest revisions only."""
    with desk.record() as record:
        operations.resume_endpoint(record, endpoint_id, actor=OPERATOR, now=now())
    desk.wake()
    return Told({"endpoint": endpoint_id, "state": "live"}, [f"Endpoint {endpoint_id} is live again."])


@endpoint.command("rotate-secret")
@click.argument("endpoint_id", metavar="ID", type=int)
@click.option(
    "--only", type=click.Choice(signing_keys.KINDS), help="Only the shared secret (v1) or the key pair (v1a)."
)
@click.option("--at-once", is_flag=True, help="The old one leaked: it signs nothing any more.")
@operation
def endpoint_rotate_secret(desk: Desk, endpoint_id: int, only: str | None, at_once: bool) -> Told:
    """Give an endpoint new signing keys; for two days the old ones sign along."""
    with desk.record() as record:
        rotated = operations.rotate_keys(
            record,
            endpoint_id,
            signatures.new_key,
            signing_keys.Rotation(
                kinds=(only,) if only else signing_keys.KINDS,
                overlap=timedelta(0) if at_once else signing_keys.ROTATION_OVERLAP,
            ),
            actor=OPERATOR,
            now=now(),
        )
    made = {signing_keys.kind_of(each): each for each in rotated.secrets}
    secret, private = made.get("v1"), made.get("v1a")
    public = signatures.public_key(private) if private else None
    until = rotated.old_until
    ends = (
        "What was signed with before verifies nothing from now on."
        if at_once
        else f"Until {until:%Y-%m-%d %H:%M} UTC pushes carry both signatures, old and new."
    )
    lines = [
        f"Endpoint {endpoint_id} has new signing keys:",
        *([f"  signing secret  {secret}", ONCE] if secret else []),
        *_public_lines(public),
        ends,
    ]
    facts = {"endpoint": endpoint_id, "secret": secret, "public_key": public, "old_until": until.isoformat()}
    return Told(facts, lines)


@click.command()
@operation
def reseal(desk: Desk) -> Told:
    """Seal every stored secret with the first key of DATELINE_SECRET_KEY; then the old ones may go."""
    with desk.record() as record:
        counts = operations.reseal(record, actor=OPERATOR, now=now())
    number = sum(counts.values())
    lines = [
        f"{number} stored {'secret is' if number == 1 else 'secrets are'} sealed with the first key.",
        "Once every process was restarted with the new key first, the old ones may be removed from it.",
    ]
    return Told({"resealed": counts}, lines)
