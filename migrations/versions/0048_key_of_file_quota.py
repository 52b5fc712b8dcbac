"""The setting of the space for files of all records is stored under the key file_total_mb.

The row of the former key stays: the former version reads it while servers are updated one after the other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

_COPY = """INSERT INTO business_setting (`key`, value, changed_on)
    SELECT :new, value, changed_on FROM business_setting WHERE `key` = :old"""


def upgrade() -> None:
    op.get_bind().execute(sa.text(_COPY), {"new": "file_total_mb", "old": "file_house_mb"})


def downgrade() -> None:
    values = {"new": "file_total_mb", "old": "file_house_mb"}
    connection = op.get_bind()
    connection.execute(sa.text("DELETE FROM business_setting WHERE `key` = :old"), values)
    connection.execute(sa.text("UPDATE business_setting SET `key` = :old WHERE `key` = :new"), values)
