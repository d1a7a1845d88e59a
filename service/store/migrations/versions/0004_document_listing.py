"""What documents there are can be told without touching their bodies."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_document_listing", "document", ["feed", "format", "etag"], unique=False)
