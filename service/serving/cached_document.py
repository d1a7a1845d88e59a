"""A document in memory with its answers made beforehand: a request only has to choose among them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import format_datetime
from urllib.parse import quote

import feeds
from service.serving import conditional
from service.serving.accept_encoding import CODINGS, IDENTITY
from service.serving.compression import Coding, compress
from service.serving.memory import ByteAccount
from service.store.feeds.documents import Document

Headers = list[tuple[str, str]]

CACHE_CONTROL = "public, max-age=60, s-maxage=300, stale-while-revalidate=600, stale-if-error=86400"
# RFC 9213: for the caches of a CDN, which can be told to purge (Surrogate-Key, Cache-Tag).
CDN_CACHE_CONTROL = "max-age=300, stale-while-revalidate=600, stale-if-error=86400"
# For readers in a browser, on any site: feeds are public.
EXPOSED_HEADERS = "ETag, Last-Modified, Link, IM, Delta-Base, Content-Range"
# A document knows its entries of so many former versions, so that it can send a reader the news since then.
FORMER_VERSIONS = 16
# A document has so many bytes of headers, tags and objects besides its forms.
DOCUMENT_OVERHEAD = 8_192
# Bodies of 226s that a document remembers.
DELTAS_REMEMBERED = 32

# Endings of the entity tags of the coded forms. No proxy adds these.
_TAG_SUFFIXES: dict[Coding, str] = {"br": ".br", "zstd": ".zst", "gzip": ".gz", IDENTITY: ""}


@dataclass(frozen=True)
class DocumentAddress:
    """The place of a document: `/feeds/{slug}.{fmt}` below the public URL. A slug may have slashes in it.

    `path` is as in WSGI: the bytes of the address (UTF-8), decoded as Latin-1.
    """

    slug: str
    fmt: feeds.Format

    @property
    def path(self) -> str:
        path = f"/feeds/{self.slug}.{self.fmt}"
        return path if path.isascii() else path.encode().decode("latin-1")

    @classmethod
    def of_path(cls, path: str) -> DocumentAddress | None:
        """None if no document can be at this path."""
        if not path.startswith("/feeds/"):
            return None
        name, _, ending = path[len("/feeds/") :].rpartition(".")
        try:
            slug = name if name.isascii() else name.encode("latin-1").decode()
        except UnicodeError:
            return None
        return cls.of(slug, ending) if slug and slug.isprintable() else None

    @classmethod
    def of(cls, slug: str, ending: str) -> DocumentAddress | None:
        """None if no document has this ending."""
        fmt = next((each for each in feeds.FORMATS if each == ending), None)
        return None if fmt is None else cls(slug, fmt)


@dataclass(frozen=True)
class Representation:
    """The document in one coding, with the headers of a 200 and of a 304. `best`: it will not get smaller."""

    body: list[bytes]
    ok_headers: Headers
    not_modified_headers: Headers
    best: bool

    @property
    def size(self) -> int:
        return len(self.body[0])


@dataclass(frozen=True)
class CachePolicy:
    """The headers that say who may store a document and who may read it, and whether parts of it may be asked for.

    `always` goes with a 304, too; `with_body` does not.
    """

    always: Headers
    with_body: Headers
    ranges: bool


def public_policy(address: DocumentAddress, public_url: str) -> CachePolicy:
    """For everybody, and for caches in between."""
    slug = quote(address.slug)
    always = [
        ("Cache-Control", CACHE_CONTROL),
        ("CDN-Cache-Control", CDN_CACHE_CONTROL),
        ("Vary", "Accept-Encoding"),
        ("Link", format_links(feeds.feed_address(public_url, address.slug), address.fmt)),
        ("Access-Control-Allow-Origin", "*"),
    ]
    with_body = [
        ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
        ("Surrogate-Key", f"feeds feed:{slug}"),
        ("Cache-Tag", f"feeds,feed:{slug}"),
    ]
    return CachePolicy(always, with_body, ranges=True)


# For one partner: no shared cache stores it, each use asks again, no page of another site reads it, no search engine
# indexes it.
PRIVATE_POLICY = CachePolicy(
    [
        ("Cache-Control", "private, no-cache"),
        ("Vary", "Accept-Encoding"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Robots-Tag", "noindex"),
    ],
    [],
    ranges=False,
)


class CachedDocument:
    """One version of a document. Safe among threads: representations are replaced, never changed.

    The plain bytes have a strong ETag. The bytes of a coded form may get smaller while the document stays the same, so
    its ETag is a weak one, which stays: RFC 9110, 8.8.1. docs/decisions/0007.
    """

    def __init__(
        self,
        address: DocumentAddress,
        document: Document,
        policy: CachePolicy,
        former: Mapping[str, bytes] | None = None,
    ) -> None:
        self.address = address
        self.document = document
        # The document's former versions: ETag → fingerprints of the entries.
        self.former: Mapping[str, bytes] = former or {}
        self.modified = format_datetime(document.modified_at.astimezone(UTC), usegmt=True)
        self.last_used = 0
        # Whether anybody asked for this document since the process began, in any version. Of one that nobody reads no
        # reader comes back for what is new.
        self.asked_for = False
        self.deltas: dict[tuple[str, Coding], Representation | None] = {}
        # Bytes of all its forms, of its deltas, and of what it knows of former versions.
        self.account = ByteAccount()
        self._replacing = threading.Lock()
        self.account.add(DOCUMENT_OVERHEAD + sum(map(len, self.former.values())))
        self._policy = policy
        self._coding_by_tag = {
            tag: coding
            for coding in CODINGS
            for tag in (self.etag(coding), self.etag(coding).removeprefix("W/"))
        }
        self.representations: dict[Coding, Representation] = {}
        self.representation(IDENTITY)

    def note_request(self, refreshes: int) -> None:
        """Somebody asks for it; `refreshes` of the cache tell when."""
        self.last_used = refreshes
        self.asked_for = True

    @property
    def size(self) -> int:
        """Bytes of all that it holds."""
        return self.account.size

    def etag(self, coding: Coding) -> str:
        return entity_tag(self.document.etag, coding)

    def representation(self, coding: Coding) -> Representation:
        """The document in this coding. The first call compresses; later ones are fast."""
        found = self.representations.get(coding)
        if found is None:
            body = compress(self.document.body, coding, best=False)
            found = self._replace(coding, self._represent(coding, body, best=coding == IDENTITY))
        return found

    def recompress(self, coding: Coding) -> None:
        """Replaces the fast coded form by the best one. This takes time."""
        fast = self.representation(coding)
        body = compress(self.document.body, coding, best=True)
        if len(body) < fast.size:
            self._replace(coding, self._represent(coding, body, best=True))
        else:
            self._replace(coding, replace(fast, best=True))

    def remember_delta(self, key: tuple[str, Coding], delta: Representation | None) -> None:
        """Keeps the body of a 226 for the next reader that comes from the same version."""
        if len(self.deltas) < DELTAS_REMEMBERED and key not in self.deltas:
            self.deltas[key] = delta
            self.account.add(delta.size if delta else 0)

    def _replace(self, coding: Coding, representation: Representation) -> Representation:
        with self._replacing:
            before = self.representations.get(coding)
            self.representations[coding] = representation
            self.account.add(representation.size - (before.size if before else 0))
        return representation

    def client_coding(self, environ: Mapping[str, str], accepted: Sequence[Coding]) -> Coding | None:
        """The coding in which the client already has this version, by its request; None if it does not have it.

        If-None-Match beats If-Modified-Since (RFC 9110, 13.2.2).
        """
        tags = environ.get("HTTP_IF_NONE_MATCH")
        if tags is not None:
            return self._match(tags, accepted)
        since = environ.get("HTTP_IF_MODIFIED_SINCE")
        return accepted[0] if since is not None and self._is_current(since) else None

    def next_version(self, document: Document) -> CachedDocument:
        """The next version of this document, which knows the entries of this version and those before it."""
        found = CachedDocument(
            self.address, document, self._policy, self._former_of_next() if self.asked_for else None
        )
        found.asked_for = self.asked_for
        return found

    def _former_of_next(self) -> dict[str, bytes]:
        own = b"".join(sorted(feeds.fingerprints(self.document.body, self.address.fmt)))
        older = {etag: prints for etag, prints in self.former.items() if etag != self.document.etag}
        return dict([*older.items(), (self.document.etag, own)][-FORMER_VERSIONS:])

    def _match(self, if_none_match: str, accepted: Sequence[Coding]) -> Coding | None:
        """Compares weakly."""
        coding = self._coding_by_tag.get(if_none_match)
        if coding is not None and (coding == IDENTITY or coding in accepted):
            return coding
        if if_none_match.strip() == "*":
            return accepted[0]
        for _, tag in conditional.entity_tags(if_none_match):
            coding = self._coding_by_tag.get(f'"{tag}"')
            # A cache that has it in a coding that this client cannot read must get another.
            if coding is not None and (coding == IDENTITY or coding in accepted):
                return coding
        return None

    def _is_current(self, if_modified_since: str) -> bool:
        return if_modified_since == self.modified or conditional.is_same_moment(
            if_modified_since, self.document.modified_at
        )

    def _represent(self, coding: Coding, body: bytes, *, best: bool) -> Representation:
        # A 304 must repeat these, for the cache that asks: RFC 9110, 15.4.5.
        not_modified = [
            ("ETag", self.etag(coding)),
            ("Last-Modified", self.modified),
            *self._policy.always,
        ]
        with_body = [
            ("Content-Type", feeds.CONTENT_TYPES[self.address.fmt]),
            ("Content-Length", str(len(body))),
            ("Accept-Ranges", "bytes" if self._policy.ranges and coding == IDENTITY else "none"),
            *([] if coding == IDENTITY else [("Content-Encoding", coding)]),
            ("X-Content-Type-Options", "nosniff"),
            *self._policy.with_body,
        ]
        return Representation([body], [*not_modified, *with_body], not_modified, best)


def entity_tag(etag: str, coding: Coding) -> str:
    """The ETag of a form: strong for the plain bytes, weak for the others."""
    tag = f'"{etag}{_TAG_SUFFIXES[coding]}"'
    return tag if coding == IDENTITY else f"W/{tag}"


def format_links(url: str, own: feeds.Format) -> str:
    """The header Link: the document's own address, which is `url` and its ending, and those of the other formats."""
    links = [f'<{url}.{own}>; rel="self"']
    for fmt in feeds.FORMATS:
        if fmt != own:
            kind = feeds.CONTENT_TYPES[fmt].partition(";")[0]
            links.append(f'<{url}.{fmt}>; rel="alternate"; type="{kind}"')
    return ", ".join(links)
