"""Search: the terms of each decided comment with their index, and saved filters.

Comments that are there already are entered by the sweeper, not here: that may take minutes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")

# FTS5 reads the terms from the table of entries; these keep what it made of them in step.
_SQLITE = (
    (
        "CREATE VIRTUAL TABLE search_words USING fts5(words, content='search_entries',"
        " content_rowid='number', tokenize='ascii', detail=none, columnsize=0)"
    ),
    (
        "CREATE TRIGGER search_entry_added AFTER INSERT ON search_entries BEGIN"
        " INSERT INTO search_words (rowid, words) VALUES (new.number, new.words); END"
    ),
    (
        "CREATE TRIGGER search_entry_gone AFTER DELETE ON search_entries BEGIN"
        " INSERT INTO search_words (search_words, rowid, words)"
        " VALUES ('delete', old.number, old.words); END"
    ),
    (
        "CREATE TRIGGER search_entry_fixed BEFORE UPDATE ON search_entries BEGIN"
        " SELECT RAISE(ABORT, 'an entry is made anew, not changed'); END"
    ),
    (
        "CREATE TRIGGER search_text_changed AFTER UPDATE OF name, email, body ON comments BEGIN"
        " DELETE FROM search_entries WHERE comment_id = old.id; END"
    ),
)
# Its cost keeps the planner from working the terms of every comment out instead of reading the
# index, however common it takes a word to be.
_POSTGRES = (
    (
        "CREATE FUNCTION search_terms(words text) RETURNS tsvector LANGUAGE plpgsql"
        " IMMUTABLE STRICT PARALLEL SAFE COST 10000"
        " AS $$ BEGIN RETURN array_to_tsvector(string_to_array(btrim(words), ' ')); END $$"
    ),
    (
        "CREATE INDEX ix_search_entries_words ON search_entries USING gin (search_terms(words))"
        " WITH (gin_pending_list_limit = 1024)"
    ),
    (
        "CREATE FUNCTION search_forget() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN DELETE FROM search_entries WHERE comment_id = old.id; RETURN NULL; END $$"
    ),
    (
        "CREATE TRIGGER search_text_changed AFTER UPDATE OF name, email, body ON comments"
        " FOR EACH ROW EXECUTE FUNCTION search_forget()"
    ),
)


def upgrade() -> None:
    """Make the tables, and remember from where comments have to be entered."""
    op.create_table(
        "search_entries",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite")),
        sa.Column(
            "comment_id",
            ID,
            sa.ForeignKey("comments.id", name="fk_search_entries_comment_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("words", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_search_entries"),
        sa.UniqueConstraint("comment_id", name="uq_search_entries_comment_id"),
    )
    op.create_table(
        "search_fill",
        sa.Column("id", sa.Integer, autoincrement=False),
        sa.Column("next_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_fill"),
        sa.CheckConstraint("id = 1", name="ck_search_fill_single"),
    )
    op.create_table(
        "saved_filters",
        sa.Column(
            "site_id",
            ID,
            sa.ForeignKey("sites.id", name="fk_saved_filters_site_id", ondelete="CASCADE"),
        ),
        sa.Column("place", sa.Integer, autoincrement=False),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("made_by", sa.String(60), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "place", name="pk_saved_filters"),
        sa.UniqueConstraint("site_id", "name", name="uq_saved_filters_site_id_name"),
        sa.CheckConstraint("place BETWEEN 1 AND 50", name="ck_saved_filters_place"),
    )
    for statement in _SQLITE if _is_sqlite() else _POSTGRES:
        op.execute(statement)
    op.execute(
        "INSERT INTO search_fill (id, next_id) SELECT 1, id FROM comments ORDER BY id DESC LIMIT 1"
    )


def downgrade() -> None:
    """Drop all of it."""
    if _is_sqlite():
        op.execute("DROP TRIGGER search_text_changed")
        op.execute("DROP TABLE search_words")
    else:
        op.execute("DROP TRIGGER search_text_changed ON comments")
        op.execute("DROP FUNCTION search_forget()")
    for table in ("saved_filters", "search_fill", "search_entries"):
        op.drop_table(table)
    if not _is_sqlite():
        op.execute("DROP FUNCTION search_terms(text)")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
