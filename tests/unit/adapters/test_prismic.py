"""Prismic's webhooks as its documentation has them, and answers of its Document API."""

from __future__ import annotations

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
from service.intake.adapters.prismic import ADAPTER
from service.intake.hook_privacy import stored_request
from service.intake.rich_text import prismic as rich_text
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

PRISMIC_SECRET = "prismic-made-up-secret"
SENT_AT = datetime(2026, 11, 28, 17, 10, tzinfo=UTC)
REPOSITORY = SourceSettings(base_url="https://herald.prismic.example")
FERRY = "ZyX0zREAACcAqwdA"
EXPECTED = {
    "01": CaptureOutcome("ignored"),
    "02": CaptureOutcome("hint", FERRY),
    "03": CaptureOutcome("hint", FERRY),
    "04": CaptureOutcome("ignored"),
}
API = {
    "refs": [
        {"id": "r1", "ref": "r1~x", "isMasterRef": False},
        {"id": "master", "ref": "Zy~X1", "isMasterRef": True},
    ]
}
BODY: list[dict[str, Any]] = [
    {"type": "heading1", "text": "At dawn", "spans": [], "direction": "ltr"},
    {"type": "paragraph", "text": "🚢 left & came <back>", "spans": [
        {"start": 3, "end": 7, "type": "strong"},
        {"start": 5, "end": 9, "type": "hyperlink", "data": {"link_type": "Web", "url": "/timetable"}},
        {"start": 9, "end": 400, "type": "label", "data": {"label": "x"}}]},
    {"type": "list-item", "text": "Tea", "spans": []},
    {"type": "list-item", "text": "Bread", "spans": []},
    {"type": "o-list-item", "text": "One", "spans": []},
    {"type": "image", "url": "https://images.prismic.example/a.png?auto=format&w=1", "alt": 'A "ferry"',
     "copyright": "Herald", "dimensions": {"width": 1200, "height": 675}},
    {"type": "embed", "oembed": {"embed_url": "https://video.example/1", "title": "Film", "html": "<script>"}},
]  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "id": FERRY,
    "uid": "harbour-reopens",
    "url": None,
    "type": "article",
    "tags": ["World"],
    "lang": "en-gb",
    "first_publication_date": "2026-11-28T08:01:00+0000",
    "last_publication_date": "2026-11-28T08:05:00+0000",
    "data": {
        "title": [{"type": "heading1", "text": "Harbour reopens: “calm” & safe", "spans": []}],
        "summary": [{"type": "paragraph", "text": "It is open & safe.", "spans": []}],
        "author": "Ayesha Khan",
        "image": {"url": "https://images.prismic.example/b.png", "alt": "A ferry", "copyright": "Herald",
                  "dimensions": {"width": 1200, "height": 675}},
        "body": BODY,
    },
}  # fmt: skip


def results(*documents: Any) -> ApiAnswer:
    return api_answer({"page": 1, "total_results_size": len(documents), "results": list(documents)})


def test_every_capture_of_prismic_has_the_outcome_that_is_written_down() -> None:
    desk = KnownSections.of({"world": ("world", "World")})
    found = {number: outcomes(ADAPTER, each, desk) for number, each in all_captured("prismic").items()}
    assert set(found) == set(EXPECTED)
    assert [number for number, [each] in found.items() if not agrees(each, EXPECTED[number])] == []


def test_every_captured_secret_of_prismic_verifies_and_none_that_is_spoiled() -> None:
    def verified(request: Any, *secrets: str) -> bool:
        return ADAPTER.verify(request, secrets or (PRISMIC_SECRET,), SENT_AT) is None

    for request in all_captured("prismic").values():
        assert verified(request)
        assert verified(request, "the-new-secret", PRISMIC_SECRET)
        assert not verified(request, with_one_letter_changed(PRISMIC_SECRET))
        assert not verified(request, "")
        assert not verified(replace(request, body=request.body.replace(b"made-up", b"made-Up")))
        assert not verified(replace(request, body=request.body + b"}"))
        assert not verified(replace(request, body=b'{"secret": ["prismic-made-up-secret"]}'))
        assert not verified(replace(request, body=b'{"type": "api-update"}'))


def test_the_secret_is_not_kept_with_the_hook_which_can_be_read_without_it() -> None:
    kept = stored_request(captured("prismic", "02"), [PRISMIC_SECRET])
    assert PRISMIC_SECRET.encode() not in kept.body
    assert list(ADAPTER.read(kept, REPOSITORY)) == [Hint([FERRY])]


def test_the_answer_is_a_200_for_prismic_takes_nothing_else() -> None:
    assert ADAPTER.answer_status == 200


