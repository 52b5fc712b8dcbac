"""Complaints: the register, the ways in which each grievance came, its categories, and who may see it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0075"
down_revision = "0074"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
MODULE = "Complaints"
_VERBS = ("read", "create", "write", "assign", "bulk", "export")
#: Role -> (level, verbs) from now on; any other role waits until somebody decides.
GRANTED = {
    "Support Manager": ("team", _VERBS),
    "Support User": ("own", ("read", "create", "write")),
    "Compliance": ("all", _VERBS),
}
#: Category -> its parts.
CATEGORIES = {
    "Trading and settlement": (
        "Trade without consent",
        "Order not executed",
        "Wrong execution or price",
        "Contract note not received",
        "Auction or short delivery",
        "Brokerage and charges",
    ),
    "Demat": (
        "Securities not credited",
        "Unauthorized transfer of securities",
        "Pledge and unpledge",
        "Corporate action not credited",
        "Statement of holdings",
    ),
    "KYC and onboarding": ("Account opening delayed", "KYC details wrong", "Nominee not recorded"),
    "Margin and funds": (
        "Margin penalty",
        "Square-off by risk management",
        "Pay-in not credited",
        "Pay-out not received",
    ),
    "Running account": ("Quarterly settlement not done", "Ledger statement wrong"),
    "Technical and algo trading": ("Trading platform unavailable", "Login failed", "Algo trading fault"),
    "Authorized person": ("Conduct of an authorized person", "Funds handed to an authorized person"),
    "Mis-selling": ("Assured returns promised", "Unsuitable advice", "Impersonation of the broker"),
    "Closure and dormancy": ("Account closure delayed", "Account made dormant", "Reactivation refused"),
}


def upgrade() -> None:
    _create_categories()
    _create_complaints()
    _create_entries()
    op.add_column("ticket", sa.Column("complaint_state", sa.String(8)))
    _fill_categories()
    _grant()
    # small: one row
    op.execute(sa.text("UPDATE access_version SET n = n + 1"))


def _code(length):
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def _create_categories():
    op.create_table(
        "complaint_category",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("label", sa.String(140), nullable=False, unique=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("parent_id", sa.Integer(), sa.ForeignKey("complaint_category.id")),
        sqlite_autoincrement=True,
    )


def _create_complaints():
    op.create_table(
        "complaint",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", _code(32), nullable=False, unique=True),
        sa.Column("ticket_id", sa.Integer(), sa.ForeignKey("ticket.id"), nullable=False, unique=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("source", sa.String(24), nullable=False),
        sa.Column("reference", _code(60)),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("cause_on", sa.Date()),
        sa.Column("category_id", sa.Integer(), sa.ForeignKey("complaint_category.id"), nullable=False),
        sa.Column("amount_in_dispute", sa.Numeric(14, 2)),
        sa.Column("exchange", sa.String(24)),
        sa.Column("segment", sa.String(24)),
        sa.Column("officer_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("is_impersonation", sa.Boolean(), nullable=False),
        sa.Column("acknowledge_due_on", sa.Date(), nullable=False),
        sa.Column("acknowledged_on", sa.Date()),
        sa.Column("report_facts", sa.Text()),
        sa.Column("report_findings", sa.Text()),
        sa.Column("report_actions", sa.Text()),
        sa.Column("report_amount", sa.Numeric(14, 2)),
        sa.Column("report_evidence", sa.Text()),
        sa.Column("report_officer_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("report_due_on", sa.Date(), nullable=False),
        sa.Column("report_filed_on", sa.Date()),
        sa.Column("outcome", sa.String(32)),
        sa.Column("disposed_on", sa.Date()),
        sa.Column("review_stage", sa.String(32), nullable=False),
        sa.Column("first_review_on", sa.Date()),
        sa.Column("first_review_due_on", sa.Date()),
        sa.Column("second_review_on", sa.Date()),
        sa.Column("second_review_due_on", sa.Date()),
        sa.Column("dispute_on", sa.Date()),
        sa.Column("dispute_due_on", sa.Date()),
        sa.Column("joined_to_id", sa.Integer(), sa.ForeignKey("complaint.id")),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.UniqueConstraint("source", "reference", name="uq_complaint_reference"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_complaint_pending", "complaint", ["outcome", "report_due_on"])
    op.create_index("ix_complaint_received", "complaint", ["received_on", "source"])
    op.create_index("ix_complaint_disposed", "complaint", ["disposed_on", "source"])
    op.create_index("ix_complaint_officer", "complaint", ["officer_id", "outcome"])
    op.create_index("ix_complaint_category_id", "complaint", ["category_id"])
    op.create_index("ix_complaint_joined_to_id", "complaint", ["joined_to_id"])


def _create_entries():
    op.create_table(
        "complaint_entry",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("complaint_id", sa.Integer(), sa.ForeignKey("complaint.id"), nullable=False),
        sa.Column("origin_id", sa.Integer(), sa.ForeignKey("complaint.id"), unique=True),
        sa.Column("source", sa.String(24), nullable=False),
        sa.Column("reference", _code(60)),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("way", sa.String(24), nullable=False),
        sa.Column("remark", sa.String(500)),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.UniqueConstraint("source", "reference", name="uq_complaint_entry_reference"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_complaint_entry_complaint_id", "complaint_entry", ["complaint_id"])


def downgrade() -> None:
    op.drop_column("ticket", "complaint_state")
    op.drop_table("complaint_entry")
    op.drop_table("complaint")
    op.drop_table("complaint_category")
    cells, lines = _table("module_permission"), _table("activity")
    op.execute(sa.delete(cells).where(cells.c.module == MODULE))
    op.execute(sa.delete(lines).where(lines.c.kind == "complaint"))
    _take_back()


def _take_back():
    """No role but Admin has FAB's permissions for the module any more: the next upgrade gives them again."""
    links, roles = _table("ab_permission_view_role"), _table("ab_role")
    pairs, views = _table("ab_permission_view"), _table("ab_view_menu")
    of_module = sa.select(pairs.c.id).join(views, views.c.id == pairs.c.view_menu_id).where(views.c.name == MODULE)
    others = sa.select(roles.c.id).where(roles.c.name != "Admin")
    op.execute(sa.delete(links).where(links.c.permission_view_id.in_(of_module), links.c.role_id.in_(others)))


