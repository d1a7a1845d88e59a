"""The record's schema, brought up from each earlier one with data in it, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from service.store import migrations
from service.store.database.record import Record, open_record
from service.store.migrations.differences import SEARCH_INDEX
from service.store.schema import base, partners
from tests import postgres
from tests.builders import NOW
from tests.conftest import KEY

AT = base.to_micros(NOW)
# Written by the first version: rows of what later schemas change.
FIRST = (
    "INSERT INTO partner (id, slug, name, key_id, key_hash, created_at) VALUES (1, 'herald', 'Herald', 'k', 'h', 1)",
    (
        "INSERT INTO endpoint (id, partner_id, url, secret_sealed, all_sections, state_since, created_at)"
        " VALUES (1, 1, 'https://herald.example/', '', true, 1, 1)"
    ),
    (
        "INSERT INTO source (id, slug, name, adapter, key_id, key_hash, secret_sealed, created_at)"
        " VALUES (1, 'wire', 'Wire', 'native', 'k', 'h', '', 1)"
    ),
    (
        "INSERT INTO article (id, public_id, source_id, external_id, revision, status, content_hash,"
        " first_published_at, changed_at) VALUES (1, 'tag:x', 1, '42', 1, 'usable', 'c', 1, 1)"
    ),
    (
        "INSERT INTO event (id, public_id, article_id, revision, type, occurred_at, actor, routed_at)"
        " VALUES (1, 'evt_1', 1, 1, 'article.published', 1, 'source:wire', 1)"
    ),
    (
        "INSERT INTO delivery (id, endpoint_id, event_id, article_id, revision, sequence, priority, owed, ordered,"
        " state, due_at, created_at) VALUES (1, 1, 1, 1, 1, 1, 2, false, false, 'pending', 1, 1)"
    ),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def blank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Record]:
    """A record without any schema."""
    if request.param == "sqlite":
        record = open_record(f"sqlite:///{tmp_path / 'old.db'}", KEY)
        yield record
        record.close()
        return
    handle = request.getfixturevalue("postgres_server")
    postgres.admin(handle, "CREATE DATABASE migrated")
    record = open_record(postgres.database_url(handle, "migrated"), KEY)
    yield record
    record.close()
    postgres.admin(handle, "DROP DATABASE migrated WITH (FORCE)")


def upgrade(record: Record, to: str, way: Callable[[Config, str], None] = command.upgrade) -> None:
    config = migrations._config()
    with record.writing() as connection:
        config.attributes["connection"] = connection
        way(config, to)


def run(record: Record, *statements: str) -> None:
    with record.writing() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_a_record_of_the_first_schema_keeps_its_rows_and_goes_on(blank: Record) -> None:
    upgrade(blank, "0001")
    run(blank, *FIRST)
    migrations.migrate(blank)
    with blank.reading() as connection:
        endpoint = connection.execute(partners.endpoint.select()).mappings().one()
        assert connection.execute(text("SELECT state FROM delivery")).scalar_one() == "pending"
    assert endpoint["url"] == "https://herald.example/"
    assert endpoint["tokens"] is endpoint["breaker_counts"] is endpoint["slow_start"] is None


def test_the_first_version_can_still_write_after_the_upgrade(blank: Record) -> None:
    upgrade(blank, "head")
    run(blank, *FIRST)


def test_the_migrations_make_the_schema_that_the_code_describes(blank: Record) -> None:
    migrations.migrate(blank)

    def is_of_both(thing: Any, name: str | None, *_: Any) -> bool:
        """SQLite's index for the search is a table with others behind it; PostgreSQL has an index of its own."""
        if blank.is_sqlite and str(name).startswith(SEARCH_INDEX):
            return False
        return bool(thing.info.get("only", blank.dialect) == blank.dialect)

    with blank.reading() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_of_both})
        assert compare_metadata(context, base.metadata) == []


def test_the_ledger_keeps_its_receipts_forward_and_back(blank: Record) -> None:
    upgrade(blank, "0005")
    run(
        blank,
        *FIRST,
        (
            "INSERT INTO receipt (partner_id, article_id, endpoint_id, revision, channel, held_since)"
            " VALUES (1, 1, 1, 3, 'push', 7), (1, 1, 0, 2, 'feed', 5)"
        ),
    )
    query = text(
        "SELECT partner_id, article_id, endpoint_id, revision, channel, held_since FROM receipt ORDER BY held_since"
    )
    # What an older worker, that is still at work meanwhile, writes.
    again = (
        "INSERT INTO receipt (partner_id, article_id, endpoint_id, revision, channel, held_since)"
        " VALUES (1, 1, 1, 2, 'push', 9) ON CONFLICT (partner_id, article_id, endpoint_id) DO UPDATE"
        " SET revision = excluded.revision WHERE receipt.revision < excluded.revision"
    )
    for to, way in (("head", command.upgrade), ("0005", command.downgrade), ("head", command.upgrade)):
        upgrade(blank, to, way)
        run(blank, again)
        with blank.reading() as connection:
            held = [tuple(row) for row in connection.execute(query)]
        assert held == [(1, 1, 0, 2, "feed", 5), (1, 1, 1, 3, "push", 7)]
