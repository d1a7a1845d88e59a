"""The evidence of a partner's own feed: reads by address, and the end of an address."""

from __future__ import annotations

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from service.http import credentials
from service.serving.edition_cache import EditionCache
from service.store import deadlines, notices, operations
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.feeds import documents, fetches
from service.store.feeds.fetches import Fetch, FetchTarget
from service.store.schema.feeds import feed_fetch
from service.store.views import feeds, history
from tests.builders import NOW, a_desk, a_takedown, later, post
from tests.feed_desk import FeedDesk, publish
from tests.reading import Reader

BETWEEN_FETCHES = 0.03  # seconds: readers without a pause would keep the builder from its work
NEWSBOAT = "newsboat/2.21.0 (Linux x86_64)"


@pytest.fixture
def reader(desk: FeedDesk, source: Source) -> Reader:
    """Reads the section world, in which stands the story 1."""
    reader = Reader(desk, ["world"], slug="herald")
    publish(desk, source, "1")
    return reader


def seen(reader: Reader) -> list[tuple[str, str, int, int]]:
    """(method, format, status, token) of each fetch, the newest first."""
    found = feeds.latest_fetches(reader.record, reader.feed_id)
    return [(each.method, each.format, each.status, each.token) for each in found]


def of(reader: Reader) -> feeds.FeedNow:
    return next(each for each in feeds.feeds_now(reader.record) if each.id == reader.feed_id)


def addressed(reader: Reader, fmt: str = "json") -> FetchTarget:
    digest = credentials.read_feed_token(reader.token)
    assert digest is not None
    found = fetches.find(reader.record, digest, fmt)
    assert found is not None
    return found


