"""An item as the public may see it: clean, only a notice if it is withdrawn; and the texts derived from it."""

from __future__ import annotations

import html
import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import urlsplit

from feeds.model import EntryError, Feed, Item, ItemAuthor, ItemImage, ItemOrigin, ItemRights, Tombstone
from feeds.text import language, lead, line, prose, uri
from feeds.wording import correction_label, notice

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
_SPREAD = 100_000


def public(item: Item) -> Item:
    """The item with clean texts, URLs absolute ASCII or gone. Raises EntryError if it cannot be shown."""
    _check(item)
    published, updated = _in_utc(item, item.published), distinct(_in_utc(item, item.updated), item.id)
    item = replace(item, published=published, updated=updated, language=language(item.language))
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
        authority=line(feed.authority) or feed.slug,
        language=language(feed.language),
        hub=uri(feed.hub),
    )


def distinct(updated: datetime, item_id: str) -> datetime:
    """Gives items of the same whole second different times, for embargoes end at whole seconds.

    Readers and validators take equal times for one change. The same item gets the same time everywhere;
    a tenth of a second at most is added: the order stays.
    """
    if updated.microsecond:
        return updated
    return updated + timedelta(microseconds=1 + zlib.crc32(item_id.encode(errors="replace")) % _SPREAD)


def tombstone(item: Item) -> Tombstone | None:
    """The tombstone of an item that is gone, which goes beside its notice; None for any other item.

    One that is held has none: it may come back, and readers that obey a tombstone retire an item for good.
    """
    gone = item.withdrawn in {"killed", "unpublished"}
    return Tombstone(item.id, distinct(item.updated, item.id)) if gone else None


def content_html(item: Item) -> str:
    """The whole body as HTML, under its correction note."""
    body = item.body_html or _paragraphs(item.body_text or item.summary or item.headline)
    if item.correction_note is None:
        return body
    label = correction_label(item.language)
    return f"<p><strong>{label}</strong> {html.escape(item.correction_note, quote=False)}</p>\n{body}"


def content_text(item: Item) -> str | None:
    """The body as plain text, under its correction note; None if there is only HTML."""
    return _noted(item, item.body_text, "\n\n") if item.body_text else None


def summary(item: Item) -> str | None:
    """Plain text: the summary, after its correction note; None if there is none."""
    return _noted(item, item.summary, " ") if item.summary else None


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
