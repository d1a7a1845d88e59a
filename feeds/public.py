"""An item as the public may see it: clean, only a notice if it is withdrawn; and the texts derived from it."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import urlsplit

from feeds.direction import direction
from feeds.model import (
    EntryError,
    Feed,
    Item,
    ItemAuthor,
    ItemImage,
    ItemOrigin,
    ItemRights,
    Masthead,
    Tombstone,
)
from feeds.text import language, lead, line, prose, uri
from feeds.wording import correction_label, notice, source_label

# Readers ignore an attachment without a media type. Most news pictures have this one.
DEFAULT_IMAGE_TYPE = "image/jpeg"
_TAG = re.compile(r"<[^>]*>")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")
_TYPES = {
    "png": "png",
    "gif": "gif",
    "webp": "webp",
    "avif": "avif",
    "svg": "svg+xml",
    "jpg": "jpeg",
    "jpeg": "jpeg",
}
_BLOCK_END = re.compile(r"<br\b[^>]*>|</(?:p|h[1-6]|li|blockquote|div|figcaption|tr|pre)>")
# Of the stories whose embargo ends at the same whole second, so many in a row have times of their own.
_SPREAD = 499
# Of the stories of the same hundredth of a second, so many in a row do. One that changes again has a later hundredth.
_STEP = 10


def public(item: Item) -> Item:
    """The item with clean texts, URLs absolute ASCII or gone. Raises EntryError if it cannot be shown."""
    _check(item)
    published = _hundredth(_in_utc(item, item.published))  # so it is never after `updated`
    updated = distinct(_in_utc(item, item.updated), item.number)
    item = replace(
        item,
        published=published,
        updated=updated,
        language=language(item.language),
        desk_url=uri(item.desk_url),
    )
    return _withdrawn(item) if item.withdrawn else _usable(item)


@lru_cache(maxsize=512)
def public_feed(feed: Feed) -> Feed:
    """The feed with clean texts and URLs in ASCII. Raises ValueError if it has no address."""
    home_url = uri(feed.home_url)
    if home_url is None or uri(feed.public_url) is None:
        raise ValueError(f"feed {feed.slug}: home_url and public_url must be absolute http or https URLs")
    return replace(
        feed,
        title=line(feed.title) or feed.slug,
        description=line(feed.description),
        home_url=home_url,
        masthead=Masthead(line(feed.masthead.name) or "", uri(feed.masthead.logo_url) or ""),
        language=language(feed.language),
        hub=uri(feed.hub),
    )


def distinct(updated: datetime, number: int) -> datetime:
    """Gives items of the same moment different times, in whole milliseconds: no reader can be trusted with more.

    Readers and validators take equal times for one change. Embargoes end at whole seconds: then half a second at most
    is added. Else the last digit is the item's. The same item gets the same time everywhere.
    """
    if updated.microsecond:
        return _hundredth(updated) + timedelta(milliseconds=number % _STEP)
    return updated + timedelta(milliseconds=1 + number % _SPREAD)


def _hundredth(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // (1_000 * _STEP) * 1_000 * _STEP)


def anchor(item_id: str) -> str:
    """The place of a story on the pages of our own that show it."""
    return "story-" + re.sub(r"[^A-Za-z0-9]", "-", item_id.rpartition("/")[2])


def link(item: Item) -> str | None:
    """The address to read it at. Without one, readers open its picture."""
    return item.url or item.desk_url


def tombstone(item: Item) -> Tombstone | None:
    """The tombstone of an item that is gone, which goes beside its notice; None for any other item.

    One that is held has none: it may come back, and readers that obey a tombstone retire an item for good.
    """
    gone = item.withdrawn in {"killed", "unpublished"}
    return Tombstone(item.id, distinct(item.updated, item.number)) if gone else None


def content_html(item: Item) -> str:
    """The whole body as HTML, under its correction note and above its source, in the direction of its language."""
    body = item.body_html or _paragraphs(item.body_text or item.summary or item.headline)
    if item.correction_note is not None:
        note = html.escape(item.correction_note, quote=False)
        body = f"<p><strong>{correction_label(item.language)}</strong> {note}</p>\n{body}"
    if item.origin is not None:
        body = f"{body}\n{_source_line(item, item.origin)}"
    if direction(item.language, item.headline) == "ltr":
        return body
    tag = "" if item.language is None else f' lang="{item.language}"'
    return f'<div dir="rtl"{tag}>{body}</div>'


def content_text(item: Item) -> str | None:
    """The body as plain text, under its correction note and above its source; None if there is only HTML."""
    if not item.body_text:
        return None
    noted = _noted(item, item.body_text, "\n\n")
    if item.origin is None:
        return noted
    address = f" {item.origin.url}" if item.origin.url else ""
    return f"{noted}\n\n{source_label(item.language)} {item.origin.name}{address}"


def summary(item: Item) -> str | None:
    """Plain text: the summary, after its correction note; None if there is neither."""
    return _noted(item, item.summary or "", " ").strip(" ") or None


def paragraphs(item: Item) -> list[str]:
    """The body as paragraphs of plain text: a page of ours has no pictures, and no markup of others."""
    if item.body_text:
        return [block for block in item.body_text.splitlines() if block.strip()]
    texts = (html.unescape(_TAG.sub(" ", part)) for part in _BLOCK_END.split(item.body_html or ""))
    return [flat for text in texts if (flat := " ".join(text.split()))]


def description(item: Item) -> str:
    """Plain text, never empty: the summary, or else the first words of the story."""
    text = item.summary or item.body_text or html.unescape(_TAG.sub(" ", item.body_html or ""))
    return _noted(item, item.summary or lead(text) or item.headline, " ")


def creators(item: Item) -> tuple[ItemAuthor, ...]:
    """The authors, and after them the original author if he is not one of them."""
    original = item.original_author
    if original is None or any(author.name == original for author in item.authors):
        return item.authors
    return (*item.authors, ItemAuthor(original))


def rights_text(rights: ItemRights | None) -> str | None:
    if rights is None:
        return None
    return " – ".join(part for part in (rights.notice or rights.holder, rights.usage_terms) if part) or None


def _source_line(item: Item, origin: ItemOrigin) -> str:
    name = html.escape(origin.name, quote=False)
    linked = f'<a href="{html.escape(origin.url)}">{name}</a>' if origin.url else name
    return f"<p>{source_label(item.language)} {linked}</p>"


def _noted(item: Item, text: str, gap: str) -> str:
    if item.correction_note is None:
        return text
    return f"{correction_label(item.language)} {item.correction_note}{gap}{text}"


def _paragraphs(text: str) -> str:
    blocks = [block.strip("\n") for block in re.split(r"\n[ \t]*\n", text)]
    return "\n".join(
        f"<p>{html.escape(block, quote=False).replace(chr(10), '<br>')}</p>" for block in blocks if block
    )


def _check(item: Item) -> None:
    if line(item.id) != item.id:
        raise EntryError(repr(item.id), "the id is empty or has characters that no feed can carry")
    if not item.withdrawn and line(item.headline) is None:
        raise EntryError(item.id, "the headline has no printable character; send one")


def _in_utc(item: Item, moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise EntryError(item.id, "its times need a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as failure:
        raise EntryError(item.id, f"{moment} is no time in UTC") from failure


def _withdrawn(item: Item) -> Item:
    """A new item, not an emptied one: fields that are added to Item later cannot leak out of a withdrawn story."""
    assert item.withdrawn is not None
    words = notice(item.withdrawn, item.language)
    return Item(
        id=item.id,
        revision=item.revision,
        published=item.published,
        updated=item.updated,
        headline=words.title,
        language=words.language,
        summary=words.text,
        body_text=words.text,
        withdrawn=item.withdrawn,
        number=item.number,
        desk_url=item.desk_url,
    )


def _usable(item: Item) -> Item:
    return replace(
        item,
        headline=line(item.headline) or "",
        url=uri(item.url),
        summary=_block(item.summary),
        body_html=_block(item.body_html),
        body_text=_block(item.body_text),
        authors=tuple(ItemAuthor(name, uri(a.url)) for a in item.authors if (name := line(a.name))),
        origin=_origin(item.origin),
        original_author=line(item.original_author),
        original_headline=line(item.original_headline),
        responsible_editor=line(item.responsible_editor),
        rights=_rights(item.rights),
        sections=tuple((s, line(title) or s) for slug, title in item.sections if (s := line(slug))),
        packages=_lines(item.packages),
        keywords=_lines(item.keywords),
        images=tuple(_image(image, url) for image in item.images if (url := uri(image.url))),
        correction_note=line(item.correction_note),
        source_name=line(item.source_name),
    )


def _block(text: str | None) -> str | None:
    clean = prose(text or "")
    return clean if clean.strip() else None


def _lines(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(clean for text in texts if (clean := line(text))))


def _origin(origin: ItemOrigin | None) -> ItemOrigin | None:
    name = line(origin.name) if origin else None
    return ItemOrigin(name, uri(origin.url), line(origin.country)) if origin and name else None


def _rights(rights: ItemRights | None) -> ItemRights | None:
    if rights is None:
        return None
    return ItemRights(
        line(rights.holder), line(rights.notice), line(rights.usage_terms), uri(rights.licence_url)
    )


def _image(image: ItemImage, url: str) -> ItemImage:
    return ItemImage(
        url=url,
        alt=line(image.alt),
        credit=line(image.credit),
        caption=line(image.caption),
        type=_image_type(image.type, url),
        width=_positive(image.width),
        height=_positive(image.height),
        bytes=_positive(image.bytes),
    )


def _image_type(given: str | None, url: str) -> str | None:
    if given and _MEDIA_TYPE.fullmatch(given.lower()):
        return given.lower()
    ending = urlsplit(url).path.rpartition(".")[2].lower()
    return f"image/{_TYPES[ending]}" if ending in _TYPES else None


def _positive(number: int | None) -> int | None:
    return number if number and number > 0 else None
