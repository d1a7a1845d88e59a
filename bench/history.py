"""Row `history`: the cost of a claim and of the status page's facts with a million deliveries in the record already."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event, text

from bench.run import Run
from bench.table import Line, at_most, at_most_times
from service.store.coordination import due_work, heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, routing
from service.store.deliveries.claims import Cursor
from service.store.views import events, partners, pipeline

ENDPOINTS = 20
DUE = 50  # articles whose deliveries are due
TRIES = 25


def measure(run: Run, database: str) -> list[Line]:
    """The same questions to a record with history (ours) and to one without (bare)."""
    settled = run.scaled(1_000_000, 100_000)
    lines = [Line("history", database, what, "ms", at_most_times(1.3)) for what in _QUESTIONS]
    scans = Line("history", database, "full scans of what grows, in the plans of these", "", at_most(0))
    with run.desk(database) as (old, _), run.desk(database) as (new, _):
        for desk in (old, new):
            desk.add_endpoints(f"http://127.0.0.1:9/{number}" for number in range(ENDPOINTS))
        _fill(old.record, settled)
        for desk in (old, new):
            desk.feed("due", DUE, 1024)
            routing.route(desk.record, _now())
            heartbeats.heartbeat(desk.record, "bench", broker="up", now=_now())
            _analyse(desk.record)
        run.databases.settle(database)
        for line, ask in zip(lines, _QUESTIONS.values(), strict=True):
            for _ in run.rounds():
                bare, ours = _milliseconds((new.record, old.record), ask)
                line.bare.append(bare)
                line.ours.append(ours)
            scans.notes += [f"{line.what}: {step}" for step in _scans(old.record, ask)]
    scans.ours = [float(len(scans.notes))]
    return [*lines, scans]


def _claim(record: Record) -> None:
    """Claims and rolls back, so that the next claim finds the same."""
    with record.engine.connect() as connection, connection.begin() as transaction:
        claims.claim_within(connection, lease="bench", limit=128, cursor=Cursor(), now=_now())
        transaction.rollback()


def _status(record: Record) -> None:
    now = _now()
    partners.partners_now(record, now)
    pipeline.pipeline_now(record)
    events.latest_events(record, now)


_QUESTIONS: dict[str, Callable[[Record], Any]] = {
    "claim of 128": _claim,
    "the sweep's search": lambda record: due_work.due_now(record, _now()),
    "the status page's facts": _status,
}
_HISTORY = (
    """INSERT INTO article (public_id, source_id, external_id, revision, status, content_hash, first_published_at,
        changed_at)
    WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :articles)
    SELECT 'tag:bench.example,2026-01-01:item/' || n, 1, 'old-' || n, 1, 'usable', '', :then + n, :then + n
    FROM counted""",
    """INSERT INTO revision (article_id, number, content, content_hash, status, accepted_at)
    SELECT id, 1, '{"headline":"An old story","sections":["world"]}', '', 'usable', changed_at FROM article
    WHERE :articles > 0 AND :then > 0""",
    """INSERT INTO event (public_id, article_id, revision, type, occurred_at, actor, routed_at)
    SELECT 'evt_' || id, id, 1, 'article.published', changed_at, 'source:wire', changed_at FROM article
    WHERE :articles > 0 AND :then > 0""",
    """INSERT INTO delivery (endpoint_id, event_id, article_id, revision, sequence, priority, owed, ordered, state,
        due_at, attempts, reached, last_status, created_at, settled_at)
    SELECT e.id, v.id, v.article_id, 1, v.id, 2, false, false, 'delivered', v.occurred_at, 1, true, 200,
        v.occurred_at, v.occurred_at
    FROM event v CROSS JOIN endpoint e WHERE :articles > 0 AND :then > 0""",
    "UPDATE endpoint SET sequence = :articles + 1 WHERE :then > 0",
)


def _fill(record: Record, settled: int) -> None:
    """Writes `settled` settled deliveries of stories a month old. Attempts and receipts are left out."""
    then = int((_now() - timedelta(days=30)).timestamp() * 1e6)
    values = {"articles": settled // ENDPOINTS, "then": then}
    with record.writing() as connection:
        for statement in _HISTORY:
            connection.execute(text(statement), values)


def _analyse(record: Record) -> None:
    """Refreshes PostgreSQL's statistics, as it does by itself a minute later. SQLite plans by its indexes alone."""
    if not record.is_sqlite:
        with record.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _scans(record: Record, ask: Callable[[Record], Any]) -> list[str]:
    """The lines of the questions' plans that read a growing table from end to end."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        if not many and statement.lstrip().upper().startswith(("SELECT", "UPDATE", "WITH")):
            asked.append((statement, values))

    event.listen(record.engine, "before_cursor_execute", note)
    ask(record)
    event.remove(record.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if record.is_sqlite else "EXPLAIN "
    plans: list[str] = []
    with record.engine.connect() as connection:
        for statement, values in asked:
            rows = connection.exec_driver_sql(explain + statement, values).all()
            plans += [str(row[-1]).strip() for row in rows]
    return [step for step in plans if _reads_all(step)]


def _reads_all(step: str) -> bool:
    if "Seq Scan on" in step:
        return any(f"Seq Scan on {name} " in step for name in _GROW)
    # SQLite names the table or its alias. It also calls a walk back from the newest event, up to a limit, a scan.
    words = step.split()
    return words[:1] == ["SCAN"] and "USING" not in words and words[1] in {*_GROW, *"dxofa"} - {"event"}


_GROW = ("article", "revision", "event", "delivery", "attempt", "receipt")


def _milliseconds(records: Sequence[Record], ask: Callable[[Record], Any]) -> list[float]:
    """The median time of each record, asked in turn: any disturbance of so short a question hits both."""
    took: list[list[float]] = [[] for _ in records]
    for _ in range(TRIES):
        for record, times in zip(records, took, strict=True):
            started = time.perf_counter()
            ask(record)
            times.append(time.perf_counter() - started)
    return [statistics.median(times) * 1000 for times in took]


def _now() -> datetime:
    return datetime.now(UTC)
