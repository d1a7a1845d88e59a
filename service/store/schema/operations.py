"""Tables of operations: leases, workers, notices, the audit."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from service.store.schema.base import Id, Instant, metadata

# The right to do what only one may do at a time. Written by coordination/leases.py.
lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Instant, nullable=False),
)


# A worker that is alive. Written by coordination/heartbeats.py.
worker = Table(
    "worker",
    metadata,
    Column("name", Text, primary_key=True),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("broker", Text, nullable=False),  # 'up' or what is wrong, in words
)


# Words for the operator: an outbox, so that none is lost. What happens again before the first try is counted in the
# same row; from the first try on its words stay the same, as does its id. Written by notices.py.
_UNSENT = "sent_at IS NULL AND given_up_at IS NULL"


notice = Table(
    "notice",
    metadata,
    Column("id", Id, primary_key=True),
    Column("public_id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),  # 'endpoint.off', 'delivery.dead', …
    Column("about", Text, nullable=False),  # its subject: 'endpoint:3', 'delivery:77'
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
    *(
        Index(
            f"ix_notice_{name}",
            f"{name}_id",
            "id",
            sqlite_where=text(f"{name}_id IS NOT NULL"),
            postgresql_where=text(f"{name}_id IS NOT NULL"),
        )
        for name in ("endpoint", "partner")
    ),
    Index("ix_notice_due", "due_at", sqlite_where=text(_UNSENT), postgresql_where=text(_UNSENT)),
    Index(
        "uq_notice_gathering",
        "kind",
        "about",
        unique=True,
        sqlite_where=text("tries = 0"),
        postgresql_where=text("tries = 0"),
    ),
)


# The acts of operators, and of the system itself. Written by audit.py.
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


# A login of the operator, until it ends or is ended: its cookie alone opens nothing. Written by operator_sessions.py.
operator_session = Table(
    "operator_session",
    metadata,
    Column("hash", Text, primary_key=True),  # SHA-256 of the secret in the cookie
    Column("created_at", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Index("ix_operator_session_until", "until"),
)


# How often an address sent a wrong token lately, and when a right one. Written by coordination/auth_limits.py.
auth_limit = Table(
    "auth_limit",
    metadata,
    Column("door", Text, primary_key=True),  # 'login', 'bearer', 'signature', 'feed'
    Column("address", Text, primary_key=True),
    Column("failures", Integer, nullable=False),  # since window_at
    Column("window_at", Instant, nullable=False),
    Column("success_at", Instant),
    Index("ix_auth_limit_window", "window_at"),
)
