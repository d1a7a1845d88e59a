from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from service.store import operations
from service.store.articles import accept
from service.store.articles.idempotency import NOTHING_TO_DO
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.errors import KeyReused, NotPossible, UnknownSections
from service.store.schema.articles import revision
from service.store.schema.base import metadata
from service.store.schema.deliveries import delivery
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post


def rows(record: Record) -> dict[str, int]:
    with record.reading() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def test_first_post_is_published_as_revision_one(record: Record) -> None:
    given = post(record, a_desk(record), an_article())
    assert (given.revision, given.type, given.outcome) == (1, "article.published", "accepted")
    assert given.article.startswith("tag:news.example.org,2026-11-24:item/")


def test_same_content_again_is_a_repeat_that_stores_nothing(record: Record) -> None:
    source = a_desk(record)
    first = post(record, source, an_article())
    before = rows(record)
    again = post(record, source, an_article(), key="another", now=later(60))
    assert (again.outcome, again.event, again.revision) == ("repeat", first.event, 1)
    assert {name: count for name, count in rows(record).items() if name != "answer"} == {
        name: count for name, count in before.items() if name != "answer"
    }


def test_an_old_story_posted_again_under_its_key_is_not_put_over_a_newer_one(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(), key="k1")
    unheard = post(record, source, an_article(), key="k2", now=later(1))
    post(record, source, an_article(headline="Newer"), key="k3", now=later(2))
    assert post(record, source, an_article(), key="k2", now=later(3)) == unheard
    with pytest.raises(KeyReused):
        post(record, source, an_article(headline="Another"), key="k2", now=later(4))


def test_the_key_of_a_stale_post_keeps_its_answer(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(version=2), key="k1")
    stale = post(record, source, an_article(headline="Old", version=1), key="k2", now=later(1))
    assert stale.outcome == "stale"
    assert post(record, source, an_article(headline="Old", version=1), key="k2", now=later(2)) == stale


def test_same_key_gives_the_first_answer_again(record: Record) -> None:
    source = a_desk(record)
    first = post(record, source, an_article(), key="k1")
    post(record, source, an_article(headline="Changed"), key="k2")
    assert post(record, source, an_article(), key="k1") == first


def test_same_key_with_another_body_is_refused_and_changes_nothing(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(), key="k1")
    before = rows(record)
    with pytest.raises(KeyReused):
        post(record, source, an_article(headline="Changed"), key="k1")
    assert rows(record) == before


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"headline": "Changed"}, "article.updated"),
        ({"headline": "Changed", "correction_note": "The date was wrong."}, "article.corrected"),
        ({"status": "withheld"}, "article.withheld"),
        ({"status": "killed"}, "article.killed"),
        ({"status": "unpublished"}, "article.unpublished"),
    ],
)
def test_event_is_worked_out_from_the_state_posted(record: Record, change: dict[str, str], kind: str) -> None:
    source = a_desk(record)
    post(record, source, an_article())
    given = post(record, source, an_article(**change), now=later(1))
    assert (given.type, given.revision, given.outcome) == (kind, 2, "accepted")


def test_withheld_story_comes_back_as_restored(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article())
    post(record, source, a_takedown("withheld"))
    assert post(record, source, an_article()).type == "article.restored"


def test_older_version_is_stale_and_changes_nothing_but_the_audit(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(version=3))
    before = rows(record)
    given = post(record, source, an_article(version=2, headline="Old news"))
    assert (given.outcome, given.revision) == ("stale", 1)
    assert rows(record) == {**before, "audit": before["audit"] + 1}


def test_post_between_a_version_and_its_repeat_under_a_higher_one_is_stale(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(version=1))
    assert post(record, source, an_article(version=3)).outcome == "repeat"
    assert post(record, source, an_article(version=2, headline="Late")).outcome == "stale"
    assert post(record, source, an_article(version=3)).revision == 1


def test_older_updated_at_is_stale_when_there_is_no_version(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(updated_at=NOW))
    given = post(record, source, an_article(updated_at=NOW - timedelta(hours=1), headline="Old news"))
    assert given.outcome == "stale"


def test_repeat_of_an_old_post_does_not_bring_a_killed_story_back(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article())
    post(record, source, a_takedown("killed"))
    assert post(record, source, an_article()).outcome == "stale"


def test_source_restores_its_killed_article_with_a_higher_version(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(version=1))
    post(record, source, a_takedown("killed", version=2))
    assert post(record, source, an_article(version=3)).type == "article.restored"


def test_source_cannot_restore_an_article_that_the_desk_killed(record: Record) -> None:
    source = a_desk(record)
    first = post(record, source, an_article(version=1))
    operations.kill(record, first.article, reason="court order", actor="operator", now=later(1))
    assert post(record, source, an_article(version=9)).outcome == "stale"
    again = operations.restore(record, first.article, reason="order lifted", actor="operator", now=later(2))
    assert (again.type, again.revision) == ("article.restored", 3)


def test_killing_twice_is_a_repeat(record: Record) -> None:
    first = post(record, a_desk(record), an_article())
    name = first.article.rpartition("/")[2]
    killed = operations.kill(record, name, reason="court order", actor="operator", now=later(1))
    assert operations.kill(record, name, reason="again", actor="operator", now=later(2)).outcome == "repeat"
    assert killed.revision == 2


def test_restoring_a_usable_article_is_refused(record: Record) -> None:
    first = post(record, a_desk(record), an_article())
    with pytest.raises(NotPossible, match="usable already"):
        operations.restore(record, first.article, reason=None, actor="operator", now=NOW)


def test_unknown_section_is_refused_by_name(record: Record) -> None:
    source = a_desk(record)
    with pytest.raises(UnknownSections) as refused:
        post(record, source, an_article(sections=("world", "sport")))
    assert refused.value.slugs == ("sport",)


def test_takedown_of_an_unknown_article_has_nothing_to_do(record: Record) -> None:
    source = a_desk(record)
    assert post(record, source, a_takedown(), key="k") == NOTHING_TO_DO
    assert post(record, source, an_article()).outcome == "accepted"
    assert post(record, source, a_takedown(), key="k") == NOTHING_TO_DO  # the first answer again
    assert post(record, source, a_takedown(), key="k2").type == "article.killed"


def test_expired_article_is_unpublished_once(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(expires_at=later(60)))
    assert accept.expire_due(record, later(59)) == 0
    assert accept.expire_due(record, later(60)) == 1
    assert accept.expire_due(record, later(61)) == 0


def test_new_revision_supersedes_waiting_deliveries_in_the_same_transaction(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    post(record, source, an_article(headline="Changed"), now=later(1))
    with record.reading() as connection:
        states = connection.execute(select(delivery.c.state)).scalars().all()
    assert states == ["superseded"]


def test_modified_time_strictly_increases_even_if_the_clock_stands_still(record: Record) -> None:
    source = a_desk(record)
    for number in range(3):
        post(record, source, an_article(headline=f"Version {number}"))
    with record.reading() as connection:
        times = connection.execute(select(revision.c.accepted_at).order_by(revision.c.number)).scalars().all()
    assert times == sorted(set(times))
    assert len(times) == 3


def test_many_posts_of_one_article_at_once_give_revisions_without_gaps(record: Record) -> None:
    source = a_desk(record)
    answers = []

    def send(number: int) -> None:
        answers.append(post(record, source, an_article(headline=f"Version {number}")))

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.revision for each in answers) == list(range(1, 9))
    assert len({each.article for each in answers}) == 1