def _table(name):
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)


def _fill_categories():
    bind, table = op.get_bind(), _table("complaint_category")
    position = 0
    for label, parts in CATEGORIES.items():
        position += 1
        parent = {"label": label, "position": position, "is_active": True}
        key = bind.execute(table.insert().values(parent)).inserted_primary_key[0]
        for part in parts:
            position += 1
            bind.execute(table.insert().values(parent | {"label": part, "position": position, "parent_id": key}))


def _grant():
    """The cells of the matrix, and FAB's permissions that agree with them."""
    bind, roles = op.get_bind(), _table("ab_role")
    found = {name: key for key, name in bind.execute(sa.select(roles.c.id, roles.c.name)) if name in GRANTED}
    held = [(key, verb, GRANTED[name][0]) for name, key in found.items() for verb in GRANTED[name][1]]
    if not held:
        return
    cells = [{"role_id": key, "module": MODULE, "verb": verb, "level": level} for key, verb, level in held]
    op.bulk_insert(_table("module_permission"), cells)
    pairs = {verb: _pair(verb) for verb in _VERBS}
    links = [{"role_id": key, "permission_view_id": pairs[verb]} for key, verb, _level in held]
    op.bulk_insert(_table("ab_permission_view_role"), links)


def _pair(verb):
    """The id of FAB's permission for this cell, which is made if need be."""
    bind, pair = op.get_bind(), _table("ab_permission_view")
    right, view = _named("ab_permission", f"can_{verb}"), _named("ab_view_menu", MODULE)
    query = sa.select(pair.c.id).where(pair.c.permission_id == right, pair.c.view_menu_id == view)
    if bind.execute(query).scalar() is None:
        bind.execute(pair.insert().values(permission_id=right, view_menu_id=view))
    return bind.execute(query).scalar()


def _named(name, value):
    """The id of the row of this name, which is made if need be."""
    bind, table = op.get_bind(), _table(name)
    query = sa.select(table.c.id).where(table.c.name == value)
    if bind.execute(query).scalar() is None:
        bind.execute(table.insert().values(name=value))
    return bind.execute(query).scalar()
