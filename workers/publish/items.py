"""Items: stories as feeds show them, from the record's canonical content to `feeds.Item`. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, cast
from urllib.parse import quote, urlsplit

import feeds
from feeds.public import description
from feeds.text import lead
from service.store.feeds.contents import Story
from service.store.feeds.feeds import FeedDue
from service.store.feeds.kinds import ALL


@dataclass(frozen=True)
class Publisher:
    """The publisher of the feeds: `public_url` without a slash at its end. `sections` leads from every name that a
    section has or had to its (slug, title); the feeds of the `closed` ones are gone."""

    public_url: str
    sections: Mapping[str, tuple[str, str]]
    masthead: feeds.Masthead = feeds.NAMELESS
    closed: frozenset[str] = frozenset()

    @property
    def authority(self) -> str:
        return urlsplit(self.public_url).hostname or "localhost"

    @cached_property
    def profile(self) -> str:
        """An entry's bytes depend on this besides its story: how feeds are written, where our pages are, and which
        sections were renamed or closed."""
        renamed = sorted((name, *section) for name, section in self.sections.items() if name != section[0])
        facts = repr((self.public_url, renamed, sorted(self.closed)))
        return f"{feeds.PROFILE}.{zlib.crc32(facts.encode()):08x}"

    @property
    def style(self) -> str:
        """All that the bytes of every document depend on, besides its stories and its title."""
        return repr((feeds.PROFILE, self.public_url, self.masthead.name, self.masthead.logo_url))

    def desk_url(self, story: Story) -> str:
        """The place of the story on the page of its first section, or on that of all stories."""
        names = story.content.get("sections", ()) if story.status == "usable" else ()
        slugs = (self.sections.get(name, (name, name))[0] for name in names)
        slug = next((slug for slug in slugs if slug not in self.closed), ALL)
        return f"{feeds.feed_address(self.public_url, slug)}#{feeds.anchor(story.public_id)}"


def feed_of(publisher: Publisher, due: FeedDue) -> feeds.Feed:
    """The feed's definition. Its id is a tag: URI that never changes, in ASCII as every URI (RFC 4151)."""
    return feeds.Feed(
        slug=due.slug,
        title=due.title,
        id=f"tag:{publisher.authority},{due.made_at.date().isoformat()}:feed/{quote(due.born)}",
        public_url=publisher.public_url,
        home_url=f"{publisher.public_url}/feeds"
        if due.private
        else feeds.feed_address(publisher.public_url, due.slug),
        masthead=publisher.masthead,
        updated=due.made_at.replace(microsecond=0),
        language=due.language,
        pages=due.pages,
        private=due.private,
    )


def item_of(publisher: Publisher, story: Story) -> feeds.Item:
    """The item of a story; one that was taken down has only as much as its notice needs."""
    if story.status != "usable":
        return feeds.Item(
            id=story.public_id,
            revision=story.revision,
            published=_published(story),
            updated=story.changed_at,
            language=story.content.get("language"),
            withdrawn=cast(feeds.Withdrawal, story.status),
            number=story.article_id,
            desk_url=publisher.desk_url(story),
        )
    content = story.content
    return feeds.Item(
        id=story.public_id,
        revision=story.revision,
        published=_published(story),
        updated=story.changed_at,
        headline=content["headline"],
        language=content.get("language"),
        url=content.get("url"),
        summary=content.get("summary"),
        body_html=content.get("body_html"),
        body_text=content.get("body_text"),
        authors=tuple(feeds.ItemAuthor(each["name"], each.get("url")) for each in content.get("authors", ())),
        origin=_origin(content.get("origin")),
        original_author=content.get("original_author"),
        original_headline=content.get("original_headline"),
        responsible_editor=content.get("responsible_editor"),
        rights=_rights(content.get("rights")),
        sections=_sections(publisher, content.get("sections", ())),
        packages=tuple(content.get("packages", ())),
        keywords=tuple(content.get("keywords", ())),
        images=tuple(_image(each) for each in content.get("images", ())),
        correction_note=content.get("correction_note"),
        source_name=story.source_name,
        number=story.article_id,
        desk_url=publisher.desk_url(story),
    )


def brief_item_of(publisher: Publisher, story: Story) -> feeds.Item:
    """The story by its summary, or its first words, alone."""
    item = item_of(publisher, story)
    if item.withdrawn:
        return item
    summary = description(replace(item, correction_note=None))
    return replace(item, summary=lead(summary), body_html=None, body_text=None)


def _published(story: Story) -> datetime:
    """Never after the change itself: a source's date in the future would keep readers from showing the story."""
    return min(story.first_published_at, story.changed_at)


def _sections(publisher: Publisher, names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """As they are called now; one that was named by its old and its new name is one."""
    return tuple(dict.fromkeys(publisher.sections.get(name, (name, name)) for name in names))


def _origin(origin: Mapping[str, Any] | None) -> feeds.ItemOrigin | None:
    return feeds.ItemOrigin(origin["name"], origin.get("url"), origin.get("country")) if origin else None


def _rights(rights: Mapping[str, Any] | None) -> feeds.ItemRights | None:
    if not rights:
        return None
    return feeds.ItemRights(
        rights.get("holder"), rights.get("notice"), rights.get("usage_terms"), rights.get("licence_url")
    )


def _image(image: Mapping[str, Any]) -> feeds.ItemImage:
    return feeds.ItemImage(
        url=image["url"],
        alt=image.get("alt"),
        credit=image.get("credit"),
        caption=image.get("caption"),
        type=image.get("type"),
        width=image.get("width"),
        height=image.get("height"),
        bytes=image.get("bytes"),
    )
