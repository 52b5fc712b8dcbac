"""The shipped picklists, roles, module matrix and masks."""

from datetime import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LEAD_STATUSES = [
    {"label": "New", "color": "gray", "meaning": "new"},
    {"label": "Contacted", "color": "orange", "meaning": "working"},
    {"label": "Follow-up Scheduled", "color": "cyan", "meaning": "scheduled"},
    {"label": "Follow-up Complete", "color": "teal", "meaning": "followed"},
    {"label": "Documents Collected", "color": "blue", "meaning": "documents"},
    {"label": "Sent to HO", "color": "purple", "meaning": "sent"},
    {"label": "Documents Verified", "color": "amber", "meaning": "verified"},
    {"label": "Nurture", "color": "blue", "meaning": "working"},
    {"label": "Qualified", "color": "green", "meaning": "working"},
    {"label": "Account Opened", "color": "green", "meaning": "opened"},
    {"label": "Rejected - Follow-up Required", "color": "red", "meaning": "rejected"},
    {"label": "Account Activated", "color": "violet", "meaning": "activated"},
    {"label": "Unqualified", "color": "red", "meaning": "unqualified"},
    {"label": "Junk", "color": "purple", "meaning": "junk"},
    {"label": "Lead Expired", "color": "pink", "meaning": "expired"},
    {"label": "Lead Expired (Account Opened)", "color": "orange", "meaning": "expired_opened"},
]
TICKET_STATUSES = [
    {"label": "New", "color": "blue", "meaning": "new"},
    {"label": "Open", "color": "orange", "meaning": "open"},
    {"label": "In Progress", "color": "yellow", "meaning": "working"},
    {"label": "Follow-up Scheduled", "color": "cyan", "meaning": "scheduled"},
    {"label": "Follow-up Complete", "color": "teal", "meaning": "followed"},
    {"label": "Waiting for Customer", "color": "indigo", "meaning": "waiting"},
    {"label": "Resolved", "color": "green", "meaning": "resolved"},
    {"label": "Closed", "color": "gray", "meaning": "closed"},
]
SUBJECTS = [
    "KYC update",
    "Re-KYC",
    "Account opening status",
    "Account closure",
    "Account reactivation",
    "Login problem",
    "Password reset",
    "Two-factor problem",
    "Mobile number change",
    "E-mail change",
    "Address change",
    "Bank account change",
    "Nominee update",
    "Pay-in not credited",
    "Pay-out delay",
    "Fund transfer",
    "Margin query",
    "Margin shortfall",
    "Brokerage and charges",
    "Contract note",
    "Ledger statement",
    "Profit and loss statement",
    "Tax statement",
    "DP charges",
    "DP holding mismatch",
    "Off-market transfer",
    "Pledge and unpledge",
    "Corporate action",
    "IPO application",
    "Mutual fund order",
    "Order rejection",
    "Trade dispute",
    "Segment activation",
    "Trading terminal problem",
    "Mobile app problem",
    "General query",
]
ACCOUNT_TYPES = ["Individual", "HUF", "Corporate", "NRI", "LLP", "Minor", "Partnership", "Others"]
SOURCES = [
    "On Call",
    "Office Visit",
    "Existing Customer",
    "Reference",
    "Advertisement",
    "Cold Calling",
    "Exhibition",
    "Campaign",
    "Mass Mailing",
    "Walk In",
    "Website",
]
MODULES = [
    "Dashboard",
    "Leads",
    "Tickets",
    "Customers",
    "Tasks",
    "Call Logs",
    "Messages",
    "Support Pages",
    "Notes",
    "Requests",
    "Reports",
    "Settings",
]
VERBS = ["read", "create", "write", "delete", "assign", "export", "import", "bulk", "reveal", "recordings"]
MATRIX = {
    "Sales Manager": {
        "Leads": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Customers": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Tasks": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Call Logs": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Messages": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Notes": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Requests": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Dashboard": {"read": "team"},
        "Reports": {"read": "team", "export": "team"},
        "Support Pages": {"read": "all"},
    },
    "Support Manager": {
        "Tickets": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Customers": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Tasks": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Call Logs": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Messages": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Notes": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Requests": {
            "read": "team",
            "create": "team",
            "write": "team",
            "delete": "team",
            "assign": "team",
            "export": "team",
            "import": "team",
            "bulk": "team",
            "reveal": "team",
            "recordings": "team",
        },
        "Dashboard": {"read": "team"},
        "Reports": {"read": "team", "export": "team"},
        "Support Pages": {"read": "all", "create": "all", "write": "all", "delete": "all"},
    },
    "Sales User": {
        "Leads": {"read": "own", "create": "own", "write": "own", "bulk": "own"},
        "Tasks": {"read": "own", "create": "own", "write": "own", "delete": "own", "bulk": "own"},
        "Call Logs": {"read": "own", "create": "own", "write": "own"},
        "Customers": {"read": "own", "write": "own"},
        "Messages": {"read": "own", "create": "own", "write": "own"},
        "Notes": {"read": "own", "create": "own", "write": "own", "delete": "own"},
        "Requests": {"read": "own", "create": "own"},
        "Dashboard": {"read": "own"},
        "Support Pages": {"read": "all"},
    },
    "Support User": {
        "Tickets": {"read": "own", "create": "own", "write": "own", "bulk": "own"},
        "Tasks": {"read": "own", "create": "own", "write": "own", "delete": "own", "bulk": "own"},
        "Call Logs": {"read": "own", "create": "own", "write": "own"},
        "Customers": {"read": "own", "create": "own", "write": "own"},
        "Messages": {"read": "own", "create": "own", "write": "own"},
        "Notes": {"read": "own", "create": "own", "write": "own", "delete": "own"},
        "Requests": {"read": "own", "create": "own"},
        "Dashboard": {"read": "own"},
        "Support Pages": {"read": "all"},
    },
    "Compliance": {
        "Dashboard": {"read": "all"},
        "Leads": {"read": "all"},
        "Tickets": {"read": "all"},
        "Customers": {"read": "all"},
        "Tasks": {"read": "all"},
        "Call Logs": {"read": "all"},
        "Messages": {"read": "all"},
        "Support Pages": {"read": "all"},
        "Notes": {"read": "all"},
        "Requests": {"read": "all"},
        "Reports": {"read": "all"},
    },
}
MASKS = {
    "Sales Manager": {
        "mobile": "full",
        "alternative_mobile": "full",
        "email": "full",
        "pan": "last4",
        "aadhaar": "last4",
        "address": "full",
    },
    "Support Manager": {
        "mobile": "full",
        "alternative_mobile": "full",
        "email": "full",
        "pan": "last4",
        "aadhaar": "last4",
        "address": "full",
    },
    "Sales User": {
        "mobile": "full",
        "alternative_mobile": "full",
        "email": "full",
        "pan": "last4",
        "aadhaar": "hidden",
        "address": "full",
    },
    "Support User": {
        "mobile": "full",
        "alternative_mobile": "full",
        "email": "full",
        "pan": "last4",
        "aadhaar": "hidden",
        "address": "full",
    },
    "Compliance": {
        "mobile": "last4",
        "alternative_mobile": "last4",
        "email": "last4",
        "pan": "last4",
        "aadhaar": "last4",
        "address": "hidden",
    },
}
SLA = {
    "lead": {"": (120, None)},
    "ticket": {"Urgent": (30, 240), "High": (60, 540), "Medium": (120, 1080), "Low": (240, 2700)},
}


