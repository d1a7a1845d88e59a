"""A story that moves out of an outlet's sections: the outlet that holds it is told, as its endpoint says."""

from __future__ import annotations

import json

import pytest

from service.store import names, operations
from service.store.articles.posts import PostedArticle
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import routing, settlements
from service.store.deliveries.replays import ReplayRequest
from service.store.deliveries.states import State
from service.store.errors import NotPossible
from service.store.partners import catch_up, partners
from service.store.partners.catch_up import StreamQuery
from service.store.views import history
from tests.builders import a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.sending import WORKER, bodies, claim, settlement
from tests.web import OPERATOR, WebDesk, a_newsroom, an_app


def sent(record: Record, moment: int) -> list[tuple[int, str, str]]:
    """Routes and delivers all that is due; returns (endpoint, type, status) of each push."""
    routing.route(record, later(moment))
    claimed = claim(record, later(moment))
    found = [json.loads(each) for each in bodies(record, claimed)]
    rows = [settlement(each, State.DELIVERED, later(moment)) for each in claimed]
    settlements.settle(record, rows, lease=WORKER, now=later(moment))
    for body in found:
        assert (body["data"]["status"] == "usable") == ("headline" in body["data"])
    return [
        (each.endpoint_id, body["type"], body["data"]["status"])
        for each, body in zip(claimed, found, strict=True)
    ]


def in_china(**changes: object) -> PostedArticle:
    return an_article(sections=("china",), **changes)


def moved(**changes: object) -> PostedArticle:
    return an_article(sections=("world",), **changes)


@pytest.mark.parametrize(
    ("on_leave", "push"),
    [
        ("update", [("article.updated", "usable")]),
        ("takedown", [("article.unpublished", "unpublished")]),
        ("nothing", []),
    ],
)
def test_an_outlet_is_told_of_a_story_that_leaves_its_sections(
    record: Record, on_leave: str, push: list[tuple[str, str]]
) -> None:
    source = a_desk(record)
    outlet = an_endpoint(record, sections=["china"], on_leave=on_leave).id
    everything = an_endpoint(record, on_leave=on_leave).id
    post(record, source, in_china())
    assert len(sent(record, 0)) == 2
    post(record, source, moved())
    pushes = sent(record, 100)
    assert [each[1:] for each in pushes if each[0] == outlet] == push
    assert [each[1:] for each in pushes if each[0] == everything] == [("article.updated", "usable")]


def a_story_that_left(record: Record) -> tuple[Source, int]:
    source = a_desk(record)
    outlet = an_endpoint(record, "herald", sections=["china"], on_leave="takedown").id
    post(record, source, in_china())
    sent(record, 0)
    post(record, source, moved())
    assert [each[0] for each in sent(record, 100)] == [outlet]
    return source, outlet


def test_a_removal_is_sent_once_and_corrections_after_it_are_not_sent(record: Record) -> None:
    source, _ = a_story_that_left(record)
    post(record, source, moved(headline="Newer"))
    assert sent(record, 200) == []
    post(record, source, moved(headline="Newest", correction_note="It was wrong."))
    assert sent(record, 300) == []


def test_a_kill_after_the_removal_goes_to_the_outlet_all_the_same(record: Record) -> None:
    source, outlet = a_story_that_left(record)
    post(record, source, a_takedown("killed"))
    assert sent(record, 200) == [(outlet, "article.killed", "killed")]


def a_removal_that_was_given_up(record: Record) -> tuple[Source, str]:
    source = a_desk(record)
    an_endpoint(record, "herald", sections=["china"], on_leave="takedown")
    article = post(record, source, in_china()).article
    sent(record, 0)
    post(record, source, moved())
    routing.route(record, later(100))
    [removal] = claim(record, later(100))
    rows = [settlement(removal, State.DEAD, later(100))]
    settlements.settle(record, rows, lease=WORKER, now=later(100))
    return source, article


def test_a_removal_that_was_given_up_is_sent_again_by_a_replay(record: Record) -> None:
    a_removal_that_was_given_up(record)
    done = operations.replay(record, ReplayRequest(dead=True), actor="operator", now=later(200))
    assert (done.count, done.skipped) == (1, {})
    [(_, kind, status)] = sent(record, 200)
    assert (kind, status) == ("article.unpublished", "unpublished")
    again = operations.replay(
        record, ReplayRequest(delivery=done.deliveries[0]), actor="operator", now=later(300)
    )
    assert again.count == 1
    assert [each[1] for each in sent(record, 300)] == ["article.unpublished"]


