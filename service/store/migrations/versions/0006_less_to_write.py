"""Less to write for each delivery, and to read for each article.

Every delivery pays for each index three times: two of them go, for others serve as well. What is on the wire is found by
`uq_delivery_flying`; and receipts are asked for by article, which now comes first in their key. Older versions go on: to
them it is the same key.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _set_key("article_id", "partner_id", "endpoint_id")
    op.drop_index("ix_receipt_article", table_name="receipt", if_exists=True)
    # Last, for these keep intake waiting. Events of before, and of an older version that still takes articles in, have
    # no places: of them routing reads the content.
    op.drop_index("ix_delivery_lease", table_name="delivery")
    op.add_column("event", sa.Column("places", sa.Text(), nullable=True))


def downgrade() -> None:
    _set_key("partner_id", "article_id", "endpoint_id", with_rowid=True)
    op.create_index("ix_receipt_article", "receipt", ["article_id"], unique=False)
    op.create_index(
        "ix_delivery_lease",
        "delivery",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.drop_column("event", "places")


def _set_key(*names: str, with_rowid: bool = False) -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint("pk_receipt", "receipt")
        op.create_primary_key("pk_receipt", "receipt", list(names))
        return
    # SQLite cannot change a key: the table is made anew, and without row numbers, which would be a second tree.
    op.create_table(
        "receipt_anew",
        sa.Column("article_id", _ID, nullable=False),
        sa.Column("partner_id", _ID, nullable=False),
        sa.Column("endpoint_id", _ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("held_since", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_receipt_article_id")),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_receipt_partner_id")),
        sa.PrimaryKeyConstraint(*names, name=op.f("pk_receipt")),
        sqlite_with_rowid=with_rowid,
    )
    columns = "article_id, partner_id, endpoint_id, revision, channel, held_since"
    order = ", ".join(names)  # so that the new tree grows at its end
    op.execute(f"INSERT INTO receipt_anew ({columns}) SELECT {columns} FROM receipt ORDER BY {order}")
    op.drop_table("receipt")
    op.rename_table("receipt_anew", "receipt")
