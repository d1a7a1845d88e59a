"""Stories that a comparison leaves to a worker that looks them up, or to the operator, as hooks of their own.

Their hook has no request, but the ids of the stories.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from service.store.articles import hooks
from service.store.articles.hooks import CLAIM_LASTS, FETCHED, HELD, QUEUED, WHY_MOST, HookResult, NewHook
from service.store.database.record import Record
from service.store.database.sql import Statement

IDS_OF_A_LOOKUP = 1_000
_LEFT_WORDS = "it changed, and the comparison of its system did not come to it"


def hold(record: Record, source_id: int, story_id: str, why: str, now: datetime) -> None:
    """Holds a story that was looked up and cannot be mapped; once, however often it is looked up."""
    facts = {"id": story_id, "outcome": "held", "why": why}
    result = HookResult(HELD, "held", why[:WHY_MOST], [facts])
    hooks.keep(record, _of(source_id, [story_id], once=True), result, now)


def queue(record: Record, source_id: int, ids: Sequence[str], now: datetime) -> None:
    """Leaves stories to be looked up to the workers, who try each for days."""
    for start in range(0, len(ids), IDS_OF_A_LOOKUP):
        some = list(ids[start : start + IDS_OF_A_LOOKUP])
        hooks.keep(record, _of(source_id, some), HookResult(QUEUED, "queued", _LEFT_WORDS, ids=some), now)


def ids_queued(record: Record, source_id: int, now: datetime) -> list[str]:
    """The stories of `queue` that will be looked up within moments."""
    with record.reading() as connection:
        rows = _QUEUED.rows(connection, source=source_id, soon=now + CLAIM_LASTS)
        return [each for (ids,) in rows for each in json.loads(ids)]


def ids_held(record: Record, source_id: int) -> list[str]:
    """The stories that are held since they were looked up."""
    with record.reading() as connection:
        return [
            str(each)
            for (articles,) in _HELD_IDS.rows(connection, source=source_id)
            for each in _ids(articles)
        ]


def _of(source_id: int, ids: Sequence[str], *, once: bool = False) -> NewHook:
    body = json.dumps(list(ids)).encode()
    digest = hashlib.sha256(b"fetched\0" + body).hexdigest()
    return NewHook(source_id, digest, FETCHED, "", {}, body, once=once)


def _ids(articles: str) -> list[str]:
    return [each["id"] for each in json.loads(articles)]


_QUEUED = Statement(
    f"SELECT ids_left FROM hook WHERE source_id = :source AND state = 'queued' AND method = '{FETCHED}'"
    " AND ids_left IS NOT NULL AND next_try_at <= :soon"
)
_HELD_IDS = Statement(
    f"SELECT articles FROM hook WHERE source_id = :source AND state = 'held' AND method = '{FETCHED}'"
)
