"""Do-not-disturb lists are read from the storage of files; their wrong lines are rows. Emails have several recipients.

Lists that are being read at the upgrade lie in the folder of one server: they are marked, and uploaded once more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None

AGAIN = "The CRM was upgraded while this list was being read. Please upload it again."


def upgrade() -> None:
    with op.batch_alter_table("dnd_upload", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(sa.Column("digest", sa.String(64)))
        batch.drop_column("wrong_size")  # contract: 1.0.0, its wrong lines are rows
    op.create_index("ix_dnd_upload_digest", "dnd_upload", ["digest"])
    op.create_table(
        "dnd_wrong_line",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("upload_id", sa.Integer(), sa.ForeignKey("dnd_upload.id", ondelete="CASCADE"), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(200), nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dnd_wrong_line", "dnd_wrong_line", ["upload_id", "line"])
    op.add_column("mail", sa.Column("also_to", sa.JSON()))
    uploads = sa.table("dnd_upload", sa.column("state", sa.String), sa.column("error", sa.String))
    op.execute(uploads.update().where(uploads.c.state == "reading").values(state="failed", error=AGAIN))


def downgrade() -> None:
    with op.batch_alter_table("mail", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_column("also_to")
    op.drop_table("dnd_wrong_line")
    op.drop_index("ix_dnd_upload_digest", "dnd_upload")
    with op.batch_alter_table("dnd_upload", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(sa.Column("wrong_size", sa.Integer(), nullable=False, server_default="0"))
        batch.drop_column("digest")
