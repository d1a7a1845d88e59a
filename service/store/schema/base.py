"""The tables of the record. One word per idea: docs/architecture.md has the glossary.

Times are whole microseconds since 1970-01-01 UTC in BIGINT columns (type `Instant`), so that both databases
compare, index and return them alike. Secrets are stored sealed (`sealing`), API keys as SHA-256 of their secret part.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Aware datetime → microseconds since the epoch. Exact: no float is involved."""
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime in a BIGINT column, as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> int | None:
        return to_micros(value) if isinstance(value, datetime) else value

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(int(value))


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows itself only for a column declared INTEGER PRIMARY KEY.
Id = BigInteger().with_variant(Integer, "sqlite")

ARTICLE_STATUSES = ("usable", "withheld", "killed", "unpublished")
EVENT_TYPES = (
    "article.published",
    "article.updated",
    "article.corrected",
    "article.withheld",
    "article.killed",
    "article.unpublished",
    "article.restored",
)
# What asks a partner to take a story down: it goes only to those who hold it, ahead of everything.
TAKEDOWNS = ("article.withheld", "article.killed", "article.unpublished")
DELIVERY_STATES = ("pending", "waiting", "sending", "delivered", "dead", "superseded", "cancelled")
ENDPOINT_STATES = ("live", "paused", "off")
BREAKER_STATES = ("closed", "open", "half_open")


def _one_of(column: str, values: tuple[str, ...], name: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(v) for v in values)})", name=name)


