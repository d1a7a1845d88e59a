"""Sections in any script, from the post to the feed and back: over a real server, in files, and in the record."""

from __future__ import annotations

import http.client
import json
import socket
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from lxml import etree

from service.serving.export import Exporter
from service.store import operations
from service.store.database.record import Record
from service.store.errors import AlreadyExists, NotPossible
from service.store.feeds import slugs
from service.store.feeds.feeds import ARCHIVE_PAGE
from service.store.views.deliveries import latest_deliveries
from tests.builders import NOW, a_desk, an_article, an_endpoint, later, post
from tests.feed_desk import URL, FeedDesk
from tests.front import a_web_site
from tests.http_server import a_server_in_a_thread
from tests.web import OPERATOR, Newsroom, a_newsroom, now, the_article

NAMES = ["中国", "اردو", "हिन्दी", "Ελλάδα", "politika-č", "𠀀"]


@dataclass(frozen=True)
class HttpAnswer:
    """The names of its headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True)
class ServedDesk:
    port: int
    newsroom: Newsroom
    record: Record

    def ask(
        self, path: str, headers: dict[str, str] | None = None, *, body: bytes | None = None
    ) -> HttpAnswer:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as client:
            client.request("GET" if body is None else "POST", path, body, headers or {})
            answer = client.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return HttpAnswer(answer.status, names, answer.read())

    def post(self, **changes: Any) -> HttpAnswer:
        headers = {"Content-Type": "application/json", **self.newsroom.bearer}
        return self.ask("/v1/articles", headers, body=json.dumps(the_article(**changes)).encode())

    def build(self) -> None:
        FeedDesk(self.record).work(now())


@contextmanager
def a_served_desk(record: Record, *names: str) -> Iterator[ServedDesk]:
    for name in names:
        operations.add_section(record, slugs.fold(name), name, None, actor="operator", now=NOW)
    newsroom = a_newsroom(record)
    with a_server_in_a_thread(a_web_site(record)) as running:
        yield ServedDesk(running.port, newsroom, record)


def address(slug: str, ending: str = "") -> str:
    return f"/feeds/{quote(slug)}{ending}"


def links(document: bytes) -> set[str]:
    """The paths of the addresses in a document of XML or HTML that lead to feeds."""
    tree = etree.fromstring(document, etree.HTMLParser() if b"<html" in document[:200] else None)
    found = [value for each in tree.iter() for value in each.attrib.values()]
    found += [each.text for each in tree.iter("{*}link") if each.text]
    return {urlsplit(each).path for each in found if "/feeds/" in each}


def test_a_story_travels_through_a_section_of_any_script(record: Record) -> None:
    with a_served_desk(record, *NAMES) as desk:
        for number, name in enumerate(NAMES):
            for form in ("NFC", "NFD"):
                answer = desk.post(
                    id=str(number), headline=name, sections=[unicodedata.normalize(form, name)]
                )
                assert (answer.status, answer.json.get("warnings")) == (202, None), answer.body
        desk.build()
        for name in NAMES:
            slug = slugs.fold(name)
            for ending in (".rss", ".atom", ".json", ""):
                found = desk.ask(address(slug, ending))
                assert (found.status, name in found.body.decode()) == (200, True)
                own = address(slug, ending)
                assert f'{own}>; rel="self"' in found.headers["link"]
                assert all(value.isascii() for value in found.headers.values())
                assert found.headers["etag"].isascii()
                if ending == ".json":
                    assert urlsplit(found.json["feed_url"]).path == own
                    assert found.json["items"][0]["_dateline"]["sections"] == [slug]
                else:
                    assert own in links(found.body)
                    assert all(each.isascii() for each in links(found.body))
                again = desk.ask(own, {"If-None-Match": found.headers["etag"]})
                assert again.status == 304


def test_an_address_that_a_client_sends_as_it_is_typed_is_read(sqlite_record: Record) -> None:
    with a_served_desk(sqlite_record, "中国") as desk:
        desk.post(sections=["中国"])
        desk.build()
        for line, status in (
            ("GET /feeds/中国.rss HTTP/1.1", b"200"),
            ("GET /feeds/中国 HTTP/1.1", b"200"),
            ("GÉT /feeds/中国 HTTP/1.1", b"400"),
            ("GET /feeds/中国.rss HTTP/1.1é", b"400"),
        ):
            with socket.create_connection(("127.0.0.1", desk.port), timeout=20) as client:
                client.sendall(f"{line}\r\nHost: x\r\nX-Name: 中国\r\nConnection: close\r\n\r\n".encode())
                assert client.recv(65_536).split(b" ", 2)[1] == status, line


def test_another_form_of_the_address_leads_to_the_feed(sqlite_record: Record) -> None:
    with a_served_desk(sqlite_record, "Ελλάδα", "हिन्दी", "world") as desk:
        desk.post(sections=["ΕΛΛΆΔΑ", "world"])
        desk.build()
        capitals = desk.ask(address("Ελλάδα", ".rss"))
        assert (capitals.status, urlsplit(capitals.headers["location"]).path) == (
            301,
            address("ελλάδα", ".rss"),
        )
        decomposed = desk.ask(address(unicodedata.normalize("NFD", "ελλάδα"), ".json"))
        assert urlsplit(decomposed.headers["location"]).path == address("ελλάδα", ".json")
        assert desk.ask("/feeds/World").headers["location"].endswith("/feeds/world")
        for broken in ("/feeds/%ff%fe.rss", "/feeds/%ed%a0%80.rss", "/feeds/%e4%b8.json", "/feeds/%00.rss"):
            assert desk.ask(broken).status == 404


def test_every_list_names_a_feed_of_any_script_by_an_address_that_works(sqlite_record: Record) -> None:
    with a_served_desk(sqlite_record, *NAMES) as desk:
        desk.post(sections=list(NAMES))
        assert (
            'dateline_feed_staleness_seconds{section="中国"}' in desk.ask("/metrics", OPERATOR).body.decode()
        )
        desk.build()
        for path in ("/feeds", "/feeds.opml"):
            listed = links(desk.ask(path).body)
            for name in NAMES:
                assert address(slugs.fold(name), ".rss") in listed
            assert {desk.ask(each).status for each in listed} == {200}
        listed_sections = desk.ask("/v1/sections", OPERATOR).json["sections"]
        assert {each["slug"] for each in listed_sections} == {slugs.fold(name) for name in NAMES}
        assert desk.ask("/status.json", OPERATOR).status == 200


def test_a_renamed_section_of_any_script_leads_on_and_a_closed_one_says_so(sqlite_record: Record) -> None:
    with a_served_desk(sqlite_record, "中国", "اردو") as desk:
        desk.post(sections=["中国", "اردو"])
        desk.build()
        operations.rename_section(sqlite_record, "中国", "中國", actor="operator", now=NOW)
        operations.close_section(sqlite_record, "اردو", actor="operator", now=NOW)
        desk.build()
        for ending in (".rss", ".json", "", "/1.atom"):
            moved = desk.ask(address("中国", ending))
            assert (moved.status, urlsplit(moved.headers["location"]).path) == (301, address("中國", ending))
        assert desk.ask(address("اردو", ".rss")).status == 410
        ended = desk.ask(address("اردو", ".json"))
        assert (ended.status, urlsplit(ended.json["feed_url"]).path) == (410, address("اردو", ".json"))


def test_the_archive_of_a_section_of_any_script_is_numbered_and_linked(record: Record) -> None:
    desk = FeedDesk(record)
    source = a_desk(record, "中国", "𠀀")
    for n in range(ARCHIVE_PAGE + 1):
        story = an_article(external_id=str(n), sections=("中国", "𠀀"))
        post(record, source, story, now=later(n / 100))
    desk.work(later(1))
    for slug in ("中国", "𠀀"):
        root = desk.atom(slug)
        [archive] = root.xpath("//*[local-name()='link'][@rel='prev-archive']/@href")
        assert archive == f"{URL}{address(slug)}/1.atom"
        page = desk.atom(slug, 1)
        assert len(page.findall("{*}entry")) == ARCHIVE_PAGE
        [own] = page.xpath("/*/*[local-name()='link'][@rel='self']/@href")
        assert own == archive
        feed_id = root.findtext("{*}id")
        assert feed_id.endswith(f":feed/{quote(slug)}")


def test_a_feed_of_any_script_is_a_file_under_its_own_name(sqlite_record: Record, tmp_path: Path) -> None:
    desk = FeedDesk(sqlite_record)
    names = [slugs.fold(each) for each in NAMES] + ["日" * 42]
    source = a_desk(sqlite_record, *names)
    post(sqlite_record, source, an_article(sections=tuple(names)))
    desk.work()
    exporter = Exporter(sqlite_record, URL, tmp_path, lambda: desk.now)
    exporter.sync()
    for slug in names:
        assert (tmp_path / f"feeds/{slug}.rss").read_bytes() == desk.body(slug, "rss")
    # A web server decodes the address and looks for the file of that name.
    for each in links((tmp_path / "feeds.html").read_bytes()):
        path = tmp_path / unquote(each).lstrip("/")
        assert path.is_file() or path.with_name(f"{path.name}.html").is_file()
    operations.close_section(sqlite_record, "中国", actor="operator", now=desk.now)
    desk.work()
    exporter.sync()
    assert not list(tmp_path.glob("feeds/中国.*"))
    before = sorted(each.name for each in (tmp_path / "feeds").iterdir())
    assert len({unicodedata.normalize("NFD", each).casefold() for each in before}) == len(before)


@pytest.mark.parametrize(("there", "name"), [("işik", "ışık"), ("world", "ｗｏｒｌｄ"), ("world", "ａｌｌ")])
def test_a_name_too_like_another_is_refused(sqlite_record: Record, there: str, name: str) -> None:
    add_section(sqlite_record, there)
    with pytest.raises(NotPossible, match="too like"):
        add_section(sqlite_record, name)
    add_section(sqlite_record, "other")
    with pytest.raises(NotPossible, match="too like"):
        operations.rename_section(sqlite_record, "other", name, actor="operator", now=NOW)


def test_a_section_may_take_a_name_like_its_own(sqlite_record: Record) -> None:
    add_section(sqlite_record, "işik")
    operations.rename_section(sqlite_record, "işik", "ışık", actor="operator", now=NOW)
    operations.rename_section(sqlite_record, "ışık", "işik", actor="operator", now=NOW)
    with pytest.raises(AlreadyExists):
        add_section(sqlite_record, "işik")


@pytest.mark.parametrize("name", ["World", "中 国", "a/b", unicodedata.normalize("NFD", "हिन्दीé")])
def test_the_record_has_slugs_in_their_one_form_alone(sqlite_record: Record, name: str) -> None:
    with pytest.raises(NotPossible, match="does not work"):
        add_section(sqlite_record, name)


def add_section(record: Record, slug: str) -> None:
    operations.add_section(record, slug, "A title", None, actor="operator", now=NOW)


def test_a_partner_gets_the_sections_that_it_chose_in_any_script(record: Record) -> None:
    source = a_desk(record, "中国", "اردو")
    chosen = an_endpoint(record, sections=["中国"])
    other = an_endpoint(record, sections=["اردو"])
    assert post(record, source, an_article(sections=("中国",))).outcome == "accepted"
    FeedDesk(record).work()
    assert len(latest_deliveries(record, chosen.id)) == 1
    assert latest_deliveries(record, other.id) == []
