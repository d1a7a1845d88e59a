"""A document held in memory, with its answers made: nothing is left to a request but to choose among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import format_datetime
from urllib.parse import quote

import feeds
from service.serving import conditional
from service.serving.accept_encoding import CODINGS, IDENTITY
from service.serving.compression import Coding, compress
from service.store.feeds.documents import Document

Headers = list[tuple[str, str]]

CACHE = "public, max-age=60, s-maxage=300, stale-while-revalidate=600, stale-if-error=86400"
# RFC 9213: to caches of a CDN, which can be told to forget (Surrogate-Key, Cache-Tag).
CDN_CACHE = "max-age=300, stale-while-revalidate=600, stale-if-error=86400"
# For readers in a browser, on any site: feeds are public.
EXPOSED = "ETag, Last-Modified, Link, IM, Delta-Base, Content-Range"
# How many of its former versions a document can tell the news since.
FORMER = 16

_SUFFIXES: dict[Coding, str] = {"br": ".br", "zstd": ".zst", "gzip": ".gz", IDENTITY: ""}


@dataclass(frozen=True)
class Address:
    """Where a document is: `/feeds/{slug}.{fmt}` below the public URL. A slug may have slashes in it."""

    slug: str
    fmt: feeds.Format

    @property
    def path(self) -> str:
        return f"/feeds/{self.slug}.{self.fmt}"

    @classmethod
    def of_path(cls, path: str) -> Address | None:
        """None where no document can be. Takes the path as WSGI has it: bytes, told as Latin-1."""
        if not path.startswith("/feeds/"):
            return None
        slug, _, ending = path[len("/feeds/") :].rpartition(".")
        fmt = next((each for each in feeds.FORMATS if each == ending), None)
        return cls(slug, fmt) if fmt and slug and slug.isascii() and slug.isprintable() else None


@dataclass(frozen=True)
class Answer:
    """The document in one coding. `best`: it will not get smaller."""

    body: list[bytes]
    ok: Headers
    unchanged: Headers
    best: bool

    @property
    def size(self) -> int:
        return len(self.body[0])


@dataclass(frozen=True)
class Manners:
    """The headers that say who may keep a document, read it, and ask for parts of it. `always`: with a 304, too."""

    always: Headers
    whole: Headers
    ranges: bool


def public_manners(address: Address, public_url: str) -> Manners:
    """For everybody, and for caches in between."""
    slug = quote(address.slug)
    always = [
        ("Cache-Control", CACHE),
        ("CDN-Cache-Control", CDN_CACHE),
        ("Vary", "Accept-Encoding"),
        ("Link", links(f"{public_url}/feeds/{slug}", address.fmt)),
        ("Access-Control-Allow-Origin", "*"),
    ]
    whole = [
        ("Access-Control-Expose-Headers", EXPOSED),
        ("Surrogate-Key", f"feeds feed:{slug}"),
        ("Cache-Tag", f"feeds,feed:{slug}"),
    ]
    return Manners(always, whole, ranges=True)


# For one partner: no cache shares it, each use asks again, no page of another site reads it, no search engine keeps it.
PRIVATE = Manners(
    [
        ("Cache-Control", "private, no-cache"),
        ("Vary", "Accept-Encoding"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Robots-Tag", "noindex"),
    ],
    [],
    ranges=False,
)


class Held:
    """One version of a document. Safe among threads: answers are replaced, never changed.

    The plain bytes have a strong ETag. Of a coded form the bytes may get better while the document stays the same,
    so its ETag is a weak one, which stays: RFC 9110, 8.8.1. docs/decisions/0007.
    """

    def __init__(
        self,
        address: Address,
        document: Document,
        manners: Manners,
        former: Mapping[str, bytes] | None = None,
    ) -> None:
        self.address = address
        self.document = document
        # ETag → the fingerprints of its entries, of the document's former versions.
        self.former: Mapping[str, bytes] = former or {}
        self.modified = format_datetime(document.modified_at.astimezone(UTC), usegmt=True)
        self.used = 0
        self.deltas: dict[tuple[str, Coding], Answer | None] = {}
        self._manners = manners
        self._known = {
            known: coding
            for coding in CODINGS
            for known in (self.etag(coding), self.etag(coding).removeprefix("W/"))
        }
        self.answers: dict[Coding, Answer] = {}
        self.answer(IDENTITY)

    @property
    def size(self) -> int:
        """Bytes of all its forms."""
        coded = sum(answer.size for answer in tuple(self.answers.values()))
        return coded + sum(delta.size for delta in tuple(self.deltas.values()) if delta)

    def etag(self, coding: Coding) -> str:
        tag = f'"{self.document.etag}{_SUFFIXES[coding]}"'
        return tag if coding == IDENTITY else f"W/{tag}"

    def answer(self, coding: Coding) -> Answer:
        """Fast from the second call on."""
        answer = self.answers.get(coding)
        if answer is None:
            body = compress(self.document.body, coding, best=False)
            answer = self.answers[coding] = self._answer(coding, body, best=coding == IDENTITY)
        return answer

    def improve(self, coding: Coding) -> None:
        """Puts the best coded form there is in the place of the fast one. Takes its time."""
        answer = self.answer(coding)
        body = compress(self.document.body, coding, best=True)
        if len(body) < answer.size:
            self.answers[coding] = self._answer(coding, body, best=True)
        else:
            self.answers[coding] = replace(answer, best=True)

    def client_has(self, environ: Mapping[str, str], accepted: Sequence[Coding]) -> Coding | None:
        """The coding in which the client has this version, by what it asks; None if it has not.

        If-None-Match beats If-Modified-Since (RFC 9110, 13.2.2).
        """
        tags = environ.get("HTTP_IF_NONE_MATCH")
        if tags is not None:
            return self.match(tags, accepted)
        since = environ.get("HTTP_IF_MODIFIED_SINCE")
        return accepted[0] if since is not None and self.unmoved(since) else None

    def match(self, if_none_match: str, accepted: Sequence[Coding]) -> Coding | None:
        """The coding in which the client has this version, by weak comparison; None if it has not."""
        coding = self._known.get(if_none_match)
        if coding is not None and (coding == IDENTITY or coding in accepted):
            return coding
        if if_none_match.strip() == "*":
            return accepted[0]
        for _, tag in conditional.entity_tags(if_none_match):
            coding = self._known.get(f'"{tag}"')
            # A cache that holds it in a coding that this client cannot read is to get another.
            if coding is not None and (coding == IDENTITY or coding in accepted):
                return coding
        return None

    def unmoved(self, if_modified_since: str) -> bool:
        return if_modified_since == self.modified or conditional.same_moment(
            if_modified_since, self.document.modified_at
        )

    def former_of_next(self) -> dict[str, bytes]:
        """What the next version of this document is to be told of this one and those before."""
        own = b"".join(sorted(feeds.fingerprints(self.document.body, self.address.fmt)))
        kept = {etag: prints for etag, prints in self.former.items() if etag != self.document.etag}
        return dict([*kept.items(), (self.document.etag, own)][-FORMER:])

    def _answer(self, coding: Coding, body: bytes, *, best: bool) -> Answer:
        # What a 304 has to tell, for the cache that asks: RFC 9110, 15.4.5.
        unchanged = [
            ("ETag", self.etag(coding)),
            ("Last-Modified", self.modified),
            *self._manners.always,
        ]
        ok = [
            ("Content-Type", feeds.CONTENT_TYPES[self.address.fmt]),
            ("Content-Length", str(len(body))),
            ("Accept-Ranges", "bytes" if self._manners.ranges and coding == IDENTITY else "none"),
            *([] if coding == IDENTITY else [("Content-Encoding", coding)]),
            ("X-Content-Type-Options", "nosniff"),
            *self._manners.whole,
        ]
        return Answer([body], [*unchanged, *ok], unchanged, best)


def links(url: str, own: feeds.Format) -> str:
    """The document's own address, `url` and its ending, and those of the other formats, for the header Link."""
    told = [f'<{url}.{own}>; rel="self"']
    for fmt in feeds.FORMATS:
        if fmt != own:
            kind = feeds.CONTENT_TYPES[fmt].partition(";")[0]
            told.append(f'<{url}.{fmt}>; rel="alternate"; type="{kind}"')
    return ", ".join(told)
