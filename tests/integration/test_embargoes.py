"""Embargoes set, moved and lifted; stories that an embargo takes back, that have expired, or that the desk killed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from service.app import create_app
from service.settings import Settings
from service.store import operations
from service.store.articles import accept
from service.store.coordination import due_work
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.deliveries import numbering, replays, settlements
from service.store.deliveries.replays import ReplayRequest
from service.store.deliveries.states import State
from service.store.errors import NotPossible
from service.store.feeds import documents, whereabouts
from service.store.feeds.feeds import open_feeds
from service.store.partners import catch_up
from service.store.partners.catch_up import StreamQuery
from service.store.views import history
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.feed_desk import FeedDesk
from tests.sending import WORKER, bodies, claim, deliver, revisions, settlement, work

# --- an embargo that is moved or lifted before it ends


@pytest.mark.parametrize("every_revision", [False, True])
@pytest.mark.parametrize("routed", [False, True])
def test_no_revision_leaves_at_the_old_time_when_the_embargo_was_moved_later(
    record: Record, every_revision: bool, routed: bool
) -> None:
    source = a_desk(record)
    an_endpoint(record, every_revision=every_revision)
    post(record, source, an_article(headline="One", embargo_until=later(60)))
    if routed:
        work(record, NOW)
    post(record, source, an_article(headline="Two", embargo_until=later(600)), now=later(1))
    work(record, later(1))
    work(record, later(61))
    assert deliver(record, later(599)) == []
    assert not due_work.deliveries_due(record, later(599))
    expected = [1, 2] if every_revision else [2]
    assert revisions(deliver(record, later(600))) == expected


@pytest.mark.parametrize("every_revision", [False, True])
@pytest.mark.parametrize("routed", [False, True])
def test_every_revision_goes_at_once_when_the_embargo_is_lifted(
    record: Record, every_revision: bool, routed: bool
) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald", every_revision=every_revision)
    post(record, source, an_article(headline="One", embargo_until=later(6000)))
    if routed:
        work(record, NOW)
    post(record, source, an_article(headline="Two"), now=later(1))
    work(record, later(1))
    sent = deliver(record, later(1))
    assert revisions(sent) == ([1, 2] if every_revision else [2])
    numbers = _stream(record, "herald", later(1))
    assert numbers == list(range(1, len(numbers) + 1))
    assert {each.sequence for each in sent} <= set(numbers)


def test_embargo_moved_forward_is_followed_by_every_revision(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, every_revision=True)
    post(record, source, an_article(headline="One", embargo_until=later(6000)))
    work(record, NOW)
    post(record, source, an_article(headline="Two", embargo_until=later(60)), now=later(1))
    work(record, later(1))
    assert deliver(record, later(59)) == []
    assert revisions(deliver(record, later(60))) == [1, 2]


def test_push_that_fails_while_its_story_gets_an_embargo_is_not_tried_again_before_it_ends(
    record: Record,
) -> None:
    """It was on the wire for an endpoint which never had it, when the embargo came without being public before."""
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article(embargo_until=later(60)))
    work(record, NOW)
    [sent] = claim(record, later(60))
    with record.writing() as connection:  # as a program of the version before sets it
        Statement("UPDATE article SET embargo_until = :moment").run(connection, {"moment": later(600)})
    failed = settlement(sent, State.WAITING, later(65))
    settlements.settle(record, [failed], lease=WORKER, now=later(61))
    assert claim(record, later(599)) == []
    assert not due_work.deliveries_due(record, later(599))
    assert len(claim(record, later(600))) == 1


def test_replay_of_a_story_under_embargo_says_why_it_does_not_go(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    answer = post(record, source, an_article())
    work(record, NOW)
    deliver(record, NOW)
    with record.writing() as connection:
        Statement("UPDATE article SET embargo_until = :moment").run(connection, {"moment": later(600)})
    found = operations.replay(record, ReplayRequest(article=answer.article), actor="operator", now=later(1))
    assert (found.count, dict(found.skipped)) == (0, {"embargoed": 1})
    assert replays.REASONS["embargoed"] == "the article is under embargo"


# --- a public story that gets an embargo


def test_public_story_that_gets_an_embargo_is_withheld_from_every_holder_and_returns_at_its_time(
    record: Record,
) -> None:
    source = a_desk(record)
    an_endpoint(record, every_revision=True)
    an_endpoint(record)
    desk = FeedDesk(record)
    first = post(record, source, an_article(headline="Merger"))
    desk.work()
    deliver(record, NOW)
    answer = post(
        record, source, an_article(headline="Merger talks", embargo_until=later(600)), now=later(10)
    )
    assert (answer.article, answer.type) == (first.article, "article.withheld")
    desk.work(later(10))
    told = deliver(record, later(10))
    assert [(each.revision, each.priority) for each in told] == [(2, 0), (2, 0)]
    assert not any("Merger" in body or "embargo" in body for body in bodies(record, told))
    [notice] = desk.items("world")
    assert (notice["_dateline"]["status"], notice["id"]) == ("withheld", first.article)
    assert b"Merger" not in desk.body("world") + desk.body("world", "html") + desk.body("all", "rss")
    desk.work(later(599))
    assert deliver(record, later(599)) == []
    assert due_work.next_moment(record, later(599)) == later(600)
    assert due_work.due_now(record, later(600)).returning
    desk.work(later(600))
    assert desk.headlines("world") == ["Merger talks"]
    back = deliver(record, later(600))
    assert revisions(back) == [3, 3]
    assert all('"type":"article.restored"' in body.replace(" ", "") for body in bodies(record, back))
    assert accept.return_due(record, later(601)) == 0


def test_embargoed_post_repeated_while_the_story_is_withheld_or_back_changes_nothing(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article())
    embargoed = an_article(embargo_until=later(600))
    post(record, source, embargoed, now=later(1))
    assert post(record, source, embargoed, now=later(2)).outcome == "repeat"
    work(record, later(600))
    assert post(record, source, embargoed, now=later(601)).outcome == "repeat"


def test_embargo_of_a_withheld_story_is_moved_and_lifted_like_any_other(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article())
    post(record, source, an_article(embargo_until=later(60)), now=later(1))
    moved = post(record, source, an_article(embargo_until=later(600)), now=later(2))
    assert moved.type == "article.withheld"
    assert accept.return_due(record, later(599)) == 0
    lifted = post(record, source, an_article(), now=later(300))
    assert (lifted.type, lifted.revision) == ("article.restored", 4)
    assert accept.return_due(record, later(600)) == 0


def test_story_that_its_source_withholds_does_not_return_when_an_embargo_ends(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article())
    post(record, source, an_article(embargo_until=later(60)), now=later(1))
    held = post(record, source, an_article(status="withheld", embargo_until=later(60)), now=later(2))
    assert (held.type, held.outcome) == ("article.withheld", "accepted")
    assert accept.return_due(record, later(60)) == 0
    assert post(record, source, a_takedown("withheld"), now=later(61)).outcome == "repeat"


def test_story_killed_during_its_embargo_stays_killed_when_that_ends(record: Record) -> None:
    source = a_desk(record)
    answer = post(record, source, an_article())
    post(record, source, an_article(embargo_until=later(60)), now=later(1))
    operations.kill(record, answer.article, reason="r", actor="operator", now=later(2))
    assert accept.return_due(record, later(60)) == 0
    assert _status(record, answer.article) == "killed"


def test_restoring_a_story_under_embargo_waits_for_its_end(record: Record) -> None:
    source = a_desk(record)
    answer = post(record, source, an_article())
    post(record, source, an_article(embargo_until=later(60)), now=later(1))
    with pytest.raises(NotPossible, match="returns by itself at 2026-11-24T08:01:00Z"):
        operations.restore(record, answer.article, reason=None, actor="operator", now=later(2))
    operations.kill(record, answer.article, reason="r", actor="operator", now=later(3))
    restored = operations.restore(record, answer.article, reason=None, actor="operator", now=later(4))
    assert restored.type == "article.withheld"
    assert accept.return_due(record, later(60)) == 1
    assert _status(record, answer.article) == "usable"


def test_story_that_was_never_public_may_have_its_embargo_changed_without_a_withholding(
    record: Record,
) -> None:
    source = a_desk(record)
    post(record, source, an_article(embargo_until=later(60)))
    post(record, source, a_takedown("withheld"), now=later(1))
    answer = post(record, source, an_article(embargo_until=later(600)), now=later(2))
    assert answer.type == "article.restored"
    desk = FeedDesk(record)
    desk.work(later(599))
    assert desk.items("all") == []


def _status(record: Record, article: str) -> str:
    return history.article_trace(record, article).status


# --- the desk's kill


@pytest.mark.parametrize(
    "then",
    [
        [a_takedown("killed", version=8)],
        [an_article(status="killed", headline="Other"), an_article(headline="Third", version=9)],
        [an_article(status="withheld", headline="Other", version=8), an_article(version=9)],
        [an_article(status="unpublished", headline="Other", version=8), an_article(version=9)],
        [an_article(headline="Other", version=8)],
        [an_article(headline="Other", version=8, expires_at=later(-5)), an_article(version=9)],
        [an_article(headline="Other", version=8, embargo_until=later(60)), an_article(version=9)],
    ],
    ids=["killed", "killed otherwise", "withheld", "unpublished", "usable", "expired", "embargoed"],
)
def test_only_an_operator_ends_the_desks_kill_whatever_its_source_posts(
    record: Record, then: list[Any]
) -> None:
    source = a_desk(record)
    an_endpoint(record)
    answer = post(record, source, an_article(version=1))
    work(record, NOW)
    deliver(record, NOW)
    operations.kill(record, answer.article, reason="r", actor="operator", now=later(1))
    for seconds, posted in enumerate(then, 2):
        assert post(record, source, posted, now=later(seconds)).outcome in {"stale", "repeat"}
    work(record, later(100))
    assert _status(record, answer.article) == "killed"
    assert [each.priority for each in deliver(record, later(100))] == [0]
    assert (
        operations.restore(record, answer.article, reason=None, actor="operator", now=later(101)).type
        == "article.restored"
    )


def test_story_that_the_desk_killed_does_not_come_back_under_another_id(record: Record) -> None:
    source = a_desk(record)
    answer = post(record, source, an_article(external_id="1"))
    operations.kill(record, answer.article, reason="r", actor="operator", now=later(1))
    again = post(record, source, an_article(external_id="2"), now=later(2))
    assert (again.article, again.outcome) == (answer.article, "stale")
    other = post(record, source, an_article(external_id="2", headline="Another story"), now=later(3))
    assert other.outcome == "accepted"


# --- stories that have expired


def test_story_that_had_expired_when_it_came_is_never_public(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, every_revision=True)
    desk = FeedDesk(record)
    answer = post(record, source, an_article(expires_at=later(-1), packages=["focus"]))
    assert (answer.type, answer.outcome) == ("article.unpublished", "accepted")
    desk.work(later(1))
    assert deliver(record, later(1)) == []
    assert desk.items("all") == desk.items("world") == []
    assert [each.slug for each in open_feeds(record)] == ["world", "china", "all"]
    assert accept.expire_due(record, later(2)) == 0


def test_expired_story_posted_again_unchanged_is_a_repeat_and_changed_is_never_public(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    desk = FeedDesk(record)
    posted = an_article(expires_at=later(60))
    post(record, source, posted)
    desk.work()
    deliver(record, NOW)
    accept.expire_due(record, later(60))
    desk.work(later(60))
    assert [each.priority for each in deliver(record, later(60))] == [0]
    for seconds in (61, 62):
        assert post(record, source, posted, now=later(seconds)).outcome == "repeat"
    changed = post(record, source, an_article(headline="Other", expires_at=later(60)), now=later(63))
    assert (changed.type, changed.revision) == ("article.unpublished", 3)
    desk.work(later(63))
    assert [each.priority for each in deliver(record, later(63))] == [0]
    assert b"Other" not in desk.body("world")
    back = post(record, source, an_article(headline="Other", expires_at=later(9000)), now=later(64))
    assert back.type == "article.restored"


def test_expired_story_that_the_desk_brings_back_stays_though_its_source_repeats_itself(
    record: Record,
) -> None:
    source = a_desk(record)
    posted = an_article(expires_at=later(60))
    answer = post(record, source, posted)
    accept.expire_due(record, later(60))
    operations.restore(record, answer.article, reason=None, actor="operator", now=later(61))
    assert accept.expire_due(record, later(62)) == 0
    assert post(record, source, posted, now=later(63)).outcome == "repeat"
    assert _status(record, answer.article) == "usable"


# --- feeds that an embargoed story opens


def test_feed_that_an_embargoed_story_opens_is_nowhere_before_its_time(record: Record) -> None:
    source = a_desk(record)
    desk = FeedDesk(record)
    desk.work()
    client = create_app(Settings(), record, lambda: None, clock=lambda: desk.now)
    secret = an_article(packages=["harbour-fund"], language="sw", embargo_until=later(60))
    post(record, source, secret)
    desk.work(later(1))
    addresses = [f"/feeds/{slug}" for slug in ("package/harbour-fund", "language/sw", "source/wire")]
    web = client.test_client()
    for address in addresses:
        for ending in ("", ".rss", ".atom", ".json"):
            assert web.get(address + ending).status_code == 404
    for address in ("/feeds", "/feeds.opml", "/sitemaps/news.xml", "/feeds/world", "/feeds/all"):
        body = web.get(address).data
        assert not any(word in body for word in (b"harbour-fund", b"language/sw", b"source/wire"))
    assert {slug for slug, _ in documents.listing(record)} == {"all", "world", "china"}
    assert whereabouts.whereabouts(record, "package/harbour-fund") is None
    desk.work(later(60))
    assert desk.headlines("package/harbour-fund") == ["Harbour reopens after the storm"]
    assert b"harbour-fund" in web.get("/feeds.opml").data
    desk.work(later(61))
    assert web.get("/feeds/language/sw.rss").status_code == 200


def test_package_that_the_desk_announces_is_seen_before_its_first_story(record: Record) -> None:
    source = a_desk(record)
    desk = FeedDesk(record)
    post(record, source, an_article(packages=["focus"], embargo_until=later(60)))
    desk.work()
    operations.add_package(record, "focus", "In focus", actor="operator", now=later(1))
    desk.work(later(1))
    assert desk.items("package/focus") == []


# --- numbers


def test_first_push_of_a_new_endpoint_has_number_one_whatever_is_under_embargo(record: Record) -> None:
    source = a_desk(record)
    for number in range(7):
        post(record, source, an_article(external_id=str(number), embargo_until=later(600)))
    work(record, NOW)
    endpoint = an_endpoint(record, "herald", max_in_flight=64)
    post(record, source, an_article(external_id="8", embargo_until=later(600)), now=later(1))
    post(record, source, an_article(external_id="news"), now=later(2))
    work(record, later(2))
    assert [each.sequence for each in deliver(record, later(2))] == [1]
    assert [each.sequence for each in deliver(record, later(600))] == [2]
    assert _stream(record, endpoint.partner, later(600)) == [1, 2]


def test_partner_whose_endpoint_is_paused_finds_what_the_embargo_released_by_its_number(
    record: Record,
) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, "herald")
    post(record, source, an_article(external_id="secret", embargo_until=later(60)))
    post(record, source, an_article(external_id="news"))
    work(record, NOW)
    operations.pause_endpoint(record, endpoint.id, reason="r", actor="operator", now=NOW)
    assert numbering.number_due(record, later(59)) == 0
    assert _stream(record, "herald", later(59)) == [1]
    assert numbering.number_due(record, later(60)) == 1
    assert numbering.number_due(record, later(60)) == 0
    assert _stream(record, "herald", later(60)) == [1, 2]
    operations.resume_endpoint(record, endpoint.id, actor="operator", now=later(61))
    assert sorted(each.sequence for each in deliver(record, later(61))) == [1, 2]


def test_story_that_is_killed_under_embargo_takes_no_number_at_all(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    answer = post(record, source, an_article(external_id="secret", embargo_until=later(60)))
    work(record, NOW)
    operations.kill(record, answer.article, reason="r", actor="operator", now=later(1))
    post(record, source, an_article(external_id="news"), now=later(2))
    work(record, later(2))
    deliver(record, later(2))
    numbering.number_due(record, later(90))
    assert _stream(record, "herald", later(90)) == [1]


def _stream(record: Record, partner: str, now: datetime) -> list[int]:
    with record.reading() as connection:
        number = Statement("SELECT id FROM partner WHERE slug = :slug").value(connection, slug=partner)
    return [each.sequence for each in catch_up.read(record, StreamQuery(number, 0, 100), now).events]


def test_endpoint_that_wants_every_revision_gets_the_story_back_that_was_killed_and_restored_in_one_moment(
    record: Record,
) -> None:
    """The revision before the kill waited for ever, and the restored one behind it."""
    source = a_desk(record)
    an_endpoint(record, every_revision=True)
    answer = post(record, source, an_article())
    work(record, NOW)
    deliver(record, NOW)
    post(record, source, an_article(headline="Second"), now=later(1))
    operations.kill(record, answer.article, reason="r", actor="operator", now=later(2))
    operations.restore(record, answer.article, reason=None, actor="operator", now=later(3))
    work(record, later(4))
    assert revisions(deliver(record, later(4))) == [3, 4]
