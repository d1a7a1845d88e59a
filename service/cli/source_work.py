"""The commands about what a source has sent: shown, held, tried again, and compared with its system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import click

from service import settings, times
from service.cli.command import CommandContext, CommandResult, with_context
from service.cli.parameter_types import Moment, Slug
from service.intake.adapters import registry
from service.intake.adapters.adapter import Adapter
from service.intake.hook_intake import HookIntake
from service.intake.story_intake import StoryIntake
from service.runtime import key_files
from service.store import names, operations
from service.store.articles import hooks, source_settings, source_sync, sources
from service.store.articles.hooks import Hook
from service.store.articles.source_settings import SourceOptions
from service.store.articles.source_sync import SyncState
from service.store.errors import NotFound, NotPossible
from service.store.operations import OPERATOR

NEEDS = {
    "base-url": "the system's own address, such as https://cms.example",
    "api-token": "the key to its API",
    "content-type": "the name of the type that its stories have",
    "field": "where our fields are in its records, such as --field headline=/title",
}
HELD_SHOWN = 100


def missing(adapter: Adapter, options: SourceOptions, needs: Sequence[str] | None = None) -> list[str]:
    """The adapter's needs that the settings do not meet. A secret is made if the system gave none."""
    has = {
        "base-url": bool(options.base_url),
        "api-token": bool(options.api_token),
        "content-type": bool(options.content_type),
        "field": bool(options.fields),
    }
    return [need for need in (adapter.needs if needs is None else needs) if not has.get(need, True)]


def missing_words(adapter: Adapter, needs: Sequence[str]) -> str:
    """Says what the adapter needs, by the options' names."""
    return f"{adapter.title} needs more: " + "; ".join(f"--{need}: {NEEDS.get(need, need)}" for need in needs)


def wanted_words(adapter: Adapter, options: SourceOptions, slug: str) -> list[str]:
    """Says what the source does not get for lack of a setting; nothing if it has all."""
    lacks = missing(adapter, options, adapter.wants)
    if not lacks:
        return []
    return [
        "",
        f"Without {' and '.join(f'--{each}' for each in lacks)} it takes only what the hooks bring.",
        f"{adapter.title} cannot be asked then for what they leave out, and is not compared.",
        *[f"  {each:<14}  {NEEDS.get(each, each)}" for each in lacks],
        f"To set them: dateline source set {slug} " + " ".join(f"--{each} …" for each in lacks),
    ]


def _number(hook_id: int | None) -> int | None:
    """The number of a hook, if there can be one of it. Raises NotFound."""
    if hook_id is not None and not names.is_row(hook_id):
        raise NotFound("held hook", str(hook_id))
    return hook_id


@click.command("show")
@click.argument("slug", type=Slug())
@with_context
def source_show(context: CommandContext, slug: str) -> CommandResult:
    """Show a source: its settings, its last post, what is held, and its last comparison."""
    with context.record() as record:
        source = sources.by_slug(record, slug)
        options = source_settings.options(record, source.id)
        state = source_sync.state(record, source.id)
        activity = sources.activity(record, source.id)
        waiting = hooks.counts(record, source.id)
    shown = {**vars(options), "api_token": "set" if options.api_token else "none"}
    facts = {
        "source": slug,
        "name": source.name,
        "adapter": source.adapter,
        "settings": shown,
        "last_post": _iso(activity),
        "hooks": waiting,
        "comparison": _sync_facts(state),
    }
    lines = [
        f"{slug}: {source.name}, adapter {source.adapter}",
        f"  last post       {_when(activity)}",
        f"  hooks           {', '.join(f'{count} {name}' for name, count in waiting.items()) or 'none yet'}",
        *(f"  {name.replace('_', ' '):<15} {_shown(value)}" for name, value in shown.items() if value),
        *_sync_lines(slug, state),
    ]
    return CommandResult(facts, lines)


def _sync_facts(state: SyncState) -> dict[str, Any]:
    return {
        "changes_at": _iso(state.changes_at),
        "swept_at": _iso(state.swept_at),
        "failure": state.failure,
        "failed_at": _iso(state.failed_at),
        "waiting_takedowns": list(state.missing),
        "waiting_since": _iso(state.missing_since),
    }


def _sync_lines(slug: str, state: SyncState) -> list[str]:
    lines = []
    if state.changes_at or state.swept_at:
        lines.append(f"  compared        changes {_when(state.changes_at)}, all ids {_when(state.swept_at)}")
    if state.failure:
        lines.append(
            f"  its API fails   {state.failure} ({state.failures} times, last {_when(state.failed_at)})"
        )
    if state.missing:
        lines += [
            f"  WAITS FOR YOU   {len(state.missing)} stories are gone from it, more than one sweep may take down:",
            f"                  {', '.join(state.missing[:10])}{' …' if len(state.missing) > 10 else ''}",
            f"                  if that is right: dateline source sync {slug} --release",
        ]
    return lines


