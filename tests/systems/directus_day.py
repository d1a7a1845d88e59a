"""An editor's acts at Directus, by the API of its own screens; connected as docs/connect/directus.md says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from tests.systems import directus_site, install_cache
from tests.systems.connected_desk import ConnectedDesk
from tests.systems.directus_site import DIRECTUS_VERSION, DirectusServer
from tests.systems.news_system import SECTIONS, EditedStory
from tests.systems.newsroom_day import NewsroomDay
from tests.systems.partner_view import ShownStory
from tests.systems.processes import Programs
from tests.systems.runner import Step, TestedSystem

_SITE = "https://harbour.example/"


class DirectusNewsroom:
    """The ids of stories are the items' keys. Directus has no clock: its sites leave out what is not due yet."""

    source = "directus"
    ahead = 60.0
    lacks: ClassVar[Mapping[str, str]] = {}

    def __init__(self, server: DirectusServer, sections: Mapping[str, int]) -> None:
        self._server = server
        self._sections = sections

    def publish(self, story: EditedStory) -> str:
        return self._add(story)

    def schedule(self, story: EditedStory, at: datetime) -> str:
        return self._add(story, publish_at=f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")

    def come_due(self) -> None:
        """Nothing happens in Directus."""

    def retitle(self, story: str, title: str) -> None:
        self._change(story, title=title)

    def correct(self, story: str, title: str, note: str) -> None:
        self._change(story, title=title, correction_note=note)

    def rename(self, story: str, slug: str) -> str:
        self._change(story, url=_SITE + slug)
        return _SITE + slug

    def move(self, story: str, section: str) -> None:
        read = self._server.api("GET", f"items/articles/{story}?fields=sections.id")
        gone = [each["id"] for each in read["sections"]]
        added = [{"sections_id": self._sections[SECTIONS[section]]}]
        self._change(story, sections={"create": added, "update": [], "delete": gone})

    def unpublish(self, story: str) -> None:
        self._change(story, status="draft")

    def publish_again(self, story: str) -> None:
        self._change(story, status="published")

    def trash(self, story: str) -> None:
        self._change(story, status="archived")

    def restore(self, story: str) -> None:
        self._change(story, status="published")

    def delete(self, story: str) -> None:
        self._server.api("DELETE", f"items/articles/{story}")

    def bulk_unpublish(self, stories: Sequence[str]) -> None:
        self._bulk(stories, "draft")

    def _bulk(self, stories: Sequence[str], status: str) -> None:
        self._server.api("PATCH", "items/articles", {"keys": list(stories), "data": {"status": status}})

    def public(self) -> list[ShownStory]:
        rows = self._server.api("GET", "items/articles?filter[status][_eq]=published&limit=-1")
        now = datetime.now(UTC)
        due = [each for each in rows if not each["publish_at"] or _moment(each["publish_at"]) <= now]
        return [ShownStory.of(each["title"], each["body"]) for each in due]

    def external_id(self, story: str) -> str:
        return story

    def own_steps(self) -> Iterator[Step]:
        both = [self.publish(EditedStory(f"Column {number}")) for number in (1, 2)]
        yield "bulk archive", lambda: self._bulk(both, "archived")
        yield "bulk publish", lambda: self._bulk(both, "published")
        yield "bulk delete", lambda: self._server.api("DELETE", "items/articles", both)

    def _add(self, story: EditedStory, **fields: Any) -> str:
        item = {
            "status": "published",
            "title": story.title,
            "body": "".join(f"<p>{each}</p>" for each in story.paragraphs),
            "sections": [{"sections_id": self._sections[SECTIONS[story.section]]}],
            **fields,
        }
        return str(self._server.api("POST", "items/articles", item)["id"])

    def _change(self, story: str, **fields: Any) -> None:
        self._server.api("PATCH", f"items/articles/{story}", fields)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@contextlib.contextmanager
def journey(folder: Path) -> Iterator[tuple[str, Iterator[Step]]]:
    """The order of docs/connect/directus.md: a user there, a source here, a flow there."""
    tools, packages = directus_site.installed()
    (folder / "site").mkdir()
    with ConnectedDesk(folder) as desk, Programs(folder / "site", tools.environment) as programs:
        server = DirectusServer(programs, tools, packages)
        sections = server.add_collections()
        token = server.add_reader()
        where = ("--base-url", server.url, "--api-token", token, "--content-type", "articles")
        added = desk.add_source("directus", "directus", *where)
        server.add_flow(added["intake_url"], added["secret"])
        day = NewsroomDay(DirectusNewsroom(server, sections), desk.running, desk.partner)
        yield f"Directus {DIRECTUS_VERSION}, Node {install_cache.NODE_VERSION}, SQLite", day.steps()


DIRECTUS = TestedSystem("directus", install_cache.npm_missing, journey, directus_site.installed, limit=1800)
