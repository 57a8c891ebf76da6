"""What campaigns are found by is not checked, and found by itself alone.

There are six for each comment, and the index and the foreign key cost more than what they are
for. SQLite writes the table anew: some seconds with a million comments.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_KEY = "fk_campaign_bands_campaign_id"
_INDEX = "ix_campaign_bands_campaign_id"


def upgrade() -> None:
    """Drop them; a campaign that an older version deletes leaves bands that lead nowhere."""
    with op.batch_alter_table("campaign_bands") as table:
        table.drop_index(_INDEX)
        table.drop_constraint(_KEY, type_="foreignkey")


def downgrade() -> None:
    """Make them anew, without the bands that lead nowhere."""
    bands = sa.table("campaign_bands", sa.column("campaign_id"))
    campaigns = sa.table("campaigns", sa.column("id"))
    op.execute(sa.delete(bands).where(bands.c.campaign_id.not_in(sa.select(campaigns.c.id))))
    with op.batch_alter_table("campaign_bands") as table:
        table.create_foreign_key(_KEY, "campaigns", ["campaign_id"], ["id"], ondelete="CASCADE")
        table.create_index(_INDEX, ["campaign_id"])
