"""Answers to clients that ask for a feed: the web's, and the feeds server's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from feeds import FORMATS
from service.serving.accept_encoding import CODINGS
from service.store.database.record import Record
from service.store.feeds import documents
from tests.feeds_server import a_feeds_server
from tests.publisher import PUBLIC_URL, RSS, PressRoom, a_story, a_web, get, some_stories, unpacked


@pytest.fixture(scope="module")
def room(standing_record: Record) -> PressRoom:
    """Five stories in the section world. Tests that change something have a room of their own."""
    room = PressRoom(standing_record)
    room.publish(*some_stories(5))
    return room


Serve = Callable[[PressRoom], Client]


@contextmanager
def serving(kind: str) -> Iterator[Serve]:
    """Serves rooms, by one of the two servers, until the end."""
    with ExitStack() as stack:

        def serve(room: PressRoom) -> Client:
            if kind == "web":
                return a_web(room)
            return stack.enter_context(a_feeds_server(room.record))  # type: ignore[return-value]

        yield serve


@pytest.fixture(scope="module", params=["web", "feeds"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def web(room: PressRoom, kind: str) -> Iterator[Client]:
    with serving(kind) as serve:
        yield serve(room)


@pytest.fixture
def serve(kind: str) -> Iterator[Serve]:
    with serving(kind) as serve:
        yield serve


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_feed_comes_in_every_form_that_a_client_takes_and_is_the_same_document(
    web: Client, room: PressRoom, fmt: str
) -> None:
    document = documents.get_document(room.record, "world", fmt)
    assert document is not None
    for coding in CODINGS:
        answer = get(web, f"/feeds/world.{fmt}", Accept_Encoding=coding)
        assert answer.status_code == 200
        assert answer.headers.get("Content-Encoding", "identity") == coding
        assert int(answer.headers["Content-Length"]) == len(answer.data)
        assert unpacked(answer) == document.body


def test_feed_comes_with_the_headers_for_caches_and_readers(web: Client) -> None:
    headers = get(web, Accept_Encoding="gzip", Cookie="session=1").headers
    assert headers["Content-Type"] == "application/rss+xml; charset=utf-8"
    assert headers["Vary"] == "Accept-Encoding"
    assert "stale-while-revalidate" in headers["Cache-Control"]
    assert "stale-if-error" in headers["CDN-Cache-Control"]
    assert headers["Surrogate-Key"].split() == ["feeds", "feed:world"]
    assert headers["Cache-Tag"] == "feeds,feed:world"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert f'<{PUBLIC_URL}/feeds/world.rss>; rel="self"' in headers["Link"]
    assert f'<{PUBLIC_URL}/feeds/world.atom>; rel="alternate"; type="application/atom+xml"' in headers["Link"]
    assert "Set-Cookie" not in headers


def test_a_query_string_changes_nothing(web: Client) -> None:
    assert get(web, f"{RSS}?cachebuster=1&utm_source=x").headers["ETag"] == get(web).headers["ETag"]


@pytest.mark.parametrize("coding", CODINGS)
def test_head_has_the_headers_of_get_without_the_body(web: Client, coding: str) -> None:
    head, whole = (get(web, method=method, Accept_Encoding=coding) for method in ("HEAD", "GET"))
    assert head.data == b""
    assert dict(head.headers) == dict(whole.headers)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    "made_of_it",
    ["{}", 'W/"{bare}"', '"{bare}"', '"x", {}', '"{bare}-gzip"', 'W/"{bare};br"', '"{bare}--gzip"', "*"],
)
def test_client_that_has_the_document_gets_a_304(web: Client, coding: str, made_of_it: str) -> None:
    whole = get(web, Accept_Encoding=coding)
    etag = whole.headers["ETag"]
    sent = made_of_it.format(etag, bare=etag.removeprefix("W/").strip('"'))
    answer = get(
        web, Accept_Encoding=coding, If_None_Match=sent, If_Modified_Since="Thu, 01 Jan 1970 00:00:00 GMT"
    )
    assert (answer.status_code, answer.data) == (304, b"")
    for name in ("ETag", "Last-Modified", "Cache-Control", "CDN-Cache-Control", "Vary", "Link"):
        assert answer.headers[name] == whole.headers[name]
    assert "Content-Length" not in answer.headers
    assert "Content-Encoding" not in answer.headers


def test_each_form_has_a_tag_of_its_own_and_only_the_plain_ones_is_strong(web: Client) -> None:
    tags = {coding: get(web, Accept_Encoding=coding).headers["ETag"] for coding in CODINGS}
    assert len(set(tags.values())) == len(CODINGS)
    assert [coding for coding, tag in tags.items() if not tag.startswith("W/")] == ["identity"]


def test_client_gets_no_304_for_a_form_that_it_cannot_read(web: Client) -> None:
    brotli = get(web, Accept_Encoding="br").headers["ETag"]
    assert get(web, Accept_Encoding="gzip", If_None_Match=brotli).status_code == 200
    assert get(web, Accept_Encoding="gzip, br", If_None_Match=brotli).headers["ETag"] == brotli


def test_if_none_match_beats_if_modified_since(web: Client) -> None:
    modified = get(web).headers["Last-Modified"]
    assert get(web, If_Modified_Since=modified).status_code == 304
    assert get(web, If_Modified_Since=modified, If_None_Match='"another"').status_code == 200


@pytest.mark.parametrize(
    "invented", ["Fri, 01 Jan 2041 00:00:00 GMT", "now", "Thu, 01 Jan 1970 00:00:00 GMT"]
)
def test_a_time_that_is_not_ours_never_hides_a_document(web: Client, invented: str) -> None:
    assert get(web, If_Modified_Since=invented).status_code == 200


def test_building_the_same_document_again_moves_no_validator(sqlite_record: Record, serve: Serve) -> None:
    room = PressRoom(sqlite_record)
    room.publish(a_story(1))
    web = serve(room)
    before = get(web).headers
    room.publish(a_story(1))  # a repeat: nothing changed
    after = get(web).headers
    assert (before["ETag"], before["Last-Modified"]) == (after["ETag"], after["Last-Modified"])


def test_a_change_moves_both_validators(sqlite_record: Record, serve: Callable[[PressRoom], Client]) -> None:
    room = PressRoom(sqlite_record)
    room.publish(a_story(1))
    web = serve(room)
    before = get(web).headers
    room.publish(a_story(1, headline="Story 1, corrected"))
    after = get(web, If_None_Match=before["ETag"], If_Modified_Since=before["Last-Modified"])
    assert after.status_code == 200
    assert after.headers["ETag"] != before["ETag"]
    assert after.headers["Last-Modified"] != before["Last-Modified"]
    assert b"Story 1, corrected" in after.data


@pytest.mark.parametrize(("header", "part"), [("bytes=0-9", slice(10)), ("bytes=-7", slice(-7, None))])
def test_a_range_of_the_plain_document_is_given(web: Client, header: str, part: slice) -> None:
    whole = get(web)
    assert whole.headers["Accept-Ranges"] == "bytes"
    answer = get(web, Range=header, If_Range=whole.headers["ETag"])
    assert (answer.status_code, answer.data) == (206, whole.data[part])
    assert answer.headers["Content-Range"].endswith(f"/{len(whole.data)}")
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert answer.headers["ETag"] == whole.headers["ETag"]


def test_no_range_is_given_of_a_compressed_document_or_of_another_version(web: Client) -> None:
    packed = get(web, Accept_Encoding="gzip", Range="bytes=0-9")
    assert (packed.status_code, packed.headers["Accept-Ranges"]) == (200, "none")
    assert get(web, Range="bytes=0-9", If_Range='"older"').status_code == 200
    assert get(web, Range="bytes=0-9", If_Range=packed.headers["ETag"]).status_code == 200
    assert get(web, Range="bytes=0-1,4-5").status_code == 200
    assert get(web, method="HEAD", Range="bytes=0-9").status_code == 200


def test_a_range_beyond_the_end_is_refused_with_the_length(web: Client) -> None:
    answer = get(web, Range="bytes=99999999-")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(get(web).data)}"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_get_a_405_with_the_allowed_ones(web: Client, method: str) -> None:
    answer = get(web, method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert json.loads(answer.data)["status"] == 405


def test_a_browser_may_ask_before_it_fetches(web: Client) -> None:
    answer = get(web, method="OPTIONS", Origin="https://reader.example", Access_Control_Request_Method="GET")
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "If-None-Match" in answer.headers["Access-Control-Allow-Headers"]


def test_client_that_refuses_every_form_gets_a_406(web: Client) -> None:
    answer = get(web, Accept_Encoding="deflate, identity;q=0")
    assert (answer.status_code, answer.headers["Vary"]) == (406, "Accept-Encoding")


@pytest.mark.parametrize(
    "path", ["/feeds/none.rss", "/feeds/a/b/c.atom", "/feeds/.rss", "/feeds/%00.rss", "/feeds/世界.rss"]
)
def test_a_feed_that_there_is_not_is_not_found(web: Client, path: str) -> None:
    assert get(web, path).status_code == 404


_ENCODINGS = st.one_of(
    st.text(st.sampled_from('gzipbrstdeny*;=q0.1, "'), max_size=80),
    st.lists(st.sampled_from(["gzip", "br", "zstd", "identity", "*", ";q=0", ";q=0.5", "deflate", ","])).map(
        "".join
    ),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    _ENCODINGS, st.sampled_from(["GET", "HEAD"]), st.sampled_from(["", '"x"', "*", "W/", "bytes=0-4", "feed"])
)
def test_answer_is_whole_and_readable_for_any_headers(
    web: Client, room: PressRoom, encoding: str, method: str, other: str
) -> None:
    document = documents.get_document(room.record, "world", "rss")
    assert document is not None
    answer = get(web, method=method, Accept_Encoding=encoding, If_None_Match=other, Range=other, A_IM=other)
    assert answer.status_code in {200, 206, 304, 406}
    if answer.status_code == 200 and method == "GET":
        assert unpacked(answer) == document.body
