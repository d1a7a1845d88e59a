"""Tables of feeds: feeds, placements, entries, documents, archives; partners' own feeds and their fetches."""

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

from service.store.schema.base import Id, Instant, metadata

# A feed is due for building when wanted > built, or when due_at has come: an embargo in it ends, or a notice's time.
# Written by feeds/feeds.py.
feed = Table(
    "feed",
    metadata,
    # a section's, 'all', 'package/…', 'language/…', 'source/…'; 'partner/7': that of partner_feed 7
    Column("slug", Text, primary_key=True),
    # The slug it was made with: part of its id, which never changes.
    Column("born", Text, nullable=False, server_default=text("''")),
    Column("title", Text),  # NULL for a section's, which has the section's
    Column("language", Text),
    Column("created_at", Instant, nullable=False, server_default=text("0")),
    Column("closed_at", Instant),
    Column("wanted", BigInteger, nullable=False, server_default=text("1")),
    Column("built", BigInteger, nullable=False, server_default=text("0")),
    Column("due_at", Instant),
    Column("wanted_at", Instant, nullable=False),
    Column("built_at", Instant),
    Column("sequence", BigInteger, nullable=False, server_default=text("0")),  # the last number given in it
    Column("archived", BigInteger, nullable=False, server_default=text("0")),  # the last page made of it
    # A story under embargo made it: it is shown to nobody until a story in it is public, and `sequence` above zero.
    Column("hidden", Boolean, nullable=False, server_default=text("false")),
)

# An address that a feed once had: it leads there for ever. Written by feeds/sections.py.
moved = Table(
    "moved",
    metadata,
    Column("slug", Text, primary_key=True),
    Column("feed", Text, ForeignKey("feed.slug"), nullable=False),
    Column("moved_at", Instant, nullable=False),
)

# Where an article stands or stood: one row per (feed, article). `listed` goes false when it moves elsewhere or is taken
# down; then `withdrawn` says how much its notice weighs: 1, killed or withheld; 2, unpublished.
# Written by feeds/placements.py.
placement = Table(
    "placement",
    metadata,
    Column("feed", Text, ForeignKey("feed.slug"), primary_key=True),
    Column("article_id", Id, ForeignKey("article.id"), primary_key=True),
    Column("listed", Boolean, nullable=False, server_default=text("true")),
    Column("withdrawn", Integer),
    # When the article as it stands became public, or will: never before its embargo. Feeds are in this order.
    Column("changed_at", Instant, nullable=False),
    # Its number in this feed, in the order of first becoming public: archives are cut by it. NULL: never public here.
    Column("sequence", BigInteger),
    UniqueConstraint("feed", "sequence"),
    Index(
        "ix_placement_newest",
        "feed",
        "changed_at",
        sqlite_where=text("listed"),
        postgresql_where=text("listed"),
    ),
    Index(
        "ix_placement_withdrawn",
        "feed",
        "withdrawn",
        "changed_at",
        sqlite_where=text("withdrawn IS NOT NULL"),
        postgresql_where=text("withdrawn IS NOT NULL"),
    ),
    # When a story last left the feed: the feed's own time never goes back.
    Index(
        "ix_placement_left",
        "feed",
        "changed_at",
        sqlite_where=text("NOT listed"),
        postgresql_where=text("NOT listed"),
    ),
    Index("ix_placement_article", "article_id"),
    Index(
        "ix_placement_unnumbered",
        "feed",
        sqlite_where=text("sequence IS NULL"),
        postgresql_where=text("sequence IS NULL"),
    ),
)

