"""Notices of what was taken down are found by an index of their own; the feeds that lack some are asked for anew."""

import sqlalchemy as sa
import zstandard
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("placement", sa.Column("withdrawn", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE placement SET listed = false, withdrawn = (SELECT CASE WHEN a.status = 'unpublished' THEN 2 ELSE 1 END"
        " FROM article a WHERE a.id = placement.article_id)"
        " WHERE article_id IN (SELECT id FROM article WHERE status <> 'usable')"
    )
    op.drop_index("ix_placement_newest", table_name="placement")
    op.create_index(
        "ix_placement_newest",
        "placement",
        ["feed", "changed_at"],
        unique=False,
        sqlite_where=sa.text("listed"),
        postgresql_where=sa.text("listed"),
    )
    op.create_index(
        "ix_placement_withdrawn",
        "placement",
        ["feed", "withdrawn", "changed_at"],
        unique=False,
        sqlite_where=sa.text("withdrawn IS NOT NULL"),
        postgresql_where=sa.text("withdrawn IS NOT NULL"),
    )
    op.execute(
        "UPDATE feed SET wanted = wanted + 1 WHERE slug LIKE 'partner/%' OR EXISTS"
        " (SELECT 1 FROM placement p WHERE p.feed = feed.slug AND p.withdrawn IS NOT NULL)"
    )


def downgrade() -> None:
    _unpack("document", ("feed", "format"))
    _unpack("archive", ("feed", "page", "format"))
    op.drop_index("ix_placement_withdrawn", table_name="placement")
    op.drop_index("ix_placement_newest", table_name="placement")
    op.create_index("ix_placement_newest", "placement", ["feed", "changed_at"], unique=False)
    op.drop_column("placement", "withdrawn")


def _unpack(table: str, key: tuple[str, ...]) -> None:
    """Documents lie there compressed by now, which the version before does not know."""
    connection = op.get_bind()
    this = " AND ".join(f"{name} = :{name}" for name in key)
    rows = connection.execute(sa.text(f"SELECT {', '.join(key)} FROM {table}")).mappings().all()
    for row in rows:
        where = dict(row)
        body = bytes(
            connection.execute(sa.text(f"SELECT body FROM {table} WHERE {this}"), where).scalar_one()
        )
        if body.startswith(b"\x28\xb5\x2f\xfd"):
            where["body"] = zstandard.ZstdDecompressor().decompress(body)
            connection.execute(sa.text(f"UPDATE {table} SET body = :body WHERE {this}"), where)
