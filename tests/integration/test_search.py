"""The operators' search finds every story for ever: by its ids, and by words in any script."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import html
from sqlalchemy import text

from service.store import operations
from service.store.articles import search_index
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.views.search import search_articles, search_outlets
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.web import TOKEN, an_app

URDU = "کراچی کی بندرگاہ طوفان کے بعد دوبارہ کھل گئی"
CHINESE = "北京市长宣布新的防洪计划"


@pytest.fixture
def source(record: Record) -> Source:
    return a_desk(record)


def catch_up(record: Record) -> None:
    while search_index.catch_up(record):
        pass


def found(record: Record, words: str) -> list[str]:
    """The sources' ids of what is found, the same whether the sweep has been there or not."""
    before = [each.external_id for each in search_articles(record, NOW, words)]
    catch_up(record)
    assert [each.external_id for each in search_articles(record, NOW, words)] == before
    return before


@pytest.mark.parametrize(
    ("headline", "words"),
    [
        ("Harbour reopens after the storm", "HARBOUR storm"),
        ("Harbour reopens after the storm", "harb reop"),
        ("Élysée: café à Orléans", "elysee cafe"),
        ("Straße in Zürich gesperrt", "STRASSE zürich"),
        ("Правда о погоде", "ПРАВДА погод"),
        (URDU, "بندرگاہ"),
        (URDU, "كراچي"),  # as an Arabic keyboard writes it
        (CHINESE, "防洪"),
        (CHINESE, "北京 计划"),
        (CHINESE, "洪"),
        ("東京タワーが再開", "タワー"),
        ("กรุงเทพมหานครเปิดท่าเรือ", "ท่าเรือ"),
        ("서울시장이 발표했다", "시장"),
        ("दिल्ली में बाढ़ का ख़तरा", "बाढ़"),
        ("חדשות מתל אביב", "אביב"),
        ("iPhone手机 in Größe 5", "iphone 手机"),
        ("ＦＵＬＬ ｗｉｄｔｈ", "full width"),
        ("O'Brien's C++ \"quoted\" AND (a OR b)*", "o'brien's c++"),
    ],
)
def test_a_headline_in_any_script_is_found_by_its_words(
    record: Record, source: Source, headline: str, words: str
) -> None:
    post(record, source, an_article(external_id="s1", headline=headline))
    post(record, source, an_article(external_id="s2", headline="Nothing of the kind"))
    assert found(record, words) == ["s1"]


def test_a_story_is_found_by_its_author_its_origin_its_address_and_a_part_of_its_id(
    record: Record, source: Source
) -> None:
    story = an_article(
        external_id="CMS-2026/4711",
        url="https://wire.example.org/2026/caf%C3%A9-opens?ref=desk",
        authors=[{"name": "Aïsha Khan"}],
        origin={"name": "City Herald"},
    )
    post(record, source, story)
    post(record, source, an_article(external_id="other"))
    for words in (
        "aisha",
        "city herald",
        "4711",
        "https://wire.example.org/2026/caf%C3%A9-opens?ref=desk",
        "café opens",
        "khan harbour 4711",
        "cms-2026/4711",
    ):
        assert found(record, words) == ["CMS-2026/4711"], words
    assert found(record, "khan elsewhere") == []


def test_the_search_knows_more_than_the_500_headlines_that_changed_last(
    record: Record, source: Source
) -> None:
    post(record, source, an_article(external_id="first", headline="A heron at the lock"))
    for number in range(520):
        post(record, source, an_article(external_id=f"n{number}"), now=later(number))
    assert found(record, "heron") == ["first"]


def test_pages_of_a_search_have_each_story_once(record: Record, source: Source) -> None:
    for number in range(23):
        post(record, source, an_article(external_id=f"n{number}"), now=later(number))
        if number == 11:
            catch_up(record)  # the rest is not in SQLite's index yet
    pages, after = [], None
    while page := search_articles(record, NOW, "harbour", after=after, limit=5):
        pages.append([each.external_id for each in page])
        after = page[-1].id
    assert [len(each) for each in pages] == [5, 5, 5, 5, 3]
    assert [each for page in pages for each in page] == [f"n{number}" for number in reversed(range(23))]


def test_a_corrected_headline_is_found_by_its_new_words_alone(record: Record, source: Source) -> None:
    post(record, source, an_article(headline="Mayor resings"))
    catch_up(record)
    post(record, source, an_article(headline="Mayor resigns"), now=later(1))
    assert (found(record, "resings"), found(record, "resigns")) == ([], ["42"])


def test_a_killed_story_is_found_by_its_id_alone(record: Record, source: Source) -> None:
    told = post(record, source, an_article(external_id="cms-7", url="https://wire.example.org/harbour"))
    catch_up(record)
    operations.kill(record, told.article, reason="libel", actor="operator", now=later(1))
    for words in ("harbour", "storm", "wire.example.org"):
        assert found(record, words) == []
    for words in ("cms-7", told.article, told.article.rpartition("/")[2]):
        assert found(record, words) == ["cms-7"]
    operations.restore(record, told.article, reason="wrong one", actor="operator", now=later(2))
    assert found(record, "harbour") == ["cms-7"]


