"""Repairs of the elements that feedgen 1.0 builds: it omits some things and gets others wrong.

Two extensions in feedgen's sense: it calls `extend_atom` and `extend_rss` with the finished element. In Atom,
feedgen's elements have no namespace (it writes xmlns as an attribute), so neither have ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from lxml import etree

from feeds.model import Feed, Item, ItemImage, Tombstone
from feeds.public import creators, link, rights_text
from feeds.text import rfc2822, rfc3339

ATOM = "http://www.w3.org/2005/Atom"
DC = "http://purl.org/dc/elements/1.1/"
DCTERMS = "http://purl.org/dc/terms/"
MEDIA = "http://search.yahoo.com/mrss/"
TOMBSTONE = "http://purl.org/atompub/tombstones/1.0"
HISTORY = "http://purl.org/syndication/history/1.0"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
# Every namespace an entry may use is declared once, on the root: an entry then carries none of its own.
NAMESPACES = {"dc": DC, "dcterms": DCTERMS, "media": MEDIA}

_LINK_ATTRIBUTES = ("rel", "type", "hreflang", "title", "length")


@dataclass(frozen=True)
class Link:
    """An Atom link (RFC 4287, 4.2.7)."""

    href: str
    rel: str
    type: str | None = None
    hreflang: str | None = None
    title: str | None = None
    length: str | None = None


def entry_links(item: Item) -> tuple[Link, ...]:
    """The links of an Atom entry that feedgen takes: the story, where it comes from, its images."""
    links = []
    if address := link(item):
        links.append(Link(address, "alternate", "text/html", item.language if item.url else None))
    if item.origin and item.origin.url:
        links.append(Link(item.origin.url, "via", title=item.origin.name))
    for image in item.images:
        size = str(image.bytes) if image.bytes else None
        links.append(Link(image.url, "enclosure", image.type, title=image.alt, length=size))
    return tuple(links)


def archive_links(feed: Feed, fmt: Literal["rss", "atom"]) -> tuple[Link, ...]:
    """RFC 5005, 4: from the newest stories to the newest page, from page to page, and back from each."""
    kind = f"application/{fmt}+xml"
    if feed.page is None:
        return (Link(feed.page_url(feed.pages, fmt), "prev-archive", kind),) if feed.pages else ()
    links = [Link(feed.url(fmt), "current", kind)]
    if feed.page > 1:
        links.append(Link(feed.page_url(feed.page - 1, fmt), "prev-archive", kind))
    # The next page is linked before it is complete, so that this one need not be written again.
    links.append(Link(feed.page_url(feed.page + 1, fmt), "next-archive", kind))
    return tuple(links)


class EntryRepair:
    """Entry level. Filled by `describe` before feedgen serialises."""

    item: Item

    def describe(self, item: Item) -> None:
        self.item = item

    def extend_atom(self, entry: etree._Element) -> None:
        for element, each in zip(entry.findall("link"), entry_links(self.item), strict=True):
            _write_link(element, each)
        _set_text(entry, "updated", rfc3339(self.item.updated))
        _set_text(entry, "published", rfc3339(self.item.published))
        if self.item.rights and self.item.rights.licence_url:
            _write_link(etree.SubElement(entry, "link"), Link(self.item.rights.licence_url, "license"))
        if self.item.language:
            entry.set(LANG, self.item.language)
        if self.item.origin:
            _add(entry, DC, "source", self.item.origin.name)
        self._extend_both(entry)

    def extend_rss(self, entry: etree._Element) -> None:
        item = self.item
        _add(entry, None, "pubDate", rfc2822(item.published))
        _add(entry, ATOM, "updated", rfc3339(item.updated))
        _add(entry, DCTERMS, "modified", rfc3339(item.updated))
        # Of several creators most readers show one.
        _add(entry, DC, "creator", ", ".join(author.name for author in creators(item)))
        _add(entry, DC, "contributor", item.responsible_editor)
        # <source> cannot do without a URL, and beside it dc:source would say the same thing twice.
        if item.origin and not item.origin.url:
            _add(entry, DC, "source", item.origin.name)
        _add(entry, DC, "language", item.language)
        _add(entry, DC, "rights", rights_text(item.rights))
        if item.rights:
            _add(entry, DCTERMS, "license", item.rights.licence_url)
        self._extend_both(entry)

    def _extend_both(self, entry: etree._Element) -> None:
        item = self.item
        _add(entry, DC, "publisher", item.source_name)
        _add(entry, DCTERMS, "alternative", item.original_headline)
        if item.rights:
            _add(entry, DCTERMS, "rightsHolder", item.rights.holder)
        for image in item.images:
            _add_media(entry, image)


class FeedRepair:
    """Feed level. Filled by `describe` before feedgen serialises."""

    feed: Feed
    tombstones: Sequence[Tombstone]
    updated: datetime
    fmt: str

    def describe(self, feed: Feed, tombstones: Sequence[Tombstone], updated: datetime, fmt: str) -> None:
        self.feed, self.tombstones, self.updated, self.fmt = feed, tombstones, updated, fmt

    def extend_ns(self) -> dict[str, str]:
        # A validator warns of the tombstones' namespace, so it is declared, once, only where it is used.
        found = dict(NAMESPACES)
        if self.tombstones and self.fmt == "atom":
            found["at"] = TOMBSTONE
        if self.feed.page is not None:
            found["fh"] = HISTORY
        return found

    def extend_atom(self, root: etree._Element) -> None:
        _set_text(root, "updated", rfc3339(self.updated))
        for each in archive_links(self.feed, "atom"):
            _write_link(etree.SubElement(root, "link"), each)
        self._mark_archive(root)
        for stone in self.tombstones:
            gone = etree.SubElement(root, f"{{{TOMBSTONE}}}deleted-entry")
            gone.set("ref", stone.ref)
            gone.set("when", rfc3339(stone.when))

    def extend_rss(self, root: etree._Element) -> None:
        channel = root[0]
        _set_text(channel, "link", self.feed.home_url)
        _add(channel, DC, "publisher", self.feed.masthead.name)
        _add(channel, None, "lastBuildDate", rfc2822(self.updated))
        if self.feed.hub:
            _write_link(etree.SubElement(channel, f"{{{ATOM}}}link"), Link(self.feed.hub, "hub"))
        for archived in archive_links(self.feed, "rss"):
            _write_link(etree.SubElement(channel, f"{{{ATOM}}}link"), archived)
        self._mark_archive(channel)

    def _mark_archive(self, parent: etree._Element) -> None:
        if self.feed.page is not None:
            etree.SubElement(parent, f"{{{HISTORY}}}archive")


def _write_link(element: etree._Element, link: Link) -> None:
    element.attrib.clear()
    element.set("href", link.href)
    for name in _LINK_ATTRIBUTES:
        if value := getattr(link, name):
            element.set(name, value)


def _set_text(parent: etree._Element, name: str, text: str) -> None:
    element = parent.find(name)
    assert element is not None
    element.text = text


def _add(parent: etree._Element, namespace: str | None, name: str, text: str | None) -> None:
    if text:
        etree.SubElement(parent, f"{{{namespace}}}{name}" if namespace else name).text = text


def _add_media(entry: etree._Element, image: ItemImage) -> None:
    """Media RSS: right in the entry, for a group is for renditions of one and the same object."""
    media = etree.SubElement(entry, f"{{{MEDIA}}}content", url=image.url, medium="image")
    facts = {"type": image.type, "width": image.width, "height": image.height, "fileSize": image.bytes}
    for name, value in facts.items():
        if value:
            media.set(name, str(value))
    for name, text in (("title", image.alt), ("description", image.caption)):
        if text:
            etree.SubElement(media, f"{{{MEDIA}}}{name}", type="plain").text = text
    _add(media, MEDIA, "credit", image.credit)
