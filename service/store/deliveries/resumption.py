"""An endpoint is back: what waited for it goes now, what was given up meanwhile goes again. Newest revisions only."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from service.store.schema.base import to_micros

# What failed as an outage does is due at once; what was refused, or asked to wait (Retry-After), keeps its time.
_HASTEN = text("""
    UPDATE delivery SET due_at = :now
    WHERE endpoint_id = :endpoint AND state = 'waiting' AND due_at > :now
      AND (last_status IS NULL OR last_status NOT BETWEEN 400 AND 499 OR last_status IN (408, 425, 429))
      AND NOT EXISTS (SELECT 1 FROM attempt t WHERE t.delivery_id = delivery.id AND t.number = delivery.attempts
          AND lower(t.response_headers) LIKE '%"retry-after"%')""")
# The newest row of the article there, of the article's newest revision, which the endpoint does not hold yet; and a
# takedown only for who may hold what it takes down.
_REVIVE = text("""
    UPDATE delivery SET state = 'pending', due_at = :now, created_at = :now, forgiven = attempts, settled_at = NULL
    WHERE endpoint_id = :endpoint AND state = 'dead' AND settled_at >= :since
      AND NOT EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = delivery.article_id
          AND o.endpoint_id = delivery.endpoint_id AND (o.revision > delivery.revision
              OR (o.revision = delivery.revision AND o.replay > delivery.replay)))
      AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.article_id = delivery.article_id
          AND r.endpoint_id = delivery.endpoint_id AND r.revision >= delivery.revision)
      AND EXISTS (SELECT 1 FROM article a WHERE a.id = delivery.article_id AND a.revision = delivery.revision
          AND (a.status = 'usable' OR (delivery.priority = 0 AND EXISTS (SELECT 1 FROM delivery h
              WHERE h.article_id = delivery.article_id AND h.endpoint_id = delivery.endpoint_id AND h.reached))))""")


def revive(connection: Connection, endpoint_id: int, since: datetime, now: datetime) -> int:
    """Has everything sent that its endpoint missed; returns how many of it were given up after `since`.

    In the caller's transaction, which holds the endpoint's lock. Run twice, it changes nothing more.
    """
    values = {"endpoint": endpoint_id, "since": to_micros(since), "now": to_micros(now)}
    connection.execute(_HASTEN, values)
    return connection.execute(_REVIVE, values).rowcount


def revived_words(count: int) -> str:
    if not count:
        return ""
    return f"; {count} {'delivery that was' if count == 1 else 'deliveries that were'} given up will be sent again"