def test_partner_holds_the_stories_it_read_and_every_fetch_is_recorded(
    reader: Reader, desk: FeedDesk
) -> None:
    desk.now = later(60)
    first = reader.get("json", User_Agent=NEWSBOAT)
    assert reader.held() == {"1": 1}
    desk.now = later(120)
    again = reader.get("json", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")
    reader.get("atom", User_Agent="x" * 5000)
    assert seen(reader) == [("GET", "atom", 200, 1), ("GET", "json", 304, 1), ("GET", "json", 200, 1)]
    atom, _, json_ = feeds.latest_fetches(reader.record, reader.feed_id)
    assert (json_.at, json_.agent) == (later(60), NEWSBOAT)
    assert f'"{json_.etag}"' == first.headers["ETag"]
    assert len(atom.agent or "") == 200
    now = of(reader)
    assert (now.fetched_at, now.fetches) == (later(120), 3)
    assert (now.tokens[0].fetched_at, now.tokens[0].fetches) == (later(120), 3)


def test_article_lists_the_partners_that_hold_it_by_feed_and_since_when(
    reader: Reader, desk: FeedDesk
) -> None:
    desk.now = later(60)
    [item] = reader.read()
    [holding] = history.article_trace(reader.record, item["id"]).holdings
    assert (holding.partner, holding.channel, holding.endpoint_id) == ("herald", "feed", 0)
    assert (holding.revision, holding.since) == (1, later(60))
    assert (holding.partner_name, holding.url) == ("Herald", None)


def test_client_that_read_no_body_holds_nothing(reader: Reader) -> None:
    """An ETag learned by HEAD, and `*`, get their 304: they prove nothing."""
    head = reader.get(method="HEAD")
    assert (head.status_code, head.data) == (200, b"")
    assert seen(reader) == [("HEAD", "json", 200, 1)]
    assert of(reader).fetched_at is None
    assert reader.get(If_None_Match=head.headers["ETag"]).status_code == 304
    assert reader.get(If_None_Match="*").status_code == 304
    assert reader.held() == {}
    whole = reader.get()
    assert dict(whole.headers) == dict(head.headers)
    assert reader.held() == {"1": 1}


def test_takedown_read_in_the_feed_proves_that_the_partner_knows(
    reader: Reader, desk: FeedDesk, source: Source
) -> None:
    reader.read()
    desk.now = later(60)
    post(desk.record, source, a_takedown(external_id="1"), now=desk.now)
    assert reader.get().status_code == 200  # not built yet: it has read the story once more
    assert reader.held() == {"1": 1}
    desk.work()
    assert reader.read()[0]["_dateline"]["status"] == "killed"
    assert reader.held() == {"1": 2}


def test_evidence_is_of_the_document_that_was_sent_though_it_was_built_anew_meanwhile(
    reader: Reader, desk: FeedDesk, source: Source
) -> None:
    editions = EditionCache(reader.record)
    at_hand = addressed(reader)
    cached = editions.get(at_hand, "json")
    assert cached is not None
    desk.now = later(30)
    publish(desk, source, "1", headline="Story 1, corrected", correction_note="It was noon.")
    publish(desk, source, "2")
    fetch = Fetch("GET", "json", 200, None)
    assert fetches.note(reader.record, at_hand, cached.edition, fetch, later(60))
    assert reader.held() == {"1": 1}
    assert not addressed(reader).noted
    [noted] = feeds.latest_fetches(reader.record, reader.feed_id)
    assert noted.etag == cached.edition.document.etag != addressed(reader).etag
    reader.read()
    assert reader.held() == {"1": 2, "2": 1}


def test_late_read_of_an_old_edition_takes_no_receipt_back(
    reader: Reader, desk: FeedDesk, source: Source
) -> None:
    at_hand = addressed(reader)
    cached = EditionCache(reader.record).get(at_hand, "json")
    assert cached is not None
    desk.now = later(30)
    publish(desk, source, "1", headline="Newer")
    desk.now = later(60)
    reader.read()
    for _ in range(2):
        assert fetches.note(
            reader.record, at_hand, cached.edition, Fetch("GET", "json", 200, None), later(90)
        )
    assert reader.held() == {"1": 2}
    [holding] = history.article_trace(reader.record, reader.read()[0]["id"]).holdings
    assert holding.since == later(60)


def test_receipts_of_a_document_are_written_once(reader: Reader) -> None:
    assert not addressed(reader).noted
    reader.read()
    assert addressed(reader).noted
    assert not addressed(reader, "rss").noted  # nobody has read that
    assert reader.get().status_code == 200


def test_edition_read_during_a_build_equals_the_record(
    record: Record, desk: FeedDesk, source: Source
) -> None:
    """Readers fetch again and again while stories come, change and are killed."""
    readers = [Reader(desk, ["world"]) for _ in range(2)]
    published = [publish(desk, source, str(number)) for number in range(4)]
    done = threading.Event()

    def fetch(reader: Reader) -> tuple[dict[str, int], set[str]]:
        read: dict[str, int] = {}
        etags: set[str] = set()
        while not done.wait(BETWEEN_FETCHES) or not etags:
            answer = reader.get("json")
            assert answer.status_code == 200
            etags.add(answer.headers["ETag"].strip('"'))
            for item in json.loads(answer.data)["items"]:
                read[item["id"]] = max(read.get(item["id"], 0), item["_dateline"]["revision"])
        return read, etags

    with ThreadPoolExecutor(4) as pool:
        running = [(each, pool.submit(fetch, each)) for each in (*readers, *readers)]
        for turn in range(12):
            desk.now = later(turn)
            publish(desk, source, str(turn % 4), headline=f"Turn {turn}")
            publish(desk, source, f"new {turn}")
        operations.kill(record, published[3], reason="x", actor="operator", now=later(20))
        desk.work(later(20))
        done.set()
        found = [(reader, *future.result()) for reader, future in running]
    for reader in readers:
        read: dict[str, int] = {}
        etags: set[str] = set()
        for one, revisions, tags in found:
            if one is reader:
                etags |= tags
                read |= {key: max(read.get(key, 0), number) for key, number in revisions.items()}
        held = {
            each: next(
                h.revision for h in history.article_trace(record, each).holdings if h.partner == reader.slug
            )
            for each in read
        }
        assert held == read
        with record.reading() as connection:
            noted = select(feed_fetch.c.etag).where(feed_fetch.c.partner_feed_id == reader.feed_id)
            assert set(connection.execute(noted).scalars()) == etags


def test_after_a_rotation_both_addresses_work_until_the_old_ones_time_is_over(
    reader: Reader, desk: FeedDesk
) -> None:
    etag = reader.get().headers["ETag"]
    new = reader.rotate(overlap=timedelta(days=7))
    assert reader.get(If_None_Match=etag).status_code == 304
    assert reader.get(token=new, If_None_Match=etag).status_code == 304  # the document is the same
    assert [each[3] for each in seen(reader)] == [2, 1, 1]
    desk.now = NOW + timedelta(days=7)
    refused = reader.get()
    assert (refused.status_code, refused.json["type"]) == (410, "/docs#problem-revoked")
    assert "replaced" in refused.json["detail"]
    assert reader.get(token=new).status_code == 200
    newest, oldest = of(reader).tokens
    assert (newest.number, newest.until, newest.refused_at) == (2, None, None)
    assert (oldest.number, oldest.until, oldest.refused_at) == (1, desk.now, desk.now)


def test_a_second_rotation_does_not_prolong_the_first(reader: Reader, desk: FeedDesk) -> None:
    reader.rotate(overlap=timedelta(hours=1))
    reader.rotate(overlap=timedelta(days=30))
    reader.rotate(overlap=timedelta(0))
    ends = [each.until for each in of(reader).tokens]
    assert ends == [None, NOW, NOW]
    assert reader.get().status_code == 410
    with reader.record.reading() as connection:
        tokens = connection.exec_driver_sql(
            "SELECT count(*) FROM feed_token WHERE until IS NOT NULL"
        ).scalar()
    assert tokens == 3


def test_a_revoked_feed_answers_410_at_once_and_its_evidence_stays(reader: Reader, desk: FeedDesk) -> None:
    etag = reader.get().headers["ETag"]
    reader.revoke()
    for headers in ({}, {"If_None_Match": etag}):
        answer = reader.get(**headers)
        assert (answer.status_code, answer.content_type) == (410, "application/problem+json")
        assert answer.headers["X-Robots-Tag"] == "noindex"
    assert seen(reader) == [("GET", "json", 200, 1)]
    assert reader.held() == {"1": 1}
    assert of(reader).revoked_at == NOW
    assert of(reader).tokens[0].refused_at == NOW


def test_a_fetch_under_way_while_the_feed_is_revoked_is_refused(reader: Reader) -> None:
    at_hand = addressed(reader)
    cached = EditionCache(reader.record).get(at_hand, "json")
    assert cached is not None
    reader.revoke()
    assert not fetches.note(reader.record, at_hand, cached.edition, Fetch("GET", "json", 200, None), NOW)
    assert seen(reader) == []
    assert reader.held() == {}


def test_refused_client_that_goes_on_asking_is_recorded_once_a_minute(reader: Reader, desk: FeedDesk) -> None:
    reader.revoke()
    for seconds, told in ((0, 0), (30, 0), (59, 0), (60, 60), (61, 60)):
        desk.now = later(seconds)
        assert reader.get().status_code == 410
        assert of(reader).tokens[0].refused_at == later(told)


@pytest.mark.parametrize(
    "token", ["feed_" + "A" * 43, "feed_x", "feed_" + "A" * 44, "x", "%2e%2e", "feed_" + "é" * 43]
)
def test_unknown_token_learns_nothing(sqlite_record: Record, token: str) -> None:
    a_desk(sqlite_record)
    reader = Reader(FeedDesk(sqlite_record))
    answers = [reader.get(fmt, token=token) for fmt in ("rss", "json", "html")]
    assert {each.status_code for each in answers} == {404}
    assert len({each.data for each in answers}) == 1
    assert reader.get("html").data == answers[0].data  # a good token tells no more of what is not there


def test_a_feed_that_is_not_built_yet_says_when_to_come_again(record: Record) -> None:
    a_desk(record)
    answer = Reader(FeedDesk(record)).get()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json["type"] == "/docs#problem-not-built"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_cache_no_browser_and_no_search_engine_keeps_a_partners_feed(reader: Reader, method: str) -> None:
    whole = reader.get(method=method, Origin="https://elsewhere.example")
    for answer in (whole, reader.get(If_None_Match=whole.headers["ETag"])):
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Robots-Tag"] == "noindex"
        assert answer.headers["Last-Modified"]
        assert not {
            "Access-Control-Allow-Origin", "CDN-Cache-Control", "Surrogate-Key", "Cache-Tag", "Set-Cookie",
        } & set(answer.headers.keys())  # fmt: skip
    assert whole.headers["Accept-Ranges"] == "none"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert reader.get(Range="bytes=0-9").status_code == 200


def test_a_partners_feed_comes_compressed_and_a_304_fits_any_form(reader: Reader) -> None:
    plain, packed = reader.get("rss"), reader.get("rss", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert reader.get("rss", Accept_Encoding="gzip", If_None_Match=packed.headers["ETag"]).status_code == 304
    assert reader.get("rss", If_Modified_Since=plain.headers["Last-Modified"]).status_code == 304
    assert reader.get("rss", Accept_Encoding="identity;q=0").status_code == 406


def test_only_the_newest_fetches_stay_in_the_record(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, desk: FeedDesk
) -> None:
    monkeypatch.setattr(fetches, "MOST_FETCHES", 30)
    monkeypatch.setattr(fetches, "_PRUNE_EVERY", 10)
    for _ in range(60):
        reader.get(method="GET")
    with reader.record.reading() as connection:
        assert connection.execute(select(func.count()).select_from(feed_fetch)).scalar_one() <= 40
    desk.now = later(1) + fetches.FETCH_RETENTION
    for _ in range(10):
        reader.get()
    assert {each.at for each in feeds.latest_fetches(reader.record, reader.feed_id, 100)} == {desk.now}
    assert of(reader).fetches == 70


def test_outlet_that_does_not_fetch_after_a_kill_raises_one_notice(
    reader: Reader, desk: FeedDesk, source: Source
) -> None:
    record = reader.record
    publish(desk, source, "2")
    desk.now = later(60)
    for story in [item["id"] for item in reader.read()]:
        operations.kill(record, story, reason="x", actor="operator", now=desk.now)
    desk.work()
    assert deadlines.raise_late_takedowns(record, later(60 + 14 * 60)) == 0
    late = later(60 + 15 * 60)
    assert deadlines.raise_late_takedowns(record, late) == 1
    assert deadlines.raise_late_takedowns(record, later(7200)) == 0
    [told] = notices.latest(record, partner_slug="herald")
    assert (told.kind, told.partner, told.endpoint_id) == ("takedown.late", "herald", None)
    assert told.words.startswith("2 takedowns, one of them of tag:")
    assert "not fetched since 2026-11-24 08:01 UTC" in told.words
    desk.now = later(7300)
    reader.read()
    assert deadlines.raise_late_takedowns(record, later(9000)) == 0


def test_a_kill_that_the_outlet_got_by_push_is_not_late_in_its_feed(
    reader: Reader, desk: FeedDesk, source: Source
) -> None:
    record = reader.record
    [item] = reader.read()
    with record.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO receipt (partner_id, article_id, endpoint_id, revision, channel, held_since)"
            " SELECT partner_id, article_id, 7, 2, 'push', 1 FROM receipt"
        )
    operations.kill(record, item["id"], reason="x", actor="operator", now=later(60))
    assert deadlines.raise_late_takedowns(record, later(7200)) == 0


def test_reader_of_a_revoked_feed_has_to_be_notified_by_hand(reader: Reader, desk: FeedDesk) -> None:
    [item] = reader.read()
    reader.revoke()
    operations.kill(reader.record, item["id"], reason="x", actor="operator", now=later(60))
    assert deadlines.raise_late_takedowns(reader.record, later(7200)) == 1
    [told] = notices.latest(reader.record)
    assert told.words.endswith("its feed is revoked: tell it by hand")


def test_story_read_by_feed_is_never_pushed(reader: Reader, desk: FeedDesk, source: Source) -> None:
    reader.read()
    desk.now = later(60)
    post(desk.record, source, a_takedown(external_id="1"), now=desk.now)
    desk.work()
    with desk.record.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM delivery").scalar() == 0


def test_public_documents_have_no_evidence_to_keep(reader: Reader) -> None:
    assert documents.get_document(reader.record, "world", "json") is not None
    with reader.record.reading() as connection:
        public = "SELECT count(*) FROM document WHERE stories IS NOT NULL AND feed NOT LIKE 'partner/%%'"
        if reader.record.is_sqlite:
            public = public.replace("%%", "%")
        assert connection.exec_driver_sql(public).scalar() == 0


def test_process_that_dies_while_it_writes_evidence_leaves_none_and_gives_no_answer(
    sqlite_record: Record,
) -> None:
    desk = FeedDesk(sqlite_record)
    source = a_desk(sqlite_record)
    reader = Reader(desk, ["world"])
    publish(desk, source, "1")
    dies = (
        "CREATE TRIGGER dies BEFORE UPDATE OF noted ON document BEGIN SELECT RAISE(ABORT, 'dies here'); END"
    )
    with sqlite_record.writing() as connection:
        connection.exec_driver_sql(dies)  # the very last statement, behind the fetch and the receipts
    assert reader.get().status_code == 500
    assert (seen(reader), reader.held(), of(reader).fetches) == ([], {}, 0)
    with sqlite_record.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER dies")
    reader.read()
    assert (len(seen(reader)), reader.held(), of(reader).fetches) == (1, {"1": 1}, 1)
