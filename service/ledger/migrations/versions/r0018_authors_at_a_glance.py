"""What became of an author's comments is in the index by author, without a look at each of them."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_NEW, _OLD = "ix_comments_site_id_email_status", "ix_comments_site_id_email"
_COLUMNS = ["site_id", "email_normalised", "status"]
# Built ahead of the migration, while comments are written, on a ledger that has the columns:
# since which revision, and on what (`service.operations.schema`).
AHEAD = {_NEW: ("0001", f"comments ({', '.join(_COLUMNS)})")}


def upgrade() -> None:
    """Put the wider index in the place of the one there was."""
    op.create_index(_NEW, "comments", _COLUMNS, if_not_exists=True)
    op.drop_index(_OLD, "comments")


def downgrade() -> None:
    """Put it back."""
    op.create_index(_OLD, "comments", _COLUMNS[:2])
    op.drop_index(_NEW, "comments")
