"""Partners' own feeds, their tokens, and the evidence of who fetched what; notices about a partner."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("document", sa.Column("stories", sa.Text(), nullable=True))
    op.add_column("document", sa.Column("noted", sa.Text(), nullable=True))
    op.add_column("notice", sa.Column("partner_id", _ID, nullable=True))
    op.create_index(
        "ix_article_withdrawn",
        "article",
        ["changed_at"],
        unique=False,
        sqlite_where=sa.text("status <> 'usable'"),
        postgresql_where=sa.text("status <> 'usable'"),
    )
    op.create_table(
        "partner_feed",
        sa.Column("id", _ID, nullable=False),
        sa.Column("partner_id", _ID, nullable=False),
        sa.Column("all_sections", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("fetched_at", sa.BigInteger(), nullable=True),
        sa.Column("fetches", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_partner_feed_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partner_feed")),
    )
    op.create_index("ix_partner_feed_partner_id", "partner_feed", ["partner_id"], unique=False)
    op.create_table(
        "partner_feed_section",
        sa.Column("partner_feed_id", _ID, nullable=False),
        sa.Column("section_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_feed_id"], ["partner_feed.id"], name=op.f("fk_partner_feed_section_partner_feed_id")
        ),
        sa.ForeignKeyConstraint(
            ["section_id"], ["section.id"], name=op.f("fk_partner_feed_section_section_id")
        ),
        sa.PrimaryKeyConstraint("partner_feed_id", "section_id", name=op.f("pk_partner_feed_section")),
    )
    op.create_table(
        "feed_token",
        sa.Column("id", _ID, nullable=False),
        sa.Column("partner_feed_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("fetched_at", sa.BigInteger(), nullable=True),
        sa.Column("fetches", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["partner_feed_id"], ["partner_feed.id"], name=op.f("fk_feed_token_partner_feed_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_feed_token_hash")),
        sa.UniqueConstraint("partner_feed_id", "number", name=op.f("uq_feed_token_partner_feed_id_number")),
    )
    op.create_table(
        "feed_fetch",
        sa.Column("id", _ID, nullable=False),
        sa.Column("partner_feed_id", _ID, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["partner_feed_id"], ["partner_feed.id"], name=op.f("fk_feed_fetch_partner_feed_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_fetch")),
    )
    op.create_index("ix_feed_fetch_newest", "feed_fetch", ["partner_feed_id", "id"], unique=False)


def downgrade() -> None:
    for table in ("feed_fetch", "feed_token", "partner_feed_section", "partner_feed"):
        op.drop_table(table)
    op.execute("DELETE FROM document WHERE feed LIKE 'partner/%'")
    op.execute("DELETE FROM feed WHERE slug LIKE 'partner/%'")
    op.drop_index("ix_article_withdrawn", table_name="article")
    op.drop_column("notice", "partner_id")
    op.drop_column("document", "noted")
    op.drop_column("document", "stories")
