"""Stories that an embargo took back return by themselves; pushes under embargo have no number yet; failing is summed up.

The version before goes on: it knows none of the columns and leaves them as they are. What it numbered under embargo
gets its number anew when it becomes due, as all does from now on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_UNNUMBERED = "sequence < 0 AND state IN ('pending', 'waiting')"


def upgrade() -> None:
    op.add_column("article", sa.Column("returns_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_article_returning",
        "article",
        ["returns_at"],
        unique=False,
        sqlite_where=sa.text("returns_at IS NOT NULL AND status = 'withheld'"),
        postgresql_where=sa.text("returns_at IS NOT NULL AND status = 'withheld'"),
    )
    op.create_index(
        "ix_article_killed",
        "article",
        ["source_id", "content_hash"],
        unique=False,
        sqlite_where=sa.text("killed_by_desk"),
        postgresql_where=sa.text("killed_by_desk"),
    )
    op.add_column("feed", sa.Column("hidden", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.add_column("endpoint", sa.Column("failing_seconds", sa.Float(), nullable=True))
    op.create_index(
        "ix_delivery_unnumbered",
        "delivery",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text(_UNNUMBERED),
        postgresql_where=sa.text(_UNNUMBERED),
    )
    op.execute(
        "UPDATE feed SET hidden = true WHERE sequence = 0 AND EXISTS (SELECT 1 FROM placement p WHERE p.feed = feed.slug)"
        " AND (slug LIKE 'package/%' OR slug LIKE 'language/%' OR slug LIKE 'source/%')"
    )
    op.execute("DELETE FROM document WHERE feed IN (SELECT slug FROM feed WHERE hidden)")
    op.execute(
        "UPDATE delivery SET sequence = -event_id WHERE state = 'pending' AND attempts = 0 AND replay = 0"
        " AND priority > 0 AND sequence > 0 AND EXISTS (SELECT 1 FROM article a WHERE a.id = delivery.article_id"
        " AND a.embargo_until >= delivery.due_at AND delivery.due_at > delivery.created_at)"
    )


def downgrade() -> None:
    # The version before reads a number wherever it is: below zero it shows it to nobody.
    op.drop_index("ix_delivery_unnumbered", table_name="delivery")
    op.drop_column("endpoint", "failing_seconds")
    op.drop_column("feed", "hidden")
    op.drop_index("ix_article_killed", table_name="article")
    op.drop_index("ix_article_returning", table_name="article")
    op.drop_column("article", "returns_at")
