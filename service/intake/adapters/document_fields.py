"""A story's fields out of a document whose names the newsroom chose: by the source's field map, else by usual names.

A value may have any shape that content systems give it: a text, a rich text, an asset, a linked document with a name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service import times
from service.intake import text
from service.intake.adapters.adapter import SourceSettings, Unreadable
from service.intake.adapters.json_values import a_moment, an_id, at_pointer, filled, part, plain, words
from service.intake.article import Article
from service.intake.rich_text import converters

USUAL_NAMES: Mapping[str, Sequence[str]] = {
    "headline": ("headline", "title", "name"),
    "summary": ("summary", "excerpt", "teaser", "intro", "standfirst", "lead", "description", "dek", "subtitle"),
    "body_html": ("body", "content", "text", "long_text", "longText", "bodyText", "article", "bodyHtml", "slices"),
    "sections": ("sections", "section", "categories", "category", "channels", "channel", "desk"),
    "keywords": ("keywords", "tags", "topics"),
    "authors": ("authors", "author", "byline", "writer", "writers"),
    "images": ("image", "cover", "coverImage", "cover_image", "mainImage", "main_image", "heroImage", "hero_image",
               "featuredImage", "featured_image", "teaserImage", "teaser_image", "images"),
    "url": ("url", "canonicalUrl", "canonical_url"),
    "language": ("language", "lang"),
    "published_at": ("publishedAt", "published_at", "publishDate", "publicationDate", "publication_date"),
    "ednote": ("ednote", "edNote"),
    "correction_note": ("correctionNote", "correction_note", "correction"),
    "embargo_until": ("embargoUntil", "embargo_until", "embargo"),
}  # fmt: skip
_NAMES = ("name", "title", "headline", "label", "fullName", "full_name", "displayName")
_ADDRESSES = ("url", "filename", "src", "asset")
ITEMS_MOST = 100  # of a list
DEPTH_OF_NAMES = 3


@dataclass(frozen=True)
class DocumentStyle:
    """A system's own shape of rich texts: which values are one, and its converter. `of_text`: the name of the converter
    of a body that is a text without tags; plain text, if it is empty."""

    is_rich_text: Callable[[Any], bool]
    to_html: Callable[[Any], str]
    of_text: str = ""


def read(
    document: Mapping[str, Any], values: Mapping[str, Any], settings: SourceSettings, style: DocumentStyle
) -> dict[str, Any]:
    """The fields that the document says. `values`: its own fields, among which the usual names are looked for; a
    pointer of the field map begins at the document."""
    found: dict[str, Any] = {}
    for field in Article.model_fields:
        rule = settings.fields.get(field)
        if rule is not None:
            found[field] = _shaped(field, at_pointer(document, rule.pointer), style, rule.converter)
            continue
        for name in USUAL_NAMES.get(field, ()):
            shaped = _shaped(field, values.get(name), style, "")
            if shaped not in (None, "", [], {}):
                found[field] = shaped
                break
    return filled(found)


def _shaped(field: str, value: Any, style: DocumentStyle, converter: str) -> Any:
    if converter:
        markup_of = _converted(value, converter)
        return markup_of if field == "body_html" else plain(markup_of)
    if field in _LISTS:
        return _LISTS[field](value)
    if field == "body_html":
        return body_of(value, style)
    if field in _MOMENTS:
        return moment_of(value)
    if style.is_rich_text(value):
        return plain(style.to_html(value))
    return _word(field, value)


def _word(field: str, value: Any) -> str | int | None:
    if isinstance(value, Mapping):
        return words(value, "code") if field == "language" else name_of(value)
    return value if isinstance(value, str | int) else None


def _sections(value: Any) -> list[list[str]]:
    return [names for each in _items(value) if (names := names_of(each))]


def _packages(value: Any) -> list[str]:
    return [names[0] for names in _sections(value)]


def _keywords(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else _items(value)
    return list(dict.fromkeys(name for each in parts if (name := name_of(each).strip())))


def _authors(value: Any) -> list[dict[str, Any]]:
    return [
        filled({"name": name, "url": _address(part(each, "url"))})
        for each in _items(value)
        if (name := name_of(each))
    ]


def _images(value: Any) -> list[dict[str, Any]]:
    return [image for each in _items(value) if (image := image_of(each))]


def _converted(value: Any, converter: str) -> str:
    try:
        return converters.converted(value, converter).html
    except converters.NoRichText as error:
        raise Unreadable(str(error)) from None


def body_of(value: Any, style: DocumentStyle) -> str:
    """HTML of a rich text, or of a text: as it is if it has tags, else as paragraphs."""
    if style.is_rich_text(value):
        return style.to_html(value)
    if isinstance(value, Mapping):
        if words(value, "html"):
            return words(value, "html")
        return next(
            (style.to_html(value[name]) for name in ("raw", "json") if style.is_rich_text(value.get(name))),
            "",
        )
    if not isinstance(value, str):
        return ""
    if "</" in value:
        return value
    return _converted(value, style.of_text) if style.of_text else text.to_html(value)


def moment_of(value: Any) -> str:
    """A time in the words of an article; a day is its first hour."""
    found = a_moment({"at": value}, "at")
    return times.to_iso(found) if found is not None else ""


def _items(value: Any) -> list[Any]:
    return value[:ITEMS_MOST] if isinstance(value, list) else [] if value in (None, "") else [value]


def name_of(value: Any, depth: int = 0) -> str:
    """The name of a person or thing: a text, or a document that has a name."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or depth > DEPTH_OF_NAMES:
        return ""
    values = value.get("content") if isinstance(value.get("content"), Mapping) else value
    for name in _NAMES:
        found = part(values, name)
        if isinstance(found, str) and found:
            return found
    both = " ".join(filter(None, (words(values, "firstName"), words(values, "lastName"))))
    return both or words(value, "name")


