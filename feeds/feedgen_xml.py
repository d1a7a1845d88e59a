"""RSS 2.0 and Atom, by feedgen, which only this module knows. Its items and feeds are public already."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from xml.parsers import expat

from feedgen.entry import FeedEntry
from feedgen.feed import FeedGenerator
from lxml import etree

from feeds.model import EntryError, Feed, Item, Tombstone
from feeds.public import DEFAULT_IMAGE_TYPE, content_html, creators, description, link, rights_text, summary
from feeds.repairs import ATOM, NAMESPACES, EntryRepair, FeedRepair, entry_links
from feeds.text import rfc2822, rfc3339

SECTION = "urn:x-dateline:section"
PACKAGE = "urn:x-dateline:package"

_CONTENT = "http://purl.org/rss/1.0/modules/content/"
_REFERENCES = {b"&lt;": b"&#x3C;", b"&amp;": b"&#x26;"}
# A section of text, or a tag, is left as it is.
_ESCAPED = re.compile(rb"<!\[CDATA\[.*?\]\]>|<[^>]*>|&(?:lt|amp);", re.DOTALL)
_TAILS = {"rss": b"</channel></rss>", "atom": b"</feed>"}
_ROOTS = {"rss": {**NAMESPACES, "atom": ATOM, "content": _CONTENT}, "atom": NAMESPACES}
_STARTS = {"rss": b"<item", "atom": b"<entry"}
_DECLARED = {
    fmt: "".join(f' xmlns:{prefix}="{name}"' for prefix, name in names.items()).encode()
    for fmt, names in _ROOTS.items()
}


class _Unwritten(datetime):
    """A time that feedgen takes but, finding it false, does not write.

    It writes RSS dates by switching the whole process's locale and back, which is not safe among threads; the
    repairs write them instead.
    """

    def __bool__(self) -> bool:
        return False


_UNWRITTEN = _Unwritten(2000, 1, 1, tzinfo=UTC)
_LONGEST = 10_000_000  # libxml2's limit of a text, with which most readers parse
# XML can contain it, and no text that is public does: neither a text that `prose` cleaned nor one that `unescape` made.
_PLACEHOLDER = "\x7f"
_MARK = datetime(1907, 6, 5, 4, 3, 2, 987654, tzinfo=UTC)


def entry_bytes(item: Item, fmt: str) -> bytes:
    """The entry as it is in any document, without a declaration of a namespace. Raises EntryError if it is not XML."""
    try:
        # Under a root with the document's namespaces, so that none is declared in the entry.
        root = etree.Element("root", nsmap=_ROOTS[fmt])
        root.append(_element(item, fmt))
        written = _referenced(etree.tostring(root, encoding="UTF-8"), fmt)
        spliced = _with_content(written[written.index(b">") + 1 : written.rindex(b"</root>")], item, fmt)
        _parse_alone(spliced, fmt)
    except (ValueError, etree.LxmlError, expat.ExpatError) as failure:
        raise EntryError(item.id, f"it does not make well-formed XML: {failure}") from failure
    return spliced


def _with_content(skeleton: bytes, item: Item, fmt: str) -> bytes:
    """The entry with its body in place of the placeholder, written as feedgen has lxml write it.

    The body is nearly all of an entry's bytes, and taking it through two trees is nearly all of its cost.
    """
    content = content_html(item)
    if len(content.encode()) >= _LONGEST:
        raise ValueError(f"its body is longer than {_LONGEST} bytes: parsers refuse it")
    if fmt == "rss":
        written = content.replace("]]>", "]]]]><![CDATA[>")
    else:
        written = content.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    before, after = skeleton.split(_PLACEHOLDER.encode())
    return b"".join((before, written.encode(), after))


def frame(feed: Feed, tombstones: Sequence[Tombstone], updated: datetime, fmt: str) -> tuple[bytes, bytes]:
    """The document of no entry, in two: before the place of the entries, and after it."""
    parts = _undated(feed, tuple(tombstones), fmt)
    head = _written_time(updated, fmt).join(parts)
    if len(parts) != 2:  # a title contains the very time by which the place of the time is found
        head = full_build(feed, (), tombstones, updated, fmt)
    tail = _TAILS[fmt]
    assert head.endswith(tail)
    return head[: -len(tail)], tail


@lru_cache(maxsize=512)
def _undated(feed: Feed, tombstones: tuple[Tombstone, ...], fmt: str) -> tuple[bytes, ...]:
    """The document of no entry, cut at its time, which is all that changes from one build to the next."""
    return tuple(full_build(feed, (), tombstones, _MARK, fmt).split(_written_time(_MARK, fmt)))


def _written_time(moment: datetime, fmt: str) -> bytes:
    return (rfc2822(moment) if fmt == "rss" else rfc3339(moment)).encode()


def full_build(
    feed: Feed, items: Sequence[Item], tombstones: Sequence[Tombstone], updated: datetime, fmt: str
) -> bytes:
    """The document built whole by feedgen. A frame around entries gives the same bytes for less."""
    generator = FeedGenerator()
    generator.register_extension("repair", FeedRepair, EntryRepair)
    generator.repair.describe(feed, tombstones, updated, fmt)
    _describe_feed(generator, feed, updated, fmt)
    for item in items:
        _describe(generator.add_entry(order="append"), item, fmt, content_html(item))
    document: bytes = generator.rss_str() if fmt == "rss" else generator.atom_str()
    return _referenced(document, fmt)


def _referenced(written: bytes, fmt: str) -> bytes:
    """The same XML; in RSS with `&#x3C;` and `&#x26;` in its texts, as the RSS Advisory Board has it.

    By these, readers and validators know plain text from markup.
    """
    return _ESCAPED.sub(_reference, written) if fmt == "rss" else written


def _reference(found: re.Match[bytes]) -> bytes:
    return _REFERENCES.get(found.group(), found.group())


def _describe_feed(generator: Any, feed: Feed, updated: datetime, fmt: str) -> None:
    kind = {"rss": "application/rss+xml", "atom": "application/atom+xml"}[fmt]
    generator.id(feed.id)
    generator.title(feed.full_title)
    # Set even where the repairs write it: without it feedgen writes the present time.
    generator.updated(_UNWRITTEN if fmt == "rss" else updated.astimezone(UTC))
    # Atom demands an author. Readers show it where a story names none, so it is never a machine's name.
    generator.author(name=feed.masthead.name or feed.title)
    generator.generator("Dateline")
    generator.language(feed.language)
    if not feed.private:
        generator.link(href=feed.own_url("rss" if fmt == "rss" else "atom"), rel="self", type=kind)
    generator.link(href=feed.home_url, rel="alternate", type="text/html")
    if feed.hub:
        generator.link(href=feed.hub, rel="hub")
    if logo := feed.masthead.logo_url:
        generator.logo(logo)  # first, for it sets the image too
        generator.icon(logo)
        generator.image(url=logo, title=feed.full_title, link=feed.home_url)
    if fmt == "rss":
        generator.description(feed.description or feed.full_title)
    elif feed.description:
        generator.subtitle(feed.description)


def _element(item: Item, fmt: str) -> etree._Element:
    entry = FeedEntry()
    entry.register_extension("repair", EntryRepair)
    _describe(entry, item, fmt, _PLACEHOLDER)
    element: etree._Element = entry.rss_entry() if fmt == "rss" else entry.atom_entry()
    return element


def _describe(entry: Any, item: Item, fmt: str, content: str) -> None:
    entry.repair.describe(item)
    entry.id(item.id)
    entry.title(item.headline)
    entry.category(_categories(item))
    if fmt == "rss":
        _describe_rss(entry, item, content)
    else:
        _describe_atom(entry, item, content)


def _describe_rss(entry: Any, item: Item, content: str) -> None:
    entry.content(content, type="CDATA")
    # An RSS description is HTML: plain text has to be escaped to be read as it was written.
    entry.summary(html.escape(description(item), quote=False))
    if address := link(item):
        entry.link(href=address, rel="alternate")
    # RSS readers know one enclosure, of a public host; all the images are in media:content.
    image = next((image for image in item.images if "." in (urlsplit(image.url).hostname or "")), None)
    if image:
        entry.enclosure(image.url, image.bytes or 0, image.type or DEFAULT_IMAGE_TYPE)
    if item.origin and item.origin.url:
        entry.source(url=item.origin.url, title=item.origin.name)


def _describe_atom(entry: Any, item: Item, content: str) -> None:
    entry.updated(item.updated)
    entry.published(item.published)
    entry.content(content, type="html")
    entry.summary(summary(item))
    entry.rights(rights_text(item.rights))
    entry.author([{"name": author.name, "uri": author.url} for author in creators(item)])
    if item.responsible_editor:
        entry.contributor(name=item.responsible_editor)
    for each in entry_links(item):
        entry.link(href=each.href, rel=each.rel)


def _categories(item: Item) -> list[dict[str, str]]:
    sections = [{"term": slug, "label": title, "scheme": SECTION} for slug, title in item.sections]
    packages = [{"term": package, "scheme": PACKAGE} for package in item.packages]
    return [*sections, *packages, *({"term": keyword} for keyword in item.keywords)]


def _parse_alone(entry: bytes, fmt: str) -> None:
    """Only bytes that parse on their own are spliced: one bad story must not take the feed down.

    Parsed as a document of which it is the root, it is seen to be exactly one element.
    """
    start = _STARTS[fmt]
    if not entry.startswith(start):
        raise ValueError(f"it does not begin with {start.decode()}")
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.Parse(start + _DECLARED[fmt])
    parser.Parse(memoryview(entry)[len(start) :], True)
