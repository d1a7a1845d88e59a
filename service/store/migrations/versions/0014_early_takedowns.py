"""Takedowns that overtake their stories, the time at which a system made a story, and what an outlet wants of a story
that leaves its sections.

All of it is added: an older version goes on beside it, and notes none of these.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "early_takedown",
        sa.Column("source_id", _ID, autoincrement=False, nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("source_updated_at", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_early_takedown_source_id")),
        sa.PrimaryKeyConstraint("source_id", "external_id", name=op.f("pk_early_takedown")),
    )
    op.create_index(op.f("ix_early_takedown_received_at"), "early_takedown", ["received_at"])
    op.add_column("article", sa.Column("source_created_at", sa.BigInteger(), nullable=True))
    op.add_column(
        "endpoint", sa.Column("on_leave", sa.Text(), nullable=False, server_default=sa.text("'update'"))
    )


def downgrade() -> None:
    op.drop_column("endpoint", "on_leave")
    op.drop_column("article", "source_created_at")
    op.drop_table("early_takedown")
