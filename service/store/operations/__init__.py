"""Operations: every act of an operator, once, with its line in the audit. Commands, API and pages call these alone.

The act and its audit line are committed in one transaction, or neither is. An act raises what the module of its noun
raises, and then nothing was changed. `actor` names in the audit who acts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from service.store import audit
from service.store.articles import accept, sources
from service.store.articles.idempotency import Answer
from service.store.articles.sources import NewSource, Source
from service.store.database import resealing
from service.store.database.record import Record
from service.store.deliveries import replays
from service.store.deliveries.replays import ReplayRequest, ReplayResult
from service.store.feeds import partner_feeds, sections
from service.store.feeds.partner_feeds import NewPartnerFeed
from service.store.feeds.sections import Section
from service.store.partners import endpoints, partners, signing_keys
from service.store.partners.endpoints import Changes, Endpoint, NewEndpoint, StateChange
from service.store.partners.partners import NewPartner, Partner
from service.store.partners.signing_keys import Rotation, SigningKeys

OPERATOR = "operator"  # the actor of whoever has the operator's token, or the machine's own shell


@dataclass(frozen=True)
class _AuditLine:
    """A line of the audit that is still to be written: who acts, and when."""

    actor: str
    now: datetime

    def write(self, connection: Connection, action: str, target: str | int, **detail: Any) -> None:
        audit.note(
            connection, actor=self.actor, action=action, target=str(target), detail=detail, now=self.now
        )


# --- sections, packages, sources


def add_section(
    record: Record, slug: str, title: str, language: str | None, *, actor: str, now: datetime
) -> Section:
    """Adds a section, with its feed."""
    with record.writing() as connection:
        added = sections.add(connection, slug, title, language, now)
        _AuditLine(actor, now).write(connection, "section.added", slug, title=title, language=language)
    return added


def rename_section(record: Record, slug: str, new: str, *, actor: str, now: datetime) -> None:
    """Gives a section another slug; its old addresses lead to the new ones for ever."""
    with record.writing() as connection:
        sections.rename(connection, slug, new, now)
        _AuditLine(actor, now).write(connection, "section.renamed", slug, to=new)


def close_section(record: Record, slug: str, *, actor: str, now: datetime) -> None:
    """Ends a section's feed for good. Closed already: nothing happens."""
    with record.writing() as connection:
        if sections.close(connection, slug, now):
            _AuditLine(actor, now).write(connection, "section.closed", slug)


def add_package(record: Record, name: str, title: str, *, actor: str, now: datetime) -> str:
    """Gives a package's feed a title, and makes the feed if there is none; returns the feed's slug."""
    with record.writing() as connection:
        slug = sections.add_package(connection, name, title, now)
        _AuditLine(actor, now).write(connection, "package.added", slug, title=title)
    return slug


def add_source(record: Record, new: NewSource, *, actor: str, now: datetime) -> Source:
    """Adds a source."""
    with record.writing() as connection:
        added = sources.add(connection, record.keyring, new, now)
        _AuditLine(actor, now).write(connection, "source.added", new.slug, adapter=new.adapter)
    return added


# --- articles and their deliveries


def kill(record: Record, article: str, *, reason: str, actor: str, now: datetime) -> Answer:
    """Kills an article everywhere; its source cannot bring it back. Killed already: a repeat."""
    with record.writing() as connection:
        answer = accept.kill(connection, article, reason, actor, now)
        _write_article_line(connection, answer, reason, _AuditLine(actor, now))
    return answer


def restore(record: Record, article: str, *, reason: str | None, actor: str, now: datetime) -> Answer:
    """Brings back an article that was taken down."""
    with record.writing() as connection:
        answer = accept.restore(connection, article, reason, actor, now)
        _write_article_line(connection, answer, reason, _AuditLine(actor, now))
    return answer


def _write_article_line(connection: Connection, answer: Answer, reason: str | None, line: _AuditLine) -> None:
    if answer.outcome == "accepted":
        line.write(connection, answer.type, answer.article, reason=reason, revision=answer.revision)


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

    Raises NotFound also for an endpoint that does not exist: a mistyped number is not "nothing to send".
    """
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
            _write_replay_line(connection, wanted, part, _AuditLine(actor, now))
        parts.append(part)
    return replays.total(wanted, parts)


def _write_replay_line(
    connection: Connection, wanted: ReplayRequest, part: ReplayResult, line: _AuditLine
) -> None:
    if part.count:
        target = wanted.delivery or wanted.article or wanted.endpoint or "dead"
        since = wanted.since and wanted.since.isoformat()
        line.write(
            connection, "delivery.replayed", target, count=part.count, skipped=dict(part.skipped), since=since
        )


# --- partners and their endpoints


def add_partner(record: Record, new: NewPartner, *, actor: str, now: datetime) -> Partner:
    """Adds a partner."""
    with record.writing() as connection:
        added = partners.add(connection, new, now)
        _AuditLine(actor, now).write(connection, "partner.added", new.slug, name=new.name)
    return added


def add_endpoint(record: Record, new: NewEndpoint, *, actor: str, now: datetime) -> Endpoint:
    """Adds an endpoint to a partner."""
    with record.writing() as connection:
        added = endpoints.add(connection, record.keyring, new, now)
        _AuditLine(actor, now).write(
            connection,
            "endpoint.added",
            added.id,
            partner=new.partner,
            url=new.url,
            sections=new.sections,
            backfill_since=new.backfill_since and new.backfill_since.isoformat(),
        )
    return added


def change_endpoint(
    record: Record, endpoint_id: int, changes: Changes, *, actor: str, now: datetime
) -> tuple[Endpoint, tuple[str, ...]]:
    """Changes what is named of an endpoint; returns it as it is now, and the names of what became different."""
    with record.writing() as connection:
        changed, different = endpoints.change(connection, endpoint_id, changes, actor, now)
        if different:
            _AuditLine(actor, now).write(connection, "endpoint.changed", endpoint_id, **different)
    return changed, tuple(different)


def pause_endpoint(record: Record, endpoint_id: int, *, reason: str, actor: str, now: datetime) -> Endpoint:
    """Has an endpoint's deliveries wait; takedowns go on. Paused already: nothing happens."""
    with record.writing() as connection:
        change = endpoints.pause(connection, endpoint_id, reason, actor, now)
        _write_state_line(connection, "endpoint.paused", change, _AuditLine(actor, now))
    return change.endpoint


