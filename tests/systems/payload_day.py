"""An editor's acts at Payload, by the requests of its own screens; connected as docs/connect/payload.md says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from tests.systems import install_cache, payload_site
from tests.systems.connected_desk import ConnectedDesk
from tests.systems.news_system import SECTIONS, EditedStory
from tests.systems.newsroom_day import QUIET, NewsroomDay
from tests.systems.partner_view import ShownStory
from tests.systems.payload_site import PAYLOAD_VERSION, PayloadServer
from tests.systems.processes import Programs
from tests.systems.runner import Step, TestedSystem

_SITE = "https://harbour.example/"
_LOCALES = ("en", "ur", "zh-Hans")


class PayloadNewsroom:
    """The ids of stories are those of the desk: a document's, with its locale behind it where that is not English.

    The screens ask for no depth: the hooks of what they change have relations as bare ids.
    """

    source = "payload"
    ahead = 60.0
    lacks: ClassVar[Mapping[str, str]] = {}

    def __init__(self, server: PayloadServer, desk: ConnectedDesk, token: str) -> None:
        self._server = server
        self._desk = desk
        self._token = token
        self._sections: dict[str, int] = {}

    def add_sections(self) -> None:
        slugs = ("world", "business-money", "zhongguo")
        for (ours, title), slug in zip(SECTIONS.items(), slugs, strict=True):
            self._sections[ours] = self._server.add_section(title, slug)

    def publish(self, story: EditedStory) -> str:
        return self._add(story, _status="published")

    def schedule(self, story: EditedStory, at: datetime) -> str:
        added = self._add(story, draft="true", _status="draft")
        self._server.api("POST", "schedule", {"id": added, "at": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"})
        return added

    def come_due(self) -> None:
        """Payload's jobs are run by a cron of the site's."""
        self._server.api("GET", "payload-jobs/run", allQueues="true")

    def retitle(self, story: str, title: str) -> None:
        self._publish(story, title=title)

    def correct(self, story: str, title: str, note: str) -> None:
        self._publish(story, title=title, correctionNote=note)

    def rename(self, story: str, slug: str) -> str:
        self._publish(story, url=_SITE + slug)
        return _SITE + slug

    def move(self, story: str, section: str) -> None:
        self._publish(story, sections=[self._sections[section]])

    def unpublish(self, story: str) -> None:
        query = {"depth": "0", "fallback-locale": "null", "locale": _parts(story)[1]}
        self._server.api("PATCH", f"articles/{_parts(story)[0]}", {"_status": "draft"}, **query)

    def publish_again(self, story: str) -> None:
        self._publish(story)

    def trash(self, story: str) -> None:
        gone_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
        self._server.api("PATCH", f"articles/{_parts(story)[0]}", {"deletedAt": gone_at})

    def restore(self, story: str) -> None:
        query = {"trash": "true", "where[and][0][id][equals]": _parts(story)[0],
                 "where[and][1][deletedAt][exists]": "true"}  # fmt: skip
        self._server.api("PATCH", "articles", {"deletedAt": None, "_status": "published"}, **query)

    def delete(self, story: str) -> None:
        self._server.api("DELETE", f"articles/{_parts(story)[0]}")

    def bulk_unpublish(self, stories: Sequence[str]) -> None:
        self._bulk(stories, "draft")

    def _bulk(self, stories: Sequence[str], status: str) -> None:
        self._server.api("PATCH", "articles", {"_status": status}, locale="en", **_those(stories))

    def public(self) -> list[ShownStory]:
        shown: list[ShownStory] = []
        for locale in _LOCALES:
            query = {"draft": "false", "limit": "200", "locale": locale, "fallback-locale": "none"}
            docs = self._server.api("GET", "articles", **query, **{"where[_status][equals]": "published"})[
                "docs"
            ]
            shown += [
                ShownStory.of(each["title"], _html(each.get("body"))) for each in docs if each.get("title")
            ]
        return shown

    def external_id(self, story: str) -> str:
        return story

    def own_steps(self) -> Iterator[Step]:
        yield from self._drafts()
        yield from self._translations()
        both = [self.publish(EditedStory(f"Column {number}")) for number in (1, 2)]
        yield "bulk unpublish again", lambda: self._bulk(both, "draft")
        yield "bulk publish", lambda: self._bulk(both, "published")
        yield "bulk delete", lambda: self._server.api("DELETE", "articles", **_those(both))
        yield "the id of a deleted story is used again", lambda: self.publish(EditedStory("Another"))
        self._desk.running.dateline("source", "set", self.source, "--base-url", "", "--api-token", "")
        yield from self._drafts("without --base-url: ")
        where = ("--base-url", self._server.url, "--api-token", self._token)
        self._desk.running.dateline("source", "set", self.source, *where)

    def _drafts(self, where: str = "") -> Iterator[Step]:
        story = self.publish(EditedStory(f"{where}Draft over a public story"))
        yield f"{where}a draft over a published story", lambda: self._draft(story, "Nobody reads this")
        yield f"{where}an automatic save", lambda: self._draft(story, "Nor this", autosave="true")
        yield f"{where}unpublish after a draft", lambda: self.unpublish(story)
        yield f"{where}a draft of what is unpublished", lambda: self._draft(story, "Nor that")
        yield f"{where}publish the draft", lambda: self._publish(story)

    def _translations(self) -> Iterator[Step]:
        story = self.publish(EditedStory("Told in two languages"))
        urdu = f"{story}.ur"
        yield "translate", lambda: self._publish(urdu, title="دو زبانوں میں", body=_lexical(["متن"]))
        yield "unpublish in all languages", lambda: self.unpublish(story)
        yield "publish in all languages", lambda: self._publish(story)
        yield "take a translation back", lambda: self._publish(urdu, title=None, body=None)
        yield "delete in all languages", lambda: self.delete(story)

    def _draft(self, story: str, title: str, **query: str) -> None:
        self._change(story, {"title": title, "_status": "draft"}, draft="true", **query)
        time.sleep(QUIET)

    def _publish(self, story: str, **fields: Any) -> None:
        self._change(story, {**fields, "_status": "published"})

    def _change(self, story: str, fields: dict[str, Any], **query: str) -> None:
        document, locale = _parts(story)
        self._server.api("PATCH", f"articles/{document}", fields, depth="0", locale=locale, **query)

    def _add(self, story: EditedStory, draft: str = "false", **fields: Any) -> str:
        item = {
            "title": story.title,
            "body": _lexical(story.paragraphs),
            "sections": [self._sections[story.section]],
            **fields,
        }
        locale = story.language
        added = self._server.api("POST", "articles", item, depth="0", draft=draft, locale=locale)
        document = added["doc"]["id"]
        return str(document) if locale == "en" else f"{document}.{locale}"


def _parts(story: str) -> tuple[str, str]:
    document, _, locale = story.partition(".")
    return document, locale or "en"


def _those(stories: Sequence[str]) -> dict[str, str]:
    return {f"where[id][in][{place}]": _parts(each)[0] for place, each in enumerate(stories)}


def _lexical(paragraphs: Sequence[str]) -> dict[str, Any]:
    """The document of Payload's editor with these paragraphs."""
    common = {"direction": "ltr", "format": "", "indent": 0, "version": 1}
    text = {"type": "text", "detail": 0, "format": 0, "mode": "normal", "style": "", "version": 1}
    children = [{"type": "paragraph", **common, "children": [{**text, "text": each}]} for each in paragraphs]
    return {"root": {"type": "root", **common, "children": children}}


