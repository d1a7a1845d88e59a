"""A list or a document reads no more than it shows, however much the record has: in rows, not in time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from service.store import migrations, notices
from service.store.articles import search_index
from service.store.database.record import Record, open_record
from service.store.schema.base import to_micros
from service.store.views import articles, deliveries, events, feeds, history, partners, search, trouble
from tests import postgres
from tests.builders import NOW, a_desk, an_article, an_endpoint, later, post
from tests.conftest import KEY
from tests.integration.test_claim_plans import _walk, listening

MANY = 50_000
ROWS = 2_500  # read at the most by a list of fifty or a hundred, from all its tables
STEPS = 60  # of SQLite's machine for a row: some thirty values are read of each
AT = to_micros(NOW)
ULID = "01KDYH8H7ZJ4T0M4YQ2W9S5E6C"

HERON = "CASE WHEN n % 20000 = 7 THEN ' heron' ELSE '' END"

FILL = (
    """INSERT INTO article (id, public_id, source_id, external_id, revision, status, content_hash,
            first_published_at, changed_at, words_revision)
        SELECT n, 'tag:x:item/' || n, 1, 'x' || n, 1, 'usable', '', {at}, {at} + n, 1 FROM {n} a""",
    """INSERT INTO revision (article_id, number, content, content_hash, status, accepted_at)
        SELECT n, 1, '{{"headline":"Common words' || CASE WHEN n % 20000 = 7 THEN ' and a heron' ELSE '' END || '"}}',
            '', 'usable', {at} FROM {n} a""",
    """INSERT INTO event (id, public_id, article_id, revision, type, occurred_at, actor, routed_at)
        SELECT n, 'evt_' || n, n, 1, 'article.published', {at}, 'source:wire', {at} FROM {n} a""",
    """INSERT INTO delivery (id, endpoint_id, event_id, article_id, revision, sequence, priority, owed, ordered,
            state, due_at, created_at, last_words)
        SELECT n, 1 + n % 2, n, n, 1, n, 2, false, false,
            CASE n % 3 WHEN 0 THEN 'delivered' WHEN 1 THEN 'dead' ELSE 'waiting' END, {at} + n, {at}, 'x'
        FROM {n} a""",
    """INSERT INTO attempt (delivery_id, number, started_at, outcome, words, worker)
        SELECT n, 1, {at}, 'timeout', 'x', 'w' FROM {n} a""",
    """INSERT INTO notice (public_id, kind, about, words, endpoint_id, created_at, due_at, tries)
        SELECT 'ntc_' || n, 'endpoint.behind', 'endpoint:1', 'x', 1, {at}, {at}, 1 FROM {n} a""",
    """INSERT INTO receipt (article_id, partner_id, endpoint_id, revision, channel, held_since)
        SELECT n, 1, 1, 1, 'push', {at} FROM {n} a""",
    """INSERT INTO partner_feed (id, partner_id, all_sections, created_at) VALUES (1, 1, true, {at})""",
    """INSERT INTO article_search (article_id, words, in_index) SELECT n, {words}, {sorted} FROM {n} a""",
    """INSERT INTO feed_fetch (partner_feed_id, token, at, method, format, status, etag)
        SELECT 1, 1, {at}, 'GET', 'rss', 200, '' FROM {n} a""",
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """A record with fifty thousand of everything."""
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("lists")
        record = open_record(f"sqlite:///{folder / 'full.db'}", KEY)
        yield filled(record)
        record.close()
        return
    handle = request.getfixturevalue("postgres_server")
    with postgres.database(handle, "lists") as url:
        record = open_record(url, KEY)
        yield filled(record)
        record.close()


def filled(record: Record) -> Record:
    migrations.migrate(record)
    source = a_desk(record)
    for partner in ("herald", "tribune", "gazette"):
        an_endpoint(record, partner)
    numbers = (
        f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {MANY}) SELECT n FROM s)"
        if record.is_sqlite
        else f"(SELECT generate_series(1, {MANY}) AS n)"
    )
    words = f"'x' || n || ' common words' || {HERON}"
    if not record.is_sqlite:
        words = f"array_to_tsvector(string_to_array({words}, ' '))"
    values = {"n": numbers, "at": AT, "words": words, "sorted": str(not record.is_sqlite).lower()}
    with record.writing(patient=True) as connection:
        for statement in FILL:
            connection.execute(text(statement.format(**values)))
        if not record.is_sqlite:
            for table in ("article", "event", "delivery"):
                connection.execute(text(f"SELECT setval('{table}_id_seq', {MANY})"))
    while search_index.catch_up(record):
        pass
    with record.writing(patient=True) as connection:
        connection.execute(text("ANALYZE"))
    post(record, source, an_article(external_id="last", headline="Common words, not sorted in yet"))
    return record


def of_article(record: Record) -> str:
    return articles.latest_articles(record, NOW, limit=1)[0].id


def matrix(record: Record) -> object:
    return deliveries.delivery_matrix(record, 3, [1], 0, 50)


LISTS: dict[str, Callable[[Record], Any]] = {
    "latest articles": lambda record: articles.latest_articles(record, NOW),
    "older articles": lambda record: articles.latest_articles(record, NOW, before=later(0.02)),
    "a search for a rare word": lambda record: search.search_articles(record, NOW, "heron"),
    "a search for a common word": lambda record: search.search_articles(record, NOW, "common wor"),
    "a search for an id": lambda record: search.search_articles(record, NOW, "x777"),
    "latest events": lambda record: events.latest_events(record, NOW),
    "an endpoint's latest": lambda record: deliveries.latest_deliveries(record, 1),
    "what waits at an endpoint": lambda record: deliveries.undelivered(record, 1),
    "what was given up at an endpoint": lambda record: deliveries.dead_of(record, 1),
    "what was given up, by its reason": trouble.dead_groups,
    "a partner that has nothing, beside two that have much": lambda record: partners.partners_now(
        record, NOW, "gazette"
    ),
    "an article": lambda record: history.article_trace(record, "tag:x:item/300"),
    "an article's matrix": matrix,
    "latest notices": notices.latest,
    "a partner's notices": lambda record: notices.latest(record, 20, "herald"),
    "notices of a partner without any": lambda record: notices.latest(record, 20, "gazette"),
    "a feed's latest fetches": lambda record: feeds.latest_fetches(record, 1),
    "fetches of a feed without any": lambda record: feeds.latest_fetches(record, 2),
}


def rows_read(record: Record, look: Callable[[Record], Any]) -> int:
    """Rows that the scans of all its statements read, those thrown away too; on SQLite the machine's steps for them."""
    if record.is_sqlite:
        return _steps(record, look) // STEPS
    with listening(record) as said:
        look(record)
    found = 0
    with record.reading() as connection:
        connection.begin()
        for statement, parameters in said:
            if "set_config" in statement:  # how the next ones are planned
                connection.exec_driver_sql(statement, parameters)
                continue
            explained = connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
            ).scalar_one()
            roots = explained if isinstance(explained, list) else json.loads(explained)
            found += sum(map(_read, _walk(roots[0]["Plan"])))
    return found


def _read(node: dict[str, Any]) -> int:
    """A bitmap's index is not counted but the rows that are read by it: of a word it has a byte or two an article."""
    if "Scan" not in node["Node Type"] or node["Node Type"] == "Bitmap Index Scan":
        return 0
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


def _steps(record: Record, look: Callable[[Record], Any]) -> int:
    steps = [0]

    def count() -> int:
        steps[0] += 10
        return 0

    def watch(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(count, 10)

    event.listen(record.engine, "checkout", watch)
    try:
        look(record)
    finally:
        event.remove(record.engine, "checkout", watch)
    return steps[0]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_reads_no_more_than_it_shows_of_fifty_thousand(full: Record, name: str) -> None:
    assert rows_read(full, LISTS[name]) <= ROWS
