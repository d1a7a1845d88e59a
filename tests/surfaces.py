"""All that a desk shows or stores, enumerated from the code itself, and the words of stories found in it.

A new route, format, coding, table or column is walked without being named here.
"""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import brotli
import zstandard
from flask import Flask
from pydantic import BaseModel
from sqlalchemy import LargeBinary, Text, select
from werkzeug.datastructures import Headers
from werkzeug.routing import IntegerConverter, PathConverter, Rule, UnicodeConverter

from feeds import FORMATS
from service.intake.article import PARTS, Article
from service.store import names
from service.store.database.record import Record
from service.store.errors import NotPossible
from service.store.schema.base import metadata

_WORD = re.compile(rb"zq([a-pr-y]+)q([a-pr-y]+)qz")
# Fields that say nothing of the story: ids, sections, times, numbers, a language, a status.
PLAIN_FIELDS = {
    "id", "sections", "language", "version", "status", "urgency", "published_at", "updated_at", "created_at",
    "embargo_until", "expires_at", "images.width", "images.height", "images.bytes", "origin.country", "images.type",
    "authors.role",
}  # fmt: skip
CODINGS = ("identity", "gzip", "br", "zstd")
ANSWER_BYTES = 4 * 2**20


class Sighting(NamedTuple):
    """A word of this story's field was found on this surface."""

    surface: str
    story: str
    field: str


def word(story: str, name: str) -> str:
    """The word that stands for this field of this story and occurs nowhere else; of a body that says more, too."""
    return f"zq{story}q{re.sub('[._]', '', name)}qz"


def sightings(surface: str, data: bytes) -> set[Sighting]:
    found = _WORD.findall(data)
    return {Sighting(surface, story.decode().lower(), name.decode().lower()) for story, name in found}


def text_fields(model: type[BaseModel] = Article, at: str = "") -> Iterator[str]:
    """The fields of an article that can have words in them, as paths."""
    for name in model.model_fields:
        path = f"{at}{name}"
        if name in PARTS:
            yield from text_fields(PARTS[name], f"{path}.")
        elif path not in PLAIN_FIELDS:
            yield path


def the_story(story: str, **changes: Any) -> dict[str, Any]:
    """An article as a source posts it, with a word of its own in each field that takes one."""
    posted: dict[str, Any] = {"id": story, "sections": ["world"], "language": "en", "status": "usable"}
    for path in text_fields():
        outer, _, inner = path.partition(".")
        value = _value(story, path)
        if not inner:
            posted[outer] = [value] if outer in {"packages", "keywords"} else value
        elif outer in {"authors", "images"}:
            posted.setdefault(outer, [{}])[0][inner] = value
        else:
            posted.setdefault(outer, {})[inner] = value
    del posted["correction_note"], posted["kill_reason"]
    return {**posted, **changes}


def _value(story: str, path: str) -> str:
    if path.endswith("url"):
        return f"https://paper.example/{word(story, path)}"
    return f"<p>{word(story, path)} left at dawn.</p>" if path == "body_html" else word(story, path)


# --- the web and the feeds server


@dataclass(frozen=True)
class Role:
    """A client: its headers, and the token with which it logs in by the form. It asks for each feed in these formats:
    documents are the same for all."""

    name: str
    headers: Mapping[str, str] = field(default_factory=dict)
    login: str = ""
    formats: tuple[str, ...] = FORMATS[:1]


def names_of(record: Record, stories: Sequence[str], tokens: Iterable[str]) -> list[str]:
    """Each name that an address can have: of these stories, their events and deliveries, feeds, partners, sources."""
    tables = metadata.tables
    article, event, delivery = tables["article"], tables["event"], tables["delivery"]
    found: list[str] = [*tokens]
    with record.reading() as connection:
        wanted = select(article.c.id).where(article.c.external_id.in_(stories))
        for each in metadata.sorted_tables:
            if "slug" in each.c:
                found += connection.execute(select(each.c.slug)).scalars()
        for public_id in connection.execute(
            select(article.c.public_id).where(article.c.id.in_(wanted))
        ).scalars():
            found += [public_id, names.last_part(public_id)]
        found += connection.execute(select(event.c.public_id).where(event.c.article_id.in_(wanted))).scalars()
        pushed = select(event.c.public_id, delivery.c.endpoint_id, delivery.c.replay).join_from(
            delivery, event, delivery.c.event_id == event.c.id
        )
        for row in connection.execute(pushed.where(delivery.c.article_id.in_(wanted))):
            found.append(names.delivery_id(*row))
    return list(dict.fromkeys(found))


def paths(
    rule: Rule, known: Sequence[str], queries: Mapping[str, Sequence[str]], formats: Sequence[str]
) -> Iterator[str]:
    """Each address of this route with each name that is known; with its queries, too."""
    values_of = {"fmt": formats}
    arguments = [
        values_of.get(name) or _values(name, converter, known) for name, converter in rule._converters.items()
    ]
    for values in itertools.product(*arguments):
        path = rule.rule
        for value in values:
            path = re.sub("<[^>]+>", quote(str(value), safe="/,:").replace("\\", r"\\"), path, count=1)
        yield path
        yield from (f"{path}?{query}" for query in queries.get(rule.rule, ()))


def _values(name: str, converter: object, known: Sequence[str]) -> Sequence[Any]:
    if isinstance(converter, IntegerConverter):
        return (1, 2)
    assert isinstance(converter, UnicodeConverter | PathConverter), f"say which values <{name}> has"
    return known


