"""One namespace for user names and e-mail addresses; every right is a cell of the matrix, and every cell a right.

Names that look alike are printed: the user who was made first keeps the name, the other is not changed, and signs in by
another name until an administrator renames them (`flask user clashes` lists them again).
"""

import logging

import sqlalchemy as sa
from alembic import op

from app.lib.lookalikes import name_keys

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROWS = ("read", "create", "write", "delete", "assign", "bulk")
#: The matrix as of this revision.
OFFERED = {
    "Dashboard": ("read",),
    "Leads": ROWS,
    "Tickets": ROWS,
    "Customers": ROWS,
    "Tasks": ROWS,
    "Call Logs": ("read", "create", "write", "delete", "bulk"),
    "Messages": ("read", "create", "write", "bulk"),
    "Support Pages": ("read", "create", "write", "delete"),
    "Notes": ("read", "create", "write", "delete"),
    "Requests": ("read", "create", "write", "bulk"),
    "Reports": (),
    "Settings": ("read", "create", "write", "delete"),
}
#: Verbs that no code asks for, of no module.
GONE = ("export", "import", "reveal", "recordings")
log = logging.getLogger("alembic.runtime.migration")


def upgrade() -> None:
    op.create_table(
        "login_name",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
    )
    op.create_index("ix_login_name_user_id", "login_name", ["user_id"])
    _reserve_names()
    _remove_cells()
    _open_audit()
    op.execute(sa.text("UPDATE access_version SET n = n + 1"))


def downgrade() -> None:
    op.drop_table("login_name")


def _table(name):
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind())


def _reserve_names():
    users, bind = _table("ab_user"), op.get_bind()
    held: dict[str, int] = {}
    for key, *names in bind.execute(sa.select(users.c.id, users.c.username, users.c.email).order_by(users.c.id)).all():
        for name in dict.fromkeys(each for each in names if each):
            keys = name_keys(name)
            holder = next((held[each] for each in sorted(keys) if held.get(each, key) != key), None)
            if holder is None:
                held |= dict.fromkeys(keys, key)
            else:
                log.warning(
                    "user %s: the name “%s” looks like one of user %s, who keeps it; rename one", key, name, holder
                )
    if held:
        op.bulk_insert(_table("login_name"), [{"key": name, "user_id": key} for name, key in held.items()])


def _remove_cells():
    """Cells that no code asks for, with FAB's permissions: a chapter that needs them grants them anew, and in sight."""
    bind, cells = op.get_bind(), _table("module_permission")
    module, verb = cells.c.module, cells.c.verb
    dead = sa.or_(verb.in_(GONE), *[sa.and_(module == name, verb.not_in(verbs)) for name, verbs in OFFERED.items()])
    removed = bind.execute(sa.delete(cells).where(dead)).rowcount
    if removed:
        log.info("%s cells of the permission matrix that no code asked for were removed", removed)
    permission, menu, pair = _table("ab_permission"), _table("ab_view_menu"), _table("ab_permission_view")
    link = _table("ab_permission_view_role")
    of_gone = (
        sa.select(pair.c.id)
        .join(permission, permission.c.id == pair.c.permission_id)
        .join(menu, menu.c.id == pair.c.view_menu_id)
        .where(sa.or_(*[_is_gone(menu.c.name, permission.c.name, name, verbs) for name, verbs in OFFERED.items()]))
    )
    gone = list(bind.scalars(of_gone))
    if gone:
        bind.execute(sa.delete(link).where(link.c.permission_view_id.in_(gone)))
        bind.execute(sa.delete(pair).where(pair.c.id.in_(gone)))


def _is_gone(menu, permission, module, verbs):
    """Whether a pair of FAB's stands for a cell of this module that is not offered."""
    gone = [f"can_{verb}" for verb in (*ROWS, *GONE) if verb not in verbs]
    return sa.and_(menu == module, permission.in_(gone))


def _open_audit():
    """The role Compliance read the audit because of its name; now a cell says so."""
    bind, roles, cells = op.get_bind(), _table("ab_role"), _table("module_permission")
    permission, menu, pair = _table("ab_permission"), _table("ab_view_menu"), _table("ab_permission_view")
    named = bind.execute(sa.select(roles.c.id, roles.c.name)).all()
    found = [key for key, name in named if name == "Compliance"]
    if not found:
        return
    op.bulk_insert(cells, [{"role_id": found[0], "module": "Audit Log", "verb": "read", "level": "all"}])
    right, view = _named(permission, "can_read"), _named(menu, "Audit Log")
    same = (pair.c.permission_id == right, pair.c.view_menu_id == view)
    key = bind.execute(sa.select(pair.c.id).where(*same)).scalar()
    if key is None:
        bind.execute(pair.insert().values(permission_id=right, view_menu_id=view))
        key = bind.execute(sa.select(pair.c.id).where(*same)).scalar()
    bind.execute(_table("ab_permission_view_role").insert().values(role_id=found[0], permission_view_id=key))


def _named(table, name):
    """The id of the row of this name, which is made if need be."""
    bind = op.get_bind()
    query = sa.select(table.c.id).where(table.c.name == name)
    if bind.execute(query).scalar() is None:
        bind.execute(table.insert().values(name=name))
    return bind.execute(query).scalar()
