"""The articles that an endpoint has refused since its last success, so that its circuit can open.

It is added: an older version goes on beside it and leaves the column alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("endpoint", sa.Column("refused", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("endpoint", "refused")
