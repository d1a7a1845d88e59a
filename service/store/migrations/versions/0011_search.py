"""A search that knows every article: its words, the revision that they are of, and an index over them; and notices by
endpoint and partner.

All of it is added. The version before writes no words; its articles are in `ix_article_wordless`, as are all that were
there before, until the sweep has written their words.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WORDLESS = sa.text("words_revision IS NULL OR words_revision < revision")
_REMOVE = (
    "INSERT INTO article_search_index (article_search_index, rowid, words)"
    " VALUES ('delete', old.article_id, old.words);"
)
_ADD = "INSERT INTO article_search_index (rowid, words) VALUES (new.article_id, new.words);"
# Words are split and folded by `articles/search_words.py`, in any script alike: the index takes them as they are.
_INDEX = (
    "CREATE VIRTUAL TABLE article_search_index USING fts5(words, content = 'article_search',"
    " content_rowid = 'article_id', tokenize = 'ascii', detail = none, columnsize = 0)"
)
_TRIGGERS = (
    f"CREATE TRIGGER article_search_taken AFTER UPDATE ON article_search WHEN old.in_index BEGIN {_REMOVE} END",
    f"CREATE TRIGGER article_search_added AFTER UPDATE ON article_search WHEN new.in_index BEGIN {_ADD} END",
    f"CREATE TRIGGER article_search_removed AFTER DELETE ON article_search WHEN old.in_index BEGIN {_REMOVE} END",
)


def upgrade() -> None:
    op.create_table(
        "article_search",
        sa.Column("article_id", _ID, autoincrement=False, nullable=False),
        sa.Column("words", postgresql.TSVECTOR().with_variant(sa.Text(), "sqlite"), nullable=False),
        sa.Column("in_index", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("article_id", name=op.f("pk_article_search")),
    )
    op.create_index(
        "ix_article_search_new",
        "article_search",
        ["article_id"],
        sqlite_where=sa.text("NOT in_index"),
        postgresql_where=sa.text("NOT in_index"),
    )
    for name in ("endpoint", "partner"):
        column = f"{name}_id"
        op.create_index(
            f"ix_notice_{name}",
            "notice",
            [column, "id"],
            sqlite_where=sa.text(f"{column} IS NOT NULL"),
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.add_column("article", sa.Column("words_revision", sa.Integer(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        for statement in (_INDEX, *_TRIGGERS):
            op.execute(statement)
    else:
        op.create_index(
            "ix_article_search_words",
            "article_search",
            ["words"],
            postgresql_using="gin",
            # What waits to be sorted in is sorted in by a post: little at a time.
            postgresql_with={"gin_pending_list_limit": 256},
        )
    # Last, for it keeps intake waiting.
    op.create_index(
        "ix_article_wordless", "article", ["id"], sqlite_where=_WORDLESS, postgresql_where=_WORDLESS
    )


def downgrade() -> None:
    op.drop_index("ix_article_wordless", table_name="article")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE article_search_index")
    op.drop_table("article_search")
    op.drop_index("ix_notice_partner", table_name="notice")
    op.drop_index("ix_notice_endpoint", table_name="notice")
    op.drop_column("article", "words_revision")