# A story serialised: made once per revision, spliced into every feed it stands in. Pruned: it can be made again.
# Written by feeds/entries.py.
entry = Table(
    "entry",
    metadata,
    Column("article_id", Id, ForeignKey("article.id"), primary_key=True),
    Column("format", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("profile", Text, nullable=False),  # all else that its bytes depend on
    Column("body", LargeBinary),  # NULL: this revision cannot be shown in this format
    Column("made_at", Instant, nullable=False),
    Index("ix_entry_made", "made_at"),
)

# A page of a feed's archive (RFC 5005), cut by `placement.sequence`. Made once; made again only for a takedown.
# Written by feeds/archives.py.
archive = Table(
    "archive",
    metadata,
    Column("feed", Text, ForeignKey("feed.slug"), primary_key=True),
    Column("page", BigInteger, primary_key=True, autoincrement=False),
    Column("format", Text, primary_key=True),  # 'rss', 'atom'
    Column("body", LargeBinary, nullable=False),
    Column("etag", Text, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column(
        "due_at", Instant
    ),  # when it has to be made again: at once after a takedown, or when an embargo ends
    Index("ix_archive_listing", "feed", "page", "format", "etag"),
    Index(
        "ix_archive_due",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
)

# A feed as rendered, in one format. Written by feeds/documents.py.
document = Table(
    "document",
    metadata,
    Column("feed", Text, ForeignKey("feed.slug"), primary_key=True),
    Column("format", Text, primary_key=True),  # 'rss', 'atom', 'json', 'html'
    Column("body", LargeBinary, nullable=False),
    Column("etag", Text, nullable=False),  # of the bytes, without quotes
    Column("modified_at", Instant, nullable=False),  # whole seconds; moves only with the bytes
    # Of a partner's feed only. JSON: [[article id, revision], …], all that can be read in it; and the ETag of the last
    # version of which the receipts are written.
    Column("stories", Text),
    Column("noted", Text),
    # The web looks several times a second for new versions, and builds for the stored ones: at this alone, for SQLite
    # reads all of a body to find the columns behind it.
    Index("ix_document_listing", "feed", "format", "etag"),
)

# A feed for one partner, at an address that has a token in it. Its row in `feed` is 'partner/<id>'.
# Written by feeds/partner_feeds.py.
partner_feed = Table(
    "partner_feed",
    metadata,
    Column("id", Id, primary_key=True),
    Column("partner_id", Id, ForeignKey("partner.id"), nullable=False, index=True),
    Column("all_sections", Boolean, nullable=False),  # else: rows in partner_feed_section
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("fetched_at", Instant),  # the last time that it was read, or found unchanged
    Column("fetches", BigInteger, nullable=False, server_default=text("0")),
)

# A section that a partner's feed shows. Written by feeds/partner_feeds.py.
partner_feed_section = Table(
    "partner_feed_section",
    metadata,
    Column("partner_feed_id", Id, ForeignKey("partner_feed.id"), primary_key=True),
    Column("section_id", Id, ForeignKey("section.id"), primary_key=True),
)

# The token in an address of a partner's feed, as SHA-256. Numbered 1, 2, 3… per feed, in the order of making.
# Written by feeds/partner_feeds.py.
feed_token = Table(
    "feed_token",
    metadata,
    Column("id", Id, primary_key=True),
    Column("partner_feed_id", Id, ForeignKey("partner_feed.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("until", Instant),  # it was replaced, and works until then
    Column("fetched_at", Instant),
    Column("fetches", BigInteger, nullable=False, server_default=text("0")),
    Column("refused_at", Instant),  # when it was last tried after its end, to the minute
    UniqueConstraint("partner_feed_id", "number"),
)

# The stories that a partner's feed showed, by whichever of its tokens: of these, and no others, it has notices.
# Written by feeds/fetches.py.
feed_shown = Table(
    "feed_shown",
    metadata,
    Column("partner_feed_id", Id, ForeignKey("partner_feed.id"), primary_key=True),
    Column("article_id", Id, ForeignKey("article.id"), primary_key=True, index=True),
)

# The evidence: the answer to each fetch, written before it goes out. The newest of each feed stay.
# Written by feeds/fetches.py.
feed_fetch = Table(
    "feed_fetch",
    metadata,
    Column("id", Id, primary_key=True),
    Column("partner_feed_id", Id, ForeignKey("partner_feed.id"), nullable=False),
    Column("token", Integer, nullable=False),  # its number
    Column("at", Instant, nullable=False),
    Column("method", Text, nullable=False),  # 'GET', 'HEAD'
    Column("format", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("etag", Text, nullable=False),  # of the very document that was answered from
    Column("agent", Text),  # the start of the User-Agent
    Index("ix_feed_fetch_newest", "partner_feed_id", "id"),
)
