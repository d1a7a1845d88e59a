"""The intake against everything that is not an article: each refusal is the promised one, and changes nothing."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.http.guess_limits import BEARER, MOST_WRONG
from service.intake.routes import MAX_BYTES, MAX_KEY
from service.webhooks import signatures
from tests.web import (
    Headers,
    Newsroom,
    WebDesk,
    a_newsroom,
    encoded,
    nothing_changes,
    now,
    pointers,
    rows,
    the_problem,
)

GOOD = encoded()
JSON = {"Content-Type": "application/json"}
KINDS = {400: "not-json", 401: "unauthenticated", 413: "too-large", 415: "media-type", 422: "invalid"}


@dataclass(frozen=True)
class RefusedPost:
    """A request and how it is refused. `at`: the fields that the answer names, exactly."""

    what: str
    status: int
    body: bytes = GOOD
    headers: Headers = field(default_factory=dict)
    path: str = "/v1/articles"
    method: str = "POST"
    at: tuple[str, ...] = ()
    kind: str = ""
    environ: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.what


def no_json(what: str, body: bytes) -> RefusedPost:
    return RefusedPost(what, 400, body)


def wrong(what: str, *at: str, **fields: Any) -> RefusedPost:
    return RefusedPost(what, 422, encoded(**fields), at=at)


def raw(**values: bytes) -> bytes:
    """The article with some values written as they stand here, which no encoder would write."""
    whole = json.loads(GOOD)
    parts = [
        f'"{name}": '.encode() + values.pop(name, json.dumps(value).encode()) for name, value in whole.items()
    ]
    return (
        b"{" + b", ".join(parts + [f'"{name}": '.encode() + value for name, value in values.items()]) + b"}"
    )


NO_JSON = [
    no_json("nothing", b""),
    no_json("blanks", b" \r\n\t "),
    no_json("a form", b"headline=Harbour&id=42"),
    no_json("XML", b"<?xml version='1.0'?><article/>"),
    no_json("cut off in the middle", GOOD[:-10]),
    no_json("cut off in a string", b'{"id": "4'),
    no_json("more after the end", GOOD + b"{}"),
    no_json("a comma too many", GOOD[:-1] + b",}"),
    no_json("single quotes", b"{'id': '42'}"),
    no_json("a comment", b"/* now */" + GOOD),
    no_json("NaN", raw(version=b"NaN")),
    no_json("Infinity", raw(version=b"Infinity")),
    no_json("minus infinity", raw(version=b"-Infinity")),
    no_json("a float beyond all floats", raw(version=b"1e999")),
    no_json("an integer of ten thousand digits", raw(version=b"9" * 10_000)),
    no_json("a key twice", GOOD[:-1] + b', "id": "43"}'),
    no_json("a key twice, deep down", raw(origin=b'{"name": "A", "name": "B"}')),
    no_json("a key twice, one of them escaped", GOOD[:-1] + b', "\\u0069d": "43"}'),
    no_json("nested beyond reason, closed", raw(extra=b"[" * 5000 + b"]" * 5000)),
    no_json("nested beyond reason, open", b"[" * 500_000),
    no_json("nested objects beyond reason", b'{"a":' * 100_000),
    no_json("nested a little too deep", raw(extra=b"[" * 51 + b"]" * 51)),
    no_json("a byte order mark", b"\xef\xbb\xbf" + GOOD),
    no_json("UTF-16 with a mark", GOOD.decode().encode("utf-16")),
    no_json("UTF-16 without a mark", GOOD.decode().encode("utf-16-le")),
    no_json("UTF-32", GOOD.decode().encode("utf-32")),
    no_json("Latin-1", raw(headline='"Café"'.encode("latin-1"))),
    no_json("a surrogate in UTF-8", raw(headline=b'"\xed\xa0\x80"')),
    no_json("an overlong NUL", raw(headline=b'"\xc0\x80"')),
    no_json("a bare NUL in a string", raw(headline=b'"a\x00b"')),
    no_json("a bare line feed in a string", raw(headline=b'"a\nb"')),
    no_json("NULs only", b"\x00" * 1000),
    no_json("a wrong escape", raw(headline=b'"\\x41"')),
    no_json("half an escape", raw(headline=b'"\\u12"')),
    no_json("a list", b"[" + GOOD + b"]"),
    no_json("a string", b'"42"'),
    no_json("a number", b"42"),
    no_json("null", b"null"),
    no_json("gzip that does not say so", gzip.compress(GOOD)),
]  # fmt: skip

OTHER_TYPES: dict[str, tuple[Any, ...]] = {
    "id": (4.2, True, ["42"], {"is": "42"}),
    "headline": (42, False, ["Harbour"], {"en": "Harbour"}),
    "sections": ("world", 7, {"0": "world"}, True),
    "body_html": (42, ["<p>A</p>"], {"html": "<p>A</p>"}),
    "body_text": (42, ["A"], {"text": "A"}),
    "summary": (42, ["A"], {"text": "A"}),
    "language": (42, ["en"], "English language", "zh_English", "e", "en" * 20),
    "packages": ("special", 7, {"0": "special"}),
    "url": (42, ["https://a.example/"], {"href": "https://a.example/"}),
    "authors": ("Ayesha Khan", {"name": "Ayesha Khan"}, 7),
    "origin": ("The Daily Mail", ["The Daily Mail"], 7),
    "original_author": (42, ["A"], {"name": "A"}),
    "original_headline": (42, ["A"]),
    "responsible_editor": (42, {"name": "A"}),
    "keywords": ("ferry", 7, {"0": "ferry"}),
    "images": ("https://a.example/1.jpg", {"url": "https://a.example/1.jpg"}, 7),
    "rights": ("All reserved", ["All reserved"], 7),
    "urgency": ("1", 1.5, True, 0, 10),
    "ednote": (42, ["A"]),
    "published_at": (1767340800, ["2026-01-02T08:00:00Z"], True),
    "updated_at": (1767340800, {"at": "2026-01-02T08:00:00Z"}),
    "version": ("3", 3.5, True, [3], -1, 2**53 + 1, 10**40),
    "embargo_until": (1767340800, "tomorrow"),
    "expires_at": (0, "never"),
    "status": (1, "deleted", "Usable", ["usable"], {"is": "usable"}, ""),
    "correction_note": (42, ["A"]),
    "kill_reason": (42, ["A"]),
    "reason": (42, ["A"]),
}
WRONG_TYPES = [
    wrong(f"{name} as {json.dumps(value)[:40]}", f"/{name}", **{name: value})
    for name, values in OTHER_TYPES.items()
    for value in values
]

NO_URLS = (
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<p>", "file:///etc/passwd", "ftp://a.example/",
    "//a.example/", "/relative", "a.example", "https://", "https:///path", "http://[::1", "https://a.example:99999/",
    "https://a b.example/", "https://a.example/\\..",
    'https://a.example/"onload="', "https://a.example/<script>", "https://a.example/" + "x" * 2048,
)  # fmt: skip
NO_TIMES = (
    "2026-01-02T08:00:00", "2026-01-02 08:00:00Z", "2026-01-02", "08:00:00Z", "20260102T080000Z",
    "2026-W01-5T08:00:00Z",
    "10000-01-01T00:00:00Z", "+12026-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
    "2026-01-02T24:00:01Z", "2026-01-02T08:60:00Z", "2026-06-30T23:59:60Z", "2026-01-02T08:00:00+25:00",
    "0001-01-01T08:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-02T08:00:00 Z", "٢٠٢٦-01-02T08:00:00Z",
)  # fmt: skip
WRONG_FIELDS = [
    RefusedPost("an empty object", 422, b"{}", at=("/id", "/headline", "/sections", "/body_html")),
    RefusedPost("nothing but an id", 422, b'{"id": "42"}', at=("/headline", "/sections", "/body_html")),
    RefusedPost("everything null", 422, raw(id=b"null", headline=b"null", sections=b"null", body_html=b"null"),
            at=("/id", "/headline", "/sections", "/body_html")),
    wrong("no id", "/id", id=None),
    wrong("an empty id", "/id", id=""),
    wrong("a blank id", "/id", id=" \t\n"),
    wrong("an id of NULs", "/id", id="\0\0"),
    wrong("an id of 201 characters", "/id", id="4" * 201),
    RefusedPost("an id that is half of an emoji", 422, raw(id=b'"\\ud83d"'), at=("/id",)),
    wrong("no headline", "/headline", headline=None),
    wrong("an empty headline", "/headline", headline=""),
    wrong("a headline of control characters", "/headline", headline="\x00\x01\x1b\x7f"),
    wrong("a headline of 301 characters", "/headline", headline="x" * 301),
    wrong("a headline of 301 emoji", "/headline", headline="🚢" * 301),
    wrong("no body", "/body_html", body_html=None),
    wrong("an empty body", "/body_html", body_html=""),
    wrong("a blank body", "/body_html", body_html=" \n "),
    wrong("a body of which cleaning leaves nothing", "/body_html", body_html="<script>alert(1)</script>"),
    wrong("a body of NULs", "/body_html", body_html="\0\0"),
    wrong("no section", "/sections", sections=[]),
    wrong("an empty section", "/sections/0", sections=[""]),
    wrong("null as a section", "/sections/1", sections=["world", None]),
    wrong("a section in a list", "/sections/1", sections=["world", ["business"]]),
    wrong("a number as a section", "/sections/0", sections=[7]),
    wrong("101 sections", "/sections", sections=[f"s{number}" for number in range(101)]),
    wrong("a section of 201 characters", "/sections/0", sections=["w" * 201]),
    wrong("an unknown section", "/sections/0", sections=["sports"]),
    wrong("a section that is like none but in part", "/sections/0", sections=["Worlds"]),
    wrong("a section with an unseen character", "/sections/0", sections=["wor\u200bld"]),
    wrong("an unknown section twice", "/sections/0", sections=["sports", "sports"]),
    wrong("a section that is SQL", "/sections/0", sections=["world'; DROP TABLE article; --"]),
    wrong("51 authors", "/authors", authors=[{"name": "A"}] * 51),
    wrong("an author without a name", "/authors/1/name", authors=[{"name": "A"}, {"role": "Editor"}]),
    wrong("an author's name that is an object", "/authors/0/name", authors=[{"name": {"first": "A"}}]),
    wrong("an author who is null", "/authors/0", authors=[None]),
    wrong("an author with a bad address", "/authors/0/url", authors=[{"name": "A", "url": "javascript:alert(1)"}]),
    wrong("101 keywords", "/keywords", keywords=["k"] * 101),
    wrong("a keyword that is a list", "/keywords/1", keywords=["ferry", ["harbour"]]),
    wrong("a keyword of 501 characters", "/keywords/0", keywords=["k" * 501]),
    wrong("101 packages", "/packages", packages=["p"] * 101),
    wrong("101 images", "/images", images=[{"url": "https://a.example/1.jpg"}] * 101),
    wrong("an image of negative width", "/images/0/width", images=[{"url": "https://a.example/1", "width": -1}]),
    wrong("an origin without a name", "/origin/name", origin={"url": "https://a.example/"}),
    wrong("a licence without an address", "/rights/licence_url", rights={"licence_url": "ask us"}),
    wrong("a summary of 2,001 characters", "/summary", summary="x" * 2001),
    wrong("several wrong things at once", "/id", "/url", "/version", id=[7], url="x", version="3"),
    RefusedPost("a takedown of an id that is none", 422, b'{"id": ["42"], "status": "killed", "headline": 7}',
                at=("/id",)),
    *[wrong(f"{url[:30]!r} as an address", "/url", url=url) for url in NO_URLS],
    *[wrong(f"{time!r} as a time", "/embargo_until", embargo_until=time) for time in NO_TIMES],
]  # fmt: skip


def header(what: str, status: int, kind: str = "", **headers: str) -> RefusedPost:
    return RefusedPost(what, status, kind=kind, headers={n.replace("_", "-"): v for n, v in headers.items()})


HEADERS = [
    header("a form's content type", 415, Content_Type="application/x-www-form-urlencoded"),
    header("text", 415, Content_Type="text/plain"),
    header("text/json", 415, Content_Type="text/json"),
    header("a content type that only begins so", 415, Content_Type="application/jsonp"),
    header("an upload", 415, Content_Type="multipart/form-data; boundary=x"),
    header("a content type that is none", 415, Content_Type="json"),
    header("an empty content type", 415, Content_Type=""),
    header("UTF-16 by name", 415, Content_Type="application/json; charset=utf-16"),
    header("Latin-1 by name", 415, Content_Type="application/json; charset=iso-8859-1"),
    header("gzip", 415, Content_Encoding="gzip"),
    header("an encoding that nobody knows", 415, Content_Encoding="identity, x-secret"),
    RefusedPost("gzip of a real gzip body", 415, gzip.compress(GOOD), {"Content-Encoding": "gzip"}),
    RefusedPost("no credentials", 401, without=("Authorization",)),
    header("an empty Authorization", 401, Authorization=""),
    header("a scheme without a key", 401, Authorization="Bearer"),
    header("a blank key", 401, Authorization="Bearer   "),
    header("a key without a scheme", 401, Authorization="dateline_abc_" + "x" * 43),
    header("another scheme", 401, Authorization="Basic d2lyZTpzZWNyZXQ="),
    header("two keys", 401, Authorization="Bearer one, Bearer two"),
    header("a key of another form", 401, Authorization="Bearer " + "x" * 60),
    header("a key that nobody has", 401, Authorization="Bearer dateline_nobody_" + "x" * 43),
    header("a key with accents", 401, Authorization="Bearer dateline_é_" + "é" * 43),
    header("an enormous key", 401, Authorization="Bearer dateline_" + "x" * 60_000),
    header("an idempotency key too long", 400, "idempotency-key", Idempotency_Key="k" * (MAX_KEY + 1)),
    header("an empty idempotency key", 400, "idempotency-key", Idempotency_Key=""),
    header("an idempotency key that is not ASCII", 400, "idempotency-key", Idempotency_Key="schlüssel"),
    header("an unsigned webhook-id too long", 400, "idempotency-key", webhook_id="k" * (MAX_KEY + 1)),
    RefusedPost("a tab in the idempotency key", 400, kind="idempotency-key", environ={"HTTP_IDEMPOTENCY_KEY": "a\tb"}),
    RefusedPost("a NUL in the idempotency key", 400, kind="idempotency-key", environ={"HTTP_IDEMPOTENCY_KEY": "a\0b"}),
    RefusedPost("a line feed in the idempotency key", 400, kind="idempotency-key",
            environ={"HTTP_IDEMPOTENCY_KEY": "a\r\nX-Evil: 1"}),
    RefusedPost("a control character in the key", 401, environ={"HTTP_AUTHORIZATION": "Bearer dateline_\x01"}),
    RefusedPost("a control character in the content type", 415, environ={"CONTENT_TYPE": "application/\x00json"}),
    RefusedPost("a byte more than 1 MiB", 413, b" " * (MAX_BYTES + 1)),
    RefusedPost("a valid article of more than 1 MiB", 413, encoded(body_text="x" * MAX_BYTES)),
    RefusedPost("a body said to be of a terabyte", 413, environ={"CONTENT_LENGTH": str(2**40)}),
    RefusedPost("a body without a length, a byte too long", 413, b" " * (MAX_BYTES + 1),
            environ={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}, without=("Content-Length",)),
    RefusedPost("a body without a length, far too long", 413, b" " * (3 * MAX_BYTES),
            environ={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}, without=("Content-Length",)),
    RefusedPost("a body without a length, no JSON", 400, b"{",
            environ={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}, without=("Content-Length",)),
    RefusedPost("a length that is none", 400, environ={"CONTENT_LENGTH": "many"}),
    RefusedPost("a negative length", 400, environ={"CONTENT_LENGTH": "-1"}),
]  # fmt: skip

PLACES = [
    RefusedPost("another source's address", 403, path="/v1/hooks/herald", kind="not-yours"),
    RefusedPost("another source in the query", 403, path="/v1/articles?source=herald", kind="not-yours"),
    RefusedPost("a source that is none", 403, path="/v1/hooks/nobody", kind="not-yours"),
    RefusedPost("a source with a NUL", 404, path="/v1/hooks/wi%00re", kind="not-found"),
    RefusedPost("a source that is SQL", 403, path="/v1/hooks/wire'--", kind="not-yours"),
    RefusedPost("a source that is not UTF-8", 403, path="/v1/hooks/%ff%fe", kind="not-yours"),
    RefusedPost("a source that climbs", 403, path="/v1/hooks/%2e%2e", kind="not-yours"),
    RefusedPost(
        "a source that climbs further",
        405,
        path="/v1/hooks/..%2f..%2fetc%2fpasswd",
        kind="method-not-allowed",
    ),
    RefusedPost("a source of 10,000 characters", 403, path="/v1/hooks/" + "x" * 10_000, kind="not-yours"),
    RefusedPost("no source", 404, path="/v1/hooks/", kind="not-found"),
    RefusedPost("PUT", 405, method="PUT", kind="method-not-allowed"),
    RefusedPost("PATCH", 405, method="PATCH", kind="method-not-allowed"),
    RefusedPost("DELETE", 405, method="DELETE", kind="method-not-allowed"),
    RefusedPost("a method of their own", 405, method="BREW", kind="method-not-allowed"),
    RefusedPost("GET of a hook", 405, method="GET", path="/v1/hooks/wire", kind="method-not-allowed"),
    RefusedPost(
        "POST to an article", 405, path="/v1/articles/01J00000000000000000000000", kind="method-not-allowed"
    ),
]
# These are asked of the record itself.
REACHING = [each for each in WRONG_FIELDS if "unknown section" in each.what] + PLACES
EVERYTHING = NO_JSON + WRONG_TYPES + WRONG_FIELDS + HEADERS + PLACES


def ask(desk: WebDesk, refused: RefusedPost) -> Any:
    headers = {**JSON, **desk.wire.bearer, **refused.headers}
    environ: dict[str, Any] = {"CONTENT_LENGTH": str(len(refused.body)), **refused.environ}
    for name in refused.without:
        headers.pop(name, None)
        environ.pop(name.upper().replace("-", "_"), None)
    return desk.client.open(
        refused.path,
        method=refused.method,
        input_stream=io.BytesIO(refused.body),
        headers=headers,
        environ_overrides=environ,
    )


def check(desk: WebDesk, refused: RefusedPost) -> None:
    woken = len(desk.woken)
    with nothing_changes(desk.record):
        problem = the_problem(ask(desk, refused), refused.status)
    assert problem["type"] == f"/docs#problem-{refused.kind or KINDS[refused.status]}"
    assert sorted(pointers(problem)) == sorted(refused.at)
    assert len(desk.woken) == woken


@pytest.mark.parametrize("refused", EVERYTHING, ids=str)
def test_a_body_that_is_no_article_is_refused_in_the_promised_way_and_changes_nothing(
    shared_sqlite_desk: WebDesk, refused: RefusedPost
) -> None:
    check(shared_sqlite_desk, refused)


@pytest.mark.parametrize("refused", REACHING, ids=str)
def test_a_post_that_reaches_the_record_is_refused_alike_on_each_database(
    shared_desk: WebDesk, refused: RefusedPost
) -> None:
    check(shared_desk, refused)


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    assert len(EVERYTHING) >= 200
    assert len({each.what for each in EVERYTHING}) == len(EVERYTHING)
    assert {each.status for each in EVERYTHING} >= {400, 401, 403, 404, 405, 413, 415, 422}


def test_a_401_says_how_to_authenticate_and_a_405_names_the_allowed_methods(sqlite_desk: WebDesk) -> None:
    nobody = sqlite_desk.client.post("/v1/articles", data=GOOD, headers=JSON)
    assert nobody.headers["WWW-Authenticate"].startswith("Bearer")
    assert "POST" in sqlite_desk.client.put("/v1/articles").headers["Allow"]


Spoil = Callable[[Newsroom, Newsroom], Headers]
YEAR = timedelta(days=365)
FORGED: dict[str, Spoil] = {
    "a signature of zeros": lambda ours, _: ours.signed(GOOD, signature="v1," + "A" * 43 + "="),
    "a signature of another body": lambda ours, _: ours.signed(GOOD + b" "),
    "a signature of another id": lambda ours, _: ours.signed(GOOD) | {"webhook-id": "msg_2"},
    "a signature five minutes and more old": lambda ours, _: ours.signed(GOOD, at=now() - timedelta(seconds=302)),
    "a signature a year old": lambda ours, _: ours.signed(GOOD, at=now() - YEAR),
    "a signature from the future": lambda ours, _: ours.signed(GOOD, at=now() + timedelta(seconds=302)),
    "an old signature with a new time": lambda ours, _: (
        ours.signed(GOOD, at=now() - YEAR) | {"webhook-timestamp": str(int(now().timestamp()))}
    ),
    "a secret that nobody has": lambda *_: Newsroom("wire", "", signatures.new_secret()).signed(GOOD),
    "a time that is none": lambda ours, _: ours.signed(GOOD, timestamp="yesterday"),
    "a negative time": lambda ours, _: ours.signed(GOOD, timestamp="-1"),
    "a time of a hundred digits": lambda ours, _: ours.signed(GOOD, timestamp="9" * 100),
    "a time in Arabic digits": lambda ours, _: ours.signed(GOOD, timestamp="١٧٦٧٣٤٠٨٠٠"),
    "a time with a fraction": lambda ours, _: ours.signed(GOOD, timestamp="1767340800.5"),
    "no id": lambda ours, _: ours.signed(GOOD, id=""),
    "an empty signature": lambda ours, _: ours.signed(GOOD, signature=""),
    "a signature without its version": lambda ours, _: ours.signed(
        GOOD, signature=ours.signed(GOOD)["webhook-signature"].removeprefix("v1,")
    ),
    "a signature of another version": lambda ours, _: ours.signed(
        GOOD, signature=ours.signed(GOOD)["webhook-signature"].replace("v1,", "v2,")
    ),
    "a signature that is no base64": lambda ours, _: ours.signed(GOOD, signature="v1,&&&& v1,é"),
    "half a signature": lambda ours, _: ours.signed(
        GOOD, signature=ours.signed(GOOD)["webhook-signature"][:20]
    ),
    "ten thousand signatures": lambda ours, _: ours.signed(GOOD, signature="v1,AAAA " * 10_000),
    "a forged signature beside a good key": lambda ours, _: ours.signed(GOOD, signature="v1,AAAA") | ours.bearer,
}  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/hooks/wire", "/v1/articles", "/v1/articles?source=wire"])
@pytest.mark.parametrize("forged", FORGED)
def test_a_signature_that_does_not_verify_is_refused(
    shared_sqlite_desk: WebDesk, forged: str, path: str
) -> None:
    desk = shared_sqlite_desk
    headers = JSON | FORGED[forged](desk.wire, desk.herald)
    with nothing_changes(desk.record):
        answer = desk.client.post(path, data=GOOD, headers=headers)
        problem = the_problem(answer, 401)
    assert desk.wire.secret not in answer.get_data(as_text=True)
    assert problem["type"] == "/docs#problem-unauthenticated"


def test_a_newsroom_whose_signature_is_wrong_reads_the_reason_and_is_not_taken_for_one_who_guesses_keys(
    sqlite_desk: WebDesk,
) -> None:
    ours = sqlite_desk.wire
    late = JSON | ours.signed(GOOD, at=now() - YEAR) | ours.bearer
    for _ in range(MOST_WRONG[BEARER] + 5):
        refused = the_problem(sqlite_desk.client.post("/v1/articles", data=GOOD, headers=late), 401)
        assert "webhook-timestamp" in refused["detail"]
    guess = JSON | {"Authorization": "Bearer " + "x" * 60}
    answers = [sqlite_desk.client.post("/v1/articles", data=GOOD, headers=guess) for _ in range(65)]
    assert [each.status_code for each in answers] == [401] * MOST_WRONG[BEARER] + [429] * 5


def test_another_sources_good_signature_opens_only_its_own_door(sqlite_desk: WebDesk) -> None:
    headers = JSON | sqlite_desk.herald.signed(GOOD)
    for path in ("/v1/hooks/wire", "/v1/articles?source=wire"):
        with nothing_changes(sqlite_desk.record):
            the_problem(sqlite_desk.client.post(path, data=GOOD, headers=headers), 401)
    assert sqlite_desk.client.post("/v1/articles", data=GOOD, headers=headers).status_code == 202
    found = sqlite_desk.get("/v1/articles?source=herald&external_id=42", sqlite_desk.herald.bearer)
    assert found.json["source"] == "herald"


@pytest.mark.parametrize("id", ["i" * (MAX_KEY + 1), "identité", "two\twords"])
def test_a_signed_id_that_cannot_be_a_key_is_refused(sqlite_desk: WebDesk, id: str) -> None:
    spoilt = sqlite_desk.wire.signed(GOOD, id=id)
    environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in spoilt.items()}
    environ["HTTP_WEBHOOK_ID"] = id
    with nothing_changes(sqlite_desk.record):
        answer = sqlite_desk.client.post("/v1/articles", data=GOOD, headers=JSON, environ_overrides=environ)
        assert the_problem(answer, 400)["type"] == "/docs#problem-idempotency-key"


def test_a_key_used_for_another_body_is_a_conflict_and_changes_nothing(desk: WebDesk) -> None:
    assert desk.post(GOOD, idempotency_key="k1").status_code == 202
    with nothing_changes(desk.record):
        for other in (encoded(headline="Another"), GOOD + b" "):
            problem = the_problem(desk.post(other, idempotency_key="k1"), 409)
            assert problem["type"] == "/docs#problem-key-reused"
            assert "k1" in problem["detail"]


def test_a_source_whose_adapter_is_not_in_this_version_is_refused_with_the_reason(
    sqlite_desk: WebDesk,
) -> None:
    odd = a_newsroom(sqlite_desk.record, "odd", adapter="telegraph")
    with nothing_changes(sqlite_desk.record):
        answer = sqlite_desk.client.post("/v1/hooks/odd", data=GOOD, headers=JSON | odd.bearer)
        assert "telegraph" in the_problem(answer, 422)["detail"]


def test_a_refused_revision_leaves_the_article_as_it_was(desk: WebDesk) -> None:
    held = json.loads(desk.post(GOOD).data)
    with nothing_changes(desk.record):
        the_problem(desk.post(encoded(headline="")), 422)
        the_problem(desk.post(encoded(sections=["sports"])), 422)
    assert json.loads(desk.post(GOOD).data) == held | {"outcome": "repeat"}


def test_a_body_of_exactly_one_mebibyte_is_taken(sqlite_desk: WebDesk) -> None:
    room = MAX_BYTES - len(encoded(body_text=""))
    body = encoded(body_text="x" * room)
    assert len(body) == MAX_BYTES
    assert sqlite_desk.post(body).status_code == 202


def test_a_body_in_chunks_without_a_length_is_read(sqlite_desk: WebDesk) -> None:
    environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    chunked = RefusedPost("chunks", 202, environ=environ, without=("Content-Length",))
    assert ask(sqlite_desk, chunked).status_code == 202


ODD_BUT_GOOD = {
    "a headline of 300 emoji": {"headline": "🚢" * 300},
    "NULs and controls within texts": {"headline": "Har\0bour\x1b re\x9bopens", "summary": "\ufffe\uffffA"},
    "half an emoji within a text": {"headline": "Harbour \ud83d reopens", "body_html": "<p>\udc00 A</p>"},
    "half an emoji in a key that nobody knows": {"\ud83d": 1, "\0": 2, "a/b~c": 3},
    "text from right to left with marks": {"headline": "\u202eبندرگاہ\u202c", "language": "ur"},
    "markup in plain fields": {"headline": "<script>alert(1)</script> & more", "original_author": "</title>"},
    "a template in the headline": {"headline": "{{ 7 * 7 }} ${7*7} %s {0}"},
    "an id that climbs": {"id": "../../etc/passwd"},
    "an id that is SQL": {"id": "42'; DROP TABLE article; --"},
    "the greatest version": {"version": 2**53},
    "the first and the last moment": {"published_at": "0001-01-01T00:00:00Z", "expires_at": "9999-12-31T23:59:59Z"},
    "a time to the nanosecond": {"updated_at": "2026-01-02t08:00:00.123456789z"},
    "a body that never closes": {"body_html": "<p><b><i>" * 1000 + "A"},
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD_BUT_GOOD)
def test_an_odd_article_is_accepted_and_can_be_read_back(shared_desk: WebDesk, odd: str) -> None:
    answer = shared_desk.post(encoded(**{"id": odd, **ODD_BUT_GOOD[odd]}))
    assert answer.status_code == 202, answer.get_data(as_text=True)
    given = json.loads(answer.data)
    found = shared_desk.get(f"/v1/articles/{given['article']}", shared_desk.wire.bearer)
    assert found.status_code == 200
    assert json.loads(found.data)["revision"] == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([*OTHER_TYPES, "extra"])
ARTICLES = st.dictionaries(FIELDS, JSON_VALUES, max_size=6)
NEARLY = ARTICLES.map(lambda changes: {**json.loads(GOOD), **changes})


@settings(max_examples=60, deadline=None)
@given(value=JSON_VALUES | ARTICLES | NEARLY)
@example(value={**json.loads(GOOD), "id": "\ud800\0"})
@example(value={**json.loads(GOOD), "headline": "\udfff\ud800A"})
def test_no_json_breaks_the_intake(shared_desk: WebDesk, value: Any) -> None:
    before = rows(shared_desk.record)
    answer = shared_desk.post(json.dumps(value).encode())
    assert answer.status_code in {202, 400, 422}, answer.get_data(as_text=True)
    if answer.status_code != 202:
        assert rows(shared_desk.record) == before


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200), key=st.text(alphabet=st.characters(codec="latin-1"), max_size=30))
def test_no_bytes_and_no_header_break_the_intake(shared_desk: WebDesk, body: bytes, key: str) -> None:
    names = (
        "HTTP_AUTHORIZATION",
        "HTTP_IDEMPOTENCY_KEY",
        "HTTP_WEBHOOK_ID",
        "HTTP_WEBHOOK_SIGNATURE",
        "CONTENT_TYPE",
    )
    for name in names:
        environ = {"CONTENT_LENGTH": str(len(body)), name: key}
        answer = shared_desk.client.post(
            "/v1/articles",
            input_stream=io.BytesIO(body),
            headers={**JSON, **shared_desk.wire.bearer},
            environ_overrides=environ,
        )
        assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "path", ["/v1/articles?dry_run=1", "/v1/hooks/wire?x=1", "/v1/articles?source=wire&source=a"]
)
def test_an_unknown_parameter_is_a_400_that_names_it_and_publishes_nothing(
    sqlite_desk: WebDesk, path: str
) -> None:
    before = rows(sqlite_desk.record)
    answer = ask(sqlite_desk, RefusedPost("a parameter", 400, path=path))
    problem = the_problem(answer, 400)
    assert path.rpartition("?")[2].partition("=")[0] in problem["detail"]
    assert rows(sqlite_desk.record) == before


@pytest.mark.parametrize("path", ["/v1/articles/x?y=1", "/v1/events/x?y=1", "/v1/partner/events?y=1"])
def test_an_unknown_parameter_of_a_question_is_a_400_too(sqlite_desk: WebDesk, path: str) -> None:
    assert "?y=" in the_problem(sqlite_desk.get(path, sqlite_desk.wire.bearer), 400)["detail"]
