"""Acts of an operator on deliveries: replay."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.deliveries import replays
from service.store.deliveries.replays import ReplayRequest, ReplayResult
from service.store.errors import NotFound
from service.store.operations.audit_line import AuditLine
from service.store.partners import endpoints, partners


def replay(
    record: Record,
    wanted: ReplayRequest,
    *,
    dry_run: bool = False,
    batch: int = replays.DELIVERIES_PER_TRANSACTION,
    actor: str,
    now: datetime,
) -> ReplayResult:
    """Sends deliveries again; with `dry_run` only says which would be. A transaction and an audit line for each batch.

    Raises NotFound also for an endpoint or a partner that does not exist: a mistyped name is not "nothing to send".
    """
    if wanted.partner is not None and wanted.partner not in {
        each.slug for each in partners.all_partners(record)
    }:
        raise NotFound("partner", wanted.partner)
    if wanted.endpoint is not None:
        endpoints.get_endpoint(record, wanted.endpoint)
    parts: list[ReplayResult] = []
    for ids in replays.batches(record, wanted, batch):
        if dry_run:
            with record.reading() as connection:
                parts.append(replays.preview(connection, ids, now))
            continue
        with record.writing() as connection:
            part = replays.send_again(connection, ids, now)
            _write_replay_line(connection, wanted, part, AuditLine(actor, now))
        parts.append(part)
    return replays.total(wanted, parts)


def _write_replay_line(
    connection: Connection, wanted: ReplayRequest, part: ReplayResult, line: AuditLine
) -> None:
    if part.count:
        target = wanted.delivery or wanted.article or wanted.endpoint or wanted.partner or "dead"
        facts: dict[str, Any] = {"count": part.count, "skipped": dict(part.skipped)}
        facts["since"] = wanted.since and wanted.since.isoformat()
        if wanted.cause is not None:
            facts["cause"] = wanted.cause
        line.write(connection, "delivery.replayed", target, **facts)
