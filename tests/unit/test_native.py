"""The native article: its fields as they are read, and every fault with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.intake import article
from service.intake.adapters import native
from service.intake.adapters.json_body import NotJson
from service.intake.adapters.native import Invalid, Reading
from service.intake.adapters.posted_fields import Note
from service.store.articles.posts import PostedArticle


def an_article(**fields: Any) -> dict[str, Any]:
    whole = {"id": "42", "headline": "A ferry sails", "sections": ["world"], "body_html": "<p>It sailed.</p>"}
    return whole | fields


def read(fields: Any) -> Reading:
    return native.read(json.dumps(fields).encode())


def content_of(**fields: Any) -> dict[str, Any]:
    content = read(an_article(**fields)).posted.content
    assert content is not None
    return content


def pointers(fields: Any) -> list[str]:
    with pytest.raises(Invalid) as refused:
        read(fields)
    assert all(note.detail.endswith(".") for note in refused.value.errors)
    return [note.pointer for note in refused.value.errors]


def test_the_least_article_is_read_and_absent_fields_have_no_keys() -> None:
    posted = read(an_article()).posted
    assert posted.external_id == "42"
    assert posted.status == "usable"
    assert posted.sections == ("world",)
    assert posted.content == {
        "headline": "A ferry sails",
        "sections": ["world"],
        "body_html": "<p>It sailed.</p>",
        "body_text": "It sailed.",
    }


def test_null_is_the_same_as_absent() -> None:
    optional = set(article.Article.model_fields) - {"id", "headline", "sections", "body_html"}
    assert read(an_article(**dict.fromkeys(optional))) == read(an_article())


def test_empty_lists_objects_and_texts_are_the_same_as_absent() -> None:
    fields = an_article(summary=" ", keywords=[], packages=[], authors=[], images=[], rights={}, origin={})
    assert read(fields) == read(an_article())


def test_a_full_article_keeps_everything_in_its_place() -> None:
    kept: dict[str, Any] = {
        "summary": "Short.",
        "language": "zh-Hans",
        "packages": ["front"],
        "url": "https://paper.example/1",
        "authors": [{"name": "A", "url": "https://a.example/", "role": "Editor"}],
        "origin": {"name": "B", "url": "https://b.example/", "country": "PK"},
        "original_author": "C",
        "original_headline": "D",
        "responsible_editor": "E",
        "keywords": ["f"],
        "images": [{"url": "https://i.example/1.jpg", "alt": "", "credit": "G", "width": 10, "height": 5}],
        "rights": {"holder": "H", "notice": "I", "usage_terms": "J", "licence_url": "https://l.example/"},
        "urgency": 3,
        "ednote": "K",
    }
    content = content_of(**kept)
    assert {name: content[name] for name in kept} == kept


def test_the_state_is_beside_the_content() -> None:
    posted = read(
        an_article(
            version=3,
            updated_at="2026-01-02T10:00:00+02:00",
            embargo_until="2026-01-03T00:00:00Z",
            expires_at="2027-01-03t00:00:00.5z",
            correction_note="It was 41.",
            kill_reason="Court order",
        )
    ).posted
    assert posted.version == 3
    assert posted.updated_at == datetime(2026, 1, 2, 8, tzinfo=UTC)
    assert posted.embargo_until == datetime(2026, 1, 3, tzinfo=UTC)
    assert posted.expires_at == datetime(2027, 1, 3, 0, 0, 0, 500_000, tzinfo=UTC)
    assert posted.correction_note == "It was 41."
    assert posted.reason == "Court order"
    assert posted.content is not None
    assert set(posted.content) == {"headline", "sections", "body_html", "body_text"}


def test_the_time_of_publication_is_kept_in_utc() -> None:
    assert content_of(published_at="2026-01-02T10:00:00+02:00")["published_at"] == "2026-01-02T08:00:00Z"


@pytest.mark.parametrize("status", ["withheld", "killed", "unpublished"])
def test_a_takedown_needs_no_content(status: str) -> None:
    posted = read({"id": "42", "status": status, "reason": "Wrong"}).posted
    assert (posted.content, posted.sections, posted.status, posted.reason) == (None, (), status, "Wrong")


USELESS = [
    {"headline": "x" * 301},
    {"headline": ["A"], "sections": "world", "authors": [7]},
    {"sections": [7], "body_html": "<p>It sailed.</p>"},
    {"headline": "Half of an article"},
    {"images": [{"url": "ftp://i.example/"}]},
    {"language": "english"},
    {"embargo_until": "soon", "expires_at": True},
    {"updated_at": "yesterday", "version": "three"},
    {"kill_reason": 4, "reason": []},
    {"correction_note": "x" * 2001},
    {**an_article(), "body_html": "<script>a</script>"},
    {**an_article(), "body_html": "<b>" * 8000},
    {**an_article(), "body_html": "x" * native.ARTICLE_BYTES},
]


@pytest.mark.parametrize("status", ["killed", "withheld", "unpublished"])
@pytest.mark.parametrize("useless", USELESS, ids=lambda each: ",".join(each)[:60])
def test_a_takedown_is_not_lost_for_what_comes_with_it(useless: dict[str, Any], status: str) -> None:
    reading = read({**useless, "id": "42", "status": status})
    assert reading.posted == PostedArticle("42", None, (), status)
    assert reading.warnings[-1].detail == "It was taken down all the same, without what else came with it."
    assert len(reading.warnings) > 1


def test_a_takedown_keeps_its_order_and_its_reason_whatever_else_is_wrong() -> None:
    fields = {"id": 42, "status": "killed", "version": 3, "updated_at": "2026-01-02T08:00:00+0000"}
    posted = read({**fields, "kill_reason": "r" * 2001, "headline": "x" * 301}).posted
    assert (posted.external_id, posted.version, posted.reason) == ("42", 3, "r" * 2000)
    assert posted.updated_at == datetime(2026, 1, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize("wrong", [None, "", " 42", ["42"], {"a": 1}])
def test_a_takedown_of_nobody_knows_what_is_refused_at_its_id_alone(wrong: Any) -> None:
    assert pointers({"id": wrong, "status": "killed", "headline": "x" * 301}) == ["/id"]


LENIENT: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"language": "zh_Hans_CN"}, {"language": "zh-Hans-CN"}, "/language"),
    ({"language": ""}, {}, "/language"),
    ({"url": ""}, {}, "/url"),
    ({"published_at": "2026-01-02T10:00:00+0200"}, {"published_at": "2026-01-02T08:00:00Z"}, "/published_at"),
    ({"published_at": "0001-01-01T00:00:00Z"}, {}, "/published_at"),
    ({"published_at": "0001-01-01"}, {}, "/published_at"),
    ({"published_at": "0000-00-00 00:00:00"}, {}, "/published_at"),
    ({"published_at": "1970-01-01T00:00:00Z"}, {}, "/published_at"),
    ({"published_at": "1970-01-01T00:00:00.000+00:00"}, {}, "/published_at"),
    ({"expires_at": "0001-01-01T00:00:00+10:00"}, {}, "/expires_at"),
    ({"embargo_until": ""}, {}, "/embargo_until"),
    ({"updated_at": " "}, {}, "/updated_at"),
    ({"correction_note": " "}, {}, "/correction_note"),
    ({"images": [{"alt": "A"}]}, {}, "/images/0"),
    ({"images": [{"url": "", "alt": "A"}]}, {}, "/images/0/url"),
    ({"images": [{"url": "/i/1.jpg"}]}, {}, "/images/0"),
    (
        {
            "url": "https://news.example/a/b",
            "images": [{"url": "../i/1.jpg"}, {"url": "//cdn.example/2.jpg"}],
        },
        {
            "url": "https://news.example/a/b",
            "images": [{"url": "https://news.example/i/1.jpg"}, {"url": "https://cdn.example/2.jpg"}],
        },
        "/images/0",
    ),
    ({"headline": "Harbour &#8220;open&#8221;"}, {"headline": "Harbour &#8220;open&#8221;"}, "/headline"),
    ({"headline": "A <em>ferry</em> sails"}, {"headline": "A <em>ferry</em> sails"}, "/headline"),
]


@pytest.mark.parametrize(("fields", "taken", "pointer"), LENIENT)
def test_values_whose_meaning_is_plain_are_taken_with_a_warning(
    fields: dict[str, Any], taken: dict[str, Any], pointer: str
) -> None:
    reading = read(an_article(**fields))
    plain = read(an_article()).posted
    assert reading.posted.content == {**(plain.content or {}), **taken}
    assert (reading.posted.expires_at, reading.posted.embargo_until) == (None, None)
    assert reading.warnings[0].pointer == pointer


@pytest.mark.parametrize("headline", ["Profits < losses", "Marks & Spencer", "1 <2 and 3> 2", "AT&T; so"])
def test_a_headline_with_a_sign_is_not_taken_for_html(headline: str) -> None:
    assert read(an_article(headline=headline)).warnings == ()


@pytest.mark.parametrize(("written", "taken"), [(42, "42"), (42.0, "42"), (-7, "-7"), (0, "0")])
def test_a_number_as_id_is_its_digits(written: Any, taken: str) -> None:
    reading = read(an_article(id=written))
    assert (reading.posted.external_id, reading.warnings[0].pointer) == (taken, "/id")


def test_the_size_of_an_article_is_that_of_its_text_not_of_its_escapes() -> None:
    story = an_article(body_text="\u4e2d" * 300_000)
    assert len(json.dumps(story)) > native.ARTICLE_BYTES
    assert read(story).posted.content is not None
    with pytest.raises(native.TooLong):
        read(an_article(body_text="\u4e2d" * 350_000))


def test_text_is_derived_from_html() -> None:
    content = content_of(body_html="<p>One<br>two &amp; three</p>\n<ul><li>four</li><li>five</li></ul>")
    assert content["body_text"] == "One\ntwo & three\n\nfour\n\nfive"


def test_html_is_derived_from_text() -> None:
    fields = an_article(body_text="One <b>\r\ntwo\r\n\r\nthree & four")
    del fields["body_html"]
    content = read(fields).posted.content
    assert content is not None
    assert content["body_html"] == "<p>One &lt;b&gt;<br>two</p><p>three &amp; four</p>"
    assert content["body_text"] == "One <b>\ntwo\n\nthree & four"


def test_an_article_with_both_bodies_keeps_both() -> None:
    content = content_of(body_text="Other words.")
    assert (content["body_html"], content["body_text"]) == ("<p>It sailed.</p>", "Other words.")


def test_content_that_the_sanitiser_removes_is_a_warning() -> None:
    reading = read(an_article(body_html="<p onclick='a'>b</p><script>c</script>"))
    assert reading.warnings == (Note("/body_html", "removed: attribute onclick (1), <script> (1)"),)


def test_unknown_fields_are_ignored_with_a_warning() -> None:
    reading = read(an_article(**{"a/b~c": 1, "authors": [{"name": "A", "age": 5}]}))
    assert [note.pointer for note in reading.warnings] == ["/a~1b~0c", "/authors/0/age"]


@pytest.mark.parametrize(
    ("tag", "canonical"),
    [("i-default", "i-default"), ("x-klingon", "x-klingon"), ("ZH-hans-cn", "zh-Hans-CN"), ("iw", "iw")],
)
def test_a_language_tag_is_kept_in_its_canonical_letters(tag: str, canonical: str) -> None:
    assert content_of(language=tag)["language"] == canonical


def test_a_users_name_and_password_are_taken_out_of_addresses_with_a_warning() -> None:
    reading = read(
        an_article(
            url="https://u:p@paper.example/1",
            origin={"name": "B", "url": "https://u@b.example/"},
            images=[{"url": "https://u:p@i.example/1.jpg"}],
        )
    )
    assert reading.posted.content is not None
    assert reading.posted.content["url"] == "https://paper.example/1"
    assert reading.posted.content["origin"]["url"] == "https://b.example/"
    assert reading.posted.content["images"][0]["url"] == "https://i.example/1.jpg"
    assert [note.pointer for note in reading.warnings] == ["/url", "/origin/url", "/images/0/url"]


@pytest.mark.parametrize(
    ("published", "embargo", "warned"),
    [
        ("1969-07-20T20:17:00Z", None, True),
        ("1990-01-01T00:00:00Z", None, False),
        ("2026-01-02T20:00:00Z", None, False),
        ("2027-01-01T00:00:00Z", None, True),
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z", False),
    ],
)
def test_a_time_of_publication_that_nobody_believes_draws_a_warning(
    published: str, embargo: str | None, warned: bool
) -> None:
    posted = read(an_article(published_at=published, embargo_until=embargo)).posted
    warnings = native.date_warnings(posted, datetime(2026, 1, 2, 8, tzinfo=UTC))
    assert [note.pointer for note in warnings] == (["/published_at"] if warned else [])


def test_a_section_named_twice_is_kept_once_with_a_warning() -> None:
    reading = read(an_article(sections=["world", "asia", "world"]))
    assert reading.posted.sections == ("world", "asia")
    assert [note.pointer for note in reading.warnings] == ["/sections/2"]


def test_control_characters_are_removed_with_a_warning() -> None:
    reading = read(an_article(headline=" A\x00 fe\x85rry\tsails\non\ud800 \uffff", keywords=["a\x01"]))
    assert reading.posted.content is not None
    assert reading.posted.content["headline"] == "A ferry sails on"
    assert [note.pointer for note in reading.warnings] == ["/headline", "/keywords/0"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"id": ""}, "/id"),
    ({"id": None}, "/id"),
    ({"id": "x" * 201}, "/id"),
    ({"id": 4.5}, "/id"),
    ({"id": True}, "/id"),
    ({"id": 2**70}, "/id"),
    ({"images": [{"url": "ftp://i.example/a.jpg"}]}, "/images/0/url"),
    ({"updated_at": "0001-01-02T00:00:00+25:00"}, "/updated_at"),
    ({"headline": "\x00 "}, "/headline"),
    ({"headline": ["A"]}, "/headline"),
    ({"headline": "x" * 301}, "/headline"),
    ({"summary": "x" * 2001}, "/summary"),
    ({"summary": 1}, "/summary"),
    ({"sections": "world"}, "/sections"),
    ({"sections": [7]}, "/sections/0"),
    ({"sections": ["world", ""]}, "/sections/1"),
    ({"sections": ["world", None]}, "/sections/1"),
    ({"sections": ["s"] * 101}, "/sections"),
    ({"sections": []}, "/sections"),
    ({"keywords": ["k"] * 101}, "/keywords"),
    ({"images": [{"url": "https://i.example/"}] * 101}, "/images"),
    ({"images": [{"url": "https://i.example/", "width": "10"}]}, "/images/0/width"),
    ({"authors": [{"name": "A"}] * 51}, "/authors"),
    ({"authors": ["A"]}, "/authors/0"),
    ({"authors": [{"name": "A"}, {"role": "B"}]}, "/authors/1/name"),
    ({"origin": {"url": "https://b.example/"}}, "/origin/name"),
    ({"origin": {"name": "B", "url": "/b"}}, "/origin/url"),
    ({"origin": "B"}, "/origin"),
    ({"rights": {"licence_url": "ftp://l.example/"}}, "/rights/licence_url"),
    ({"url": "javascript:alert(1)"}, "/url"),
    ({"url": "https://"}, "/url"),
    ({"url": "https://a.example:x/"}, "/url"),
    ({"url": "https://[/"}, "/url"),
    ({"url": "https://a.example/" + "x" * 2040}, "/url"),
    ({"language": "english language"}, "/language"),
    ({"language": "english"}, "/language"),
    ({"language": "xx"}, "/language"),
    ({"id": "a\x00b"}, "/id"),
    ({"id": "a\ufdd0"}, "/id"),
    ({"id": "a\U0001ffff"}, "/id"),
    ({"id": "a\ud800"}, "/id"),
    ({"id": "a\tb"}, "/id"),
    ({"id": " a"}, "/id"),
    ({"id": "a\u3000"}, "/id"),
    ({"sections": ["world", "world\n"]}, "/sections/1"),
    ({"sections": ["wor\x00ld"]}, "/sections/0"),
    ({"packages": [" front"]}, "/packages/0"),
    ({"published_at": "2026-01-02"}, "/published_at"),
    ({"published_at": "2026-01-02T08:00:00"}, "/published_at"),
    ({"updated_at": 1767340800}, "/updated_at"),
    ({"updated_at": "2026-02-30T08:00:00Z"}, "/updated_at"),
    ({"embargo_until": "soon"}, "/embargo_until"),
    ({"expires_at": True}, "/expires_at"),
    ({"status": "canceled"}, "/status"),
    ({"status": ""}, "/status"),
    ({"version": True}, "/version"),
    ({"version": "3"}, "/version"),
    ({"version": 3.5}, "/version"),
    ({"version": -1}, "/version"),
    ({"version": 2**53 + 1}, "/version"),
    ({"correction_note": "x" * 2001}, "/correction_note"),
    ({"kill_reason": "x" * 2001}, "/kill_reason"),
    ({"urgency": 0}, "/urgency"),
    ({"urgency": 10}, "/urgency"),
    ({"body_html": 1}, "/body_html"),
    ({"body_html": ""}, "/body_html"),
    ({"body_html": "<script>a</script><p> </p>"}, "/body_html"),
]


@pytest.mark.parametrize(("fields", "pointer"), WRONG)
def test_a_wrong_field_is_refused_at_its_place(fields: dict[str, Any], pointer: str) -> None:
    assert pointers(an_article(**fields)) == [pointer]


def test_a_refusal_names_every_fault_at_once() -> None:
    assert sorted(pointers({"version": "3", "url": "x"})) == sorted(
        ["/id", "/version", "/url", "/headline", "/sections", "/body_html"]
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (b"{'id': 1}", "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b'\xef\xbb\xbf{"id": "1"}', "not JSON"),
        (b'{"id": "1", "id": "2"}', "is twice"),
        (b'{"authors": [{"name": "1", "name": "2"}]}', "is twice"),
        (b'{"version": NaN}', "NaN is not JSON"),
        (b'{"version": -Infinity}', "-Infinity is not JSON"),
        (b'{"version": 1e999}', "too large"),
        (b'{"version": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"a": ' * 50 + b"[]" + b"}" * 50, "deeper than 50"),
        (b"[" * 100_000, "deeper than 50"),
        (b"[]", "one JSON object"),
        (b'"text"', "one JSON object"),
        (b"null", "one JSON object"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused_with_the_reason(raw: bytes, words: str) -> None:
    with pytest.raises(NotJson) as refused:
        native.read(raw)
    assert words in refused.value.detail


def test_fifty_levels_are_not_too_deep() -> None:
    nested = b'{"a": ' * 49 + b"[]" + b"}" * 49
    with pytest.raises(Invalid):
        native.read(nested)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(article.Article.model_fields)), JSON))
def test_any_object_is_read_or_refused_and_nothing_else(fields: dict[str, Any]) -> None:
    try:
        content = read(fields).posted.content
    except Invalid:
        return
    json.dumps(content, ensure_ascii=False).encode()  # nothing in it that UTF-8 cannot write


@given(st.binary())
def test_any_bytes_are_read_or_refused_and_nothing_else(raw: bytes) -> None:
    with pytest.raises((NotJson, Invalid)):
        native.read(raw)


def test_the_schema_names_every_field() -> None:
    schema = article.schema()
    assert set(schema["properties"]) == set(article.Article.model_fields)
    assert schema["properties"]["headline"]["anyOf"][0]["maxLength"] == 300
