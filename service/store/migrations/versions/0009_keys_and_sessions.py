"""Keys that are replaced, sessions that end, limits on guessing, and hashes of wiped answers.

All of it is added: an older version goes on beside it. It knows only the newest key of a source or a partner, and the
key of a removed partner fits nothing, so that it refuses that key too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "replaced_key",
        sa.Column("id", _ID, nullable=False),
        sa.Column("source_id", _ID, nullable=True),
        sa.Column("partner_id", _ID, nullable=True),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_replaced_key_source_id")),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_replaced_key_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replaced_key")),
        sa.UniqueConstraint("key_id", name=op.f("uq_replaced_key_key_id")),
    )
    op.create_table(
        "operator_session",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_operator_session")),
    )
    op.create_index("ix_operator_session_until", "operator_session", ["until"])
    op.create_table(
        "auth_limit",
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("window_at", sa.BigInteger(), nullable=False),
        sa.Column("success_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("door", "address", name=op.f("pk_auth_limit")),
    )
    op.create_index("ix_auth_limit_window", "auth_limit", ["window_at"])
    op.add_column("partner", sa.Column("removed_at", sa.BigInteger(), nullable=True))
    op.add_column("attempt", sa.Column("answer_hash", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("attempt", "answer_hash")
    op.drop_column("partner", "removed_at")
    op.drop_table("auth_limit")
    op.drop_table("operator_session")
    op.drop_table("replaced_key")
