"""The commands about articles: publish through the front door, kill, restore, send again."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from service.cli.command import UNITS, Desk, Told, now, operation
from service.store import operations
from service.store.articles import sources
from service.store.articles.idempotency import Answer
from service.store.deliveries import replays
from service.store.operations import OPERATOR
from service.webhooks.client import post

SHOWN = 20  # deliveries that a replay names to people


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601 (UTC unless it says otherwise), or how long ago: 30m, 2h, 3d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            if str(value)[-1:] in UNITS:
                return now() - timedelta(**{UNITS[value[-1]]: float(value[:-1])})
            moment = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time; write 2026-01-02T08:00:00Z, or 2h for two hours ago", param, ctx
            )
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--source", "source_slug", required=True, help="The source that sends it.")
@operation
def publish(desk: Desk, file: Any, source_slug: str) -> Told:
    """Post an article FILE (JSON; - for standard input) through the front door, signed."""
    body = file.read()
    with desk.record() as record:
        secret = sources.by_slug(record, source_slug).secret
    answer = post(desk.url, secret, body, message_id=f"msg_{secrets.token_hex(16)}", at=now())
    words = {"accepted": "accepted", "repeat": "nothing new in it", "stale": "older than what is held"}
    lines = [
        f"{words.get(answer['outcome'], answer['outcome'])}: {answer['type']}, revision {answer['revision']}",
        f"  article  {answer['article']}",
        f"  event    {answer['event']}",
        *(f"  warning  {_plain(warning)}" for warning in answer.get("warnings", [])),
    ]
    return Told(answer, lines)


def _plain(warning: Any) -> str:
    return (
        f"{warning.get('pointer', '')} {warning.get('detail', '')}".strip()
        if isinstance(warning, dict)
        else str(warning)
    )


@click.command()
@click.argument("article")
@click.option("--reason", required=True, help="Kept in the record; never sent to anyone.")
@operation
def kill(desk: Desk, article: str, reason: str) -> Told:
    """Take ARTICLE back everywhere: its partners are told ahead of everything else."""
    with desk.record() as record:
        answer = operations.kill(record, article, reason=reason, actor=OPERATOR, now=now())
    desk.wake()
    return _told(
        answer, f"{answer.article} is killed (revision {answer.revision}); all who hold it are being told."
    )


@click.command()
@click.argument("article")
@click.option("--reason", help="Kept in the record; never sent to anyone.")
@operation
def restore(desk: Desk, article: str, reason: str | None) -> Told:
    """Bring back an ARTICLE that was taken down."""
    with desk.record() as record:
        answer = operations.restore(record, article, reason=reason, actor=OPERATOR, now=now())
    desk.wake()
    return _told(answer, f"{answer.article} is back (revision {answer.revision}).")


def _told(answer: Answer, line: str) -> Told:
    facts = {
        "article": answer.article,
        "revision": answer.revision,
        "event": answer.event,
        "type": answer.type,
        "outcome": answer.outcome,
    }
    return Told(facts, [line])


@click.command()
@click.option("--delivery", help="This delivery (dlv_…).")
@click.option("--article", help="This article's newest revision, to all who get it.")
@click.option("--endpoint", type=int, help="All of this endpoint's since --since.")
@click.option("--since", type=Moment(), help="2026-01-02T08:00:00Z, or 2h for two hours ago.")
@click.option("--dead", is_flag=True, help="All that were given up; of one --endpoint if named.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent again.")
@operation
def replay(
    desk: Desk,
    delivery: str | None,
    article: str | None,
    endpoint: int | None,
    since: datetime | None,
    dead: bool,
    dry_run: bool,
) -> Told:
    """Send deliveries again: one, an article's, an endpoint's since a time, or all that were given up."""
    _check_choice(delivery, article, endpoint, since, dead=dead)
    wanted = replays.Wanted(delivery, article, endpoint, since, dead)
    with desk.record() as record:
        replayed = operations.replay(record, wanted, dry_run=dry_run, actor=OPERATOR, now=now())
    if replayed.count and not dry_run:
        desk.wake()
    names, skipped = list(replayed.deliveries), dict(replayed.skipped)
    facts = {"count": replayed.count, "deliveries": names, "skipped": skipped, "dry_run": dry_run}
    return Told(facts, _replay_lines(replayed, dry_run=dry_run))


def _check_choice(
    delivery: str | None, article: str | None, endpoint: int | None, since: datetime | None, *, dead: bool
) -> None:
    if sum(given is not None for given in (delivery, article, endpoint)) + (dead and endpoint is None) != 1:
        raise click.UsageError("name one of --delivery, --article, --endpoint or --dead")
    if endpoint is not None and since is None and not dead:
        raise click.UsageError("--endpoint needs --since, or --dead")
    if since is not None and endpoint is None and not dead:
        raise click.UsageError("--since goes with --endpoint or --dead")


def _replay_lines(replayed: replays.Replayed, *, dry_run: bool) -> list[str]:
    what = "would be sent again" if dry_run else "will be sent again"
    count, left = replayed.count, sum(replayed.skipped.values())
    lines = [f"{count} {'delivery' if count == 1 else 'deliveries'} {what}.", *replayed.deliveries[:SHOWN]]
    if count > SHOWN:
        lines.append(f"… and {count - SHOWN} more; --json names them all.")
    if left:
        lines.append(f"{left} that matched {'would not' if dry_run else 'will not'}:")
        for reason, number in sorted(replayed.skipped.items(), key=lambda each: -each[1]):
            lines.append(f"{number:>6}  {replays.REASONS[reason]}")
    return lines
