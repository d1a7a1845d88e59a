"""`python -m workers.fetch SOURCE [--dry-run] [--since T]`: compares one source now, and prints how it went as JSON.

`dateline source sync` starts it. It needs no worker that runs, and does no harm beside one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from service import logs, settings, times
from service.intake.adapters import registry
from service.intake.story_intake import StoryIntake
from service.settings import Settings
from service.store.articles import source_sync, sources
from service.store.articles.source_sync import DueComparison
from service.store.database.record import Record, open_record
from service.store.errors import StoreError
from workers.fetch.comparison import Comparison, since_of
from workers.fetch.jobs import ComparisonJob
from workers.fetch.system import System, SystemFailed
from workers.net.api_client import ApiClient

_VERBS = {
    "article.published": "publish",
    "article.updated": "update",
    "article.corrected": "correct",
    "article.restored": "restore",
    "article.unpublished": "take down",
    "article.withheld": "take down",
    "article.killed": "take down",
}

_LEFT = "a worker looks it up, after this comparison"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.fetch")
    parser.add_argument("source")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--since", type=times.from_iso)
    chosen = parser.parse_args(arguments)
    try:
        loaded = settings.load()
        logs.configure(loaded.log_level, json=not sys.stderr.isatty())
        record = open_record(loaded.database_url, loaded.secret_key)
        facts = compare(record, loaded, chosen.source, since=chosen.since, dry_run=chosen.dry_run)
    except (settings.SettingsError, StoreError, SystemFailed) as error:
        facts = {"source": chosen.source, "failed": True, "words": f"the comparison failed: {error}"}
    print(json.dumps(facts))  # noqa: T201
    return 1 if facts.get("failed") or facts.get("waiting") else 0


def compare(
    record: Record, config: Settings, slug: str, *, since: datetime | None, dry_run: bool
) -> dict[str, Any]:
    """Compares a source's changes and all its ids; says what was done or, with `dry_run`, what would be."""
    source = sources.by_slug(record, slug)
    client = ApiClient(config.allow_networks, user_agent=f"Dateline/{metadata.version('dateline')}")
    authority = urlsplit(config.public_url).hostname or "localhost"
    stories = StoryIntake(record, authority=authority, clock=times.now, dry_run=dry_run)
    system = System(stories.source_now(source), registry.ADAPTERS[source.adapter], client, stories, times.now)
    try:
        if dry_run:
            comparison, waiting = _preview(record, system, since)
        else:
            comparison, waiting = _compared(record, system, since)
    finally:
        client.close()
    return _facts(slug, comparison, waiting, dry_run=dry_run)


def _preview(record: Record, system: System, since: datetime | None) -> tuple[Comparison, int]:
    state = source_sync.state(record, system.of.source.id)
    reconciliation = system.adapter.reconciliation
    assert reconciliation is not None
    comparison = Comparison(record, system, reconciliation, times.now)
    comparison.read_changes(since or since_of(state, times.now()))
    return comparison, len(comparison.sweep(state).missing)


def _compared(record: Record, system: System, since: datetime | None) -> tuple[Comparison, int]:
    source = system.of.source
    now = times.now()
    due = DueComparison(source.id, source.slug, sweep=True, until=now)
    comparison = ComparisonJob(record, times.now, lambda: False).run(due, system, since)
    assert comparison is not None
    return comparison, len(source_sync.state(record, source.id).missing)


def _facts(slug: str, comparison: Comparison, waiting: int, *, dry_run: bool) -> dict[str, Any]:
    report = comparison.report
    stories = [
        {**each.facts(), "does": _VERBS.get(each.answer.type) if each.answer else None}
        for each in report.results
    ]
    stories += [{"id": story_id, "outcome": "unclear", "why": why} for story_id, why in report.unclear]
    stories += [{"id": story_id, "outcome": "queued", "why": _LEFT} for story_id in comparison.left]
    changed = sum(each["outcome"] == "accepted" for each in stories)
    words = f"{report.compared:,} stories looked at, {changed:,} {'would change' if dry_run else 'changed'}"
    if waiting:
        words += (
            f"; {waiting:,} stories are gone from the system, more than one sweep may take down:"
            f" if that is right, dateline source sync {slug} --release"
        )
    return {"source": slug, "dry_run": dry_run, "stories": stories, "waiting": waiting, "words": words}


if __name__ == "__main__":
    sys.exit(main())
