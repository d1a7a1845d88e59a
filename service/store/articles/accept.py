"""Articles into the record: one transaction makes the revision and its event, and supersedes what still waits.

Everything here is safe to run twice: an idempotency key gives the first answer again, the same content is a repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text, update
from sqlalchemy.exc import IntegrityError

from service.store import audit, names
from service.store.articles import idempotency
from service.store.articles.idempotency import Answer
from service.store.articles.lifecycle import Change, Repeat, Stale, State, judge
from service.store.articles.revisions import (
    Held,
    advance,
    content_held,
    fingerprint,
    held_by_id,
    held_by_source,
    write_event,
    write_revision,
)
from service.store.articles.sources import Source
from service.store.content import canonical
from service.store.database.record import Record
from service.store.database.sql import Statement, insert
from service.store.errors import ContentMissing, NotFound, NotPossible, UnknownSections
from service.store.feeds import sections
from service.store.schema.articles import article
from service.store.schema.base import to_micros
from service.times import to_iso

_TICK = timedelta(microseconds=1)
_TRIES = 4  # two posts of a new article at once: the second finds what the first wrote


@dataclass(frozen=True)
class Posted:
    """What a source says an article is now: validated, sanitised. `content` keys: docs/architecture.md, "content".

    `content` is None (and `sections` empty) only for a takedown posted without content.
    """

    external_id: str
    content: dict[str, Any] | None
    sections: tuple[str, ...]
    status: str
    version: int | None = None
    updated_at: datetime | None = None
    embargo_until: datetime | None = None
    expires_at: datetime | None = None
    correction_note: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Kept:
    """What is kept of a post: its canonical content, and the state that it puts the article in."""

    content: str
    state: State


def accept(
    record: Record,
    source: Source,
    posted: Posted,
    *,
    key: str | None,
    body_hash: str,
    authority: str,
    now: datetime,
) -> Answer:
    """Records a post. `authority` is the host name in the public ids of new articles (RFC 4151).

    Raises KeyReused, UnknownSections, ContentMissing; then nothing was changed.
    """
    said = None if posted.content is None else _kept(posted, _content(posted, posted.content))
    for last in range(_TRIES, 0, -1):
        try:
            with record.writing() as connection:
                return _accept(connection, source, posted, said, key, body_hash, authority, now)
        except IntegrityError:
            if last == 1:
                raise
    raise AssertionError("unreachable")


def kill(connection: Connection, name: str, reason: str, actor: str, now: datetime) -> Answer:
    """The desk kills an article everywhere; its source cannot bring it back. Killed already: a repeat."""
    return _by_desk(connection, name, "killed", actor, reason, now)


def restore(connection: Connection, name: str, reason: str | None, actor: str, now: datetime) -> Answer:
    """The desk brings back an article that was taken down. Raises NotPossible for one that is usable."""
    return _by_desk(connection, name, "usable", actor, reason, now)


def expire_due(record: Record, now: datetime, limit: int = 100) -> int:
    """Unpublishes what has expired, each as an event of its own; returns how many."""
    lock = "" if record.is_sqlite else " FOR UPDATE SKIP LOCKED"
    with record.writing() as connection:
        due = connection.execute(
            text(
                "SELECT id FROM article WHERE expires_at IS NOT NULL AND status = 'usable' AND expires_at <= :now"
                " ORDER BY expires_at LIMIT :limit" + lock
            ),
            {"now": to_micros(now), "limit": limit},
        )
        ids = due.scalars().all()
        for article_id in ids:
            held = held_by_id(connection, article_id)
            if held is not None:
                _set_status(connection, held, "unpublished", "system", "expired", now)
    return len(ids)


def _accept(
    connection: Connection,
    source: Source,
    posted: Posted,
    said: _Kept | None,
    key: str | None,
    body_hash: str,
    authority: str,
    now: datetime,
) -> Answer:
    if key is not None and (told := idempotency.given(connection, source.id, key, body_hash)) is not None:
        return told
    held = held_by_source(connection, source.id, posted.external_id)
    kept = _to_keep(connection, posted, said, held)
    match judge(held.state if held else None, kept.state):
        case Repeat():
            assert held is not None
            _hold_version(connection, held, kept.state)
            # No revision and no answer is stored: the next post of it is a repeat too.
            return _answer_of(connection, held, "repeat")
        case Stale(why=why):
            assert held is not None
            given = _answer_of(connection, held, "stale")
            audit.note(
                connection,
                actor=f"source:{source.slug}",
                action="article.stale",
                target=held.public_id,
                detail={"why": why, "version": posted.version, "status": posted.status},
                now=now,
            )
        case Change(type=kind):
            given = _record_change(
                connection,
                source,
                posted,
                kept,
                held,
                kind,
                f"source:{source.slug}",
                authority,
                now,
            )
    if key is not None:
        idempotency.keep(connection, source.id, key, body_hash, given, now)
    return given


def _hold_version(connection: Connection, held: Held, posted: State) -> None:
    """The same content under a higher version: what comes late and lies between the two is stale from now on."""
    version = _later(held.state.version, posted.version)
    updated_at = _later(held.state.updated_at, posted.updated_at)
    if (version, updated_at) != (held.state.version, held.state.updated_at):
        values = {"version": version, "source_updated_at": updated_at}
        connection.execute(update(article).where(article.c.id == held.id).values(values))


def _later(held: Any, posted: Any) -> Any:
    return held if posted is None or (held is not None and held > posted) else posted


_NEWEST = Statement("SELECT public_id, type FROM event WHERE article_id = :article AND revision = :number")


def _answer_of(connection: Connection, held: Held, outcome: str) -> Answer:
    ((event_id, kind),) = _NEWEST.rows(connection, article=held.id, number=held.revision)
    return Answer(held.public_id, held.revision, event_id, kind, outcome)


def _content(posted: Posted, given: dict[str, Any]) -> str:
    content = {**given, "sections": list(posted.sections)}
    if posted.correction_note is not None:
        content["correction_note"] = posted.correction_note
    for name in ("embargo_until", "expires_at"):
        if (moment := getattr(posted, name)) is not None:
            content[name] = to_iso(moment)
    return canonical(content)


def _kept(posted: Posted, content: str) -> _Kept:
    state = State(
        status=posted.status,
        fingerprint=fingerprint(posted.status, content),
        version=posted.version,
        updated_at=posted.updated_at,
        corrected=posted.correction_note is not None,
    )
    return _Kept(content, state)


def _to_keep(connection: Connection, posted: Posted, said: _Kept | None, held: Held | None) -> _Kept:
    """As posted, or with the content held when a takedown came without."""
    if said is None:
        if held is None:
            raise ContentMissing(posted.external_id)
        return _kept(posted, content_held(connection, held))
    known = sections.names(connection)
    if unknown := [slug for slug in posted.sections if slug not in known]:
        raise UnknownSections(unknown, sorted(known))
    return said


def _record_change(
    connection: Connection,
    source: Source,
    posted: Posted,
    kept: _Kept,
    held: Held | None,
    kind: str,
    actor: str,
    authority: str,
    now: datetime,
) -> Answer:
    at = now if held is None else max(now, held.changed_at + _TICK)
    dates: dict[str, Any] = {"embargo_until": posted.embargo_until, "expires_at": posted.expires_at}
    if posted.content is None and held is not None:
        dates = {"embargo_until": held.embargo_until, "expires_at": held.expires_at}
    values = {
        "status": kept.state.status,
        "content_hash": kept.state.fingerprint,
        "version": kept.state.version,
        "source_updated_at": kept.state.updated_at,
        "killed_by_desk": False,
        "changed_at": at,
        **dates,
    }
    if held is None:
        article_id, public_id = _new_article(connection, source, posted, values, authority, at)
        number = 1
    else:
        article_id, public_id, number = held.id, held.public_id, held.revision + 1
        advance(connection, held, values)
    write_revision(connection, article_id, number, kept.content, values)
    event_id = write_event(connection, article_id, number, kept.content, kind, actor, posted.reason, at)
    return Answer(public_id, number, event_id, kind, "accepted")


_NEW = insert(
    article,
    "public_id source_id external_id revision status content_hash version source_updated_at embargo_until"
    " expires_at killed_by_desk first_published_at changed_at",
    returning="id",
)


def _new_article(
    connection: Connection,
    source: Source,
    posted: Posted,
    values: dict[str, Any],
    authority: str,
    now: datetime,
) -> tuple[int, str]:
    public_id = names.new_article_id(authority, now)
    published = (posted.content or {}).get("published_at")
    row = {
        **values,
        "public_id": public_id,
        "source_id": source.id,
        "external_id": posted.external_id,
        "revision": 1,
        "first_published_at": datetime.fromisoformat(published) if published else now,
    }
    ((number,),) = _NEW.rows(connection, **row)
    return int(number), public_id


def _by_desk(
    connection: Connection, name: str, status: str, actor: str, reason: str | None, now: datetime
) -> Answer:
    number = names.find_article(connection, name)
    held = None if number is None else held_by_id(connection, number)
    if held is None:
        raise NotFound("article", name)
    if held.state.status == status == "usable":
        raise NotPossible(f"the article {name!r} is usable already: there is nothing to restore")
    if held.state.status == status and held.state.killed_by_desk:
        return _answer_of(connection, held, "repeat")
    return _set_status(connection, held, status, actor, reason, now)


def _set_status(
    connection: Connection, held: Held, status: str, actor: str, reason: str | None, now: datetime
) -> Answer:
    at = max(now, held.changed_at + _TICK)
    kind = "article.restored" if status == "usable" else f"article.{status}"
    content = content_held(connection, held)
    values = {
        "status": status,
        "content_hash": fingerprint(status, content),
        "version": held.state.version,
        "source_updated_at": held.state.updated_at,
        "embargo_until": held.embargo_until,
        # What has expired is unpublished once: restored, it stays until its source says otherwise.
        "expires_at": None if actor == "system" else held.expires_at,
        "killed_by_desk": status == "killed" and actor != "system",
        "changed_at": at,
    }
    advance(connection, held, values)
    write_revision(connection, held.id, held.revision + 1, content, values)
    event_id = write_event(connection, held.id, held.revision + 1, content, kind, actor, reason, at)
    return Answer(held.public_id, held.revision + 1, event_id, kind, "accepted")
