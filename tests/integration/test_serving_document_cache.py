"""The documents in the web process's memory are those of the record, whatever becomes of the record."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from werkzeug.test import Client

from service.serving.cached_document import DocumentAddress
from service.serving.document_cache import (
    DOCUMENT_REFRESH_CEILING,
    DOCUMENT_REFRESH_SECONDS,
    LOADING_SECONDS,
    DocumentCache,
)
from service.serving.middleware import FeedMiddleware
from service.serving.recompression import STABLE_SECONDS
from service.store.database.record import Record
from tests import postgres
from tests.publisher import PUBLIC_URL, RSS, FeedPublisher, a_story, get, some_stories, unpacked


@contextmanager
def watched(record: Record, **options: Any) -> Iterator[tuple[DocumentCache, Client]]:
    """A documents that is watched, and a front with nothing behind it but a 404."""

    def nothing(_environ: Any, start: Any) -> list[bytes]:
        start("404 Not Found", [])
        return []

    documents = DocumentCache(record, PUBLIC_URL, **options)
    documents.watch()
    try:
        yield documents, Client(FeedMiddleware(nothing, documents))
    finally:
        documents.close()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


def test_a_new_document_is_served_after_the_second_look_at_the_latest(record: Record) -> None:
    room = FeedPublisher(record)
    with watched(record) as (documents, web):
        until(lambda: RSS in documents.ready)
        for number in range(3):
            before = get(web).headers["ETag"]
            room.publish(a_story(number))
            refreshes = documents.refreshes
            until(lambda refreshes=refreshes: documents.refreshes >= refreshes + 2)  # type: ignore[misc]
            assert get(web).headers["ETag"] != before
            assert f"Story {number}".encode() in get(web).data


def test_two_looks_are_less_than_half_a_second_apart() -> None:
    assert 2 * DOCUMENT_REFRESH_SECONDS < 0.5


def test_a_feed_that_is_new_or_gone_is_noticed(record: Record) -> None:
    room = FeedPublisher(record)
    with watched(record) as (documents, web):
        until(lambda: RSS in documents.ready)
        with record.writing() as connection:
            connection.exec_driver_sql("DELETE FROM document WHERE feed = 'world'")
        until(lambda: get(web).status_code == 404)
        room.publish(a_story(1))
        until(lambda: get(web).status_code == 200)


def test_a_feed_made_after_the_start_is_in_memory_before_anybody_asks_for_it(record: Record) -> None:
    """A desk is furnished while its web runs: what is not in memory cannot be served when the record goes away."""
    room = FeedPublisher(record)
    with watched(record) as (documents, _):
        until(lambda: RSS in documents.ready)
        room.publish(a_story(1, packages=["floods"]))
        until(lambda: "/feeds/package/floods.rss" in documents.ready)


def test_the_first_request_after_the_start_is_answered(record: Record) -> None:
    FeedPublisher(record).publish(a_story(1))
    with watched(record) as (_, web):
        assert b"Story 1" in get(web).data


def test_while_the_record_is_away_the_feeds_are_served_as_they_were(
    postgres_server: Any, postgres_record: Record, capfd: pytest.CaptureFixture[str]
) -> None:
    record = postgres_record
    room = FeedPublisher(record)
    room.publish(a_story(1))
    with watched(record) as (documents, web):
        until(lambda: RSS in documents.ready)
        before = get(web)
        with postgres.away(postgres_server, "one_test"):
            until(lambda: "document_cache.record_away" in "".join(capfd.readouterr()))
            during = get(web)
            assert (during.status_code, during.data) == (200, before.data)
            assert dict(during.headers) == dict(before.headers)
            assert get(web, If_None_Match=before.headers["ETag"]).status_code == 304
        room.publish(a_story(2))
        until(lambda: b"Story 2" in get(web).data)


def test_memory_is_bounded_and_evicted_documents_are_read_on_request(record: Record) -> None:
    FeedPublisher(record).publish(*some_stories(20))
    whole = DocumentCache(record, PUBLIC_URL)
    sizes = [cached.size for path in (RSS, "/feeds/all.rss") if (cached := whole.fetch(_address(path)))]
    with watched(record, limit=sum(sizes) - 1) as (documents, web):
        until(lambda: documents.refreshes > 0)
        for _ in range(3):
            for path in (RSS, "/feeds/all.rss", "/feeds/world.atom"):
                assert get(web, path).status_code == 200
                refreshes = documents.refreshes
                until(lambda refreshes=refreshes: documents.refreshes > refreshes + 1)  # type: ignore[misc]
                assert sum(cached.size for cached in documents.ready.values()) <= sum(sizes)


def test_least_recently_used_document_is_evicted_first(record: Record) -> None:
    FeedPublisher(record).publish(*some_stories(20))
    paths = [RSS, "/feeds/all.rss", "/feeds/all.atom"]
    documents = DocumentCache(record, PUBLIC_URL, limit=1 << 40)
    documents.watch()
    documents.close()
    for path in paths:
        cached = documents.fetch(_address(path))
        assert cached is not None
        cached.last_used = {RSS: 3, "/feeds/all.rss": 1, "/feeds/all.atom": 2}[path] + 10**6
    small = sum(cached.size for path, cached in documents.ready.items() if path in paths) - 1
    documents._limit = small
    documents.refresh()
    assert {path for path in paths if path in documents.ready} == {RSS, "/feeds/all.atom"}


def test_a_settled_document_is_compressed_better_under_the_same_tag(record: Record) -> None:
    FeedPublisher(record).publish(*some_stories(20))
    documents = DocumentCache(record, PUBLIC_URL)
    web = Client(FeedMiddleware(lambda _environ, _start: [], documents))
    before = {coding: get(web, Accept_Encoding=coding) for coding in ("br", "zstd", "gzip")}
    now = time.monotonic()
    assert not documents.recompress(now)
    steps = 0
    while documents.recompress(now + STABLE_SECONDS + 1):
        steps += 1
    assert steps == 3
    for coding, answer in before.items():
        after = get(web, Accept_Encoding=coding)
        assert after.headers["ETag"] == answer.headers["ETag"]
        assert unpacked(after) == unpacked(answer)
        assert len(after.data) <= len(answer.data)
        assert int(after.headers["Content-Length"]) == len(after.data)
        assert get(web, Accept_Encoding=coding, If_None_Match=answer.headers["ETag"]).status_code == 304
    assert len(get(web, Accept_Encoding="br").data) < len(before["br"].data)


def test_many_clients_at_once_see_only_whole_documents(record: Record) -> None:
    room = FeedPublisher(record)
    room.publish(a_story(0))
    broken: list[str] = []
    with watched(record) as (documents, web):
        until(lambda: RSS in documents.ready)
        done = threading.Event()

        def fetch() -> None:
            while not done.wait(0.002):
                answer = get(web, "/feeds/world.json", Accept_Encoding="zstd")
                try:
                    json.loads(unpacked(answer))
                except ValueError as error:
                    broken.append(str(error))

        threads = [threading.Thread(target=fetch, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(5):
                room.publish(a_story(number, headline=f"Round {number}"))
            until(lambda: b"Round 4" in get(web).data)
        finally:
            done.set()
        for thread in threads:
            thread.join()
    assert broken == []


def _address(path: str) -> DocumentAddress:
    address = DocumentAddress.of_path(path)
    assert address is not None
    return address


def test_a_look_is_never_a_second_late_whatever_the_last_one_took() -> None:
    assert DOCUMENT_REFRESH_CEILING <= 1
    assert LOADING_SECONDS < DOCUMENT_REFRESH_CEILING


def test_a_kill_is_served_within_a_second_while_everything_else_changes(record: Record) -> None:
    room = FeedPublisher(record)
    packages = [f"p{number}" for number in range(60)]
    bad = room.publish(a_story(0, headline="Wrong person named", packages=packages))[0]
    with watched(record) as (documents, web):
        paths = [f"/feeds/package/p{number}.rss" for number in range(60)]
        until(lambda: all(path in documents.ready for path in paths))
        room.kill(bad.article)
        began = time.monotonic()
        for path in paths:
            until(lambda path=path: b"Wrong person" not in get(web, path).data, 5)  # type: ignore[misc]
        # One second by the design; the rest is for machines that do much else.
        assert time.monotonic() - began < 3


def test_while_documents_are_taken_up_each_is_served_and_the_words_tell_how_many_are(record: Record) -> None:
    packages = [f"p{number}" for number in range(40)]
    FeedPublisher(record).publish(*[a_story(number, packages=packages) for number in range(3)])
    documents = DocumentCache(record, PUBLIC_URL)
    web = Client(FeedMiddleware(lambda _environ, _start: [], documents))
    documents._watching, documents.ready = True, documents._documents
    documents._load_first = lambda _deadline: None  # type: ignore[method-assign]
    documents.refresh()
    assert re.search(r"taking up 0 of 13\d documents", documents.describe())
    assert get(web, "/feeds/package/p39.atom").status_code == 200
    del documents._load_first
    while not documents.refresh():
        pass
    assert re.fullmatch(r"at most \d+\.\d s behind the record", documents.describe())


def test_a_look_at_an_unchanged_record_reads_no_list_of_documents(record: Record) -> None:
    FeedPublisher(record).publish(*some_stories(3))
    documents = DocumentCache(record, PUBLIC_URL)
    documents.refresh()
    read: list[str] = []
    event.listen(record.engine, "before_cursor_execute", lambda *each: read.append(each[2]))
    documents.refresh()
    assert read
    assert not [sql for sql in read if "FROM document" in sql]


def test_memory_is_counted_with_all_forms_and_given_back(record: Record) -> None:
    room = FeedPublisher(record)
    room.publish(*some_stories(20))
    documents = DocumentCache(record, PUBLIC_URL)
    web = Client(FeedMiddleware(lambda _environ, _start: [], documents))
    for path in (RSS, "/feeds/all.rss", "/feeds/all.json"):
        for coding in ("br", "gzip", "identity"):
            assert get(web, path, Accept_Encoding=coding).status_code == 200
    room.publish(a_story(50))
    for path in (RSS, "/feeds/all.rss", "/feeds/all.json"):
        get(web, path)
    assert documents._bytes.total == sum(each.size for each in documents._documents.values())
    for path in tuple(documents._documents):
        documents._drop(path)
    assert documents._bytes.total == 0
