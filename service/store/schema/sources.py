"""Tables of sources beyond their keys: settings, hooks as they came, and how far the comparison with each system is."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
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

HOOK_STATES = ("queued", "done", "held", "ignored")


# What an adapter needs to know of its system, and how its sections are ours. Written by articles/source_settings.py.
source_settings = Table(
    "source_settings",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source_id", Id, ForeignKey("source.id"), nullable=False, unique=True),
    Column("base_url", Text, nullable=False, server_default=text("''")),
    Column(
        "secret_sealed", LargeBinary, nullable=False
    ),  # the token of the system's API; an empty text for none
    Column("language", Text),
    Column("content_type", Text, nullable=False, server_default=text("''")),
    Column("fields", Text, nullable=False, server_default=text("'{}'")),  # JSON: ours → [pointer, converter]
    Column("section_map", Text, nullable=False, server_default=text("'{}'")),  # JSON: theirs → ours
    Column("default_section", Text),
    Column("unknown_sections", Text, nullable=False, server_default=text("'keep'")),
    Column("takedown_limit", Integer, nullable=False, server_default=text("20")),  # of one sweep
    one_of("unknown_sections", ("keep", "hold"), "unknown_sections"),
)


# An authenticated request of a content system, with what became of it. Written by articles/hooks.py.
hook = Table(
    "hook",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source_id", Id, ForeignKey("source.id"), nullable=False),
    Column("content_hash", Text, nullable=False),  # SHA-256 of what tells it from another
    Column("period", BigInteger, nullable=False),  # within which the same bytes are the same request
    Column("received_at", Instant, nullable=False),
    Column("last_received_at", Instant, nullable=False),
    Column("repeats", Integer, nullable=False, server_default=text("0")),
    Column("method", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("headers", Text, nullable=False),  # JSON; no credentials
    Column("bytes", Integer, nullable=False),  # of the body as it is stored
    Column("state", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("why", Text),
    Column("articles", Text, nullable=False, server_default=text("'[]'")),  # JSON: an answer for each story
    Column(
        "takedown", Boolean, nullable=False, server_default=text("false")
    ),  # what is held would take a story down
    Column("ids_left", Text),  # JSON: stories still to be fetched; NULL: read them in the body
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_try_at", Instant),
    Column("body", LargeBinary, nullable=False),  # zlib; last, so that SQLite reads the others without it
    UniqueConstraint("source_id", "content_hash", "period"),
    one_of("state", HOOK_STATES, "state"),
    Index(
        "ix_hook_due",
        "next_try_at",
        sqlite_where=text("state = 'queued'"),
        postgresql_where=text("state = 'queued'"),
    ),
    Index("ix_hook_source", "source_id", "state", "id"),
    Index("ix_hook_received", "received_at"),
)


# How far each source has been compared with its system, and when it is next. Written by articles/source_sync.py.
source_sync = Table(
    "source_sync",
    metadata,
    Column("source_id", Id, ForeignKey("source.id"), primary_key=True, autoincrement=False),
    Column("changes_due_at", Instant),
    Column("sweep_due_at", Instant),
    Column("asked_at", Instant),  # when its system last said that something changed, without saying what
    Column("changed_since", Instant),  # all changes before it have been read
    Column("changes_at", Instant),  # the last comparison of changes that came to its end
    Column("swept_at", Instant),  # the last sweep that came to its end
    Column("failures", Integer, nullable=False, server_default=text("0")),  # of the system's API, in a row
    Column("failed_at", Instant),
    Column("failure", Text),  # in words
    Column("not_before", Instant),  # its API is left alone until then
    Column(
        "missing", Text, nullable=False, server_default=text("'[]'")
    ),  # JSON: ids that wait for the operator
    Column("missing_since", Instant),
    Column(
        "baseline", Text
    ),  # JSON: ids that were there before the source and never came; NULL: not swept yet
    Column(
        "released", Integer, nullable=False, server_default=text("0")
    ),  # so many takedowns the operator released
)
