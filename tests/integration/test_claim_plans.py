"""The cost of a claim: it never scans the deliveries, and the settled past makes it no dearer. In rows, not in time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, text

from service.store.coordination import due_work, heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, recovery
from service.store.deliveries.claims import Cursor
from service.store.schema.base import to_micros
from tests.builders import NOW, a_desk, an_endpoint

ENDPOINTS = 20
DUE = 50  # articles, each for all endpoints
PAST = 10_000  # articles, each settled at all endpoints: 200,000 deliveries
DEEPER = (
    1.6  # a hundred times the rows make each index a level deeper; reading them all costs fifty times as much
)
WORKER = "w1.test"
# What the queries call the deliveries.
SCANS = re.compile(
    r"SCAN (delivery|d|o|x|f(?! USING INDEX uq_delivery_flying))\b"
)  # f: what is on the wire, all of it

FILL = (
    """INSERT INTO article (id, public_id, source_id, external_id, revision, status, content_hash, first_published_at,
            changed_at)
        SELECT n, 'tag:' || n, 1, n, 1, 'usable', '', :now, :now FROM {} a""",
    """INSERT INTO event (id, public_id, article_id, revision, type, occurred_at, actor, routed_at)
        SELECT n, 'evt_' || n, n, 1, 'article.published', :now, 'source:wire', :now FROM {} a""",
    """INSERT INTO delivery (endpoint_id, event_id, article_id, revision, sequence, priority, owed, ordered, state,
            due_at, created_at)
        SELECT e.id, n, n, 1, n, n % 4, false, false, CAST(:state AS text), :now, :now
        FROM {} a CROSS JOIN endpoint e""",
)


def a_record_with_a_past(record: Record) -> None:
    a_desk(record)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    for number in range(ENDPOINTS):
        an_endpoint(record, rate=1000.0 if number % 4 == 0 else None)


def add_articles(record: Record, first: int, count: int, state: str, *, analysed: bool = True) -> None:
    """Articles first … first+count-1, delivered to, or due at, every endpoint."""
    series = (
        "(WITH RECURSIVE s(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM s WHERE n < :last) SELECT n FROM s)"
        if record.is_sqlite
        else "(SELECT generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n)"
    )
    values = {"first": first, "last": first + count - 1, "now": to_micros(NOW), "state": state}
    with record.writing(patient=True) as connection:  # hundreds of thousands of rows by one statement
        for statement in FILL:
            connection.execute(text(statement.format(series)), values)
    if analysed:
        analyse(record)


def analyse(record: Record) -> None:
    with record.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def claim(record: Record, connection: Connection) -> int:
    return len(claims.claim_within(connection, lease=WORKER, limit=128, cursor=Cursor(), now=NOW)[0])


@contextmanager
def undone(record: Record) -> Iterator[Connection]:
    """A transaction of which nothing stays."""
    with record.engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        transaction.rollback()


@contextmanager
def listening(record: Record) -> Iterator[list[tuple[str, Any]]]:
    """All that is said to the database meanwhile, with its parameters."""
    said: list[tuple[str, Any]] = []

    def listen(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        said.append((statement, parameters[0] if many else parameters))

    event.listen(record.engine, "before_cursor_execute", listen)
    try:
        yield said
    finally:
        event.remove(record.engine, "before_cursor_execute", listen)


def statements(record: Record) -> list[tuple[str, Any]]:
    """All that a claim of a full batch says to the database, with its parameters."""
    with listening(record) as said, undone(record) as connection:
        assert claim(record, connection) > 50
    return said


def plan(record: Record) -> list[str]:
    """Each step of each statement's plan that reads a table, in the database's own words."""
    if record.is_sqlite:
        with undone(record) as connection:
            return [
                str(row[3])
                for statement, parameters in statements(record)
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
    return [
        f"{node['Node Type']} on {node['Relation Name']}"
        for node in _nodes(record)
        if "Relation Name" in node
    ]


def _nodes(record: Record) -> Iterator[dict[str, Any]]:
    said = statements(record)
    with undone(record) as connection:
        for statement, parameters in said:
            analysed = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
            found = connection.exec_driver_sql(analysed, parameters).scalar_one()
            roots = found if isinstance(found, list) else json.loads(found)
            yield from _walk(roots[0]["Plan"], root=True)


def _walk(node: dict[str, Any], *, root: bool = False) -> Iterator[dict[str, Any]]:
    yield {**node, "Root": root}
    for child in node.get("Plans", ()):
        yield from _walk(child)


def cost(record: Record) -> int:
    """Virtual machine steps in tens (SQLite), pages read (PostgreSQL): the same however busy the machine is."""
    if not record.is_sqlite:
        roots = [node for node in _nodes(record) if node["Root"]]
        return sum(int(node["Shared Hit Blocks"]) + int(node["Shared Read Blocks"]) for node in roots)
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    with undone(record) as connection:
        raw: Any = connection.connection.driver_connection
        raw.set_progress_handler(count, 10)
        claim(record, connection)
        raw.set_progress_handler(None, 0)
    return steps[0]


def test_a_claim_scans_no_deliveries_and_costs_no_more_for_a_long_past(record: Record) -> None:
    a_record_with_a_past(record)
    add_articles(record, 1, DUE, "pending")
    add_articles(record, 1000, PAST // 100, "delivered")
    young = cost(record)
    add_articles(record, 2000, PAST, "delivered")
    assert cost(record) <= DEEPER * young
    found = plan(record)
    assert len(found) > 5
    assert [each for each in found if "delivery_due" in each or each == "Index Scan on delivery"]
    assert not [each for each in found if SCANS.search(each) or each == "Seq Scan on delivery"]
    assert due_work.due_now(record, NOW).deliveries


def test_a_look_at_the_wire_reads_no_other_deliveries_though_the_statistics_are_old(
    record: Record,
) -> None:
    a_record_with_a_past(record)
    add_articles(record, 1, 1, "sending")
    add_articles(record, 1000, DUE, "delivered")
    add_articles(record, 2000, PAST // 10, "delivered", analysed=False)
    with listening(record) as said:
        assert len(recovery.in_flight(record)) == ENDPOINTS
    (query,) = [statement for statement, _ in said if "delivery" in statement]
    explain = "EXPLAIN QUERY PLAN" if record.is_sqlite else "EXPLAIN"
    with record.reading() as connection:
        steps = [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {query}")]
    assert [step for step in steps if "uq_delivery_flying" in step]
    assert not [step for step in steps if "pk_delivery" in step or step == "SCAN d"]
