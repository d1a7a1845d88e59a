"""Articles as an operator looks them up: the latest, a search, and one with all that became of it. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, String, bindparam, text
from ulid import ULID

from service.store.content import read
from service.store.database.record import Record
from service.store.schema.base import from_micros, to_micros
from service.store.views.columns import headline_of, language_of
from service.store.views.deliveries import DeliveryNow, deliveries_of_article

SEARCHED = 500  # headlines looked through: those of the articles that changed last


@dataclass(frozen=True)
class ArticleNow:
    """An article in a list. `headline` is None while under embargo. `current` of its `holders` (partners and
    channels that hold some revision) hold the newest one."""

    id: str
    source: str
    external_id: str
    revision: int
    status: str
    changed_at: datetime
    embargo_until: datetime | None
    headline: str | None
    language: str | None
    holders: int = 0
    current: int = 0


@dataclass(frozen=True)
class RevisionNow:
    """`headline` is shown on the article's own page only. `event` is the event that made this revision."""

    number: int
    status: str
    headline: str | None
    language: str | None
    version: int | None
    accepted_at: datetime
    event: str
    type: str
    actor: str
    reason: str | None
    routed_at: datetime | None


@dataclass(frozen=True)
class HoldingNow:
    """What a partner is known to hold. `channel`: push or pull (at `endpoint_id`) or feed (`endpoint_id` is 0)."""

    partner: str
    partner_name: str
    endpoint_id: int
    url: str | None
    channel: str
    revision: int
    since: datetime


@dataclass(frozen=True)
class ArticlePage:
    """An article with its revisions, newest first. `content` is the newest revision's, embargoed or not."""

    id: str
    source: str
    source_name: str
    external_id: str
    revision: int
    status: str
    killed_by_desk: bool
    embargo_until: datetime | None
    expires_at: datetime | None
    first_published_at: datetime
    changed_at: datetime
    content: Mapping[str, Any]
    revisions: tuple[RevisionNow, ...]
    holdings: tuple[HoldingNow, ...]
    deliveries: tuple[DeliveryNow, ...]


def latest_articles(
    record: Record, now: datetime, *, before: datetime | None = None, limit: int = 50
) -> list[ArticleNow]:
    """The articles that changed last, or last before a moment (for the next page)."""
    where = "WHERE changed_at < :before" if before else ""
    source = f"(SELECT * FROM article {where} ORDER BY changed_at DESC LIMIT :limit)"
    values = {"limit": limit} | ({"before": to_micros(before)} if before else {})
    return _listed(record, source, values, now)


def search_articles(record: Record, now: datetime, words: str, limit: int = 50) -> list[ArticleNow]:
    """By our id or its last part, by the source's own id, else by words of the newest headlines.

    The headline of an article under embargo is not searched: a list never tells it.
    """
    exact = _listed(record, _EXACT, {"words": words, "ids": _public_ids(record, words)}, now)
    if exact:
        return exact
    wanted = words.casefold().split()
    return [
        each
        for each in latest_articles(record, now, limit=SEARCHED)
        if each.headline and all(word in each.headline.casefold() for word in wanted)
    ][:limit]


# The type is for an empty list: PostgreSQL does not compare a text with nothing.
_IDS = bindparam("ids", expanding=True, type_=String())

# One probe of the index per source, whatever the number of articles.
_EXACT = (
    "(SELECT x.* FROM source o JOIN article x ON x.source_id = o.id AND x.external_id = :words"
    " UNION SELECT * FROM article WHERE public_id IN :ids)"
)


def _listed(record: Record, source: str, values: Mapping[str, Any], now: datetime) -> list[ArticleNow]:
    query = text(f"""
        SELECT a.*, s.slug AS source, {headline_of(record)} AS headline, {language_of(record)} AS language
        FROM {source} a JOIN source s ON s.id = a.source_id
        JOIN revision r ON r.article_id = a.id AND r.number = a.revision ORDER BY a.changed_at DESC""")
    if "ids" in values:
        query = query.bindparams(_IDS)
    with record.surveying() as connection:
        rows = connection.execute(query, values).all()
        held = _held(connection, [row.id for row in rows])
    return [_article(row, held.get(row.id, (0, 0)), now) for row in rows]