def test_an_event_that_is_no_documents_is_ignored_and_a_strangers_is_held() -> None:
    assert isinstance(
        ADAPTER.read(hook_of({"type": "api-update", "tags": {"addition": []}}), REPOSITORY)[0], Ignore
    )
    assert isinstance(ADAPTER.read(hook_of({"type": "new-thing"}), REPOSITORY)[0], Ignore)
    with pytest.raises(Unreadable):
        ADAPTER.read(hook_of({"documents": [FERRY]}), REPOSITORY)


def test_a_document_is_asked_for_at_the_newest_master_ref_in_every_language() -> None:
    found, requests = looked_up(ADAPTER, FERRY, REPOSITORY, api_answer(API), results(DOCUMENT))
    assert [each.url for each in requests] == [
        "https://herald.prismic.example/api/v2",
        (
            "https://herald.prismic.example/api/v2/documents/search?ref=Zy~X1"
            "&q=%5B%5Bat%28document.id%2C%22ZyX0zREAACcAqwdA%22%29%5D%5D&lang=%2A"
        ),
    ]
    assert isinstance(found, StoryRead)
    assert dict(found.fields) == {
        "id": FERRY,
        "headline": "Harbour reopens: “calm” & safe",
        "summary": "It is open & safe.",
        "sections": [["World"]],
        "keywords": ["World"],
        "authors": [{"name": "Ayesha Khan"}],
        "images": [
            {
                "url": "https://images.prismic.example/b.png",
                "alt": "A ferry",
                "credit": "Herald",
                "width": 1200,
                "height": 675,
            }
        ],
        "language": "en-gb",
        "published_at": "2026-11-28T08:01:00Z",
        "updated_at": "2026-11-28T08:05:00Z",
        "body_html": "<h2>At dawn</h2>"
        '<p>🚢 <strong>le</strong><a href="/timetable"><strong>ft</strong></a><a href="/timetable"> &amp;</a>'
        " came &lt;back&gt;</p><ul><li>Tea</li><li>Bread</li></ul><ol><li>One</li></ol>"
        '<figure><img src="https://images.prismic.example/a.png?auto=format&amp;w=1" alt="A &quot;ferry&quot;">'
        "<figcaption>Herald</figcaption></figure>"
        '<p><a href="https://video.example/1">Film</a></p>',
    }


def test_slices_give_their_texts_and_pictures_and_a_private_repository_its_token() -> None:
    slices = [
        {"slice_type": "text", "primary": {"words": [{"type": "paragraph", "text": "One.", "spans": []}]}},
        {"slice_type": "gallery", "items": [{"image": DOCUMENT["data"]["image"]}]},
    ]
    document = {**DOCUMENT, "data": {"title": "Plain", "slices": slices}}
    private = replace(REPOSITORY, has_token=True, base_url="https://herald.prismic.example/api/v2")
    found, requests = looked_up(ADAPTER, FERRY, private, api_answer(API), results(document))
    assert requests[0].url == "https://herald.prismic.example/api/v2?access_token={token}"
    assert requests[1].url.endswith("&lang=%2A&access_token={token}")
    assert isinstance(found, StoryRead)
    assert found.fields["headline"] == "Plain"
    assert found.fields["body_html"].startswith(
        '<p>One.</p><figure><img src="https://images.prismic.example/b.png"'
    )


def test_a_document_that_is_not_at_the_master_ref_is_gone_and_nothing_else_proves_that() -> None:
    assert looked_up(ADAPTER, FERRY, REPOSITORY, api_answer(API), results())[0] == Gone(FERRY)
    page = results({**DOCUMENT, "type": "settings"})
    assert looked_up(ADAPTER, FERRY, REPOSITORY, api_answer(API), page)[0] == Gone(FERRY)
    assert ADAPTER.fetched is not None
    for unclear in (
        api_answer({"refs": []}),
        api_answer({}, 404),
        api_answer({}),
        api_answer({"results": None}),
        results({**DOCUMENT, "id": "b"}),
        ApiAnswer(200, {}, b"<html>"),
    ):
        with pytest.raises(Unreadable):
            ADAPTER.fetched(unclear, FERRY, REPOSITORY)


@given(value=spoiled([{"type": "api-update", "documents": ["a", "b"], "masterRef": "x"}]))
@settings(max_examples=60, deadline=None)
def test_a_hook_of_prismic_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("prismic", "02"), value)


@given(value=spoiled([API, {"results": [{**DOCUMENT, "id": "a1"}]}]), status=st.sampled_from((200, 404)))
@settings(max_examples=100, deadline=None)
def test_any_answer_of_prismic_is_read_or_its_fault_told(value: Any, status: int) -> None:
    any_answer_is_read(ADAPTER, REPOSITORY, api_answer(value, status))


@given(value=spoiled([BODY]) | any_json())
@settings(max_examples=60, deadline=None)
def test_any_rich_text_of_prismic_gives_markup_without_a_stranger_in_it(value: Any) -> None:
    assert "<script" not in rich_text.to_html(value)
