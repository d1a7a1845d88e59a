"""The end of hooks: deleted after a week; beyond the ceilings before it, held ones last and with a notice."""

from __future__ import annotations

from datetime import datetime, timedelta

from service.store import notices
from service.store.database.record import Record
from service.store.database.sql import Statement

HOOKS_KEPT_FOR = timedelta(days=7)
HOOKS_MOST = 100_000
HELD_HOOKS_MOST = 10_000
HOOK_BYTES_MOST = 512 * 2**20
_AT_ONCE = 1_000


def prune(record: Record, now: datetime, *, by_age: bool = True) -> int:
    """Deletes what is over (`by_age`); and beyond the ceilings the oldest, with a notice. Returns how many."""
    deleted = 0
    with record.writing() as connection:
        if by_age:
            deleted = _DELETE_OVER.run(connection, {"before": now - HOOKS_KEPT_FOR, "limit": _AT_ONCE})
        count, size, held_count = _COUNT.rows(connection)[0]
        crowded = count > HOOKS_MOST or int(size) > HOOK_BYTES_MOST
        if crowded:
            deleted += _DELETE_OLDEST.run(connection, {"limit": _AT_ONCE})
        if held_count > HELD_HOOKS_MOST or (crowded and not deleted):
            over = max(held_count - HELD_HOOKS_MOST, _AT_ONCE if crowded else 0)
            lost = _DELETE_OLDEST_HELD.run(connection, {"limit": min(over, _AT_ONCE)})
            if lost:
                words = (
                    f"{lost} held hooks, the oldest, were deleted: more than {HELD_HOOKS_MOST:,} waited, or their"
                    " bodies took too much room. Mend the sources' settings: dateline source held SLUG"
                )
                notices.write(connection, [notices.NewNotice("hook.deleted", "hooks", words, lost)], now)
            deleted += lost
    return deleted


_DELETE_OVER = Statement("""
    DELETE FROM hook WHERE id IN (
        SELECT id FROM hook WHERE received_at < :before AND state <> 'held'
        ORDER BY received_at LIMIT :limit)""")
_COUNT = Statement(
    "SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(CASE WHEN state = 'held' THEN 1 ELSE 0 END), 0) FROM hook"
)
_DELETE_OLDEST = Statement("""
    DELETE FROM hook WHERE id IN (
        SELECT id FROM hook WHERE state IN ('done', 'ignored') ORDER BY received_at LIMIT :limit)""")
_DELETE_OLDEST_HELD = Statement("""
    DELETE FROM hook WHERE id IN (SELECT id FROM hook WHERE state = 'held' ORDER BY received_at LIMIT :limit)""")
