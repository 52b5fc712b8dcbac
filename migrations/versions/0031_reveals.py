"""Who may reveal masked values; and the audit by what it is about, to say who has seen a customer's data."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

MODULES = ("Leads", "Tickets", "Customers")
#: Roles that reveal where they may write from now on; any other role waits until somebody decides.
GRANTED = ("Sales Manager", "Support Manager")


def upgrade() -> None:
    op.create_index("ix_audit_about", "audit_entry", ["about", "id"])
    _grant()
    # small: one row
    op.execute(sa.text("UPDATE access_version SET n = n + 1"))


def downgrade() -> None:
    op.drop_index("ix_audit_about", "audit_entry")
    cells = _table("module_permission")
    op.execute(sa.delete(cells).where(cells.c.verb == "reveal"))


def _table(name):
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)


def _grant():
    """The cells of the matrix, and FAB's permissions that agree with them."""
    bind, roles = op.get_bind(), _table("ab_role")
    found = {key for key, name in bind.execute(sa.select(roles.c.id, roles.c.name)) if name in GRANTED}
    cells = _table("module_permission")
    writes = sa.select(cells.c.role_id, cells.c.module, cells.c.level).where(
        cells.c.role_id.in_(found), cells.c.verb == "write", cells.c.level != "none", cells.c.module.in_(MODULES)
    )
    held = bind.execute(writes).all()
    if not held:
        return
    op.bulk_insert(
        cells, [{"role_id": key, "module": module, "verb": "reveal", "level": level} for key, module, level in held]
    )
    links = [{"role_id": key, "permission_view_id": _pair("reveal", module)} for key, module, _level in held]
    op.bulk_insert(_table("ab_permission_view_role"), links)


def _pair(verb, module):
    """The id of FAB's permission for this cell, which is made if need be."""
    bind, pair = op.get_bind(), _table("ab_permission_view")
    right, view = _named("ab_permission", f"can_{verb}"), _named("ab_view_menu", module)
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
