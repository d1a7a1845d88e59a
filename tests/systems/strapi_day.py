"""An editor's acts at Strapi, by the API of its content manager; connected as docs/connect/strapi.md says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from tests.systems import install_cache, strapi_site
from tests.systems.connected_desk import ConnectedDesk
from tests.systems.news_system import SECTIONS, EditedStory
from tests.systems.newsroom_day import NewsroomDay
from tests.systems.partner_view import ShownStory
from tests.systems.processes import Programs
from tests.systems.runner import Step, TestedSystem
from tests.systems.strapi_site import STRAPI_VERSION, StrapiServer

_SITE = "https://harbour.example/"
_NO_CLOCK = "Strapi publishes by a clock only in paid plans"


class StrapiNewsroom:
    """The ids of stories are their documents'."""

    source = "strapi"
    ahead = 60.0
    lacks: ClassVar[Mapping[str, str]] = {
        "schedule": _NO_CLOCK,
        "trash before time": _NO_CLOCK,
        "trash, restore": "Strapi has no trash",
    }

    def __init__(self, server: StrapiServer, sections: Mapping[str, dict[str, Any]]) -> None:
        self._server = server
        self._sections = sections

    def publish(self, story: EditedStory) -> str:
        item = {
            "title": story.title,
            "body": "\n\n".join(story.paragraphs),
            "sections": {"connect": [self._relation(story.section)], "disconnect": []},
        }
        return str(self._server.manage("POST", "/actions/publish", item)["data"]["documentId"])

    def schedule(self, story: EditedStory, at: datetime) -> str:
        raise NotImplementedError

    def come_due(self) -> None:
        raise NotImplementedError

    def retitle(self, story: str, title: str) -> None:
        self._change(story, title=title)

    def correct(self, story: str, title: str, note: str) -> None:
        self._change(story, title=title, correctionNote=note)

    def rename(self, story: str, slug: str) -> str:
        self._change(story, canonicalUrl=_SITE + slug)
        return _SITE + slug

    def move(self, story: str, section: str) -> None:
        before = [self._relation(each) for each in SECTIONS if each != section]
        self._change(story, sections={"connect": [self._relation(section)], "disconnect": before})

    def _relation(self, section: str) -> dict[str, Any]:
        found = self._sections[SECTIONS[section]]
        return {"id": found["id"], "documentId": found["documentId"]}

    def unpublish(self, story: str) -> None:
        self._server.manage("POST", f"/{story}/actions/unpublish", {})

    def publish_again(self, story: str) -> None:
        self._change(story)

    def trash(self, story: str) -> None:
        self.delete(story)

    def restore(self, story: str) -> None:
        raise NotImplementedError

    def delete(self, story: str) -> None:
        self._server.manage("DELETE", f"/{story}")

    def bulk_unpublish(self, stories: Sequence[str]) -> None:
        self._bulk("bulkUnpublish", stories)

    def _bulk(self, act: str, stories: Sequence[str]) -> None:
        self._server.manage("POST", f"/actions/{act}", {"documentIds": list(stories)})

    def public(self) -> list[ShownStory]:
        found = self._server.manage("GET", "?pageSize=100&status=published")["results"]
        read = [
            self._server.manage("GET", f"/{each['documentId']}?status=published")["data"] for each in found
        ]
        return [ShownStory.of(each["title"], each["body"]) for each in read if each.get("publishedAt")]

    def external_id(self, story: str) -> str:
        return story

    def own_steps(self) -> Iterator[Step]:
        story = self.publish(EditedStory("Draft over a public story"))
        yield "a draft over a published story", lambda: self._save_draft(story, "Nobody reads this yet")
        yield "the draft is published", lambda: self._change(story)
        both = [self.publish(EditedStory(f"Column {number}")) for number in (1, 2)]
        yield "bulk unpublish again", lambda: self._bulk("bulkUnpublish", both)
        yield "bulk publish", lambda: self._bulk("bulkPublish", both)
        yield "bulk delete", lambda: self._bulk("bulkDelete", both)

    def _save_draft(self, story: str, title: str) -> None:
        self._server.manage("PUT", f"/{story}", {"title": title})

    def _change(self, story: str, **fields: Any) -> None:
        read = self._server.manage("GET", f"/{story}")["data"]
        kept = {name: read[name] for name in ("title", "body", "correctionNote", "canonicalUrl")}
        self._server.manage("POST", f"/{story}/actions/publish", {**kept, **fields})


@contextlib.contextmanager
def journey(folder: Path) -> Iterator[tuple[str, Iterator[Step]]]:
    """The order of docs/connect/strapi.md: a token there, a source here, a webhook there."""
    tools, packages = strapi_site.installed()
    (folder / "site").mkdir()
    with ConnectedDesk(folder) as desk, Programs(folder / "site", tools.environment) as programs:
        server = StrapiServer(programs, tools, packages)
        slugs = ("world", "business-money", "zhongguo")
        sections = {
            title: server.add_section(title, slug)
            for title, slug in zip(SECTIONS.values(), slugs, strict=True)
        }
        token = server.add_token()
        where = ("--base-url", server.url, "--api-token", token)
        added = desk.add_source("strapi", "strapi", *where)
        server.add_webhook(added["intake_url"], added["secret"])
        day = NewsroomDay(StrapiNewsroom(server, sections), desk.running, desk.partner)
        yield f"Strapi {STRAPI_VERSION}, Node {install_cache.NODE_VERSION}, SQLite", day.steps()


STRAPI = TestedSystem("strapi", install_cache.npm_missing, journey, strapi_site.installed, limit=1800)
