"""Tables of articles: sections, sources, articles, revisions, events, answers."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
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
from sqlalchemy.dialects.postgresql import TSVECTOR

from service.store.schema.base import Id, Instant, metadata, one_of

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


# Events that ask a partner to take a story down: they go only to holders, ahead of everything.
TAKEDOWN_EVENTS = ("article.withheld", "article.killed", "article.unpublished")


# A desk section, with a feed of its own. Written by feeds/sections.py.
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


# A content system that may post articles. Written by articles/sources.py; resealing seals its secret anew.
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


# An article as it is now. Written by articles/revisions.py.
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
    # It was public and is withheld by its own embargo: it returns by itself then. NULL for every other withholding.
    Column("returns_at", Instant),
    # The revision that its words in article_search are of: NULL, or older, after a version that had no search.
    Column("words_revision", Integer),
    # When its own system made it: an id that is used again has another.
    Column("source_created_at", Instant),
    UniqueConstraint("source_id", "external_id"),
    one_of("status", ARTICLE_STATUSES, "status"),
    Index("ix_article_changed", "changed_at"),
    Index("ix_article_source_changed", "source_id", "changed_at"),
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
    Index(
        "ix_article_returning",
        "returns_at",
        sqlite_where=text("returns_at IS NOT NULL AND status = 'withheld'"),
        postgresql_where=text("returns_at IS NOT NULL AND status = 'withheld'"),
    ),
    # The same story under another id is found by its content: few are killed by the desk.
    Index(
        "ix_article_killed",
        "source_id",
        "content_hash",
        sqlite_where=text("killed_by_desk"),
        postgresql_where=text("killed_by_desk"),
    ),
    Index(
        "ix_article_wordless",
        "id",
        sqlite_where=text("words_revision IS NULL OR words_revision < revision"),
        postgresql_where=text("words_revision IS NULL OR words_revision < revision"),
    ),
    # Articles that were taken down: partners that fetch are watched until they have read so.
    Index(
        "ix_article_withdrawn",
        "changed_at",
        sqlite_where=text("status <> 'usable'"),
        postgresql_where=text("status <> 'usable'"),
    ),
)


# An article as it was accepted, never changed. Written by articles/revisions.py.
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
    one_of("status", ARTICLE_STATUSES, "status"),
    CheckConstraint("number >= 1", name="number"),
)


# The newest takedown of a story that is not here yet. Written by articles/early_takedowns.py.
early_takedown = Table(
    "early_takedown",
    metadata,
    Column("source_id", Id, ForeignKey("source.id"), primary_key=True, autoincrement=False),
    Column("external_id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("version", BigInteger),
    Column("source_updated_at", Instant),
    Column("received_at", Instant, nullable=False, index=True),
)


# The words of each article's newest revision, for the operators' search. Written by articles/search_index.py. SQLite's
# index over them is `article_search_index` (FTS5), which triggers keep for the rows that are `in_index`.
article_search = Table(
    "article_search",
    metadata,
    Column("article_id", Id, primary_key=True, autoincrement=False),
    Column("words", TSVECTOR().with_variant(Text(), "sqlite"), nullable=False),
    Column("in_index", Boolean, nullable=False),
    Index(
        "ix_article_search_new",
        "article_id",
        sqlite_where=text("NOT in_index"),
        postgresql_where=text("NOT in_index"),
    ),
    Index("ix_article_search_words", "words", postgresql_using="gin", info={"only": "postgresql"}),
)


# What happened to an article, with its revision. Written by events.py.
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
    # The fields of the revision's content that name its feeds: routing need not read the rest. NULL: look into it.
    Column("places", Text),
    UniqueConstraint("article_id", "revision"),  # one event per revision
    one_of("type", EVENT_TYPES, "type"),
    Index(
        "ix_event_unrouted",
        "id",
        sqlite_where=text("routed_at IS NULL"),
        postgresql_where=text("routed_at IS NULL"),
    ),
)


# The first answer to an idempotency key, which a repeat gets word for word. Written by articles/idempotency.py.
answer = Table(
    "answer",
    metadata,
    Column("source_id", Id, ForeignKey("source.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("given_at", Instant, nullable=False),
)


# How often the intake refused a source in an hour, by the kind of problem. `source`: its slug; empty where the sender
# is not known. The row without a reason counts nothing: its `last_at` is when something of the source was last taken.
# Of what is older than three days one row each is left, of the hour 0. Written by articles/refusals.py.
intake_refusal = Table(
    "intake_refusal",
    metadata,
    Column("source", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("hour", Instant, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("in_a_row", Integer, nullable=False),  # since something of this source was last accepted
    Column("last_at", Instant, nullable=False),
)
