"""A ticket has a summary: the subject of the email that opened it, which lists show as its title.

Open and closed tickets of emails get it from their first email, where their description begins with its subject.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0049"
branch_labels = None
depends_on = None

_BATCH, _LONGEST = 500, 200
_PREFIXES = re.compile(r"^(?:\s*+(?:re|fwd?|aw|wg|sv|tr)\s*+(?:\[\d{1,3}\]\s*+)?:)+", re.IGNORECASE)
_FOUND = sa.text(
    """SELECT ticket.id, ticket.description, (
        SELECT message.subject FROM message
        WHERE message.ticket_id = ticket.id AND message.channel = 'email' AND message.direction = 'in'
        ORDER BY message.id LIMIT 1
    ) FROM ticket WHERE ticket.source = 'E-mail' AND ticket.id > :last ORDER BY ticket.id LIMIT :most"""
)
# small: each statement names tickets by their ids, 500 at a time
_NAMED = sa.text("UPDATE ticket SET summary = :summary, title = :summary WHERE id = :id")


def upgrade() -> None:
    op.add_column("ticket", sa.Column("summary", sa.String(200), nullable=True))
    connection, last = op.get_bind(), 0
    while rows := connection.execute(_FOUND, {"last": last, "most": _BATCH}).all():
        last = rows[-1][0]
        named = [{"id": key, "summary": summary} for key, text, subject in rows if (summary := _summary(text, subject))]
        if named:
            connection.execute(_NAMED, named)


def _summary(description: str | None, subject: str | None) -> str:
    if not subject or not (description or "").startswith(subject.strip()):
        return ""
    return " ".join(_PREFIXES.sub("", subject).split())[:_LONGEST]


def downgrade() -> None:
    labels = """UPDATE ticket SET title = COALESCE((
        SELECT GROUP_CONCAT(ticket_subject.label) FROM ticket_subject
        JOIN ticket_subjects ON ticket_subjects.subject_id = ticket_subject.id
        WHERE ticket_subjects.ticket_id = ticket.id
    ), '') WHERE summary IS NOT NULL"""
    op.get_bind().execute(sa.text(labels))
    op.drop_column("ticket", "summary")
