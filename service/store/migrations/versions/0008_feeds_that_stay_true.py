"""When a story last left each feed, by index; and the stories that each partner's own feed showed.

A feed's `updated` never goes back, though its newest story moves away. And a partner's own feed has notices only of
stories that it showed: so far every feed of a partner counts as having shown what any of them did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "feed_shown",
        sa.Column("partner_feed_id", _ID, nullable=False),
        sa.Column("article_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_feed_id"], ["partner_feed.id"], name=op.f("fk_feed_shown_partner_feed_id")
        ),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_feed_shown_article_id")),
        sa.PrimaryKeyConstraint("partner_feed_id", "article_id", name=op.f("pk_feed_shown")),
    )
    op.create_index("ix_feed_shown_article_id", "feed_shown", ["article_id"], unique=False)
    op.execute(
        "INSERT INTO feed_shown (partner_feed_id, article_id) SELECT DISTINCT f.id, r.article_id"
        " FROM partner_feed f JOIN receipt r ON r.partner_id = f.partner_id AND r.endpoint_id = 0"
    )
    op.create_index(
        "ix_placement_left",
        "placement",
        ["feed", "changed_at"],
        unique=False,
        sqlite_where=sa.text("NOT listed"),
        postgresql_where=sa.text("NOT listed"),
    )


def downgrade() -> None:
    op.drop_index("ix_placement_left", table_name="placement")
    op.drop_index("ix_feed_shown_article_id", table_name="feed_shown")
    op.drop_table("feed_shown")