def upgrade() -> None:
    _table = _tables()
    op.execute(_table("access_version").insert().values(id=1, n=1))
    _picklists(_table)
    _office(_table)
    _sla(_table)
    _roles(_table)


def downgrade() -> None:
    tables = (
        "field_mask",
        "module_permission",
        "ab_permission_view_role",
        "ab_permission_view",
        "ab_view_menu",
        "ab_permission",
        "ab_role",
        "sla_target",
        "sla_policy",
        "office_range",
        "lead_source",
        "account_type",
        "ticket_subject",
        "ticket_status",
        "lead_status",
        "access_version",
    )
    for name in tables:
        op.execute(sa.text(f"DELETE FROM {name}"))


def _tables():
    metadata = sa.MetaData()
    bind = op.get_bind()
    return lambda name: sa.Table(name, metadata, autoload_with=bind)


def _fill(table, rows):
    op.bulk_insert(table, [dict(row, position=n, is_active=True) for n, row in enumerate(rows, 1)])


def _picklists(_table):
    _fill(_table("lead_status"), LEAD_STATUSES)
    _fill(_table("ticket_status"), TICKET_STATUSES)
    for name, labels in (("ticket_subject", SUBJECTS), ("account_type", ACCOUNT_TYPES), ("lead_source", SOURCES)):
        _fill(_table(name), [{"label": label} for label in labels])


