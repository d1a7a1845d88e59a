"""A record with stories in it, from before there were feeds of every kind, is brought to the newest schema."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from service.store import migrations
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.feeds.contents import NEWEST
from service.store.migrations import _config
from service.store.migrations.differences import SEARCH_INDEX
from service.store.schema import feeds as schema_feeds
from tests.builders import a_desk, a_takedown, an_article, later, post
from tests.feed_desk import FeedDesk, publish
from tests.reading import Reader


def step(record: Record, way: str) -> None:
    config = _config()
    with record.writing() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if way in {"0002", "0003", "0004"} else command.upgrade)(config, way)


@pytest.fixture
def older(record: Record) -> Record:
    """As it was before: two stories routed, one not, in a section and a feed of all."""
    source = a_desk(record)
    fields = {"packages": ["focus"], "language": "ur", "headline": "Old"}
    post(record, source, an_article(external_id="1", **fields))
    embargoed = an_article(external_id="2", headline="Secret", embargo_until=later(100), packages=["focus"])
    post(record, source, embargoed, now=later(1))
    routing.route(record, later(2))
    post(record, source, an_article(external_id="3", headline="New", sections=("china",)), now=later(3))
    FeedDesk(record).builder.drain()
    step(record, "0002")
    return record


def test_the_feeds_of_before_are_there_and_asked_for_anew(older: Record) -> None:
    with older.reading() as connection:
        built = connection.execute(text("SELECT slug FROM feed WHERE wanted = built")).scalars().all()
    assert set(built) == {"world", "china", "all"}
    migrations.migrate(older)
    desk = FeedDesk(older)
    desk.work(later(10))
    assert desk.headlines("all") == ["New", "Old"]
    assert (
        desk.headlines("world") == desk.headlines("package/focus") == desk.headlines("language/ur") == ["Old"]
    )
    assert desk.headlines("china") == ["New"]
    desk.work(later(100))
    assert desk.headlines("package/focus") == ["Secret", "Old"]
    assert desk.atom("world").findtext("{*}id") == "tag:news.example.org,2026-11-24:feed/world"


def test_an_empty_record_is_migrated_too(record: Record) -> None:
    step(record, "0002")
    assert migrations.migrate(record) == migrations.schema_state(record)[1]
    assert FeedDesk(record).work() == 0


def test_the_migrations_make_the_schema_that_the_code_knows(record: Record) -> None:
    def is_of_both(thing: Any, name: str | None, *_: Any) -> bool:
        return (
            not str(name).startswith(SEARCH_INDEX)
            and thing.info.get("only", record.dialect) == record.dialect
        )

    with record.reading() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_of_both})
        assert compare_metadata(context, schema_feeds.metadata) == []


def test_a_record_that_goes_back_has_no_partners_feeds_and_its_public_ones_are_as_they_were(
    record: Record,
) -> None:
    source = a_desk(record)
    desk = FeedDesk(record)
    reader = Reader(desk, ["world"])
    post(record, source, an_article(headline="Seen"))
    desk.work()
    reader.read()
    public = desk.body("world", "rss")
    step(record, "0003")
    with record.reading() as connection:
        feeds = set(connection.execute(text("SELECT slug FROM feed")).scalars())
        assert connection.execute(text("SELECT count(*) FROM receipt")).scalar() == 1
        query = text("SELECT body FROM document WHERE feed = 'world' AND format = 'rss'")
        assert bytes(connection.execute(query).scalar_one()) == public  # which that version can read
    assert feeds == {"world", "china", "all", "language/en", "source/wire"}
    migrations.migrate(record)
    assert reader.get().status_code == 404
    assert Reader(desk, ["world"]).feed_id == 1
    desk.work()
    assert desk.body("world", "rss") == public


def test_notices_of_takedowns_from_before_there_was_a_place_for_them_come_back(record: Record) -> None:
    source, desk = a_desk(record), FeedDesk(record)
    killed, expired = publish(desk, source, "bad"), publish(desk, source, "old", expires_at=later(1))
    post(record, source, a_takedown("killed", external_id="bad"), now=later(1))
    post(record, source, a_takedown("unpublished", external_id="old"), now=later(2))
    for n in range(NEWEST):
        post(record, source, an_article(external_id=str(n)), now=later(3))
    desk.work(later(4))
    shown = desk.body("world")
    step(record, "0004")
    with record.writing() as connection:  # as it was built then
        connection.execute(text("UPDATE document SET body = '', etag = ''"))
    migrations.migrate(record)
    with record.reading() as connection:
        weights = connection.execute(
            text("SELECT a.public_id, p.withdrawn FROM placement p JOIN article a ON a.id = p.article_id"
                 " WHERE p.feed = 'world' AND p.withdrawn IS NOT NULL AND NOT p.listed")
        )  # fmt: skip
        assert {row.public_id: row.withdrawn for row in weights} == {killed: 1, expired: 2}
    FeedDesk(record).work(later(5))
    assert desk.body("world") == shown
    assert {killed, expired} < {item["id"] for item in desk.items("world")}
