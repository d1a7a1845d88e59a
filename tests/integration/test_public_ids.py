"""Public ids: any text names one thing or nothing, wherever an id is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.store import names, operations
from service.store.articles import accept
from service.store.articles.idempotency import Answer
from service.store.articles.posts import Post
from service.store.articles.search_words import has_all, question_terms
from service.store.database.record import Record, open_record
from service.store.deliveries import replays
from service.store.errors import NotFound, NotPossible
from service.store.views import deliveries, history, search
from service.store.views.partners import partners_now
from tests import postgres, seeded
from tests.builders import NOW, a_desk, an_article, an_endpoint, later, post
from tests.web import OPERATOR, SECRET_KEY, TOKEN, an_app, nothing_changes, the_problem

TOO_GREAT = "9" * 20


@dataclass(frozen=True)
class DeskWithStories:
    """A record with two stories that a partner has. `answer` is of the first, `delivery` its webhook-id."""

    record: Record
    answer: Answer
    delivery: str

    @property
    def last_part(self) -> str:
        return self.answer.article.rpartition("/")[2]


def a_desk_with_stories(record: Record) -> DeskWithStories:
    source = a_desk(record)
    an_endpoint(record, "herald")
    answer = post(record, source, an_article(external_id="story-1"))
    post(record, source, an_article(external_id="another", headline="Another"))
    seeded.deliver_all(record, NOW)
    [trace] = history.event_trace(record, answer.event).deliveries
    return DeskWithStories(record, answer, trace.delivery.id)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def desk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DeskWithStories]:
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("names") / "dateline.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        record = open_record(f"sqlite:///{path}", SECRET_KEY)
        yield a_desk_with_stories(record)
        record.close()
        return
    handle, template = (request.getfixturevalue(n) for n in ("postgres_server", "postgres_template"))
    postgres.admin(handle, f"CREATE DATABASE names TEMPLATE {template} STRATEGY file_copy")
    record = open_record(postgres.database_url(handle, "names"), SECRET_KEY)
    yield a_desk_with_stories(record)
    record.close()
    postgres.admin(handle, "DROP DATABASE names WITH (FORCE)")


ULIDS = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)
NUMBERS = st.integers(-(10**25), 10**25).map(str)
NEARLY = st.one_of(
    ULIDS,
    ULIDS.map("evt_{}".format),
    ULIDS.map("tag:news.example.org,2026-11-24:item/{}".format),
    st.builds("dlv_{}_{}".format, ULIDS, NUMBERS),
    st.builds("dlv_{}_{}_{}".format, ULIDS, NUMBERS, NUMBERS),
    st.text("%_*?[]\\'\" /:-.0", max_size=40),
    st.text(st.characters(), max_size=20).map("tag:{}".format),
)
TEXTS = st.one_of(st.text(st.characters()), NEARLY)


def replay(record: Record, **request: str) -> object:
    return operations.replay(record, replays.ReplayRequest(**request), actor="operator", now=NOW)


Reader = Callable[[Record, str], object]
READERS: dict[str, Reader] = {
    "article": history.article_trace,
    "article to kill": lambda record, text: operations.kill(
        record, text, reason="x", actor="operator", now=NOW
    ),
    "article to restore": lambda record, text: operations.restore(
        record, text, reason="x", actor="operator", now=NOW
    ),
    "article to replay": lambda record, text: operations.replay(
        record, replays.ReplayRequest(article=text), actor="operator", now=NOW
    ),
    "event": history.event_trace,
    "delivery": deliveries.delivery_page,
    "delivery to replay": lambda record, text: operations.replay(
        record, replays.ReplayRequest(delivery=text), actor="operator", now=NOW
    ),
    "source's id": lambda record, text: history.article_by_external(record, "wire", text),
    "source": lambda record, text: history.article_by_external(record, text, "story-1"),
}


@pytest.mark.parametrize("what", READERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
@example(text="%")
@example(text="_" * 26)
@example(text="\0")
@example(text="\ud800")
@example(text="x" * 10_000)
@example(text="dlv_01KDYH8H7ZJ4T0M4YQ2W9S5E6C_" + TOO_GREAT)
@example(text="evt_\u0660")
@example(text="ſ" * 26)
def test_any_other_text_names_nothing(desk: DeskWithStories, what: str, text: str) -> None:
    with pytest.raises(NotFound):
        READERS[what](desk.record, text)


@settings(max_examples=60)
@given(text=TEXTS)
@example(text="%")
@example(text="\0")
@example(text="\ud800")
def test_any_other_text_finds_no_article_and_no_partner(desk: DeskWithStories, text: str) -> None:
    found = search.search_articles(desk.record, later(60), text)
    terms = question_terms(text)
    assert all(has_all(f"{each.external_id} {each.headline}", terms) for each in found)
    assert partners_now(desk.record, NOW, text) == []


@pytest.mark.parametrize("edit", [lambda s: s[:-1] + "%", lambda s: s[:-1] + "_", lambda s: s[:-1], lambda s: s + "0",
                                  lambda s: s + "\n", lambda s: f" {s}", lambda s: s.replace("1", "１")])  # fmt: skip
def test_an_id_with_a_change_names_nothing(desk: DeskWithStories, edit: Callable[[str], str]) -> None:
    for what, name in (
        ("article", desk.answer.article),
        ("article", desk.last_part),
        ("event", desk.answer.event),
        ("delivery", desk.delivery),
    ):
        if (changed := edit(name)) != name:
            with pytest.raises(NotFound):
                READERS[what](desk.record, changed)


def test_each_id_names_its_own_thing(desk: DeskWithStories) -> None:
    for name in (desk.answer.article, desk.last_part, desk.last_part.lower()):
        assert history.article_trace(desk.record, name).id == desk.answer.article
    assert history.event_trace(desk.record, desk.answer.event).event.id == desk.answer.event
    assert deliveries.delivery_page(desk.record, desk.delivery).delivery.id == desk.delivery
    assert history.article_by_external(desk.record, "wire", "story-1").id == desk.answer.article
    assert [each.slug for each in partners_now(desk.record, NOW, "herald")] == ["herald"]
    for words in (desk.answer.article, desk.last_part, "story-1"):
        assert [each.id for each in search.search_articles(desk.record, NOW, words)] == [desk.answer.article]
    with pytest.raises(NotPossible, match="usable already"):
        operations.restore(desk.record, desk.last_part, reason=None, actor="operator", now=NOW)


def test_an_article_from_before_the_desk_changed_its_name_is_found_by_its_last_part(record: Record) -> None:
    source = a_desk(record)
    found = [
        accept.accept(
            record,
            Post(source, an_article(external_id=str(number)), None, str(number), authority, later(number)),
        )
        for number, authority in enumerate(("old.example.org", "middle.example.org", "new.example.org"))
    ]
    for answer in found:
        assert history.article_trace(record, answer.article.rpartition("/")[2]).id == answer.article


@given(st.integers(1, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_a_delivery_id_is_read_as_it_was_made(endpoint_id: int, replay: int) -> None:
    event = names.new_event_id()
    made = names.delivery_id(event, endpoint_id, replay)
    assert names.read_delivery_id(made) == (event, endpoint_id, replay)
    assert names.read_event_id(event) == event


@given(TEXTS)
def test_a_text_that_is_read_as_a_delivery_id_is_one(text: str) -> None:
    read = names.read_delivery_id(text)
    assert read is None or names.delivery_id(*read) == text


BAD = (
    "%25",
    "%00",
    "%FF",
    "_",
    "x" * 5000,
    f"dlv_01KDYH8H7ZJ4T0M4YQ2W9S5E6C_{TOO_GREAT}",
    "tag:%00",
    "%F0%9F%9A%A2",
)


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
def test_api_and_pages_answer_404_for_any_other_id(desk: DeskWithStories, name: str) -> None:
    client = an_app(desk.record).test_client()
    client.post("/status/login", data={"token": TOKEN})
    with nothing_changes(desk.record):
        for path in ("articles", "events"):
            the_problem(client.get(f"/v1/{path}/{name}", headers=OPERATOR), 404)
        for path in ("articles", "events", "deliveries", "partners"):
            assert client.get(f"/status/{path}/{name}").status_code == 404, path
        assert client.get(f"/status/articles?q={name}").status_code == 200
