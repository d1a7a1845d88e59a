"""Hooks as proxies and people make them: compressed, with a slash at the end of the address, to a removed source, in a
language of the site's own."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from service.intake.adapters.adapter import HookRequest
from service.intake.hook_privacy import stored_request
from service.store.operations import keys
from tests import paper_system
from tests.paper_hooks import kept, send, told
from tests.paper_system import a_paper_source, a_story, signed
from tests.web import OPERATOR, WebDesk, now, the_problem

_HOOK = json.dumps({"stories": [a_story()]}).encode()


@pytest.fixture(autouse=True)
def _paper(monkeypatch: pytest.MonkeyPatch) -> None:
    paper_system.install(monkeypatch)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "GZIP"])
@pytest.mark.parametrize("is_signed_before", [True, False])
def test_a_story_that_a_proxy_compressed_is_here(
    sqlite_desk: WebDesk, coding: str, is_signed_before: bool
) -> None:
    a_paper_source(sqlite_desk.record)
    body = zlib.compress(_HOOK) if coding == "deflate" else gzip.compress(_HOOK)
    headers = {**signed(_HOOK if is_signed_before else body), "Content-Encoding": coding}
    told(sqlite_desk.client.post("/v1/hooks/paper", data=body, headers=headers), "accepted")


def test_a_compressed_hook_that_is_held_can_be_read_when_it_is_tried_again(sqlite_desk: WebDesk) -> None:
    a_paper_source(sqlite_desk.record)
    hook = json.dumps({"stories": [a_story(sections=["sport"])]}).encode()
    told(send(sqlite_desk, gzip.compress(hook), Content_Encoding="gzip"), "held")
    [found] = kept(sqlite_desk.record)
    assert found.body == hook
    assert "content-encoding" not in found.headers


def test_a_compressed_hook_with_another_signature_is_a_401(sqlite_desk: WebDesk) -> None:
    a_paper_source(sqlite_desk.record)
    answer = send(sqlite_desk, gzip.compress(_HOOK), secret="another", Content_Encoding="gzip")
    the_problem(answer, 401)
    assert kept(sqlite_desk.record) == []


def test_a_hook_that_would_swell_beyond_eight_mebibytes_is_a_413(sqlite_desk: WebDesk) -> None:
    a_paper_source(sqlite_desk.record)
    the_problem(send(sqlite_desk, gzip.compress(b" " * 64 * 2**20), Content_Encoding="gzip"), 413)


@pytest.mark.parametrize("body", [_HOOK, gzip.compress(_HOOK)[:-9], b"", b"\x1f\x8b"])
def test_a_hook_that_is_not_compressed_as_it_says_is_kept_all_the_same(
    sqlite_desk: WebDesk, body: bytes
) -> None:
    a_paper_source(sqlite_desk.record)
    assert send(sqlite_desk, body, Content_Encoding="gzip").status_code == 202
    assert len(kept(sqlite_desk.record)) == 1


def test_an_address_with_a_slash_at_its_end_is_the_same(sqlite_desk: WebDesk) -> None:
    a_paper_source(sqlite_desk.record)
    answer = sqlite_desk.client.post("/v1/hooks/paper/", data=_HOOK, headers=signed(_HOOK))
    told(answer, "accepted")


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_a_hook_to_a_source_that_was_removed_says_so_whatever_type_it_has(
    sqlite_desk: WebDesk, kind: str
) -> None:
    a_paper_source(sqlite_desk.record)
    keys.remove_source(sqlite_desk.record, "paper", actor="operator", now=now())
    problem = the_problem(send(sqlite_desk, {"stories": [a_story()]}, Content_Type=kind), 401)
    assert "there is no source 'paper'" in problem["detail"]


@pytest.mark.parametrize(
    ("named", "is_told", "ours"),
    [
        ("gb", True, "ur"),  # a country
        ("de-formal", True, "ur"),
        ("English", True, "ur"),
        ("default", True, "ur"),
        ({"code": "en"}, True, "ur"),
        (7, True, "ur"),
        ("zh_hans_CN", False, "zh-Hans-CN"),
        (" en ", False, "en"),
    ],
)
def test_no_story_waits_for_what_its_system_calls_its_language(
    sqlite_desk: WebDesk, named: object, is_told: bool, ours: str
) -> None:
    a_paper_source(sqlite_desk.record, language="ur")
    [story] = told(send(sqlite_desk, {"stories": [a_story(language=named)]}), "accepted")["articles"]
    words = [each["detail"] for each in story.get("warnings", []) if each["pointer"] == "/language"]
    assert any("no language tag" in each for each in words) is is_told
    article = sqlite_desk.get(f"/v1/articles/{story['article']}", OPERATOR).json
    assert article["content"]["language"] == ours


def test_a_short_secret_that_is_a_word_of_the_story_changes_no_story_that_waits() -> None:
    body = b'{"secret": "news", "headline": "Good news from the harbour"}'
    request = HookRequest("POST", "/v1/hooks/paper", {"x-event": "news.changed", "x-secret": "news"}, body)
    stored = stored_request(request, ["news"])
    assert json.loads(stored.body) == {"secret": "[not kept]", "headline": "Good news from the harbour"}
    assert stored.headers == {"x-event": "news.changed", "x-secret": "[not kept]"}


@pytest.mark.parametrize("secret", ["whsec_a/b+c/d=long", "lang\u00e9-geheim-\u4e2d\u56fd", "short/1"])
@pytest.mark.parametrize("is_escaped", [True, False])
def test_a_secret_in_a_body_is_not_kept_however_it_is_escaped(secret: str, is_escaped: bool) -> None:
    body = json.dumps({"secret": secret}, ensure_ascii=is_escaped)
    for written in (body, body.replace("/", "\\/")):
        assert json.loads(written)["secret"] == secret
        stored = stored_request(HookRequest("POST", "/", {}, written.encode()), [secret])
        assert json.loads(stored.body) == {"secret": "[not kept]"}
