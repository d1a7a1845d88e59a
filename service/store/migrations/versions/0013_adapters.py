"""Settings of sources, hooks as they came, and how far each source has been compared with its system.

All of it is added: an older version goes on beside it, and knows native sources alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "source_settings",
        sa.Column("id", _ID, nullable=False),
        sa.Column("source_id", _ID, nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("fields", sa.Text(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("section_map", sa.Text(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("default_section", sa.Text(), nullable=True),
        sa.Column("unknown_sections", sa.Text(), nullable=False, server_default=sa.text("'keep'")),
        sa.Column("takedown_limit", sa.Integer(), nullable=False, server_default=sa.text("20")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_source_settings_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_settings")),
        sa.UniqueConstraint("source_id", name=op.f("uq_source_settings_source_id")),
        sa.CheckConstraint(
            "unknown_sections IN ('keep', 'hold')", name=op.f("ck_source_settings_unknown_sections")
        ),
    )
    op.create_table(
        "hook",
        sa.Column("id", _ID, nullable=False),
        sa.Column("source_id", _ID, nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("last_received_at", sa.BigInteger(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("articles", sa.Text(), nullable=False, server_default=sa.text("'[]'")),
        sa.Column("takedown", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("ids_left", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("next_try_at", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_hook_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hook")),
        sa.UniqueConstraint(
            "source_id", "content_hash", "period", name=op.f("uq_hook_source_id_content_hash_period")
        ),
        sa.CheckConstraint("state IN ('queued', 'done', 'held', 'ignored')", name=op.f("ck_hook_state")),
    )
    op.create_index(
        "ix_hook_due",
        "hook",
        ["next_try_at"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index("ix_hook_source", "hook", ["source_id", "state", "id"])
    op.create_index("ix_hook_received", "hook", ["received_at"])
    op.create_index("ix_article_source_changed", "article", ["source_id", "changed_at"])
    op.create_table(
        "source_sync",
        sa.Column("source_id", _ID, autoincrement=False, nullable=False),
        sa.Column("changes_due_at", sa.BigInteger(), nullable=True),
        sa.Column("sweep_due_at", sa.BigInteger(), nullable=True),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_since", sa.BigInteger(), nullable=True),
        sa.Column("changes_at", sa.BigInteger(), nullable=True),
        sa.Column("swept_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("missing", sa.Text(), nullable=False, server_default=sa.text("'[]'")),
        sa.Column("missing_since", sa.BigInteger(), nullable=True),
        sa.Column("baseline", sa.Text(), nullable=True),
        sa.Column("released", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_source_sync_source_id")),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_source_sync")),
    )


def downgrade() -> None:
    op.drop_index("ix_article_source_changed", table_name="article")
    op.drop_table("source_sync")
    op.drop_table("hook")
    op.drop_table("source_settings")