def resume_endpoint(record: Record, endpoint_id: int, *, actor: str, now: datetime) -> Endpoint:
    """Lets an endpoint's deliveries go again, newest revisions only. Live already: nothing happens."""
    with record.writing() as connection:
        change = endpoints.resume(connection, endpoint_id, actor, now)
        _write_state_line(connection, "endpoint.resumed", change, _AuditLine(actor, now))
    return change.endpoint


def _write_state_line(connection: Connection, action: str, change: StateChange, line: _AuditLine) -> None:
    if change.before != change.endpoint.state:
        detail = {"reason": change.endpoint.state_reason, "was": change.before}
        line.write(connection, action, change.endpoint.id, **detail)


def rotate_keys(
    record: Record,
    endpoint_id: int,
    make: Callable[[str], str],
    rotation: Rotation,
    *,
    actor: str,
    now: datetime,
) -> signing_keys.NewKeys:
    """Gives an endpoint new signing keys, each by `make(kind)`; the old ones sign along for the overlap."""
    with record.writing() as connection:
        rotated = SigningKeys(connection, record.keyring, endpoint_id, now).rotate(make, rotation)
        detail = {"kinds": rotated.kinds, "old_until": rotated.old_until.isoformat()}
        _AuditLine(actor, now).write(connection, "endpoint.secret_rotated", endpoint_id, **detail)
    return rotated


def sign_with_ed25519(
    record: Record, endpoint_id: int, make: Callable[[str], str], *, actor: str, now: datetime
) -> str:
    """Has an endpoint's pushes signed with an ed25519 key too; returns the key, made by `make("v1a")` if need be."""
    with record.writing() as connection:
        keys = SigningKeys(connection, record.keyring, endpoint_id, now)
        if keys.add_ed25519(make):
            _AuditLine(actor, now).write(connection, "endpoint.ed25519_on", endpoint_id)
        key = keys.newest("v1a")
    assert key is not None
    return key


def stop_ed25519(record: Record, endpoint_id: int, *, actor: str, now: datetime) -> bool:
    """Has an endpoint's pushes signed with the shared secret alone; whether that is new."""
    with record.writing() as connection:
        removed = SigningKeys(connection, record.keyring, endpoint_id, now).remove_ed25519()
        if removed:
            _AuditLine(actor, now).write(connection, "endpoint.ed25519_off", endpoint_id)
    return removed


# --- partners' own feeds, and the secrets of all


def add_feed(record: Record, new: NewPartnerFeed, *, actor: str, now: datetime) -> partner_feeds.AddedFeed:
    """Makes a partner a feed of its own."""
    with record.writing() as connection:
        added = partner_feeds.add(connection, new, now)
        detail = {"partner": new.partner, "sections": new.sections, "title": added.title}
        _AuditLine(actor, now).write(connection, "partner_feed.added", added.id, **detail)
    return added


def rotate_feed(
    record: Record,
    feed_id: int,
    token_hash: str,
    overlap: timedelta = partner_feeds.TOKEN_OVERLAP,
    *,
    actor: str,
    now: datetime,
) -> partner_feeds.NewToken:
    """Gives a partner's feed a new token; the old ones work on until `overlap` has passed."""
    with record.writing() as connection:
        rotated = partner_feeds.rotate(connection, feed_id, token_hash, overlap, now)
        detail = {"token": rotated.number, "old_until": rotated.old_until.isoformat()}
        _AuditLine(actor, now).write(connection, "partner_feed.rotated", feed_id, **detail)
    return rotated


def revoke_feed(record: Record, feed_id: int, *, actor: str, now: datetime) -> bool:
    """Ends a partner's feed at once and for good; whether that is new."""
    with record.writing() as connection:
        revoked = partner_feeds.revoke(connection, feed_id, now)
        if revoked:
            _AuditLine(actor, now).write(connection, "partner_feed.revoked", feed_id)
    return revoked


def reseal(record: Record, *, actor: str, now: datetime) -> dict[str, int]:
    """Seals every stored secret with the first key, in batches; returns how many, by table."""
    counts = resealing.reseal(record)
    with record.writing() as connection:
        _AuditLine(actor, now).write(connection, "secrets.resealed", "all", **counts)
    return counts
