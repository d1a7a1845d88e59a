"""Feeds of every kind, not only of sections; entries kept; archives. The feeds are asked for anew."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("section", sa.Column("closed_at", sa.BigInteger(), nullable=True))
    for column in (
        sa.Column("born", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("archived", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    ):
        op.add_column("feed", column)
    op.execute(
        "UPDATE feed SET born = slug, wanted = wanted + 1, created_at = coalesce("
        "(SELECT created_at FROM section s WHERE s.slug = feed.slug),"
        " (SELECT min(created_at) FROM section), wanted_at)"
    )
    op.execute("UPDATE feed SET title = 'All sections' WHERE slug = 'all'")
    op.create_table(
        "moved",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["feed"], ["feed.slug"], name=op.f("fk_moved_feed")),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_moved")),
    )
    # No release has had the former table, so nothing has to go on reading it.
    op.execute(
        "CREATE TABLE placed AS SELECT s.slug AS feed, p.article_id, p.listed, p.changed_at"
        " FROM placement p JOIN section s ON s.id = p.section_id"
    )
    op.drop_index("ix_placement_newest", table_name="placement")
    op.drop_index("ix_placement_article", table_name="placement")
    op.drop_table("placement")
    _create_placement()
    # What is taken down is told at once, whatever its embargo; all else is not before it.
    public_from = (
        "CASE WHEN a.status = 'usable' AND a.embargo_until > a.changed_at THEN a.embargo_until"
        " ELSE a.changed_at END"
    )
    op.execute(
        "INSERT INTO placement (feed, article_id, listed, changed_at)"
        f" SELECT p.feed, p.article_id, p.listed, {public_from}"
        " FROM placed p JOIN article a ON a.id = p.article_id JOIN feed f ON f.slug = p.feed"
    )
    op.drop_table("placed")
    _place_articles(op.get_bind(), public_from)
    op.create_table(
        "entry",
        sa.Column("article_id", _ID, nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_entry_article_id")),
        sa.PrimaryKeyConstraint("article_id", "format", name=op.f("pk_entry")),
    )
    op.create_index("ix_entry_made", "entry", ["made_at"], unique=False)
    op.create_table(
        "archive",
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("page", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["feed"], ["feed.slug"], name=op.f("fk_archive_feed")),
        sa.PrimaryKeyConstraint("feed", "page", "format", name=op.f("pk_archive")),
    )
    op.create_index("ix_archive_listing", "archive", ["feed", "page", "format", "etag"], unique=False)
    op.create_index("ix_document_listing", "document", ["feed", "format", "etag"], unique=False)
    op.create_index(
        "ix_archive_due",
        "archive",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )


def _create_placement() -> None:
    op.create_table(
        "placement",
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("article_id", _ID, nullable=False),
        sa.Column("listed", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_placement_article_id")),
        sa.ForeignKeyConstraint(["feed"], ["feed.slug"], name=op.f("fk_placement_feed")),
        sa.PrimaryKeyConstraint("feed", "article_id", name=op.f("pk_placement")),
        sa.UniqueConstraint("feed", "sequence", name=op.f("uq_placement_feed_sequence")),
    )
    op.create_index("ix_placement_article", "placement", ["article_id"], unique=False)
    op.create_index("ix_placement_newest", "placement", ["feed", "changed_at"], unique=False)
    op.create_index(
        "ix_placement_unnumbered",
        "placement",
        ["feed"],
        unique=False,
        sqlite_where=sa.text("sequence IS NULL"),
        postgresql_where=sa.text("sequence IS NULL"),
    )


def _place_articles(connection: sa.Connection, public_from: str) -> None:
    """Places the articles that were routed under sections alone in the feeds of the other kinds too."""
    made: set[str] = set()
    for article, changed_at, definitions in _articles(connection, public_from):
        for each in definitions:
            if each.slug not in made:
                made.add(each.slug)
                connection.execute(_MAKE, {"slug": each.slug, "title": each.title, "language": each.language})
            row = {"feed": each.slug, "article": article, "changed_at": changed_at}
            connection.execute(_PLACE, row)


def _articles(connection: sa.Connection, public_from: str) -> Iterator[tuple[int, int, list[_FeedKind]]]:
    query = sa.text(
        f"SELECT a.id, {public_from} AS changed_at, r.content, s.slug, s.name FROM article a"
        " JOIN revision r ON r.article_id = a.id AND r.number = a.revision"
        " JOIN source s ON s.id = a.source_id"
        " WHERE a.id > :last AND EXISTS (SELECT 1 FROM event e"
        "  WHERE e.article_id = a.id AND e.routed_at IS NOT NULL) ORDER BY a.id LIMIT 500"
    )
    last = 0
    while rows := connection.execute(query, {"last": last}).all():
        for last, changed_at, content, slug, name in rows:
            yield last, changed_at, _stands_in(json.loads(content), (slug, name))


_MAKE = sa.text(
    "INSERT INTO feed (slug, born, title, language, created_at, wanted, built, wanted_at)"
    " SELECT :slug, :slug, :title, :language, max(created_at), 1, 0, max(wanted_at) FROM feed"
    " WHERE true ON CONFLICT (slug) DO NOTHING"
)
_PLACE = sa.text(
    "INSERT INTO placement (feed, article_id, changed_at) VALUES (:feed, :article, :changed_at)"
    " ON CONFLICT (feed, article_id) DO NOTHING"
)


# The kinds of feeds as they were when this migration landed: the living module may change, this copy never does.
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_OTHER = re.compile(r"[^a-z0-9]+")
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:-([a-z]{4}))?(?:-.*)?")
_NAMES = {
    "ar": "العربية", "bn": "বাংলা", "de": "Deutsch", "en": "English", "es": "Español", "fa": "فارسی",
    "fr": "Français", "hi": "हिन्दी", "id": "Bahasa Indonesia", "it": "Italiano", "ja": "日本語",
    "ko": "한국어", "ms": "Bahasa Melayu", "pa": "ਪੰਜਾਬੀ", "ps": "پښتو", "pt": "Português", "ru": "Русский",
    "sd": "سنڌي", "sw": "Kiswahili", "ta": "தமிழ்", "th": "ไทย", "tr": "Türkçe", "uk": "Українська",
    "ur": "اردو", "vi": "Tiếng Việt", "zh": "中文", "zh-hans": "简体中文", "zh-hant": "繁體中文",
}  # fmt: skip


class _FeedKind(NamedTuple):
    slug: str
    title: str | None = None
    language: str | None = None


def _stands_in(content: Mapping[str, Any], source: tuple[str, str]) -> list[_FeedKind]:
    found = [_FeedKind("all", "All sections")]
    found += [_package(name) for name in content.get("packages", ())]
    found += _languages(content.get("language"))
    found.append(_FeedKind(f"source/{source[0]}", source[1]))
    return list({each.slug: each for each in reversed(found)}.values())[::-1]


def _package(name: str) -> _FeedKind:
    if _SLUG.fullmatch(name):
        return _FeedKind(f"package/{name}", name)
    folded = unicodedata.normalize("NFKD", name).casefold()
    kept = _OTHER.sub("-", folded).strip("-")[:48].strip("-")
    lost = any(letter.isalnum() and not letter.isascii() for letter in folded) or len(folded) > 48 or not kept
    digest = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8] if lost else ""
    return _FeedKind("package/" + "-".join(filter(None, (kept, digest))), name)


def _languages(tag: str | None) -> Iterable[_FeedKind]:
    parts = _LANGUAGE.fullmatch((tag or "").lower())
    if not parts:
        return
    primary, script = parts.groups()
    yield _FeedKind(f"language/{primary}", _NAMES.get(primary, primary), primary)
    if script:
        slug = f"{primary}-{script}"
        yield _FeedKind(f"language/{slug}", _NAMES.get(slug, slug), f"{primary}-{script.title()}")


def downgrade() -> None:
    op.drop_index("ix_document_listing", table_name="document")
    op.drop_table("archive")
    op.drop_table("entry")
    op.execute(
        "CREATE TABLE placed AS SELECT s.id AS section_id, p.article_id, p.listed, p.changed_at"
        " FROM placement p JOIN section s ON s.slug = p.feed"
    )
    op.drop_table("placement")
    op.create_table(
        "placement",
        sa.Column("section_id", _ID, nullable=False),
        sa.Column("article_id", _ID, nullable=False),
        sa.Column("listed", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_placement_article_id")),
        sa.ForeignKeyConstraint(["section_id"], ["section.id"], name=op.f("fk_placement_section_id")),
        sa.PrimaryKeyConstraint("section_id", "article_id", name=op.f("pk_placement")),
    )
    op.create_index("ix_placement_article", "placement", ["article_id"], unique=False)
    op.create_index("ix_placement_newest", "placement", ["section_id", "changed_at"], unique=False)
    op.execute(
        "INSERT INTO placement (section_id, article_id, listed, changed_at)"
        " SELECT section_id, article_id, listed, changed_at FROM placed"
    )
    op.drop_table("placed")
    op.drop_table("moved")
    op.execute("DELETE FROM document WHERE feed LIKE '%/%' OR format = 'html'")
    op.execute("DELETE FROM feed WHERE slug LIKE '%/%'")
    for column in ("archived", "sequence", "closed_at", "created_at", "language", "title", "born"):
        op.drop_column("feed", column)
    op.drop_column("section", "closed_at")
