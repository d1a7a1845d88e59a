"""Hygraph's webhooks as its documentation has them, and answers of its Content API."""

from __future__ import annotations

import hmac
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake.adapters.adapter import (
    ApiAnswer,
    Gone,
    Hint,
    Ignore,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.hygraph import ADAPTER
from service.intake.rich_text import hygraph as rich_text
from service.intake.section_map import KnownSections
from tests.captured_hooks import (
    CaptureOutcome,
    agrees,
    all_captured,
    any_json,
    captured,
    outcomes,
    reads_or_says_why,
    spoiled,
    with_one_letter_changed,
)
from tests.hosted_systems import any_answer_is_read, api_answer, hook_of, looked_up

HYGRAPH_SECRET = "hygraph-made-up-secret"
SENT_AT = datetime(2026, 11, 28, 17, 10, tzinfo=UTC)
PROJECT = SourceSettings(base_url="https://eu.hygraph.example/content/p1/master", has_token=True)
DESK = KnownSections.of({"world": ("world", "World")})
EXPECTED = {
    "01": CaptureOutcome("story", "cl1", ("world",), "The first ferry left."),
    "02": CaptureOutcome("gone", "cl1"),
    "03": CaptureOutcome("gone", "cl1"),
    "04": CaptureOutcome("ignored"),
}
TREE: dict[str, Any] = {"children": [
    {"type": "heading-one", "children": [{"text": "At <dawn>"}]},
    {"type": "paragraph", "children": [
        {"text": "The ferry "}, {"bold": True, "text": "left"},
        {"type": "link", "href": "/timetable?a=1&b=2", "children": [{"text": " at\nsix"}]}]},
    {"type": "bulleted-list", "children": [{"type": "list-item", "children": [
        {"type": "list-item-child", "children": [{"italic": True, "text": "Tea"}]}]}]},
    {"type": "image", "src": "https://media.example/a.png", "altText": "A ferry", "title": "Calm",
     "children": [{"text": ""}]},
]}  # fmt: skip


def of_kind(kind: str, name: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "ofType": None}


def model(*fields: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"fields": [{"name": name, "args": [], "type": kind} for name, kind in fields]}


TEXT = of_kind("SCALAR", "String")
ARTICLE = model(
    ("id", {"kind": "NON_NULL", "name": None, "ofType": of_kind("SCALAR", "ID")}),
    ("title", TEXT),
    ("body", of_kind("OBJECT", "RichText")),
    ("sections", {"kind": "NON_NULL", "name": None, "ofType": {"kind": "LIST", "name": None, "ofType": {
        "kind": "NON_NULL", "name": None, "ofType": of_kind("OBJECT", "Section")}}}),
    ("cover", of_kind("OBJECT", "Asset")),
    ("content", of_kind("UNION", "ArticleContent")),
    ("createdBy", of_kind("OBJECT", "User")),
    ("publishedAt", of_kind("SCALAR", "DateTime")),
    ("bad name{", TEXT),
)  # fmt: skip
RELATED = {
    "m0": model(("url", TEXT), ("width", of_kind("SCALAR", "Int")), ("fileName", TEXT)),
    "m1": model(("html", TEXT), ("markdown", TEXT)),
    "m2": model(("id", TEXT), ("title", TEXT), ("slug", TEXT), ("articles", of_kind("OBJECT", "Article"))),
}
ENTRY: dict[str, Any] = {
    "id": "cl1",
    "title": 'Harbour reopens: "calm" & safe',
    "body": {"html": "<p>The first ferry left.</p>"},
    "sections": [{"id": "s1", "title": "World", "slug": "world-news"}],
    "cover": {"url": "https://media.example/a.png", "width": 1200},
    "publishedAt": "2026-11-28T08:05:00.000000+00:00",
}


def test_every_capture_of_hygraph_has_the_outcome_that_is_written_down() -> None:
    wrong = {}
    for number, request in all_captured("hygraph").items():
        [found] = outcomes(ADAPTER, request, DESK, section_map={"s1": "world"})
        if not agrees(found, EXPECTED[number]):
            wrong[number] = found
    assert wrong == {}
    assert set(EXPECTED) == set(all_captured("hygraph"))


def test_a_webhooks_story_has_what_it_carries_and_a_warning_for_authors_without_names() -> None:
    [event] = ADAPTER.read(captured("hygraph", "01"), SourceSettings())
    assert isinstance(event, StoryRead)
    assert dict(event.fields) == {
        "id": "cl1",
        "headline": 'Harbour reopens: "calm" & safe',
        "sections": [["s1"]],
        "body_html": "<p>The first ferry left.</p>",
        "language": "en",
        "published_at": "2026-11-28T08:05:00Z",
        "updated_at": "2026-11-28T08:05:00Z",
    }
    assert "authors" in event.warnings[0]


def test_with_an_address_a_published_entry_is_asked_for_and_a_takedown_is_taken_at_its_word() -> None:
    assert list(ADAPTER.read(captured("hygraph", "01"), PROJECT)) == [Hint(["cl1"])]
    assert list(ADAPTER.read(captured("hygraph", "02"), PROJECT)) == [Gone("cl1")]


def test_another_model_is_ignored_unless_it_is_named_and_a_strangers_hook_is_held() -> None:
    hook = hook_of({"operation": "publish", "data": {"__typename": "Page", "id": "p1", "title": "About"}})
    [ignored] = ADAPTER.read(hook, SourceSettings())
    assert isinstance(ignored, Ignore)
    assert "--content-type" in ignored.why
    assert isinstance(ADAPTER.read(hook, SourceSettings(content_type="Page"))[0], StoryRead)
    assert list(ADAPTER.read(hook, replace(PROJECT, content_type="Page"))) == [Hint(["p1"])]
    post = hook_of({"operation": "publish", "data": {"__typename": "Post", "id": "p1"}})
    assert isinstance(ADAPTER.read(post, PROJECT)[0], Ignore)  # it would be asked for among the articles
    for other in ({}, {"operation": "publish"}, {"data": {"id": "1"}}):
        with pytest.raises(Unreadable):
            ADAPTER.read(hook_of(other), SourceSettings())


def verified(request: Any, *secrets: str) -> bool:
    return ADAPTER.verify(request, secrets or (HYGRAPH_SECRET,), SENT_AT) is None


def test_every_captured_signature_of_hygraph_verifies_and_none_that_is_spoiled() -> None:
    for request in all_captured("hygraph").values():
        sent = request.headers["gcms-signature"]
        assert verified(request)
        assert verified(request, "the-new-secret", HYGRAPH_SECRET)
        assert not verified(request, with_one_letter_changed(HYGRAPH_SECRET))
        assert not verified(request, "")
        assert not verified(replace(request, body=request.body + b" "))
        assert not verified(replace(request, body=b"\xff"))
        assert not verified(replace(request, headers={}))
        for spoilt in (
            sent.replace("env=master", "env=staging"),
            sent.replace("t=1", "t=2"),
            sent.replace("sign=", "sign=A"),
            f"sign={with_one_letter_changed(sent.partition(', ')[0][5:])}, env=master, t=1795887403756",
            "sign=, env=, t=",
            "",
        ):
            assert not verified(replace(request, headers={**request.headers, "gcms-signature": spoilt}))


def test_a_body_in_any_script_verifies_as_it_was_signed() -> None:
    body = '{"operation": "publish", "data": {"title": "港口 🚢 \\u2028 \\"x\\""}}'
    escaped = body.replace("\\", "\\\\").replace('"', '\\"')
    signed = f'{{"Body":"{escaped}","EnvironmentName":"master","TimeStamp":7}}'
    mark = b64encode(hmac.digest(HYGRAPH_SECRET.encode(), signed.encode(), "sha256")).decode()
    request = replace(
        captured("hygraph", "01"),
        body=body.encode(),
        headers={"gcms-signature": f"sign={mark}, env=master, t=7"},
    )
    assert verified(request)


def test_an_entry_is_asked_for_with_the_names_of_its_relations() -> None:
    answers = (
        api_answer({"data": {"model": ARTICLE}}),
        api_answer({"data": {"model": ARTICLE, **RELATED}}),
        api_answer({"data": {"entry": ENTRY}}),
    )
    found, requests = looked_up(ADAPTER, "cl1", PROJECT, *answers)
    assert {each.url for each in requests} == {"https://eu.hygraph.example/content/p1/master"}
    assert {each.method for each in requests} == {"POST"}
    assert requests[0].headers["Authorization"] == "Bearer {token}"
    assert '__type(name:"Section")' in requests[1].body["query"]
    assert requests[2].body == {
        "query": "query($id:ID!){entry:article(where:{id:$id},stage:PUBLISHED)"
        "{id title body{html} sections{id title slug} cover{url width} publishedAt}}",
        "variables": {"id": "cl1"},
    }
    assert isinstance(found, StoryRead)
    assert found.fields["sections"] == [["World", "world-news", "s1"]]
    assert found.fields["images"] == [{"url": "https://media.example/a.png", "width": 1200}]
    assert found.warnings == ()


def test_only_an_entry_that_is_null_without_an_error_is_gone() -> None:
    assert ADAPTER.fetched is not None
    assert ADAPTER.fetched(api_answer({"data": {"entry": None}}), "cl1", PROJECT) == Gone("cl1")
    for unclear in (
        api_answer({"data": {"entry": None}, "errors": [{"message": "not allowed"}]}),
        api_answer({"data": {"model": None}}),
        api_answer({"data": {"entry": {"id": "other"}}}),
        api_answer({"data": None}),
        api_answer({"data": {}}),
        api_answer({}, 404),
        ApiAnswer(200, {}, b"<html>"),
    ):
        with pytest.raises(Unreadable):
            ADAPTER.fetched(unclear, "cl1", PROJECT)
    assert ADAPTER.fetch is not None
    with pytest.raises(Unreadable):
        ADAPTER.fetch("cl1", replace(PROJECT, content_type='x"){secret}'))


def test_a_rich_text_of_hygraph_gives_its_markup_with_all_else_escaped() -> None:
    assert rich_text.to_html(TREE) == (
        "<h2>At &lt;dawn&gt;</h2><p>The ferry <strong>left</strong>"
        '<a href="/timetable?a=1&amp;b=2"> at<br>six</a></p><ul><li><em>Tea</em></li></ul>'
        '<figure><img src="https://media.example/a.png" alt="A ferry"><figcaption>Calm</figcaption></figure>'
    )
    hook = {"operation": "publish", "data": {"__typename": "Article", "id": "1", "body": {"raw": TREE}}}
    [event] = ADAPTER.read(hook_of(hook), SourceSettings())
    assert isinstance(event, StoryRead)
    assert event.fields["body_html"].startswith("<h2>At")


BODIES = [{"operation": "publish", "data": {"__typename": "Article", **ENTRY, "body": {"raw": TREE}}}]


@given(value=spoiled(BODIES))
@settings(max_examples=60, deadline=None)
def test_a_hook_of_hygraph_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("hygraph", "01"), value)


@given(
    value=spoiled([{"data": {"model": ARTICLE, **RELATED}}, {"data": {"entry": {**ENTRY, "id": "a1"}}}]),
    status=st.sampled_from((200, 404)),
)
@settings(max_examples=100, deadline=None)
def test_any_answer_of_hygraph_is_read_or_its_fault_told(value: Any, status: int) -> None:
    any_answer_is_read(ADAPTER, PROJECT, api_answer(value, status))


@given(value=spoiled([TREE]) | any_json())
@settings(max_examples=60, deadline=None)
def test_any_rich_text_of_hygraph_gives_markup_without_a_stranger_in_it(value: Any) -> None:
    assert "<script" not in rich_text.to_html(value)
