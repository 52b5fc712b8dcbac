"""SLA clocks, notification preferences, deliveries with retries, failed queue calls."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    _clocks()
    _people()
    _assignments()
    _deliveries()
    _failures()
    with op.batch_alter_table("activity") as table:
        table.add_column(sa.Column("edited_on", MOMENT))
    with op.batch_alter_table("job_run") as table:
        table.add_column(sa.Column("ran_by", sa.String(80)))


def _clocks() -> None:
    """The SLA clock of leads and tickets; tickets had a part of it."""
    new = {"leads": ("resolve_due_on", "paused_on"), "ticket": ()}
    for name, more in new.items():
        with op.batch_alter_table(name) as table:
            for column in (*more, "sla_started_on", "sla_on", "reply_late_on", "resolve_late_on"):
                table.add_column(sa.Column(column, MOMENT))
            table.add_column(sa.Column("paused_seconds", sa.Integer(), nullable=False, server_default="0"))
            table.create_index(f"ix_{name}_sla", ["sla_on"])
            if name == "ticket":
                table.create_index("ix_ticket_assignee_status", ["assignee_id", "status_id", "id"])
        rows = sa.table(name, *(sa.column(each) for each in _KNOWN))
        # Clocks that run already began with the record; the next minute looks at each of them once.
        runs = sa.or_(rows.c.reply_due_on.is_not(None), rows.c.resolve_due_on.is_not(None))
        begun = {"sla_started_on": rows.c.created_on, "sla_on": rows.c.created_on}
        op.execute(rows.update().where(runs).values(begun))


_KNOWN = ("created_on", "reply_due_on", "resolve_due_on", "sla_started_on", "sla_on")


def _people() -> None:
    with op.batch_alter_table("ab_user") as table:
        table.add_column(sa.Column("notice_choices", sa.JSON()))
    with op.batch_alter_table("round_robin") as table:
        table.add_column(sa.Column("changed_on", MOMENT))


def _assignments() -> None:
    with op.batch_alter_table("assignment") as table:
        table.add_column(sa.Column("role", sa.String(64)))
        table.add_column(sa.Column("stead_of_id", sa.Integer()))
        table.create_foreign_key("fk_assignment_stead", "ab_user", ["stead_of_id"], ["id"])
        table.create_index("ix_assignment_role", ["role", "id"])
        table.create_index("ix_assignment_stead", ["stead_of_id", "ended_on"])
        table.add_column(sa.Column("open_key", sa.String(40)))
    _name_open_assignments()
    with op.batch_alter_table("assignment") as table:
        table.create_unique_constraint("uq_assignment_open", ["open_key"])
    rows = sa.table("assignment", sa.column("role"), sa.column("decision"))
    read = "JSON_VALUE" if op.get_bind().dialect.name in ("mysql", "mariadb") else "json_extract"
    role = sa.literal_column(f"{read}(decision, '$.role')")
    op.execute(rows.update().where(role.is_not(None)).values(role=role))


def _name_open_assignments() -> None:
    """Each open assignment gets its key; if a person has several of one record, the older ones end."""
    names = ("id", "lead_id", "ticket_id", "user_id", "started_on", "ended_on", "open_key")
    rows = sa.table("assignment", *(sa.column(each) for each in names)).c
    newest = sa.select(sa.func.max(rows.id).label("id")).where(rows.ended_on.is_(None))
    newest = sa.select(newest.group_by(rows.lead_id, rows.ticket_id, rows.user_id).subquery().c.id)
    for table, column in (("leads", rows.lead_id), ("ticket", rows.ticket_id)):
        key = sa.literal(f"{table}:") + sa.cast(column, sa.String(12)) + ":" + sa.cast(rows.user_id, sa.String(12))
        which = (column.is_not(None), rows.ended_on.is_(None), rows.id.in_(newest))
        op.execute(sa.update(rows.id.table).where(*which).values(open_key=key))
    left = (rows.ended_on.is_(None), rows.open_key.is_(None))
    op.execute(sa.update(rows.id.table).where(*left).values(ended_on=rows.started_on))


def _deliveries() -> None:
    with op.batch_alter_table("delivery") as table:
        table.add_column(sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("next_try_on", MOMENT))
        table.add_column(sa.Column("error", sa.String(300)))
        table.create_index("ix_delivery_due", ["state", "next_try_on"])


def _failures() -> None:
    op.create_table(
        "failed_call",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("queue", sa.String(16), nullable=False),
        sa.Column("function", sa.String(120), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(500), nullable=False),
        sa.Column("failed_on", MOMENT, nullable=False),
        sa.Column("settled_on", MOMENT),
        sa.Column("settled_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("outcome", sa.String(16)),
    )
    op.create_index("ix_failed_call_open", "failed_call", ["settled_on", "id"])


def downgrade() -> None:
    op.drop_table("failed_call")
    for name, columns in (
        ("job_run", ("ran_by",)),
        ("activity", ("edited_on",)),
        ("delivery", ("tries", "next_try_on", "error")),
        ("assignment", ("role", "stead_of_id", "open_key")),
        ("round_robin", ("changed_on",)),
        ("ab_user", ("notice_choices",)),
        ("ticket", ("sla_started_on", "sla_on", "reply_late_on", "resolve_late_on", "paused_seconds")),
        (
            "leads",
            (
                "resolve_due_on",
                "paused_on",
                "sla_started_on",
                "sla_on",
                "reply_late_on",
                "resolve_late_on",
                "paused_seconds",
            ),
        ),
    ):
        with op.batch_alter_table(name) as table:
            for index in _INDEXES.get(name, ()):
                table.drop_index(index)
            if name == "assignment":
                table.drop_constraint("fk_assignment_stead", type_="foreignkey")
                table.drop_constraint("uq_assignment_open", type_="unique")
            for column in columns:
                table.drop_column(column)


_INDEXES = {
    "delivery": ("ix_delivery_due",),
    "assignment": ("ix_assignment_role", "ix_assignment_stead"),
    "ticket": ("ix_ticket_sla", "ix_ticket_assignee_status"),
    "leads": ("ix_leads_sla",),
}
