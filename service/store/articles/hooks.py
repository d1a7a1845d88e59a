"""Hooks: the authenticated requests of content systems as they came, and what became of each.

A hook is kept before it is answered, so that none is lost with a process. One that waits (`queued`) is a worker's; what
cannot be mapped is `held` for the operator. The same bytes within REPEAT_WITHIN are one row, worked on anew: a system
that says the same twice may mean two changes. All are deleted in time; held ones only beyond a ceiling.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.articles import source_sync
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.schema.base import to_micros

FETCHED = "FETCHED"  # in place of a method: no request, but the ids of stories that were looked up
QUEUED, HOOK_DONE, HELD, IGNORED = "queued", "done", "held", "ignored"
REPEAT_WITHIN = timedelta(minutes=10)
REQUEST_LASTS = timedelta(
    seconds=30
)  # a hook that its own request did not bring to an end is a worker's then
CLAIM_LASTS = timedelta(minutes=2)
CLAIMED_HELD = 20  # held hooks that are claimed at once: each may have 8 MiB
WHY_MOST = 500  # characters of a reason that are stored
_LEVEL = 3  # of zlib: 40 KB in less than a millisecond


@dataclass(frozen=True)
class NewHook:
    """A request to be kept. `content_hash` tells it from another; credentials are no more in it."""

    source_id: int
    content_hash: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    once: bool = False  # the same again, at whatever time, is the same


@dataclass(frozen=True)
class HookResult:
    """The end of a hook, or its next step. `articles`: an answer for each story. `ids`: stories to be fetched."""

    state: str
    outcome: str
    why: str | None = None
    articles: Sequence[Mapping[str, Any]] = ()
    takedown: bool = False
    ids: Sequence[str] | None = None


class HookClaim(NamedTuple):
    """The right to write down what became of a hook: lost once it came again, or another claimed it."""

    id: int
    repeats: int
    attempts: int


@dataclass(frozen=True)
class Hook:
    """A hook as it is kept."""

    claim: HookClaim
    source: str
    adapter: str
    content_hash: str
    received_at: datetime
    last_received_at: datetime
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    result: HookResult
    next_try_at: datetime | None


def keep(
    record: Record, new: NewHook, result: HookResult, now: datetime, *, sweep: bool | None = None
) -> HookClaim:
    """Keeps a hook with what is to become of it. One that waits is a worker's after REQUEST_LASTS, or at once if it is
    to be fetched. `sweep`: its system is to be compared too, with a sweep of its ids or without."""
    with record.writing() as connection:
        return keep_within(connection, new, result, now, sweep=sweep)


def keep_within(
    connection: Connection, new: NewHook, result: HookResult, now: datetime, *, sweep: bool | None = None
) -> HookClaim:
    """The same in a transaction of the caller's."""
    body = zlib.compress(new.body, _LEVEL)
    next_try_at = None
    if result.state == QUEUED:
        next_try_at = now if result.ids is not None else now + REQUEST_LASTS
    values = {
        "source_id": new.source_id,
        "content_hash": new.content_hash,
        "period": 0 if new.once else to_micros(now) // (REPEAT_WITHIN // timedelta(microseconds=1)),
        "received_at": now,
        "last_received_at": now,
        "method": new.method,
        "target": new.target,
        "headers": json.dumps(dict(new.headers)),
        "body": body,
        "bytes": len(body),
        "next_try_at": next_try_at,
        **_columns(result),
    }
    row = _KEEP.row(connection, **values)
    assert row is not None
    if sweep is not None:
        source_sync.ask_within(connection, new.source_id, now, sweep=sweep)
    return HookClaim(*row)


def settle(
    record: Record, claim: HookClaim, result: HookResult, *, next_try_at: datetime | None = None
) -> bool:
    """Writes down what became of a hook; with `next_try_at` it waits until then. False if the claim was lost."""
    values = {**claim._asdict(), **_columns(result), "next_try_at": next_try_at}
    with record.writing() as connection:
        return _SETTLE.run(connection, values) == 1


def claim_due(record: Record, limit: int, now: datetime, busy: Sequence[str] = ()) -> list[Hook]:
    """Hooks that wait and are due, the oldest first, this worker's alone for CLAIM_LASTS; none of the `busy` sources,
    and none of a system that is left alone for a while."""
    values = {"now": now, "until": now + CLAIM_LASTS, "limit": limit, "busy": list(busy)}
    with record.writing() as connection:
        return _read(connection, [number for (number,) in _CLAIM.rows(connection, **values)])


def claim_held(
    connection: Connection, slug: str, hook_id: int | None, now: datetime, after: int = 0
) -> list[Hook]:
    """The next held hooks of a source after this number, or the one of its own, claimed to be tried again now."""
    values = {
        "slug": slug,
        "id": hook_id or 0,
        "after": after,
        "limit": CLAIMED_HELD,
        "until": now + CLAIM_LASTS,
    }
    return _read(connection, [number for (number,) in _CLAIM_HELD.rows(connection, **values)])


def hasten(connection: Connection, source_id: int, now: datetime) -> int:
    """Makes all that waits of a source due now: its settings have changed, or its system answers again."""
    return _HASTEN.run(connection, {"source": source_id, "now": now})


def counts(record: Record, source_id: int) -> dict[str, int]:
    """How many hooks of a source are in each state."""
    with record.reading() as connection:
        return {str(name): int(count) for name, count in _COUNTS.rows(connection, source=source_id)}