def _office(_table):
    days = [(day, time(9), time(18)) for day in range(5)] + [(5, time(9), time(14))]
    op.bulk_insert(_table("office_range"), [{"weekday": d, "starts": s, "ends": e} for d, s, e in days])


def _sla(_table):
    for number, (kind, targets) in enumerate(SLA.items(), 1):
        policy = {
            "id": number,
            "label": f"Standard ({kind})",
            "applies_to": kind,
            "position": number,
            "is_active": True,
        }
        op.bulk_insert(_table("sla_policy"), [policy])
        rows = [
            {"policy_id": number, "priority": p, "first_response_minutes": first, "resolution_minutes": last}
            for p, (first, last) in targets.items()
        ]
        op.bulk_insert(_table("sla_target"), rows)


def _roles(_table):
    bind = op.get_bind()
    role, permission, menu, pair, link = (
        _table(name)
        for name in ("ab_role", "ab_permission", "ab_view_menu", "ab_permission_view", "ab_permission_view_role")
    )
    names = ["Admin", "Public", *MATRIX]
    op.bulk_insert(role, [{"name": name} for name in names])
    op.bulk_insert(permission, [{"name": "can_" + verb} for verb in VERBS])
    op.bulk_insert(menu, [{"name": module} for module in MODULES])
    roles = dict(bind.execute(sa.select(role.c.name, role.c.id)).all())
    verbs = dict(bind.execute(sa.select(permission.c.name, permission.c.id)).all())
    modules = dict(bind.execute(sa.select(menu.c.name, menu.c.id)).all())
    op.bulk_insert(
        pair, [{"permission_id": verbs["can_" + v], "view_menu_id": modules[m]} for m in MODULES for v in VERBS]
    )
    pairs = {(p, m): key for key, p, m in bind.execute(sa.select(pair.c.id, pair.c.permission_id, pair.c.view_menu_id))}
    cells = [
        (name, module, verb, level)
        for name, desks in MATRIX.items()
        for module, desk in desks.items()
        for verb, level in desk.items()
    ]
    op.bulk_insert(
        _table("module_permission"),
        [
            {"role_id": roles[name], "module": module, "verb": verb, "level": level}
            for name, module, verb, level in cells
        ],
    )
    held = [(name, module, verb) for name, module, verb, _ in cells]
    held += [("Admin", module, verb) for module in MODULES for verb in VERBS]
    op.bulk_insert(
        link,
        [
            {"role_id": roles[name], "permission_view_id": pairs[verbs["can_" + verb], modules[module]]}
            for name, module, verb in held
        ],
    )
    op.bulk_insert(
        _table("field_mask"),
        [
            {"role_id": roles[name], "field": field, "level": level}
            for name, masks in MASKS.items()
            for field, level in masks.items()
        ],
    )
