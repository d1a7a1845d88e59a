"""The demo desk has a source that is no native one: a blog that runs Ghost."""

from __future__ import annotations

from pathlib import Path

from service import times
from service.demo import blog, desk, newsroom
from service.intake.adapters.adapter import HookRequest
from service.intake.adapters.ghost import ADAPTER
from service.intake.hook_intake import HookIntake
from service.intake.story_intake import StoryIntake
from service.settings import Settings
from service.store.articles import sources
from service.store.database.record import Record


def test_the_demos_blog_posts_as_ghost_does_and_its_stories_come_in(
    sqlite_record: Record, tmp_path: Path
) -> None:
    config = Settings(data_dir=tmp_path)
    for _ in range(2):
        desk.prepare(sqlite_record, config, times.now())
    assert [each.slug for each in sources.active(sqlite_record)] == [desk.SOURCE, desk.BLOG]
    source = sources.by_slug(sqlite_record, desk.BLOG)
    intake = HookIntake(StoryIntake(sqlite_record, authority="news.example.org", clock=times.now))
    [story] = [each for each in newsroom.stories() if each.get("from") == "ghost"]
    types = []
    for step in newsroom.steps([story]):
        now = times.now()
        body = blog.webhook(story, step.name.partition(":")[2], now)
        headers = {"x-ghost-signature": blog.signature(body, source.secret, now)}
        request = HookRequest("POST", "/v1/hooks/notes", headers, body)
        assert ADAPTER.verify(request, [source.secret], now) is None
        assert ADAPTER.verify(request, ["another"], now) is not None
        _, result = intake.receive(source, ADAPTER, request, [source.secret])
        assert result.outcome == "accepted", result.why
        types += [each["type"] for each in result.articles]
    assert types == ["article.published", "article.updated"]
