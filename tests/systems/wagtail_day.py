"""An editor's acts at Wagtail, in the forms of its administration; connected as docs/connect/wagtail.md says."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import requests

from tests.systems import wagtail_site
from tests.systems.connected_desk import ConnectedDesk
from tests.systems.news_system import EditedStory
from tests.systems.newsroom_day import NewsroomDay
from tests.systems.partner_view import ShownStory
from tests.systems.processes import Programs
from tests.systems.runner import Step, TestedSystem
from tests.systems.wagtail_site import PACKAGES, WagtailServer

ZONE = ZoneInfo("Asia/Karachi")
_SLUGS = {"world": "world", "business": "business", "china": "中国"}
_TRASH = "Wagtail has no trash"
_NEWS, _ARCHIVE = 0, 1


@dataclass
class PageForm:
    """The fields of a page's form as the editor has filled them."""

    story: EditedStory
    slug: str
    correction_note: str = ""
    go_live_at: str = ""
    parent: int = field(default=_NEWS)


class WagtailNewsroom:
    """The ids of stories are those of their pages."""

    source = "wagtail"
    ahead = 75.0
    lacks: ClassVar = {"trash, restore": _TRASH}

    def __init__(self, server: WagtailServer) -> None:
        self._server = server
        self._forms: dict[str, PageForm] = {}

    def publish(self, story: EditedStory) -> str:
        return self._create(PageForm(story, f"story-{len(self._forms) + 1}"))

    def schedule(self, story: EditedStory, at: datetime) -> str:
        go_live_at = f"{at.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"
        return self._create(PageForm(story, f"story-{len(self._forms) + 1}", go_live_at=go_live_at))

    def come_due(self) -> None:
        self._server.command("publish_scheduled", "publish_scheduled")

    def retitle(self, story: str, title: str) -> None:
        form = self._forms[story]
        form.story = EditedStory(title, form.story.paragraphs, form.story.section)
        self._save(story, EditedStory(title, form.story.paragraphs, form.story.section))

    def correct(self, story: str, title: str, note: str) -> None:
        self._forms[story].correction_note = note
        self.retitle(story, title)

    def rename(self, story: str, slug: str) -> str:
        self._forms[story].slug = slug
        self._save(story)
        return f"{self._server.url}/news/{slug}/"

    def move(self, story: str, section: str) -> None:
        form = self._forms[story]
        form.story = EditedStory(form.story.title, form.story.paragraphs, section)
        self._save(story)

    def unpublish(self, story: str) -> None:
        self._server.post(f"pages/{story}/unpublish/", {})

    def publish_again(self, story: str) -> None:
        self._save(story)

    def trash(self, story: str) -> None:
        self.delete(story)

    def restore(self, story: str) -> None:
        raise NotImplementedError

    def delete(self, story: str) -> None:
        self._server.post(f"pages/{story}/delete/", {})

    def bulk_unpublish(self, stories: Sequence[str]) -> None:
        self._bulk("unpublish", stories)

    def _bulk(self, action: str, stories: Sequence[str], **form: str) -> None:
        ids = "&".join(f"id={each}" for each in stories)
        self._server.post(f"bulk/wagtailcore/page/{action}/?{ids}&next=/admin/", form)

    def public(self) -> list[ShownStory]:
        query = "type=newsroom.ArticlePage&fields=body&limit=20"
        shown: list[ShownStory] = []
        while True:
            answer = requests.get(f"{self._server.url}/api/v2/pages/?{query}&offset={len(shown)}", timeout=60)
            assert answer.ok, answer.text[:500]
            found = answer.json()
            shown += [ShownStory.of(each["title"], each["body"]) for each in found["items"]]
            if not found["items"] or len(shown) >= found["meta"]["total_count"]:
                return shown

    def external_id(self, story: str) -> str:
        return f"page-{story}"

    def own_steps(self) -> Iterator[Step]:
        story = self.publish(EditedStory("For subscribers, later"))
        yield "a page becomes private", lambda: self._set_privacy(story, "login")
        yield "it is public again", lambda: self._set_privacy(story, "none")
        parent = self._server.facts["parents"][_ARCHIVE]
        yield "a page moves below another", lambda: self._move_below(story, parent)
        yield "the page above it becomes private", lambda: self._set_privacy(parent, "login")
        yield "the page above it is public again", lambda: self._set_privacy(parent, "none")
        both = [self.publish(EditedStory(f"Column {number}")) for number in (1, 2)]
        yield "bulk delete", lambda: self._bulk("delete", both)

    def _set_privacy(self, page: str, restriction: str) -> None:
        self._server.post(f"pages/{page}/privacy/", {"restriction_type": restriction})

    def _move_below(self, page: str, parent: str) -> None:
        self._server.post(f"pages/{page}/move/{parent}/confirm/", {})

    def _create(self, form: PageForm) -> str:
        parent = self._server.facts["parents"][form.parent]
        done = self._server.post(f"pages/add/newsroom/articlepage/{parent}/", self._filled(form))
        page = self._newest(done.text, form)
        self._forms[page] = form
        return page

    def _newest(self, listing: str, form: PageForm) -> str:
        """The page's id, by the listing that follows upon its creation."""
        found = [int(each) for each in re.findall(r"/admin/pages/(\d+)/edit/", listing)]
        assert found, f"no page after {form.story.title}: {listing[:500]}"
        return str(max(found))

    def _save(self, page: str, story: EditedStory | None = None) -> None:
        form = self._forms[page]
        self._server.post(f"pages/{page}/edit/", self._filled(form, story))

    def _filled(self, form: PageForm, story: EditedStory | None = None) -> dict[str, Any]:
        story = story or form.story
        return {
            "title": story.title,
            "slug": form.slug,
            "intro": "",
            "body": draftail(story.paragraphs),
            "correction_note": form.correction_note,
            "sections": [str(self._server.facts["sections"][_SLUGS[story.section]])],
            "go_live_at": form.go_live_at,
            "expire_at": "",
            "seo_title": "",
            "search_description": "",
            "comments-TOTAL_FORMS": "0",
            "comments-INITIAL_FORMS": "0",
            "action-publish": "action-publish",
        }


def draftail(paragraphs: Sequence[str]) -> str:
    """The value of Wagtail's editor with these paragraphs."""
    common: dict[str, Any] = {"type": "unstyled", "depth": 0, "inlineStyleRanges": [], "entityRanges": []}
    blocks = [{"key": f"{number:05x}", "text": text, **common} for number, text in enumerate(paragraphs)]
    return json.dumps({"blocks": blocks, "entityMap": {}})


@contextlib.contextmanager
def journey(folder: Path) -> Iterator[tuple[str, Iterator[Step]]]:
    """The order of docs/connect/wagtail.md: a source of our own JSON here, the file and its environment there."""
    python = wagtail_site.installed()
    (folder / "site").mkdir()
    with ConnectedDesk(folder) as desk:
        added = desk.add_source("wagtail", "native")
        environment = {"INTAKE_URL": desk.running.url, "INTAKE_KEY": added["api_key"]}
        with Programs(folder / "site", environment) as programs:
            server = WagtailServer(programs, python)
            day = NewsroomDay(WagtailNewsroom(server), desk.running, desk.partner)
            yield f"{', '.join(PACKAGES).replace('==', ' ')}, SQLite", day.steps()


WAGTAIL = TestedSystem("wagtail", list, journey, wagtail_site.installed, limit=1800)