def names_of(value: Any) -> list[str]:
    """All the names that a section has there: its title, its slug, its id."""
    if not isinstance(value, Mapping):
        return [value] if isinstance(value, str) and value else []
    slug = value.get("slug")
    found = (
        name_of(value),
        words(slug, "current") if isinstance(slug, Mapping) else words(value, "slug"),
        words(value, "uid"),
        an_id(value, "id") or an_id(value, "_id") or words(value, "_ref"),
    )
    return list(dict.fromkeys(each for each in found if each))


def image_of(value: Any) -> dict[str, Any]:
    """A picture out of an asset, or out of a document that has one; empty without an address."""
    if isinstance(value, str):
        return {"url": value} if value.startswith(("https://", "http://")) else {}
    if not isinstance(value, Mapping):
        return {}
    address = next((found for name in _ADDRESSES if (found := _address(value.get(name)))), "")
    if not address:
        return {}
    size = value.get("dimensions") if isinstance(value.get("dimensions"), Mapping) else value
    return filled(
        {
            "url": address,
            "alt": words(value, "alt") or words(value, "altText") or words(value, "alternativeText"),
            "caption": words(value, "caption") or words(value, "title"),
            "credit": words(value, "credit") or words(value, "copyright") or words(value, "source"),
            "width": _count(part(size, "width")),
            "height": _count(part(size, "height")),
        }
    )


def _address(value: Any) -> str:
    found = words(value, "url") if isinstance(value, Mapping) else value if isinstance(value, str) else ""
    if found.startswith("//"):
        return f"https:{found}"
    return found if found.startswith(("https://", "http://")) else ""


def _count(value: Any) -> int | None:
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000_000
    return value if usable else None


_MOMENTS = ("published_at", "updated_at", "embargo_until", "expires_at")
_LISTS: Mapping[str, Callable[[Any], Any]] = {
    "sections": _sections,
    "packages": _packages,
    "keywords": _keywords,
    "authors": _authors,
    "images": _images,
}
