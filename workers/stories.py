"""Stories as feeds show them: from the record's canonical content to `feeds.Item`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import feeds
from service.store.documents import FeedDue, Story


@dataclass(frozen=True)
class Desk:
    """Who publishes, and where: `public_url` without a slash at its end; `titles` of the sections by slug."""

    public_url: str
    titles: Mapping[str, str]

    @property
    def authority(self) -> str:
        return urlsplit(self.public_url).hostname or "localhost"


def feed_of(desk: Desk, due: FeedDue) -> feeds.Feed:
    """The feed's definition. Its id is a tag: URI that never changes (RFC 4151)."""
    return feeds.Feed(
        slug=due.slug,
        title=due.title,
        id=f"tag:{desk.authority},{due.made_at.date().isoformat()}:feed/{due.slug}",
        public_url=desk.public_url,
        home_url=desk.public_url + "/",
        authority=desk.authority,
        updated=due.made_at.replace(microsecond=0),
        language=due.language,
    )


def item_of(desk: Desk, story: Story) -> feeds.Item:
    """A story; for one that was taken down only what its notice needs."""
    if story.status != "usable":
        return feeds.Item(
            id=story.public_id,
            revision=story.revision,
            published=story.first_published_at,
            updated=story.changed_at,
            language=story.content.get("language"),
            withdrawn=cast(feeds.Withdrawal, story.status),
        )
    content = story.content
    return feeds.Item(
        id=story.public_id,
        revision=story.revision,
        published=story.first_published_at,
        updated=story.changed_at,
        headline=content["headline"],
        language=content.get("language"),
        url=content.get("url"),
        summary=content.get("summary"),
        body_html=content.get("body_html"),
        body_text=content.get("body_text"),
        authors=tuple(feeds.Author(each["name"], each.get("url")) for each in content.get("authors", ())),
        origin=_origin(content.get("origin")),
        original_author=content.get("original_author"),
        original_headline=content.get("original_headline"),
        responsible_editor=content.get("responsible_editor"),
        rights=_rights(content.get("rights")),
        sections=tuple((slug, desk.titles.get(slug, slug)) for slug in content.get("sections", ())),
        packages=tuple(content.get("packages", ())),
        keywords=tuple(content.get("keywords", ())),
        images=tuple(_image(each) for each in content.get("images", ())),
        correction_note=content.get("correction_note"),
        source_name=story.source_name,
    )


def _origin(origin: Mapping[str, Any] | None) -> feeds.Origin | None:
    return feeds.Origin(origin["name"], origin.get("url"), origin.get("country")) if origin else None


def _rights(rights: Mapping[str, Any] | None) -> feeds.Rights | None:
    if not rights:
        return None
    return feeds.Rights(
        rights.get("holder"), rights.get("notice"), rights.get("usage_terms"), rights.get("licence_url")
    )


def _image(image: Mapping[str, Any]) -> feeds.Image:
    return feeds.Image(
        url=image["url"],
        alt=image.get("alt"),
        credit=image.get("credit"),
        caption=image.get("caption"),
        type=image.get("type"),
        width=image.get("width"),
        height=image.get("height"),
        bytes=image.get("bytes"),
    )