def test_a_story_that_its_source_kills_leaves_the_search_too(record: Record, source: Source) -> None:
    post(record, source, an_article())
    catch_up(record)
    post(record, source, a_takedown(), now=later(1))
    assert found(record, "harbour") == []


def test_a_held_story_is_still_found(record: Record, source: Source) -> None:
    post(record, source, an_article())
    post(record, source, a_takedown("withheld"), now=later(1))
    assert found(record, "harbour") == ["42"]


def test_a_story_under_embargo_is_found_and_its_headline_is_not_in_the_list(
    record: Record, source: Source
) -> None:
    post(record, source, an_article(headline="The budget", embargo_until=later(3600)))
    [story] = search_articles(record, NOW, "budget")
    assert story.headline is None


def by_another_version(record: Record, statement: str) -> None:
    with record.writing() as connection:
        connection.execute(text(statement))


def test_stories_that_the_version_before_accepted_are_added_by_the_sweep(
    record: Record, source: Source
) -> None:
    for number in range(150):
        post(record, source, an_article(external_id=f"n{number}"))
    catch_up(record)
    # It writes neither words nor their revision.
    by_another_version(record, "DELETE FROM article_search WHERE article_id > 20")
    by_another_version(record, "UPDATE article SET words_revision = NULL WHERE id > 20")
    assert search_index.is_behind(record)
    assert len(search_articles(record, NOW, "harbour", limit=200)) == 20
    assert search_index.catch_up(record)
    assert len(search_articles(record, NOW, "harbour", limit=200)) == 20 + search_index.WRITTEN_AT_ONCE
    catch_up(record)
    assert len(search_articles(record, NOW, "harbour", limit=200)) == 150
    assert not search_index.is_behind(record)


def test_a_revision_of_the_version_before_replaces_the_words_of_the_story(
    record: Record, source: Source
) -> None:
    post(record, source, an_article(headline="Old words"))
    catch_up(record)
    by_another_version(
        record,
        "INSERT INTO revision (article_id, number, content, content_hash, status, accepted_at)"
        """ VALUES (1, 2, '{"headline":"New words"}', 'x', 'usable', 9)""",
    )
    by_another_version(record, "UPDATE article SET revision = 2 WHERE id = 1")
    catch_up(record)
    assert (found(record, "old"), found(record, "new")) == ([], ["42"])


@pytest.fixture(scope="module")
def two_stories(standing_record: Record) -> Record:
    source = a_desk(standing_record)
    post(standing_record, source, an_article(external_id="in-index"))
    catch_up(standing_record)
    post(standing_record, source, an_article(external_id="new"))
    return standing_record


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.one_of(st.text(st.characters()), st.text("\"'*^():+-{}\\ NEARANDOTx北", max_size=40)))
@example(words='"')
@example(words="headline : x")
@example(words="NEAR(a b, 3)")
@example(words="harbour NOT storm")
@example(words="* ^ - +")
@example(words="\ud800 \0")
@example(words="x" * 100_000)
@example(words="'' & !a | (b <-> c):*")
def test_any_question_is_answered(two_stories: Record, words: str) -> None:
    assert isinstance(search_articles(two_stories, NOW, words), list)
    assert search_outlets(two_stories, words) == []


def test_any_question_is_answered_by_postgresql_too(postgres_record: Record) -> None:
    post(postgres_record, a_desk(postgres_record), an_article())
    for words in ('"', "a & !b | (c)", "'; --", "\\", "a:*B", "<->", "\ud800", "harbour NOT storm", "北*"):
        assert search_articles(postgres_record, NOW, words) == []


def test_an_outlet_is_found_by_its_name_its_slug_and_its_address(record: Record, source: Source) -> None:
    an_endpoint(record, "ulster-union", url="https://hooks.belfast.example/push")
    an_endpoint(record, "ulster-union", url="https://hooks.derry.example/push")
    an_endpoint(record, "herald", url="https://herald.example/push")
    for words, url in (
        ("Ulster", None),
        ("ulster-union", None),
        ("https://hooks.derry.example/push", "https://hooks.derry.example/push"),
    ):
        assert [(each.slug, each.url) for each in search_outlets(record, words)] == [("ulster-union", url)]
    assert len(search_outlets(record, "push", limit=1)) == 1


def test_the_page_shows_outlets_and_stories_in_pages_that_lead_to_each_other(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, "harbour-times")
    for number in range(60):
        post(record, source, an_article(external_id=f"n{number}"))
    browser = an_app(record).test_client()
    browser.post("/status/login", data={"token": TOKEN})
    page = html.fromstring(browser.get("/status/articles?q=harbour").text)
    assert "The newest 50 articles found" in page.text_content()
    assert page.xpath("//a[@href='/status/partners/harbour-times']")
    [older] = page.xpath("//a[text()='Older articles']/@href")
    rest = html.fromstring(browser.get(older).text)
    assert "The next 10 articles found" in rest.text_content()
    assert not rest.xpath("//a[text()='Older articles']")
    assert browser.get("/status/articles?q=harbour&after=%00").status_code == 400