def walk_web(
    app: Flask, roles: Iterable[Role], known: Sequence[str], queries: Mapping[str, Sequence[str]]
) -> tuple[set[Sighting], set[str]]:
    """Asks each route of the application as each client; returns what was seen, and the surfaces that answered 200.

    HEAD is left out: its headers are those of GET. Each request comes from an address of its own, so that no limit on
    guessing answers in the route's place.
    """
    found: set[Sighting] = set()
    answered: set[str] = set()
    addresses = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in itertools.count(1))
    for role in roles:
        for rule in app.url_map.iter_rules():
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                surface = f"{role.name}: {method} {rule.rule}"
                client = app.test_client()
                if role.login:
                    client.post(
                        "/status/login", data={"token": role.login}, environ_base={"REMOTE_ADDR": "9.9.9.9"}
                    )
                for path in paths(rule, known, queries, role.formats):
                    body = None if method == "GET" else b"{}"
                    answer = client.open(
                        path,
                        method=method,
                        data=body,
                        content_type=None if body is None else "application/json",
                        headers=dict(role.headers),
                        environ_base={"REMOTE_ADDR": next(addresses)},
                    )
                    found |= _seen(surface, path, answer)
                    # On a slow machine the desk may not be ready: its answer is whole then, too.
                    if answer.status_code == 200 or (rule.rule == "/readyz" and answer.status_code == 503):
                        answered.add(surface)
    return found, answered


def walk_documents(
    server: Any, name: str, documents: Sequence[str], known_tags: Mapping[str, str]
) -> set[Sighting]:
    """Asks a server for each document in each coding, in part, and for what is new since the tag that was known."""
    found: set[Sighting] = set()
    for path in documents:
        for coding in CODINGS:
            answer = server.open(path, headers=Headers({"Accept-Encoding": coding}))
            found |= _seen(f"{name}: {path} as {coding}", path, answer)
        part = server.open(path, headers=Headers({"Range": "bytes=1-999999"}))
        found |= _seen(f"{name}: {path} in part", path, part)
        if tag := known_tags.get(path):
            asked = {
                "A-IM": "feed",
                "If-None-Match": tag,
                "User-Agent": "newsboat/2.30",
                "Accept-Encoding": "gzip",
            }
            delta = server.open(path, headers=Headers(asked))
            found |= _seen(f"{name}: {path} since {tag}", path, delta)
    return found


def documents_of(record: Record) -> list[str]:
    """The addresses of all public documents: of each feed and each page of its archive, in each format."""
    tables = metadata.tables
    feed, archive = tables["feed"], tables["archive"]
    with record.reading() as connection:
        slugs = connection.execute(select(feed.c.slug)).scalars().all()
        pages = connection.execute(select(archive.c.feed, archive.c.page, archive.c.format)).all()
    own = [f"/feeds/{slug}{ending}" for slug in slugs for ending in ("", *(f".{each}" for each in FORMATS))]
    others = ["/feeds", "/feeds.opml", "/sitemaps/news.xml", "/sitemaps/news-1.xml"]
    return [*own, *(f"/feeds/{each.feed}/{each.page}.{each.format}" for each in pages), *others]


def _seen(surface: str, path: str, answer: Any) -> set[Sighting]:
    """The words in an answer. An error repeats the address that was asked for, which tells nothing."""
    seen = sightings(surface, _whole(answer.headers, answer.data))
    return seen if answer.status_code < 300 else seen - sightings(surface, path.encode())


def _whole(headers: Any, body: bytes) -> bytes:
    """The headers and the body as its reader gets it."""
    lines = "\n".join(f"{name}: {value}" for name, value in headers).encode()
    return lines + b"\n" + unpacked(body, headers.get("Content-Encoding", "identity"))


def unpacked(body: bytes, coding: str) -> bytes:
    if not body or coding == "identity":
        return body
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=ANSWER_BYTES)
    return gzip.decompress(body) if coding == "gzip" else brotli.decompress(body)


# --- the record and files


def walk_record(record: Record) -> set[Sighting]:
    """Each text and each run of bytes in each table, opened where it is sealed and unpacked where it is packed."""
    found: set[Sighting] = set()
    with record.reading() as connection:
        for table in metadata.sorted_tables:
            for column in table.c:
                if isinstance(column.type, Text | LargeBinary):
                    for value in connection.execute(select(column).where(column.is_not(None))).scalars():
                        data = value.encode() if isinstance(value, str) else _plain(record, bytes(value))
                        found |= sightings(f"{table.name}.{column.name}", data)
    return found


def _plain(record: Record, value: bytes) -> bytes:
    if value.startswith(b"gAAAA"):
        try:
            return record.keyring.open(value)
        except NotPossible:
            return value
    if value.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompress(value, max_output_size=ANSWER_BYTES)
    return value


def walk_files(folder: Path, *, but: frozenset[str] = frozenset()) -> set[Sighting]:
    """Each file below the folder, but those of these names; compressed forms as their readers get them."""
    codings = {".gz": "gzip", ".br": "br", ".zst": "zstd"}
    found: set[Sighting] = set()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in but:
            try:
                data = unpacked(path.read_bytes(), codings.get(path.suffix, "identity"))
            except FileNotFoundError:  # it was taken away just now
                continue
            found |= sightings(f"file {path.relative_to(folder)}", path.name.encode() + b"\n" + data)
    return found