@click.command("held")
@click.argument("slug", type=Slug())
@click.option("--id", "hook_id", type=int, help="Show this one whole, with its body.")
@with_context
def source_held(context: CommandContext, slug: str, hook_id: int | None) -> CommandResult:
    """Show what was kept of a source and could not be mapped, with its reason."""
    with context.record() as record:
        source = sources.by_slug(record, slug)
        found = hooks.held(record, slug, HELD_SHOWN, hook_id=_number(hook_id))
        waiting = hooks.counts(record, source.id).get(hooks.HELD, 0)
    if hook_id is not None and not found:
        raise NotFound("held hook", str(hook_id))
    rows = [{**hook_facts(each), **({"body": _text(each)} if hook_id else {})} for each in found]
    lines = [
        f"{each.claim.id:<8} {times.to_iso(each.received_at)}  {each.result.why or ''}"
        + ("  [a takedown]" if each.result.takedown else "")
        for each in found
    ]
    if hook_id is not None:
        lines += [f"{name}: {value}" for name, value in found[0].headers.items()] + ["", _text(found[0])]
    elif found:
        if waiting > len(found):
            lines.append(f"These are the {len(found)} oldest of {waiting}; --id shows any of the others.")
        lines.append(f"Mend the map or the sections, then: dateline source retry {slug}")
    return CommandResult(
        {"source": slug, "held": rows, "held_count": waiting}, lines or [f"Nothing of {slug} is held."]
    )


def hook_facts(hook: Hook) -> dict[str, Any]:
    """A kept hook for --json and status.json."""
    return {
        "id": hook.claim.id,
        "source": hook.source,
        "received_at": times.to_iso(hook.received_at),
        "last_received_at": times.to_iso(hook.last_received_at),
        "repeats": hook.claim.repeats,
        "attempts": hook.claim.attempts,
        "why": hook.result.why,
        "takedown": hook.result.takedown,
        "articles": list(hook.result.articles),
    }


@click.command("retry")
@click.argument("slug", type=Slug())
@click.option("--id", "hook_id", type=int, help="Only this one (default: all that are held).")
@with_context
def source_retry(context: CommandContext, slug: str, hook_id: int | None) -> CommandResult:
    """Try again what is held of a source; a story that has changed since is not changed back."""
    with context.record() as record:
        source = sources.by_slug(record, slug)
        intake = HookIntake(
            StoryIntake(
                record,
                authority=urlsplit(context.settings.public_url).hostname or "localhost",
                clock=times.now,
            )
        )
        rows: list[dict[str, Any]] = []
        number, after = _number(hook_id), 0
        while claimed := operations.retry_hooks(
            record, slug, number, after=after, actor=OPERATOR, now=times.now()
        ):
            for each in claimed:
                result = intake.resume(source, each)
                queued_at = times.now() if result.state == hooks.QUEUED else None
                hooks.settle(record, each.claim, result, next_try_at=queued_at)
                rows.append({"id": each.claim.id, "outcome": result.outcome, "why": result.why})
            after = claimed[-1].claim.id
        if hook_id is not None and not rows:
            raise NotFound("held hook", str(hook_id))
    context.wake()
    lines = [f"{row['id']:<8} {row['outcome']:<9} {row['why'] or ''}" for row in rows]
    status = 1 if any(row["outcome"] == "held" for row in rows) else 0
    return CommandResult(
        {"source": slug, "hooks": rows}, lines or [f"Nothing of {slug} is held."], status=status
    )


@click.command("sync")
@click.argument("slug", type=Slug())
@click.option("--dry-run", is_flag=True, help="Only say what it would publish, update and take down.")
@click.option(
    "--since", type=Moment(), help="All changes since then, such as 7d (default: since the last comparison)."
)
@click.option("--release", is_flag=True, help="Take down however many stories the system has no more.")
@with_context
def source_sync_command(
    context: CommandContext, slug: str, dry_run: bool, since: datetime | None, release: bool
) -> CommandResult:
    """Compare a source with its system now."""
    with context.record() as record:
        source = sources.by_slug(record, slug)
        adapter = registry.ADAPTERS.get(source.adapter)
        if adapter is None or adapter.reconciliation is None:
            raise NotPossible(f"the adapter {source.adapter!r} cannot compare its system with the record")
        if lacking := missing(adapter, source_settings.options(record, source.id)):
            raise click.UsageError(missing_words(adapter, lacking))
        if release and not dry_run:
            operations.release_takedowns(record, slug, actor=OPERATOR, now=times.now())
    return _compared(context, slug, dry_run=dry_run, since=since)


def _compared(context: CommandContext, slug: str, *, dry_run: bool, since: datetime | None) -> CommandResult:
    """Runs the comparison in a process of its own: the service does not import the workers, they import it."""
    command = [sys.executable, "-P", "-m", "workers.fetch", slug]
    command += ["--dry-run"] if dry_run else []
    command += ["--since", times.to_iso(since)] if since else []
    configured = key_files.ensure_keys(context.settings)
    environment = {**os.environ, **settings.environment(configured)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    try:
        facts: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise NotPossible(f"the comparison ended with {done.returncode} and without a word") from None
    lines = [
        f"{each['outcome']:<9} {each['id']}" + (f"  {each['why']}" if each.get("why") else "")
        for each in facts.get("stories", [])
    ]
    lines.append(facts.get("words", ""))
    return CommandResult(facts, lines, status=done.returncode)


source_sync_command.name = "sync"


def _text(hook: Hook) -> str:
    return hook.body.decode("utf-8", "replace")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else times.to_iso(moment)


def _when(moment: datetime | None) -> str:
    return "never" if moment is None else times.to_iso(moment)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{name}={':'.join(part) if isinstance(part, tuple) else part}" for name, part in value.items()
        )
    return str(value)
