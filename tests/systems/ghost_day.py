"""An editor's acts at Ghost, by the API of its own screens; connected as docs/connect/ghost.md says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import requests

from tests.systems import ghost_site, install_cache
from tests.systems.connected_desk import ConnectedDesk
from tests.systems.ghost_site import GhostServer
from tests.systems.news_system import SECTIONS, EditedStory
from tests.systems.newsroom_day import NewsroomDay
from tests.systems.partner_view import ShownStory
from tests.systems.processes import Programs
from tests.systems.runner import Step, TestedSystem

_TRASH = "Ghost has no trash"


class GhostNewsroom:
    """Posts are changed as two editors would who do not wait for each other: each with the time that it read last."""

    source = "ghost"
    ahead = 75.0
    lacks: ClassVar = {"correct": "Ghost has no field for a correction", "trash, restore": _TRASH}

    def __init__(self, server: GhostServer, content_key: str) -> None:
        self._server = server
        self._key = content_key

    def publish(self, story: EditedStory) -> str:
        return self._add(story, status="published")

    def schedule(self, story: EditedStory, at: datetime) -> str:
        return self._add(
            story, status="scheduled", published_at=f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
        )

    def come_due(self) -> None:
        """Ghost has a clock of its own."""

    def retitle(self, story: str, title: str) -> None:
        self._change(story, title=title)

    def correct(self, story: str, title: str, note: str) -> None:
        raise NotImplementedError

    def rename(self, story: str, slug: str) -> str:
        return str(self._change(story, slug=slug)["url"])

    def move(self, story: str, section: str) -> None:
        self._change(story, tags=[{"name": SECTIONS[section]}])

    def unpublish(self, story: str) -> None:
        self._change(story, status="draft")

    def publish_again(self, story: str) -> None:
        self._change(story, status="published")

    def trash(self, story: str) -> None:
        self.delete(story)

    def restore(self, story: str) -> None:
        raise NotImplementedError

    def delete(self, story: str) -> None:
        self._server.admin("DELETE", f"posts/{story}")

    def bulk_unpublish(self, stories: Sequence[str]) -> None:
        self._bulk(stories, {"action": "unpublish"})

    def _bulk(self, stories: Sequence[str], act: dict[str, Any]) -> None:
        chosen = ",".join(f"'{each}'" for each in stories)
        self._server.admin("PUT", "posts/bulk", {"bulk": {"meta": {}, **act}}, filter=f"id:[{chosen}]")

    def public(self) -> list[ShownStory]:
        """As a theme shows them: the text of a members-only post is not for everybody."""
        url = f"{self._server.url}/ghost/api/content/posts/?key={self._key}&limit=100"
        answer = requests.get(url, timeout=60)
        assert answer.ok, answer.text[:500]
        posts = [each for each in answer.json()["posts"] if each["visibility"] == "public"]
        return [ShownStory.of(each["title"], each["html"] or "") for each in posts]

    def external_id(self, story: str) -> str:
        return story

    def own_steps(self) -> Iterator[Step]:
        story = self.publish(EditedStory("For members only, later"))
        yield "a story becomes members-only", lambda: self._set_visibility(story, "members")
        yield "it is public again", lambda: self._set_visibility(story, "public")
        both = [self.publish(EditedStory(f"Column {number}")) for number in (1, 2)]
        yield (
            "bulk access: for members",
            lambda: self._bulk(both, {"action": "access", "meta": {"visibility": "members"}}),
        )
        yield "bulk delete", lambda: self._bulk_delete(both)

    def _bulk_delete(self, stories: Sequence[str]) -> None:
        chosen = ",".join(f"'{each}'" for each in stories)
        self._server.admin("DELETE", "posts", filter=f"id:[{chosen}]")

    def _set_visibility(self, story: str, visibility: str) -> None:
        self._change(story, visibility=visibility)

    def _add(self, story: EditedStory, **fields: Any) -> str:
        post = {
            "title": story.title,
            "lexical": lexical(story.paragraphs),
            "tags": [{"name": SECTIONS[story.section]}],
            **fields,
        }
        return str(self._server.admin("POST", "posts", {"posts": [post]})["posts"][0]["id"])

    def _change(self, story: str, **fields: Any) -> dict[str, Any]:
        """Ghost refuses a change of what has changed since it was read: then it is read again, as its editor does."""
        for _try in range(5):
            read = self._server.admin("GET", f"posts/{story}")["posts"][0]
            body = {"posts": [{**fields, "updated_at": read["updated_at"]}]}
            with contextlib.suppress(AssertionError):
                changed: dict[str, Any] = self._server.admin("PUT", f"posts/{story}", body)["posts"][0]
                return changed
        raise AssertionError(f"Ghost does not take {fields}")


def lexical(paragraphs: Sequence[str]) -> str:
    """The document of Ghost's editor with these paragraphs."""
    common = {"direction": "ltr", "format": "", "indent": 0, "version": 1}
    text = {"detail": 0, "format": 0, "mode": "normal", "style": "", "type": "extended-text", "version": 1}
    children = [
        {"type": "paragraph", **common, "children": [{**text, "text": paragraph}]} for paragraph in paragraphs
    ]
    return json.dumps({"root": {"type": "root", **common, "children": children}})


@contextlib.contextmanager
def journey(folder: Path) -> Iterator[tuple[str, Iterator[Step]]]:
    """The order of docs/connect/ghost.md: an integration there, a source here, its webhooks there."""
    tools, package = ghost_site.installed()
    (folder / "site").mkdir()
    with ConnectedDesk(folder) as desk, Programs(folder / "site", tools.environment) as programs:
        server = GhostServer(programs, tools, package)
        integration, key = server.add_integration()
        added = desk.add_source("ghost", "ghost", "--base-url", server.url, "--api-token", key)
        server.add_webhooks(integration, added["intake_url"], added["secret"])
        day = NewsroomDay(GhostNewsroom(server, key), desk.running, desk.partner)
        yield f"Ghost {server.version}, Node {install_cache.NODE_VERSION}, SQLite", day.steps()


GHOST = TestedSystem("ghost", install_cache.npm_missing, journey, ghost_site.installed, limit=1800)
