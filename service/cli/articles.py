"""The commands about articles: publish through the intake, kill, restore, send again."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

import click

from service import times
from service.cli.command import CommandContext, CommandResult, with_context
from service.cli.parameter_types import Cause, Moment
from service.store import operations
from service.store.articles import sources
from service.store.articles.idempotency import Answer
from service.store.deliveries import replays
from service.store.deliveries.replays import ReplayRequest
from service.store.operations import OPERATOR
from service.webhooks.client import post

SHOWN = 20  # deliveries that a replay names to people


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--source", "source_slug", required=True, help="The source that sends it.")
@with_context
def publish(context: CommandContext, file: Any, source_slug: str) -> CommandResult:
    """Post an article FILE (JSON; - for standard input) to the intake, signed."""
    body = file.read()
    with context.record() as record:
        secret = sources.by_slug(record, source_slug).secret
    answer = post(context.url, secret, body, message_id=f"msg_{secrets.token_hex(16)}", at=times.now())
    words = {"accepted": "accepted", "repeat": "nothing new in it", "stale": "older than the revision here"}
    lines = [
        f"{words.get(answer['outcome'], answer['outcome'])}: {answer['type']}, revision {answer['revision']}",
        f"  article  {answer['article']}",
        f"  event    {answer['event']}",
        *(f"  warning  {_plain(warning)}" for warning in answer.get("warnings", [])),
    ]
    return CommandResult(answer, lines)


def _plain(warning: Any) -> str:
    return (
        f"{warning.get('pointer', '')} {warning.get('detail', '')}".strip()
        if isinstance(warning, dict)
        else str(warning)
    )


@click.command()
@click.argument("article")
@click.option("--reason", required=True, help="Kept in the record; never sent to anyone.")
@with_context
def kill(context: CommandContext, article: str, reason: str) -> CommandResult:
    """Take ARTICLE back everywhere: its partners hear of it before anything else."""
    with context.record() as record:
        answer = operations.kill(record, article, reason=reason, actor=OPERATOR, now=times.now())
    context.wake()
    return _result(
        answer,
        f"{answer.article} is killed (revision {answer.revision}); every partner that has it is being told.",
    )


@click.command()
@click.argument("article")
@click.option("--reason", help="Kept in the record; never sent to anyone.")
@with_context
def restore(context: CommandContext, article: str, reason: str | None) -> CommandResult:
    """Bring back an ARTICLE that was taken down."""
    with context.record() as record:
        answer = operations.restore(record, article, reason=reason, actor=OPERATOR, now=times.now())
    context.wake()
    return _result(answer, f"{answer.article} is back (revision {answer.revision}).")


def _result(answer: Answer, line: str) -> CommandResult:
    facts = {
        "article": answer.article,
        "revision": answer.revision,
        "event": answer.event,
        "type": answer.type,
        "outcome": answer.outcome,
    }
    return CommandResult(facts, [line])


@click.command()
@click.option("--delivery", help="This delivery (dlv_…).")
@click.option("--article", help="This article's newest revision, to all who get it.")
@click.option("--endpoint", type=int, help="All of this endpoint's since --since.")
@click.option("--since", type=Moment(), help="2026-01-02T08:00:00Z, or 2h for two hours ago.")
@click.option("--dead", is_flag=True, help="All that were given up; of one --endpoint if named.")
@click.option("--partner", help="All of this partner's: since --since, or --dead.")
@click.option("--cause", type=Cause(), help="Of those given up, the ones whose last attempt ended so.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent again.")
@with_context
def replay(
    context: CommandContext,
    delivery: str | None,
    article: str | None,
    endpoint: int | None,
    since: datetime | None,
    dead: bool,
    partner: str | None,
    cause: str | None,
    dry_run: bool,
) -> CommandResult:
    """Send deliveries again: one, an article's, an endpoint's or a partner's since a time, or all given up."""
    wanted = ReplayRequest(delivery, article, endpoint, since, dead or cause is not None, partner, cause)
    _check_choice(wanted)
    with context.record() as record:
        replayed = operations.replay(record, wanted, dry_run=dry_run, actor=OPERATOR, now=times.now())
    if replayed.count and not dry_run:
        context.wake()
    names, skipped = list(replayed.deliveries), dict(replayed.skipped)
    facts = {"count": replayed.count, "deliveries": names, "skipped": skipped, "dry_run": dry_run}
    facts["partners"] = dict(replayed.partners)
    return CommandResult(facts, _replay_lines(replayed, dry_run=dry_run))


def _check_choice(wanted: ReplayRequest) -> None:
    several = wanted.endpoint is not None or wanted.partner is not None
    named = [wanted.delivery, wanted.article, wanted.endpoint, wanted.partner]
    if sum(each is not None for each in named) + (wanted.dead and not several) != 1:
        raise click.UsageError("name one of --delivery, --article, --endpoint, --partner, --dead or --cause")
    if several and wanted.since is None and not wanted.dead:
        option = "--endpoint" if wanted.endpoint is not None else "--partner"
        raise click.UsageError(f"{option} needs --since, --dead or --cause")
    if wanted.since is not None and not several and not wanted.dead:
        raise click.UsageError("--since goes with --endpoint, --partner, --dead or --cause")


def _replay_lines(replayed: replays.ReplayResult, *, dry_run: bool) -> list[str]:
    what = "would be sent again" if dry_run else "will be sent again"
    count, left = replayed.count, sum(replayed.skipped.values())
    lines = [f"{count} {'delivery' if count == 1 else 'deliveries'} {what}.", *replayed.deliveries[:SHOWN]]
    if count > SHOWN:
        lines.append(f"… and {count - SHOWN} more; --json names them all.")
    if len(replayed.partners) > 1 or (dry_run and replayed.partners):
        lines.append("By partner:")
        lines += [f"{number:>6}  {slug}" for slug, number in sorted(replayed.partners.items())]
    if left:
        lines.append(f"{left} that matched {'would not' if dry_run else 'will not'}:")
        for reason, number in sorted(replayed.skipped.items(), key=lambda each: -each[1]):
            lines.append(f"{number:>6}  {replays.REASONS[reason]}")
    return lines
