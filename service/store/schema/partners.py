"""Tables of partners: their endpoints and subscriptions."""

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
    text,
)

from service.store.schema.base import Id, Instant, metadata, one_of

ENDPOINT_STATES = ("live", "paused", "off")


BREAKER_STATES = ("closed", "open", "half_open")


# An outlet that republishes. Written by partners/partners.py.
partner = Table(
    "partner",
    metadata,
    Column("id", Id, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("key_id", Text, nullable=False, unique=True),
    Column("key_hash", Text, nullable=False),  # empty once it is removed: no key fits it
    Column("created_at", Instant, nullable=False),
    Column("removed_at", Instant),
)


# A source's or partner's key (and a source's secret) that was rotated and still works for a while. Written by
# replaced_keys.py.
replaced_key = Table(
    "replaced_key",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source_id", Id, ForeignKey("source.id")),
    Column("partner_id", Id, ForeignKey("partner.id")),
    Column("key_id", Text, nullable=False, unique=True),
    Column("key_hash", Text, nullable=False),
    Column("secret_sealed", LargeBinary, nullable=False),  # a partner has none: an empty text is sealed
    Column("until", Instant, nullable=False),
)


# An address to which a partner's events are pushed. Written by partners/endpoints.py, endpoint_states.py; but for the
# columns that the work itself changes: `secret_sealed` by partners/signing_keys.py, the breaker, failures and successes
# by deliveries/health.py, `tokens` by deliveries/rates.py, and `sequence` where deliveries are numbered (deliveries/).
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
    # What it gets of a story that it holds and that leaves its sections: routing_rules.OnLeave.
    Column("on_leave", Text, nullable=False, server_default=text("'update'")),
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
    Column("breaker_counts", Text),  # JSON: attempts and failures of the last minute; workers.deliver.breaker
    Column("refused", Text),  # JSON: articles refused since the last success, the newest five
    Column("slow_start", Integer),  # how many may be in flight while it starts slowly; NULL: the cap
    Column("not_before", Instant),  # the partner asked to wait (Retry-After on 429 and 503)
    Column("sequence", BigInteger, nullable=False, server_default=text("0")),  # the last number given
    Column("last_success_at", Instant),
    Column("last_failure_at", Instant),
    Column("last_failure", Text),  # in words
    Column("failing_since", Instant),
    # For how long it has failed without one success: a sum of steps, each no longer than a retry's longest wait, so
    # that a clock that jumps adds no more than one of them.
    Column("failing_seconds", Float),
    Column("created_at", Instant, nullable=False),
    one_of("state", ENDPOINT_STATES, "state"),
    one_of("breaker", BREAKER_STATES, "breaker"),
    Index(
        "ix_endpoint_limited",
        "id",
        sqlite_where=text("rate_per_second IS NOT NULL"),
        postgresql_where=text("rate_per_second IS NOT NULL"),
    ),
)


# A section of which an endpoint gets the articles. Written by partners/endpoints.py.
subscription = Table(
    "subscription",
    metadata,
    Column("endpoint_id", Id, ForeignKey("endpoint.id"), primary_key=True),
    Column("section_id", Id, ForeignKey("section.id"), primary_key=True),
)
