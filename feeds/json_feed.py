"""JSON Feed 1.1 (https://jsonfeed.org/version/1.1). Facts that it has no name for are in `_dateline`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from feeds.direction import direction
from feeds.model import Feed, Item, ItemImage, Tombstone
from feeds.public import DEFAULT_IMAGE_TYPE, content_html, content_text, creators, link, summary
from feeds.text import line, rfc3339

VERSION = "https://jsonfeed.org/version/1.1"


def item_bytes(item: Item) -> bytes:
    """An item that is public already, as one JSON object."""
    # A body is there once: as text where there is no HTML and no need to tell its direction. A notice, which is
    # short, is there as both.
    text_alone = (
        not item.body_html and not item.withdrawn and direction(item.language, item.headline) == "ltr"
    )
    return _bytes(
        {
            "id": item.id,
            "url": link(item),
            "external_url": item.origin.url if item.origin else None,
            "title": item.headline,
            "content_html": None if item.body_text and text_alone else content_html(item),
            "content_text": content_text(item) if text_alone or item.withdrawn else None,
            "summary": summary(item),
            "image": item.images[0].url if item.images else None,
            "date_published": rfc3339(item.published),
            "date_modified": rfc3339(item.updated),
            "authors": [_present(vars(author)) for author in creators(item)],
            "tags": list(dict.fromkeys([title for _, title in item.sections] + list(item.keywords))),
            "language": item.language,
            "attachments": [_attachment(image) for image in item.images],
            "_dateline": _dateline(item),
        }
    )


def frame(feed: Feed, tombstones: Sequence[Tombstone], updated: datetime) -> tuple[bytes, bytes]:
    """The document of no item, in two: before the place of the items, and after it. The feed is public already."""
    return _head(feed, tombstones, updated)[:-1] + b',"items":[\n', b"\n]}\n"


def closed_feed(title: str, url: str, home_url: str, words: str) -> bytes:
    """The last document of a feed that was at `url` and will not be updated again: it has no item, and `expired`."""
    head = {
        "version": VERSION,
        "title": line(title) or url,
        "home_page_url": home_url,
        "feed_url": url,
        "description": words,
        "expired": True,
    }
    return _bytes(head)[:-1] + b',"items":[]}\n'


def _head(feed: Feed, tombstones: Sequence[Tombstone], updated: datetime) -> bytes:
    deleted = [{"id": stone.ref, "when": rfc3339(stone.when)} for stone in tombstones]
    return _bytes(
        {
            "version": VERSION,
            "title": feed.full_title,
            "home_page_url": feed.home_url,
            "feed_url": None if feed.private else feed.url("json"),
            "description": feed.description,
            "icon": feed.masthead.logo_url,
            "favicon": feed.masthead.logo_url,
            "language": feed.language,
            "hubs": [{"type": "WebSub", "url": feed.hub}] if feed.hub else [],
            # No authors: readers would show the desk as the author of each story that names none.
            "_dateline": _present(
                {
                    "id": feed.id,
                    "updated": rfc3339(updated),
                    "publisher": feed.masthead.name,
                    "deleted": deleted,
                }
            ),
        }
    )


def _dateline(item: Item) -> dict[str, Any]:
    """The facts that partners need and JSON Feed has no place for."""
    return _present(
        {
            "revision": item.revision,
            "status": item.withdrawn or "usable",
            "correction_note": item.correction_note,
            "origin": _present(vars(item.origin)) if item.origin else None,
            "original_author": item.original_author,
            "original_headline": item.original_headline,
            "responsible_editor": item.responsible_editor,
            "rights": _present(vars(item.rights)) if item.rights else None,
            "sections": [slug for slug, _ in item.sections],
            "packages": list(item.packages),
            "images": [_present(vars(image)) for image in item.images],
            "source": item.source_name,
        }
    )


def _attachment(image: ItemImage) -> dict[str, Any]:
    return _present(
        {
            "url": image.url,
            "mime_type": image.type or DEFAULT_IMAGE_TYPE,
            "title": image.caption or image.alt,
            "size_in_bytes": image.bytes,
        }
    )


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are not empty: JSON Feed has no nulls."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _bytes(fields: dict[str, Any]) -> bytes:
    return json.dumps(_present(fields), ensure_ascii=False, separators=(",", ":")).encode()