def _html(document: dict[str, Any] | None) -> str:
    """Its paragraphs, as a site shows them."""
    children = document["root"]["children"] if document else []
    return "".join(f"<p>{''.join(run['text'] for run in each['children'])}</p>" for each in children)


@contextlib.contextmanager
def journey(folder: Path) -> Iterator[tuple[str, Iterator[Step]]]:
    """The order of docs/connect/payload.md: a user there, a source here, its hook there."""
    tools, packages = payload_site.installed()
    (folder / "site").mkdir()
    with ConnectedDesk(folder) as desk, Programs(folder / "site", tools.environment) as programs:
        server = PayloadServer(programs, tools, packages)
        token = server.add_reader()
        where = ("--base-url", server.url, "--api-token", token, "--content-type", "articles")
        added = desk.add_source("payload", "payload", *where)
        server.set_hook(added["intake_url"], added["secret"])
        newsroom = PayloadNewsroom(server, desk, token)
        newsroom.add_sections()
        day = NewsroomDay(newsroom, desk.running, desk.partner)
        yield f"Payload {PAYLOAD_VERSION}, Node {install_cache.NODE_VERSION}, SQLite", day.steps()


PAYLOAD = TestedSystem("payload", install_cache.npm_missing, journey, payload_site.installed, limit=1800)
