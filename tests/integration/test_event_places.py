"""An event says where its story stands, so that routing need not read the story; of older events it does."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from service.store.database.record import Record
from service.store.deliveries import routing
from tests.builders import a_desk, a_takedown, an_article, an_endpoint, later, post

WHERE = {"language": "ur", "packages": ["focus"], "sections": ["world"]}


def test_every_event_says_where_its_story_stands_and_nothing_else(record: Record) -> None:
    source = a_desk(record)
    story = {"packages": ["focus"], "language": "ur"}
    post(record, source, an_article(**story))
    post(record, source, a_takedown("withheld"), now=later(1))
    post(record, source, an_article(headline="It is back.", **story), now=later(2))
    with record.reading() as connection:
        stored = connection.execute(text("SELECT places FROM event ORDER BY id")).scalars().all()
    assert [json.loads(places) for places in stored] == [WHERE, WHERE, WHERE]


@pytest.mark.parametrize("older", [False, True], ids=["newer", "of an older version"])
def test_an_event_is_routed_alike_whether_it_says_so_or_not(record: Record, older: bool) -> None:
    source = a_desk(record)
    to_world, _ = an_endpoint(record, sections=["world"]), an_endpoint(record, sections=["china"])
    post(record, source, an_article(packages=["focus"], language="ur"))
    if older:
        with record.writing() as connection:
            connection.execute(text("UPDATE event SET places = NULL"))
    routing.route(record, later(1))
    with record.reading() as connection:
        stands = connection.execute(text("SELECT feed FROM placement ORDER BY feed")).scalars().all()
        sent = connection.execute(text("SELECT endpoint_id FROM delivery")).scalars().all()
    assert stands == ["all", "language/ur", "package/focus", "source/wire", "world"]
    assert sent == [to_world.id]
