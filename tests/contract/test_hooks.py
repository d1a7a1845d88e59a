"""POST /v1/hooks/SOURCE for content systems: verified on raw bytes, kept, answered 2xx, each event on its own."""

from __future__ import annotations

import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from service import times
from service.api.models import HookAnswer
from service.http.guess_limits import MOST_WRONG, SIGNATURE
from service.intake.adapters.adapter import HookRequest
from service.store import operations
from service.store.articles import hooks, source_settings, source_sync
from service.store.articles.source_sync import SweepEnd
from service.store.operations.sources import SourceChange
from tests import paper_system
from tests.paper_hooks import kept, send, status_of, told
from tests.paper_system import PAPER_SECRET, a_paper_source, a_story, signed
from tests.web import OPERATOR, WebDesk, a_newsroom, rows, the_problem


@pytest.fixture(autouse=True)
def _paper(monkeypatch: pytest.MonkeyPatch) -> None:
    paper_system.install(monkeypatch)


def test_a_story_of_a_content_system_becomes_an_article(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    facts = told(send(desk, {"stories": [a_story()]}), "accepted")
    [story] = facts["articles"]
    assert story["id"] == "7"
    assert story["type"] == "article.published"
    article = desk.get(f"/v1/articles/{story['article']}", OPERATOR).json
    assert article["content"]["headline"] == "Harbour reopens after the storm"
    assert desk.woken == [True]
    [hook] = kept(desk.record)
    assert (hook.result.state, hook.result.outcome) == (hooks.HOOK_DONE, "accepted")
    assert hook.result.articles == [story]


def test_several_events_of_one_request_are_accepted_each(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    told(send(desk, {"stories": [a_story(), a_story(id="8")]}), "accepted")
    facts = told(send(desk, {"stories": [a_story(id="9")], "gone": ["7", "8"]}), "accepted")
    assert [each["type"] for each in facts["articles"]] == [
        "article.published", "article.unpublished", "article.unpublished",
    ]  # fmt: skip
    assert [status_of(desk, each) for each in "789"] == ["unpublished", "unpublished", "usable"]


def test_the_same_request_again_is_a_repeat_and_is_kept_once(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    told(send(desk, {"stories": [a_story()]}), "accepted")
    told(send(desk, {"stories": [a_story()]}), "repeat")
    [hook] = kept(desk.record)
    assert hook.claim.repeats == 1


def test_a_second_delete_in_the_same_words_takes_down_a_story_that_came_back(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    told(send(desk, {"stories": [a_story()]}), "accepted")
    told(send(desk, {"gone": ["7"]}), "accepted")
    told(send(desk, {"stories": [a_story(updated_at="2026-01-02T09:00:00Z")]}), "accepted")
    told(send(desk, {"gone": ["7"]}), "accepted")
    assert status_of(desk) == "unpublished"


def test_an_older_story_is_stale(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    told(send(desk, {"stories": [a_story()]}), "accepted")
    told(send(desk, {"stories": [a_story(headline="Old", updated_at="2026-01-01T08:00:00Z")]}), "stale")


def test_a_takedown_of_a_story_that_was_never_here_is_ignored(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    facts = told(send(desk, {"gone": ["12"]}), "ignored")
    assert "nothing to take down" in facts["why"]


def test_a_story_that_was_never_here_says_why_it_is_not_for_readers(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    hook = {"stories": [{"id": "12", "status": "unpublished", "reason": "for members only"}]}
    assert "for members only" in told(send(desk, hook), "ignored")["why"]


def test_a_test_ping_is_answered_and_ignored(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    facts = told(send(desk, {"ping": "a test of the connection"}), "ignored")
    assert facts["why"] == "a test of the connection"
    assert facts["articles"] == []


def test_a_hint_is_queued_for_a_worker(desk: WebDesk) -> None:
    a_paper_source(desk.record, base_url="https://paper.example")
    told(send(desk, {"changed": ["7", "8", "7"]}), "queued")
    [hook] = hooks.claim_due(desk.record, 10, times.now())
    assert hook.result.ids == ["7", "8"]


def test_a_hint_that_came_again_while_it_was_fetched_is_fetched_again(desk: WebDesk) -> None:
    a_paper_source(desk.record, base_url="https://paper.example")
    told(send(desk, {"changed": ["7"]}), "queued")
    [hook] = hooks.claim_due(desk.record, 10, times.now())
    told(send(desk, {"changed": ["7"]}), "queued")
    done = hooks.HookResult(hooks.HOOK_DONE, "accepted")
    assert not hooks.settle(desk.record, hook.claim, done)
    [again] = hooks.claim_due(desk.record, 10, times.now())
    assert hooks.settle(desk.record, again.claim, done)
    assert hooks.claim_due(desk.record, 10, times.now() + timedelta(hours=1)) == []


def test_a_hint_without_an_address_to_fetch_from_is_held_and_says_what_to_set(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    assert "--base-url" in told(send(desk, {"changed": ["7"]}), "held")["why"]


def test_a_word_that_something_changed_holds_nothing_where_there_is_no_address_to_ask(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    assert "--base-url" in told(send(desk, {"bell": True}), "ignored")["why"]


def test_a_word_that_something_changed_has_the_system_compared(desk: WebDesk) -> None:
    paper = a_paper_source(desk.record, base_url="https://paper.example")
    at = times.now()
    [due] = source_sync.claim(desk.record, 10, at)
    source_sync.end_changes(desk.record, due, at, at)
    source_sync.end_sweep(desk.record, due, SweepEnd((), (), 0), at)
    assert source_sync.claim(desk.record, 10, at) == []
    told(send(desk, {"bell": True}), "queued")
    state = source_sync.state(desk.record, paper.source.id)
    assert state.changes_due_at is not None
    assert state.sweep_due_at == state.changes_due_at + source_sync.SWEEP_AFTER


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (b"no JSON", "not JSON"),
        ({"stories": [a_story(sections=["sport"])]}, "sport"),
        ({"stories": [a_story(headline=None)]}, "/headline"),
        ({"fault": "surprise"}, "fault"),
    ],
)
def test_a_request_that_cannot_be_mapped_is_held_with_its_reason(
    desk: WebDesk, hook: Any, words: str
) -> None:
    a_paper_source(desk.record)
    assert words in told(send(desk, hook), "held")["why"]
    [found] = hooks.held(desk.record, "paper")
    assert words in str(found.result.why)
    assert found.body == (hook if isinstance(hook, bytes) else json.dumps(hook).encode())


def test_a_held_story_holds_none_of_the_others(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    stories = [a_story(), a_story(id="8", headline=None), a_story(id="9")]
    facts = told(send(desk, {"stories": stories}), "held")
    assert [each["outcome"] for each in facts["articles"]] == ["accepted", "held", "accepted"]


def test_a_takedown_is_not_lost_for_what_comes_with_it(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    told(send(desk, {"stories": [a_story()]}), "accepted")
    bad = a_story(
        status="killed", sections=["no more"], headline="x" * 400, updated_at="2026-01-02T09:00:00Z"
    )
    facts = told(send(desk, {"stories": [bad]}), "accepted")
    assert status_of(desk) == "killed"
    assert facts["articles"][0]["warnings"]


@pytest.mark.parametrize("spoil", ["body", "header", "secret", "missing"])
def test_a_request_of_anybody_else_is_a_401_and_changes_nothing(desk: WebDesk, spoil: str) -> None:
    a_paper_source(desk.record)
    body = json.dumps({"stories": [a_story()]}).encode()
    headers = signed(body, "another" if spoil == "secret" else PAPER_SECRET)
    if spoil == "body":
        body = body.replace(b"dawn", b"dusk")
    if spoil == "header":
        headers = {name: value[:-1] + ("0" if value[-1] != "0" else "1") for name, value in headers.items()}
    if spoil == "missing":
        headers = {}
    the_problem(desk.client.post("/v1/hooks/paper", data=body, headers=headers), 401)
    assert kept(desk.record) == []


def test_the_old_and_the_new_secret_both_verify_until_the_overlap_ends(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    told(send(desk, {"ping": "1"}), "ignored")
    at = times.now()
    change = SourceChange(lambda options: options, secret=("the-new-secret", at + timedelta(hours=1)))
    operations.change_source(desk.record, "paper", change, actor="operator", now=at)
    told(send(desk, {"ping": "2"}, secret="the-new-secret"), "ignored")
    told(send(desk, {"ping": "3"}), "ignored")
    at_once = SourceChange(lambda options: options, secret=("a-third-secret", at))
    operations.change_source(desk.record, "paper", at_once, actor="operator", now=at)
    told(send(desk, {"ping": "4"}, secret="a-third-secret"), "ignored")
    for old in (PAPER_SECRET, "the-new-secret"):
        assert send(desk, {"ping": "5"}, secret=old).status_code == 401


def test_somebody_who_guesses_signatures_is_told_to_wait_and_the_system_is_not(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    most = MOST_WRONG[SIGNATURE]
    answers = [send(desk, {"ping": str(number)}, secret="guess").status_code for number in range(most + 2)]
    assert set(answers[:most]) == {401}
    assert answers[-1] == 429
    told(send(desk, {"ping": "the system itself"}), "ignored")


def test_a_hook_may_have_eight_mebibytes_and_no_more(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    padded = json.dumps({"ping": "x" * (8 * 2**20 - 100)}).encode()
    told(send(desk, padded), "ignored")
    the_problem(send(desk, padded + b" " * 200), 413)


@pytest.mark.parametrize(("outcome", "section"), [("accepted", "world"), ("held", "no section of ours")])
def test_credentials_and_what_is_no_part_of_a_story_are_not_kept(
    desk: WebDesk, outcome: str, section: str
) -> None:
    a_paper_source(desk.record)
    story = a_story(sections=[section], post_revisions=["older text"], author={"email": "staff@example.org"})
    hook = {"stories": [story], "secret": PAPER_SECRET}
    told(send(desk, hook, Authorization="Bearer abc", X_Paper_Event="story.changed"), outcome)
    [found] = kept(desk.record)
    assert found.headers["x-paper-event"] == "story.changed"
    text = f"{found.headers} {found.target} {found.body.decode()}"
    assert not any(word in text for word in ("older text", "staff@", PAPER_SECRET, "Bearer abc"))
    assert paper_system.SIGNATURE not in found.headers


def test_a_hook_is_accepted_whatever_type_its_body_claims(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    hook = json.dumps({"stories": [a_story()]}).encode()
    told(send(desk, hook, Content_Type="application/x-www-form-urlencoded"), "accepted")


def test_a_system_that_takes_nothing_but_a_200_gets_one(
    sqlite_desk: WebDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace  # noqa: PLC0415

    paper_system.install(monkeypatch, replace(paper_system.PAPER, answer_status=200))
    a_paper_source(sqlite_desk.record)
    assert send(sqlite_desk, {"ping": "hello"}).status_code == 200


def test_a_signature_covers_the_address_as_it_was_sent(
    sqlite_desk: WebDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace  # noqa: PLC0415

    seen: list[HookRequest] = []

    def verify(request: HookRequest, *_: Any) -> None:
        seen.append(request)

    paper_system.install(monkeypatch, replace(paper_system.PAPER, verify=verify))
    a_paper_source(sqlite_desk.record)
    sqlite_desk.client.post("/v1/hooks/paper?event=a%2Fb&x=1", data=b"{}", headers={"X-Topic": "t"})
    assert seen[0].target == "/v1/hooks/paper?event=a%2Fb&x=1"
    assert seen[0].headers["x-topic"] == "t"


def test_a_hook_whose_process_died_is_a_workers_soon(desk: WebDesk) -> None:
    paper = a_paper_source(desk.record)
    new = hooks.NewHook(paper.source.id, "hash", "POST", "/", {}, b"{}")
    at = times.now()
    hooks.keep(desk.record, new, hooks.HookResult(hooks.QUEUED, "queued"), at)
    assert hooks.claim_due(desk.record, 10, at) == []
    [hook] = hooks.claim_due(desk.record, 10, at + hooks.REQUEST_LASTS)
    assert hook.claim.attempts == 1


def test_the_token_of_a_system_is_sealed_and_read_back(desk: WebDesk) -> None:
    paper = a_paper_source(desk.record, api_token="very-secret", base_url="https://paper.example")
    assert source_settings.options(desk.record, paper.source.id).api_token == "very-secret"
    with desk.record.reading() as connection:
        row = connection.exec_driver_sql("SELECT secret_sealed FROM source_settings").scalar_one()
    assert b"very-secret" not in bytes(row)


def test_a_system_that_asks_for_a_pictures_file_is_told_that_it_is_here_and_sends_the_story(
    sqlite_desk: WebDesk,
) -> None:
    newsroom = a_newsroom(sqlite_desk.record, "agency", "superdesk")
    before = rows(sqlite_desk.record)
    for file in ("5f3c.jpg", "2026/11/28/5f3c?", "%E4%B8%AD.png"):
        assert sqlite_desk.get(f"/v1/hooks/agency/{file}").status_code == 200
    assert rows(sqlite_desk.record) == before
    item = {"guid": "urn:a", "version": "1", "type": "text", "headline": "Ferry", "body_html": "<p>At dawn.</p>",
            "service": [{"name": "World", "code": "w"}]}  # fmt: skip
    body = json.dumps(item).encode()
    mark = hmac.digest(newsroom.secret.encode(), body, "sha1").hex()
    answer = sqlite_desk.client.post(
        "/v1/hooks/agency", data=body, headers={"x-superdesk-signature": f"sha1={mark}"}
    )
    assert (answer.status_code, answer.json["outcome"]) == (201, "accepted")


def test_a_file_is_asked_for_at_no_other_source(sqlite_desk: WebDesk) -> None:
    a_paper_source(sqlite_desk.record)
    for slug in ("paper", "wire", "nobody"):
        the_problem(sqlite_desk.get(f"/v1/hooks/{slug}/5f3c.jpg"), 404)


def test_every_answer_to_a_hook_is_described(sqlite_desk: WebDesk) -> None:
    a_paper_source(sqlite_desk.record)
    stories = [
        a_story(),
        a_story(id="8", headline=None),
        a_story(id="9", body_html="<p>A<script>x</script></p>"),
    ]
    for hook in ({"stories": stories, "gone": ["12"]}, {"ping": "hello"}, {"stories": [a_story()]}):
        HookAnswer.model_validate_json(send(sqlite_desk, hook).get_data(), extra="forbid")