def held(
    record: Record, slug: str | None = None, limit: int = 100, *, hook_id: int | None = None
) -> list[Hook]:
    """The hooks of a source, or of all, that are held, the oldest first; or the one of this number."""
    values = {"slug": slug or "", "limit": limit, "id": hook_id or 0}
    with record.reading() as connection:
        return _read(connection, [number for (number,) in _HELD.rows(connection, **values)])


def _columns(result: HookResult) -> dict[str, Any]:
    return {
        "state": result.state,
        "outcome": result.outcome,
        "why": result.why,
        "articles": json.dumps(list(result.articles)),
        "takedown": result.takedown,
        "ids_left": None if result.ids is None else json.dumps(list(result.ids)),
    }


class _HookRow(NamedTuple):
    id: int
    repeats: int
    attempts: int
    source: str
    adapter: str
    content_hash: str
    received_at: datetime
    last_received_at: datetime
    method: str
    target: str
    headers: str
    body: bytes
    state: str
    outcome: str
    why: str | None
    articles: str
    takedown: bool
    ids_left: str | None
    next_try_at: datetime | None


def _read(connection: Connection, ids: Sequence[int]) -> list[Hook]:
    return [_hook(row) for row in _READ.all(connection, ids=list(ids))] if ids else []


def _hook(row: _HookRow) -> Hook:
    ids = None if row.ids_left is None else json.loads(row.ids_left)
    result = HookResult(row.state, row.outcome, row.why, json.loads(row.articles), row.takedown, ids)
    return Hook(
        claim=HookClaim(row.id, row.repeats, row.attempts),
        source=row.source,
        adapter=row.adapter,
        content_hash=row.content_hash,
        received_at=row.received_at,
        last_received_at=row.last_received_at,
        method=row.method,
        target=row.target,
        headers=json.loads(row.headers),
        body=zlib.decompress(row.body),
        result=result,
        next_try_at=row.next_try_at,
    )


_KEEP = Statement(
    "INSERT INTO hook (source_id, content_hash, period, received_at, last_received_at, method, target, headers,"
    " body, bytes, state, outcome, why, articles, takedown, ids_left, next_try_at)"
    " VALUES (:source_id, :content_hash, :period, :received_at, :last_received_at, :method, :target, :headers,"
    " :body, :bytes, :state, :outcome, :why, :articles, :takedown, :ids_left, :next_try_at)"
    " ON CONFLICT (source_id, content_hash, period) DO UPDATE SET repeats = hook.repeats + 1,"
    " last_received_at = excluded.last_received_at, state = excluded.state, outcome = excluded.outcome,"
    " why = excluded.why, articles = excluded.articles, takedown = excluded.takedown,"
    " ids_left = excluded.ids_left, next_try_at = excluded.next_try_at, body = excluded.body,"
    " bytes = excluded.bytes"
    " RETURNING id, repeats, attempts"
)
_SETTLE = Statement(
    "UPDATE hook SET state = :state, outcome = :outcome, why = :why, articles = :articles, takedown = :takedown,"
    " ids_left = :ids_left, next_try_at = :next_try_at"
    " WHERE id = :id AND repeats = :repeats AND attempts = :attempts"
)
_TAKE = f"""
    UPDATE hook SET attempts = attempts + 1, next_try_at = :until WHERE id IN (
        SELECT h.id FROM hook h JOIN source s ON s.id = h.source_id AND s.active
            LEFT JOIN source_sync y ON y.source_id = h.source_id
        WHERE h.state = 'queued' AND {source_sync.is_due("h.next_try_at")} AND {source_sync.MAY_BE_ASKED}
            AND NOT s.slug IN :busy[text]
        ORDER BY h.next_try_at, h.id LIMIT :limit{{}}) RETURNING id"""
_CLAIM = Statement(_TAKE.format(""), postgresql=_TAKE.format(" FOR UPDATE OF h SKIP LOCKED"))
_CLAIM_HELD = Statement("""
    UPDATE hook SET attempts = attempts + 1, state = 'queued', next_try_at = :until
    WHERE id IN (SELECT id FROM hook WHERE state = 'held' AND (:id = 0 OR id = :id) AND id > :after
        AND source_id = (SELECT id FROM source WHERE slug = :slug) ORDER BY id LIMIT :limit) RETURNING id""")
_COUNTS = Statement(
    "SELECT state, count(*) FROM hook WHERE source_id = :source GROUP BY state ORDER BY state"
)
_HASTEN = Statement(
    "UPDATE hook SET next_try_at = :now WHERE state = 'queued' AND source_id = :source AND next_try_at > :now"
    " AND attempts > 0"
)
_HELD = Statement("""
    SELECT h.id FROM hook h JOIN source s ON s.id = h.source_id
    WHERE h.state = 'held' AND (:slug = '' OR s.slug = :slug) AND (:id = 0 OR h.id = :id) ORDER BY h.id LIMIT :limit""")
_READ = Query(
    _HookRow,
    """
    SELECT h.id, h.repeats, h.attempts, s.slug, s.adapter, h.content_hash, h.received_at, h.last_received_at,
        h.method, h.target, h.headers, h.body, h.state, h.outcome, h.why, h.articles, h.takedown, h.ids_left,
        h.next_try_at
    FROM hook h JOIN source s ON s.id = h.source_id WHERE h.id IN :ids[] ORDER BY h.id""",
)
