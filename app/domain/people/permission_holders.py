"""Who is told about a module: the active people whose roles grant them a right to it at level all."""

from __future__ import annotations

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.people.permissions import ModulePermission
from app.domain.people.users import active_admins, members


def holders(session: Session, module: str, verb: str) -> list[int]:
    """Ids of the active users of all roles that grant this at level all, in order; the admins if there are none."""
    cell = (ModulePermission.module == module, ModulePermission.verb == verb, ModulePermission.level == "all")
    roles = session.scalars(select(ModulePermission.role_id).where(*cell)).all()
    found = {user.id for role in roles for user in members(session, role) if user.active}
    return sorted(found) or active_admins(session)


def active_users(session: Session) -> set[int]:
    """Ids of all active users."""
    return set(session.scalars(select(User.id).where(User.active.is_(True))))
