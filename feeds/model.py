"""The values that feeds are made of. Plain and frozen; times are aware; text is plain unless its name says html."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import quote

Format = Literal["rss", "atom", "json", "html"]
Withdrawal = Literal["withheld", "killed", "unpublished"]

FORMATS: tuple[Format, ...] = ("rss", "atom", "json")  # those that programs read
RENDITIONS: tuple[Format, ...] = (*FORMATS, "html")
ARCHIVED: tuple[Format, ...] = ("rss", "atom")
CONTENT_TYPES: dict[str, str] = {
    "rss": "application/rss+xml; charset=utf-8",
    "atom": "application/atom+xml; charset=utf-8",
    "json": "application/feed+json; charset=utf-8",
    "html": "text/html; charset=utf-8",
}


class EntryError(ValueError):
    """One story cannot be serialised. It is left out; the rest of the feed is not affected."""

    def __init__(self, item_id: str, why: str) -> None:
        super().__init__(f"{item_id}: {why}")
        self.item_id = item_id
        self.why = why


@dataclass(frozen=True)
class ItemAuthor:
    name: str
    url: str | None = None


@dataclass(frozen=True)
class ItemOrigin:
    """The first publisher of a republished story. `url`: the story there, or the publisher."""

    name: str
    url: str | None = None
    country: str | None = None


@dataclass(frozen=True)
class ItemImage:
    """`type` is a media type, `width` and `height` are pixels, `bytes` the file's size."""

    url: str
    alt: str | None = None
    credit: str | None = None
    caption: str | None = None
    type: str | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class ItemRights:
    holder: str | None = None
    notice: str | None = None
    usage_terms: str | None = None
    licence_url: str | None = None


@dataclass(frozen=True)
class Item:
    """A story as it is now. It knows nothing of the feeds it is in, so that its entry serves all of them.

    `id` is a tag: URI and never changes. `updated` moves with every public change. `sections` are (slug,
    title), the primary first. `number` tells apart items of the same moment: no two stories of a record have the same.
    `desk_url` is where a page of ours shows the story, for one that has no `url`. With `withdrawn` set, nothing but
    the id, the revision, the times, our page and a notice is ever written, even if other fields are filled in.
    """

    id: str
    revision: int
    published: datetime
    updated: datetime
    headline: str = ""
    language: str | None = None
    url: str | None = None
    summary: str | None = None
    body_html: str | None = None
    body_text: str | None = None
    authors: tuple[ItemAuthor, ...] = ()
    origin: ItemOrigin | None = None
    original_author: str | None = None
    original_headline: str | None = None
    responsible_editor: str | None = None
    rights: ItemRights | None = None
    sections: tuple[tuple[str, str], ...] = ()
    packages: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    images: tuple[ItemImage, ...] = ()
    correction_note: str | None = None
    source_name: str | None = None
    withdrawn: Withdrawal | None = None
    number: int = 0
    desk_url: str | None = None


@dataclass(frozen=True)
class Tombstone:
    """A story was withdrawn at `when` (RFC 6721 deleted-entry)."""

    ref: str
    when: datetime


@dataclass(frozen=True)
class Masthead:
    """The desk's name and its logo's address, as readers see them; either may be empty. A machine's name is no name."""

    name: str = ""
    logo_url: str = ""


NAMELESS = Masthead()


@dataclass(frozen=True)
class Feed:
    """A feed's definition. Its documents are at `{public_url}/feeds/{slug}.{rss|atom|json}`, its page at …/{slug}.

    `id` is a tag: URI and never changes; `masthead` names the publisher; `hub` is a WebSub hub's URL.
    `updated` is the time of a feed without any entry: that of its creation. Its archive (RFC 5005) has
    `pages` complete pages at …/{slug}/{number}.{rss|atom}; with `page` set, this is that page. The documents
    of a `private` one are at another address, which is a secret, so they do not contain it.
    """

    slug: str
    title: str
    id: str
    public_url: str
    home_url: str
    updated: datetime
    masthead: Masthead = NAMELESS
    language: str | None = None
    description: str | None = None
    hub: str | None = None
    pages: int = 0
    page: int | None = None
    private: bool = False

    @property
    def full_title(self) -> str:
        """The title with the desk's name, for readers that show it among the feeds of others."""
        return f"{self.title} – {self.masthead.name}" if self.masthead.name else self.title

    def url(self, fmt: Format) -> str:
        """The address of the document of the newest stories."""
        return f"{self._base}.{fmt}" if fmt != "html" else self._base

    def page_url(self, page: int, fmt: Format) -> str:
        return f"{self._base}/{page}.{fmt}"

    def own_url(self, fmt: Format) -> str:
        """The address of this very document."""
        return self.url(fmt) if self.page is None else self.page_url(self.page, fmt)

    @property
    def _base(self) -> str:
        return feed_address(self.public_url, self.slug)


def feed_address(public_url: str, slug: str) -> str:
    """The address of a feed's page, in ASCII: a slug of another script is percent-encoded. Documents add an ending."""
    return f"{public_url.rstrip('/')}/feeds/{quote(slug)}"
