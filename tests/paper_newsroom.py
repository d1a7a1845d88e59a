"""A desk with a source of Paper's, its hooks and a fetch worker, put together as their processes do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from service.http import credentials
from service.intake.adapters.adapter import HookRequest
from service.intake.hook_intake import HookIntake
from service.intake.story_intake import StoryIntake
from service.store import operations
from service.store.articles import hooks, source_sync, standings
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import NewSource, Source
from service.store.database.record import Record
from service.store.feeds.sections import all_sections
from service.store.schema.articles import article, revision
from tests.builders import AUTHORITY, NOW
from tests.paper_server import Paper
from tests.paper_system import PAPER, PAPER_SECRET, PAPER_TOKEN, signed
from tests.worker import LOOPBACK
from workers.fetch.task import FetchTask
from workers.net.api_client import ApiClient

NewClient = Callable[[], Any]


class PaperNewsroom:
    """A desk with a source of Paper's, its hooks and a fetch worker, on a clock that the test moves."""

    def __init__(
        self,
        record: Record,
        paper: Paper,
        slug: str = "paper",
        new_client: NewClient | None = None,
        **options: Any,
    ) -> None:
        self.record, self.paper, self.now = record, paper, NOW
        for each in ("world", "china"):
            if each not in {one.slug for one in all_sections(record)}:
                operations.add_section(record, each, each.title(), "en", actor="operator", now=NOW)
        settings = {"base_url": paper.url, "api_token": PAPER_TOKEN, **options}
        key = credentials.new_api_key()
        self.source: Source = operations.add_source(
            record,
            NewSource(slug, "Paper", "paper", key_id=key.key_id, key_hash=key.hash, secret=PAPER_SECRET),
            SourceOptions(**settings),
            actor="operator",
            now=NOW,
        )
        self.stories = StoryIntake(record, authority=AUTHORITY, clock=self.clock)
        self.hooks = HookIntake(self.stories)
        self.task = FetchTask(
            record,
            self.stories,
            self.clock,
            new_client or (lambda: ApiClient(LOOPBACK, user_agent="test", seconds=5)),
        )

    def clock(self) -> datetime:
        return self.now

    def send(self, hook: dict[str, Any]) -> hooks.HookResult:
        body = json.dumps(hook).encode()
        request = HookRequest("POST", "/v1/hooks/paper", signed(body), body)
        return self.hooks.receive(self.source, PAPER, request, [PAPER_SECRET])[1]

    def work(self, after: timedelta = timedelta(0)) -> int:
        """Lets so much time pass, then the worker do all that is due."""
        self.now += after
        return self.task.drain()

    def status(self, story_id: str) -> str:
        found = {
            each.external_id: each.status
            for each in standings.standings(self.record, self.source.id, self.now)
        }
        return found.get(story_id, "none")

    def public(self) -> list[str]:
        found = standings.standings(self.record, self.source.id, self.now)
        return sorted(each.external_id for each in found if each.status == "usable")

    def headlines(self) -> dict[str, str]:
        """The headlines of what is public, by id."""
        return {
            each: json.loads(content)["headline"]
            for each, content in newest_contents(self.record, self.source.id).items()
            if each in self.public()
        }

    def state(self) -> source_sync.SyncState:
        return source_sync.state(self.record, self.source.id)


def newest_contents(record: Record, source_id: int) -> dict[str, str]:
    """The newest content of each of a source's articles, by its own id."""
    query = (
        select(article.c.external_id, revision.c.content)
        .join(revision, (revision.c.article_id == article.c.id) & (revision.c.number == article.c.revision))
        .where(article.c.source_id == source_id)
    )
    with record.reading() as connection:
        return {row.external_id: row.content for row in connection.execute(query)}
