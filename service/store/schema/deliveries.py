"""Tables of deliveries: attempts, receipts, back-fills."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from service.store.schema.base import Id, Instant, metadata, one_of

DELIVERY_STATES = ("pending", "waiting", "sending", "delivered", "dead", "superseded", "cancelled")


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
    # The endpoint's, without gaps. Below zero: under embargo, it has no number until it is due.
    Column("sequence", BigInteger, nullable=False),
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
    one_of("state", DELIVERY_STATES, "state"),
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
        "ix_delivery_unnumbered",
        "due_at",
        sqlite_where=text(f"sequence < 0 AND {_UNSETTLED}"),
        postgresql_where=text(f"sequence < 0 AND {_UNSETTLED}"),
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
    Column("outcome", Text, nullable=False),  # store.deliveries.attempts.OUTCOMES
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
    Column("answer_hash", Text),  # SHA-256 of the body, which was wiped since, when its story was killed
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
