"""The cost of reading a feed's stories does not grow with the past. Counted in rows, not in time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from service.store.database.record import Record
from service.store.feeds import contents, placements
from service.store.feeds.contents import Placement
from service.store.feeds.feeds import open_feeds
from service.store.schema.base import to_micros
from tests.builders import NOW, a_desk

STAYS = timedelta(days=14)
YOUNG, PAST = 1_000, 30_000
DEEPER = 1.6  # an index gets a level deeper; reading all of the past would cost thirty times as much

# Of a hundred stories of the past 30 stand, 30 have left, 39 have expired, and one was killed; all long ago.
FILL = (
    """INSERT INTO article (id, public_id, source_id, external_id, revision, status, content_hash, first_published_at,
            changed_at)
        SELECT n, 'tag:' || n, 1, n, 2, {status}, '', {at}, {at} FROM {series} a""",
    """INSERT INTO revision (article_id, number, content, content_hash, status, accepted_at)
        SELECT n, 1, '{{}}', '', 'usable', {at} - 1 FROM {series} a""",
    """INSERT INTO revision (article_id, number, content, content_hash, status, accepted_at)
        SELECT n, 2, '{{}}', '', {status}, {at} FROM {series} a""",
    """INSERT INTO placement (feed, article_id, listed, withdrawn, changed_at, sequence)
        SELECT 'world', n, {listed}, {withdrawn}, {at}, n FROM {series} a""",
)
PAST_ROWS = {
    "status": "CASE WHEN n % 100 < 60 THEN 'usable' WHEN n % 100 < 99 THEN 'unpublished' ELSE 'killed' END",
    "withdrawn": "CASE WHEN n % 100 < 60 THEN NULL WHEN n % 100 < 99 THEN 2 ELSE 1 END",
    "listed": "n % 100 < 30",
    "at": "CAST(:now AS bigint) - 2600000000000 + n",  # thirty days
}
NEW_ROWS = {  # 80 stories that stand, 20 that were killed lately
    "status": "CASE WHEN n % 5 > 0 THEN 'usable' ELSE 'killed' END",
    "withdrawn": "CASE WHEN n % 5 > 0 THEN NULL ELSE 1 END",
    "listed": "n % 5 > 0",
    "at": "CAST(:now AS bigint) - 2000000000 + n",
}


def add(record: Record, rows: dict[str, str], first: int, count: int) -> None:
    series = (
        "(WITH RECURSIVE s(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM s WHERE n < :last) SELECT n FROM s)"
        if record.is_sqlite
        else "(SELECT generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n)"
    )
    values = {"first": first, "last": first + count - 1, "now": to_micros(NOW)}
    with record.writing() as connection:
        for statement in FILL:
            connection.execute(text(statement.format(series=series, **rows)), values)
        advance = text(
            "UPDATE feed SET sequence = :last, archived = :last / 50 WHERE slug = 'world' AND sequence < :last"
        )
        connection.execute(advance, values)


def analyse(record: Record) -> None:
    with record.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def look(record: Record) -> list[Placement]:
    """All that a build of the section reads of its places."""
    (due,) = [each for each in open_feeds(record) if each.slug == "world"]
    placements.number_new(record, due, NOW)
    shown = contents.placements(record, due, NOW, withdrawn_stays=STAYS)
    contents.next_change(record, due, shown, NOW, withdrawn_stays=STAYS)
    return shown


def said(record: Record, work: Callable[[Record], object]) -> list[tuple[str, Any]]:
    heard: list[tuple[str, Any]] = []

    def listen(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
        heard.append((statement, parameters))

    event.listen(record.engine, "before_cursor_execute", listen)
    try:
        work(record)
    finally:
        event.remove(record.engine, "before_cursor_execute", listen)
    return [(statement, given) for statement, given in heard if "placement" in statement]


def cost(record: Record) -> int:
    """Virtual machine steps in tens (SQLite), pages read (PostgreSQL): the same however busy the machine is."""
    statements = said(record, look)
    assert len(statements) >= 4
    with record.engine.connect() as connection:
        if not record.is_sqlite:
            return sum(_pages(connection, statement, given) for statement, given in statements)
        steps = [0]

        def count() -> int:
            steps[0] += 1
            return 0

        raw: Any = connection.connection.driver_connection
        raw.set_progress_handler(count, 10)
        for statement, given in statements:
            connection.exec_driver_sql(statement, given).all()
        raw.set_progress_handler(None, 0)
        return steps[0]


def _pages(connection: Any, statement: str, given: Any) -> int:
    found = connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", given
    ).scalar_one()
    root = (found if isinstance(found, list) else json.loads(found))[0]["Plan"]
    return int(root["Shared Hit Blocks"]) + int(root["Shared Read Blocks"])


@pytest.mark.parametrize("analysed", [True, False], ids=["analysed", "never analysed"])
def test_stories_of_a_section_are_found_as_fast_after_a_long_past(record: Record, analysed: bool) -> None:
    a_desk(record)
    add(record, PAST_ROWS, 1, YOUNG)
    add(record, NEW_ROWS, 1_000_000, 100)
    if analysed:
        analyse(record)
    shown = look(record)
    assert (len(shown), sum(each.withdrawn for each in shown)) == (80, 20)
    young = cost(record)
    add(record, PAST_ROWS, 10 * YOUNG, PAST)
    if analysed:
        analyse(record)
    assert look(record) == shown
    assert cost(record) <= DEEPER * young
