"""Files of messages in rows of their own, and our reactions on their way to providers."""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
PREFIX = "file:"
#: Rows of one INSERT.
BATCH = 500


def upgrade() -> None:
    op.create_table(
        "message_file",
        sa.Column("id", sa.Integer(), primary_key=True),
        _message(),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64)),
        sa.Column("size", sa.Integer()),
        sa.Column("preview", sa.String(64)),
        *_delivery(),
        sa.UniqueConstraint("message_id", "place", name="uq_message_file"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_message_file_digest", "message_file", ["digest"])
    op.create_index("ix_message_file_preview", "message_file", ["preview"])
    op.create_index("ix_message_file_due", "message_file", ["state", "next_try_on"])
    op.create_table(
        "message_reaction",
        sa.Column("id", sa.Integer(), primary_key=True),
        _message(unique=True),
        sa.Column("emoji", sa.String(16), nullable=False),
        *_delivery(),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_message_reaction_due", "message_reaction", ["state", "next_try_on"])
    op.create_index("ix_mail_original", "mail", ["original"])
    _take_over()


def _message(**options: bool) -> sa.Column:
    return sa.Column(
        "message_id", sa.Integer(), sa.ForeignKey("message.id", ondelete="CASCADE"), nullable=False, **options
    )


def _delivery() -> tuple[sa.Column, ...]:
    return (
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error", sa.String(300)),
        sa.Column("began_on", MOMENT),
        sa.Column("next_try_on", MOMENT),
    )


def _take_over() -> None:
    """A row for each file of the messages that are here. Those at a provider fail at once, to be fetched by a person:
    providers keep files for some days only, and thousands of old ones must not hold up the new."""
    connection = op.get_bind()
    message = sa.table("message", sa.column("id"), sa.column("media"))
    made = sa.table("message_file", *(sa.column(name) for name in ("message_id", "place", "digest", "state", "error")))
    has_files = sa.and_(message.c.media.is_not(None), sa.cast(message.c.media, sa.Text) != "null")
    last = 0
    while True:
        query = sa.select(message.c.id, message.c.media).where(has_files, message.c.id > last)
        rows = connection.execute(query.order_by(message.c.id).limit(BATCH)).all()
        if not rows:
            return
        last = rows[-1].id
        files = [each for row in rows for each in _files(row.id, row.media)]
        if files:
            connection.execute(sa.insert(made), files)


def _files(message_id: int, media: object) -> list[dict[str, object]]:
    listed = json.loads(media) if isinstance(media, str | bytes) else media
    found = []
    for place, each in enumerate(listed if isinstance(listed, list) else ()):
        address = str(each.get("address") or "")
        is_here = address.startswith(PREFIX)
        found.append(
            {
                "message_id": message_id,
                "place": place,
                "digest": address.removeprefix(PREFIX)[:64] if is_here else None,
                "state": "sent" if is_here else "failed",
                "error": None if is_here else "It has not been fetched from the provider yet.",
            }
        )
    return found


def downgrade() -> None:
    op.drop_index("ix_mail_original", "mail")
    op.drop_table("message_reaction")
    op.drop_table("message_file")