section = Table(
    "section",
    metadata,
    Column("id", Id, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("language", Text),
    Column("created_at", Instant, nullable=False),
    Column("closed_at", Instant),  # its feed is gone for good; stories may still name it
)

source = Table(
    "source",
    metadata,
    Column("id", Id, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("adapter", Text, nullable=False),
    Column("key_id", Text, nullable=False, unique=True),
    Column("key_hash", Text, nullable=False),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", Instant, nullable=False),
)

article = Table(
    "article",
    metadata,
    Column("id", Id, primary_key=True),
    Column("public_id", Text, nullable=False, unique=True),
    Column("source_id", Id, ForeignKey("source.id"), nullable=False),
    Column("external_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),  # the newest
    Column("status", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("version", BigInteger),  # the source's own number, never ours
    Column("source_updated_at", Instant),
    Column("embargo_until", Instant),
    Column("expires_at", Instant),
    Column("killed_by_desk", Boolean, nullable=False, server_default=text("false")),
    Column("first_published_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),  # strictly increases with the revision
    UniqueConstraint("source_id", "external_id"),
    _one_of("status", ARTICLE_STATUSES, "status"),
    Index("ix_article_changed", "changed_at"),
    Index(
        "ix_article_embargoed",
        "embargo_until",
        sqlite_where=text("embargo_until IS NOT NULL"),
        postgresql_where=text("embargo_until IS NOT NULL"),
    ),
    # An expiry is an event that the sweep writes; only what can still expire is indexed.
    Index(
        "ix_article_expiring",
        "expires_at",
        sqlite_where=text("expires_at IS NOT NULL AND status = 'usable'"),
        postgresql_where=text("expires_at IS NOT NULL AND status = 'usable'"),
    ),
    # What was taken down: partners that fetch are watched until they were told.
    Index(
        "ix_article_withdrawn",
        "changed_at",
        sqlite_where=text("status <> 'usable'"),
        postgresql_where=text("status <> 'usable'"),
    ),
)

revision = Table(
    "revision",
    metadata,
    Column("article_id", Id, ForeignKey("article.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),  # canonical JSON: sorted keys, no white space
    Column("content_hash", Text, nullable=False),  # sha256 of content and status
    Column("status", Text, nullable=False),
    Column("version", BigInteger),
    Column("source_updated_at", Instant),
    Column("embargo_until", Instant),
    Column("accepted_at", Instant, nullable=False),
    _one_of("status", ARTICLE_STATUSES, "status"),
    CheckConstraint("number >= 1", name="number"),
)

event = Table(
    "event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("public_id", Text, nullable=False, unique=True),
    Column("article_id", Id, ForeignKey("article.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("actor", Text, nullable=False),  # 'source:SLUG', 'operator', 'system'
    Column("reason", Text),  # of a kill; never sent to anyone
    Column("routed_at", Instant),
    # What of the revision's content says where it stands: routing need not read the rest. NULL: look into the content.
    Column("places", Text),
    UniqueConstraint("article_id", "revision"),  # one event per revision
    _one_of("type", EVENT_TYPES, "type"),
    Index(
        "ix_event_unrouted",
        "id",
        sqlite_where=text("routed_at IS NULL"),
        postgresql_where=text("routed_at IS NULL"),
    ),
)

# The first answer given to an idempotency key, given again word for word.
answer = Table(
    "answer",
    metadata,
    Column("source_id", Id, ForeignKey("source.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("given_at", Instant, nullable=False),
)

partner = Table(
    "partner",
    metadata,
    Column("id", Id, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("key_id", Text, nullable=False, unique=True),
    Column("key_hash", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("id", Id, primary_key=True),
    Column("partner_id", Id, ForeignKey("partner.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column(
        "secret_sealed", LargeBinary, nullable=False
    ),  # sealed JSON: [{"secret": "whsec_…", "until": null}]
    Column("all_sections", Boolean, nullable=False),  # else: rows in subscription
    Column("every_revision", Boolean, nullable=False, server_default=text("false")),
    Column("max_in_flight", Integer, nullable=False, server_default=text("4")),
    Column("rate_per_second", Float),  # NULL: no limit
    Column("tokens", Float),  # in the bucket at refilled_at; NULL: full
    Column("refilled_at", Instant),
    Column("schedule", Text),  # JSON list of seconds; NULL: the default
    Column("state", Text, nullable=False, server_default=text("'live'")),
    Column("state_reason", Text),
    Column("state_since", Instant, nullable=False),
    Column("breaker", Text, nullable=False, server_default=text("'closed'")),
    Column("breaker_until", Instant),
    Column(
        "breaker_opened", Integer, nullable=False, server_default=text("0")
    ),  # times in a row, for the back-off
    Column("failures", Integer, nullable=False, server_default=text("0")),  # in a row
    Column("breaker_counts", Text),  # JSON: attempts and failures of the last minute; workers.breaker
    Column("slow_start", Integer),  # how many may be in flight while it starts slowly; NULL: the cap
    Column("not_before", Instant),  # the partner asked to wait (Retry-After on 429 and 503)
    Column("sequence", BigInteger, nullable=False, server_default=text("0")),  # the last number given
    Column("last_success_at", Instant),
    Column("last_failure_at", Instant),
    Column("last_failure", Text),  # in words
    Column("failing_since", Instant),
    Column("created_at", Instant, nullable=False),
    _one_of("state", ENDPOINT_STATES, "state"),
    _one_of("breaker", BREAKER_STATES, "breaker"),
    Index(
        "ix_endpoint_limited",
        "id",
        sqlite_where=text("rate_per_second IS NOT NULL"),
        postgresql_where=text("rate_per_second IS NOT NULL"),
    ),
)

subscription = Table(
    "subscription",
    metadata,
    Column("endpoint_id", Id, ForeignKey("endpoint.id"), primary_key=True),
    Column("section_id", Id, ForeignKey("section.id"), primary_key=True),
)

_UNSETTLED = "state IN ('pending', 'waiting')"

delivery = Table(
    "delivery",
    metadata,
    Column("id", Id, primary_key=True),
    Column("endpoint_id", Id, ForeignKey("endpoint.id"), nullable=False),
    Column("event_id", Id, ForeignKey("event.id"), nullable=False),
    Column("article_id", Id, ForeignKey("article.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("replay", Integer, nullable=False, server_default=text("0")),  # 0: the first; n: the n-th replay
    Column("sequence", BigInteger, nullable=False),  # the endpoint's, without gaps
    Column(
        "priority", Integer, nullable=False
    ),  # 0 takedown, 1 correction or restore, 2 the rest, 3 back-fill
    # Must reach even who no longer subscribes; what supersedes it inherits this.
    Column("owed", Boolean, nullable=False),
    # The endpoint wants every revision: a newer one does not supersede this one.
    Column("ordered", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("forgiven", Integer, nullable=False, server_default=text("0")),  # attempts before the last replay
    # Bytes of it were sent, so the partner may hold it.
    Column("reached", Boolean, nullable=False, server_default=text("false")),
    Column("lease", Text),  # the worker while sending
    Column("lease_until", Instant),
    Column("superseded_by", Integer),  # the revision
    Column("last_status", Integer),
    Column("last_words", Text),
    Column("created_at", Instant, nullable=False),
    Column("settled_at", Instant),
    # Routing an event twice writes nothing twice; it also serves "who got this article".
    UniqueConstraint("article_id", "endpoint_id", "revision", "replay"),
    UniqueConstraint("endpoint_id", "sequence"),
    _one_of("state", DELIVERY_STATES, "state"),
    Index(
        "ix_delivery_due",
        "endpoint_id",
        "priority",
        "due_at",
        "id",
        sqlite_where=text(_UNSETTLED),
        postgresql_where=text(_UNSETTLED),
    ),
    # At most one on the wire per endpoint and article, even should a bug claim two.
    Index(
        "uq_delivery_flying",
        "endpoint_id",
        "article_id",
        unique=True,
        sqlite_where=text("state = 'sending'"),
        postgresql_where=text("state = 'sending'"),
    ),
    Index(
        "ix_delivery_dead",
        "endpoint_id",
        "id",
        sqlite_where=text("state = 'dead'"),
        postgresql_where=text("state = 'dead'"),
    ),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", Id, primary_key=True),
    Column("delivery_id", Id, ForeignKey("delivery.id"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("outcome", Text, nullable=False),  # workers.outcome.OUTCOMES
    Column("status", Integer),
    Column("words", Text, nullable=False),
    Column("lookup_ms", Float),
    Column("connect_ms", Float),
    Column("tls_ms", Float),
    Column("first_byte_ms", Float),
    Column("total_ms", Float),
    Column("address", Text),
    Column("response_headers", Text),  # JSON list of [name, value]
    Column("response_body", LargeBinary),  # the first 4 KiB
    Column("worker", Text, nullable=False),
)

# The ledger: per partner, article and channel the highest revision it is known to hold. Never pruned.
receipt = Table(
    "receipt",
    metadata,
    Column("article_id", Id, ForeignKey("article.id"), primary_key=True),
    Column("partner_id", Id, ForeignKey("partner.id"), primary_key=True),
    Column("endpoint_id", Id, primary_key=True, autoincrement=False),  # 0: by feed
    Column("revision", Integer, nullable=False),
    Column("channel", Text, nullable=False),  # 'push', 'pull' (read by its partner), 'feed'
    Column("held_since", Instant, nullable=False),
    sqlite_with_rowid=False,
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Instant, nullable=False),
)

worker = Table(
    "worker",
    metadata,
    Column("name", Text, primary_key=True),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("broker", Text, nullable=False),  # 'up' or what is wrong, in words
)

# What the operator must hear of: an outbox, so that none is lost. What happens again before the first try is
# counted in the same row; from the first try on its words stay the same, as does its id.
_UNTOLD = "sent_at IS NULL AND given_up_at IS NULL"
notice = Table(
    "notice",
    metadata,
    Column("id", Id, primary_key=True),
    Column("public_id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),  # 'endpoint.off', 'delivery.dead', …
    Column("about", Text, nullable=False),  # what it is about: 'endpoint:3', 'delivery:77'
    Column("words", Text, nullable=False),
    Column("count", Integer, nullable=False, server_default=text("1")),
    Column("endpoint_id", Id),
    Column("partner_id", Id),  # where it is about a partner and no endpoint of it
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("sent_at", Instant),
    Column("given_up_at", Instant),
    Column("last_words", Text),  # why the last try failed
    Index("ix_notice_about", "about", "kind", "id"),
    Index("ix_notice_due", "due_at", sqlite_where=text(_UNTOLD), postgresql_where=text(_UNTOLD)),
    Index(
        "uq_notice_gathering",
        "kind",
        "about",
        unique=True,
        sqlite_where=text("tries = 0"),
        postgresql_where=text("tries = 0"),
    ),
)

# An endpoint that is to get what was there before it: done in batches, from (after_at, after_id) on.
backfill = Table(
    "backfill",
    metadata,
    Column("id", Id, primary_key=True),
    Column("endpoint_id", Id, ForeignKey("endpoint.id"), nullable=False),
    Column("since", Instant, nullable=False),
    Column("after_at", Instant, nullable=False),
    Column("after_id", BigInteger, nullable=False, server_default=text("0")),
    Column("deliveries", Integer, nullable=False, server_default=text("0")),
    Column("created_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Index(
        "ix_backfill_going",
        "id",
        sqlite_where=text("finished_at IS NULL"),
        postgresql_where=text("finished_at IS NULL"),
    ),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),  # 'article.stale', 'endpoint.paused', …
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    Index("ix_audit_target", "target", "id"),
)