def test_a_removal_that_was_given_up_is_told_again_with_the_next_revision(record: Record) -> None:
    source, _ = a_removal_that_was_given_up(record)
    post(record, source, moved(headline="Newer"))
    assert [each[1:] for each in sent(record, 200)] == [("article.unpublished", "unpublished")]
    post(record, source, moved(headline="Newest"))
    assert sent(record, 300) == []


def test_a_removal_is_in_the_ledger_as_a_removal_and_not_as_held(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald", sections=["china"], on_leave="takedown")
    an_endpoint(record, "times")
    article = post(record, source, in_china()).article

    def ledger() -> dict[str, tuple[int, str]]:
        found = history.article_trace(record, article).holdings
        return {each.partner: (each.revision, each.state) for each in found}

    sent(record, 0)
    assert ledger() == {"herald": (1, "held"), "times": (1, "held")}
    post(record, source, moved())
    sent(record, 100)
    assert ledger() == {"herald": (2, "removed"), "times": (2, "held")}
    post(record, source, moved(headline="Newer"))
    sent(record, 200)
    assert ledger() == {"herald": (2, "removed"), "times": (3, "held")}
    desk = WebDesk(record, an_app(record), a_newsroom(record, "gazette"), a_newsroom(record, "tribune"), [])
    page = desk.inside().get(f"/status/articles/{names.last_part(article)}").text
    assert "Removed, as revision 2 told" in page
    assert "Revision 3, the newest" in page
    partners_of = desk.get(f"/v1/articles/{article}", OPERATOR).json["partners"]
    assert {each["partner"]: each["state"] for each in partners_of} == {"herald": "removed", "times": "held"}
    post(record, source, in_china(headline="Back"))
    sent(record, 300)
    assert ledger() == {"herald": (4, "held"), "times": (4, "held")}
    post(record, source, a_takedown("killed"))
    sent(record, 400)
    assert ledger() == {"herald": (5, "removed"), "times": (5, "removed")}


def test_a_story_that_comes_back_is_sent_again_and_removed_again(record: Record) -> None:
    source, outlet = a_story_that_left(record)
    post(record, source, in_china(headline="Back"))
    assert sent(record, 200) == [(outlet, "article.updated", "usable")]
    post(record, source, moved(headline="Gone"))
    assert sent(record, 300) == [(outlet, "article.unpublished", "unpublished")]


def test_a_removal_that_waits_is_not_lost_to_a_newer_revision(record: Record) -> None:
    source = a_desk(record)
    outlet = an_endpoint(record, sections=["china"], on_leave="takedown").id
    post(record, source, in_china())
    sent(record, 0)
    post(record, source, moved())
    routing.route(record, later(100))
    post(record, source, moved(headline="Newer"))
    assert sent(record, 200) == [(outlet, "article.unpublished", "unpublished")]


def test_moves_that_are_routed_at_once_end_as_the_last_one_says(record: Record) -> None:
    source = a_desk(record)
    outlet = an_endpoint(record, sections=["china"], on_leave="takedown").id
    post(record, source, in_china())
    sent(record, 0)
    post(record, source, moved())
    post(record, source, in_china(headline="Back"))
    assert sent(record, 100) == [(outlet, "article.updated", "usable")]
    post(record, source, moved(headline="Gone"))
    post(record, source, moved(headline="Gone for good"))
    assert sent(record, 200) == [(outlet, "article.unpublished", "unpublished")]


def test_an_outlet_that_never_had_the_story_is_told_nothing(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, sections=["china"])
    an_endpoint(record, sections=["china"], on_leave="takedown")
    post(record, source, moved())
    post(record, source, moved(headline="Newer"))
    assert sent(record, 0) == []


def test_a_partner_that_reads_its_events_finds_no_text_in_a_removal(record: Record) -> None:
    a_story_that_left(record)
    [herald] = [each for each in partners.all_partners(record) if each.slug == "herald"]
    page = catch_up.read(record, StreamQuery(herald.id, 0, 10), later(200))
    assert [(each.type, each.readable) for each in page.events] == [
        ("article.published", True),
        ("article.unpublished", False),
    ]


def test_an_endpoint_of_every_revision_in_order_cannot_remove_what_leaves(record: Record) -> None:
    a_desk(record)
    with pytest.raises(NotPossible, match="every revision"):
        an_endpoint(record, every_revision=True, on_leave="takedown")