def _held(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Article → (how many hold it, how many hold its newest revision)."""
    query = text(
        "SELECT r.article_id, count(*), sum(CASE WHEN r.revision >= a.revision THEN 1 ELSE 0 END)"
        " FROM receipt r JOIN article a ON a.id = r.article_id WHERE r.article_id IN :ids GROUP BY r.article_id"
    ).bindparams(bindparam("ids", expanding=True))
    return {row[0]: (row[1], int(row[2])) for row in connection.execute(query, {"ids": ids})}


def _article(row: Any, held: tuple[int, int], now: datetime) -> ArticleNow:
    embargo = _moment(row.embargo_until)
    return ArticleNow(
        id=row.public_id,
        source=row.source,
        external_id=row.external_id,
        revision=row.revision,
        status=row.status,
        changed_at=from_micros(row.changed_at),
        embargo_until=embargo,
        headline=None if embargo and embargo > now else row.headline,
        language=row.language,
        holders=held[0],
        current=held[1],
    )


def _public_ids(record: Record, name: str) -> list[str]:
    """The public ids that this name can stand for: itself, or what ends with it."""
    if name.startswith("tag:"):
        return [name]
    try:
        ulid = ULID.from_str(name.upper())
        days = [(ulid.datetime + timedelta(days=offset)).date().isoformat() for offset in (-1, 0, 1)]
    except (ValueError, OverflowError):  # no ULID, or one from after the year 9999
        return []
    with record.surveying() as connection:
        found = _by_last_part(connection, ulid, days)
    return [found] if found else []


# A public id is tag:AUTHORITY,DATE:item/ULID. The ULID tells the date, and the oldest and newest article the
# authorities, so that the index of public ids can be asked; the scan is for a desk that changed its name twice.
_AUTHORITIES = text(
    "SELECT public_id FROM article WHERE id IN ((SELECT min(id) FROM article), (SELECT max(id) FROM article))"
)
_GUESSED = text("SELECT public_id FROM article WHERE public_id IN :ids").bindparams(_IDS)
_SCANNED = text("SELECT public_id FROM article WHERE public_id LIKE :ending")


def _by_last_part(connection: Connection, ulid: ULID, days: Sequence[str]) -> str | None:
    authorities = {each.partition(",")[0] for each in connection.execute(_AUTHORITIES).scalars()}
    guesses = [f"{authority},{day}:item/{ulid}" for authority in sorted(authorities) for day in days]
    found = connection.execute(_GUESSED, {"ids": guesses}).scalar()
    return found or connection.execute(_SCANNED, {"ending": f"%:item/{ulid}"}).scalar()


def article_page(record: Record, name: str) -> ArticlePage | None:
    """By public id or its last part; None if there is no such article."""
    ids = _public_ids(record, name)
    if not ids:
        return None
    with record.surveying() as connection:
        row = connection.execute(_PAGE, {"id": ids[0]}).one_or_none()
        if row is None:
            return None
        return ArticlePage(
            id=row.public_id,
            source=row.source,
            source_name=row.source_name,
            external_id=row.external_id,
            revision=row.revision,
            status=row.status,
            killed_by_desk=row.killed_by_desk,
            embargo_until=_moment(row.embargo_until),
            expires_at=_moment(row.expires_at),
            first_published_at=from_micros(row.first_published_at),
            changed_at=from_micros(row.changed_at),
            content=read(row.content),
            revisions=_revisions(record, connection, row.id),
            holdings=_holdings(connection, row.id),
            deliveries=tuple(deliveries_of_article(record, connection, row.id)),
        )


_PAGE = text("""
    SELECT a.*, s.slug AS source, s.name AS source_name, r.content FROM article a
    JOIN source s ON s.id = a.source_id JOIN revision r ON r.article_id = a.id AND r.number = a.revision
    WHERE a.public_id = :id""")
_HOLDINGS = text("""
    SELECT p.slug, p.name, r.endpoint_id, e.url, r.channel, r.revision, r.held_since FROM receipt r
    JOIN partner p ON p.id = r.partner_id LEFT JOIN endpoint e ON e.id = r.endpoint_id
    WHERE r.article_id = :article ORDER BY p.name, r.endpoint_id""")


def _revisions(record: Record, connection: Connection, article_id: int) -> tuple[RevisionNow, ...]:
    rows = connection.execute(
        text(f"""
            SELECT r.number, r.status, r.version, r.accepted_at, v.public_id AS event, v.type, v.actor, v.reason,
                v.routed_at, {headline_of(record)} AS headline, {language_of(record)} AS language
            FROM revision r JOIN event v ON v.article_id = r.article_id AND v.revision = r.number
            WHERE r.article_id = :article ORDER BY r.number DESC"""),
        {"article": article_id},
    )
    return tuple(
        RevisionNow(
            number=row.number,
            status=row.status,
            headline=row.headline,
            language=row.language,
            version=row.version,
            accepted_at=from_micros(row.accepted_at),
            event=row.event,
            type=row.type,
            actor=row.actor,
            reason=row.reason,
            routed_at=_moment(row.routed_at),
        )
        for row in rows
    )


def _holdings(connection: Connection, article_id: int) -> tuple[HoldingNow, ...]:
    rows = connection.execute(_HOLDINGS, {"article": article_id})
    return tuple(
        HoldingNow(
            partner=row.slug,
            partner_name=row.name,
            endpoint_id=row.endpoint_id,
            url=row.url,
            channel=row.channel,
            revision=row.revision,
            since=from_micros(row.held_since),
        )
        for row in rows
    )


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(int(micros))
