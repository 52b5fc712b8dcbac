"""What a changed user sets off: ended sign-ins, revoked API keys; and the last active admin keeps the role."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask_appbuilder.security.sqla.models import Group
from flask_babel import gettext as _
from sqlalchemy import exists, inspect, or_, select, update
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken
from app.domain.people import two_factor
from app.domain.people.authentication import note_sign_in_ended
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.transaction_state import transaction_state
from app.models import ApiKey, Role, SignIn, User
from app.web.security import sessions


def end_sign_ins(session: Session, rows: Rows) -> None:
    """Effect before a flush: a new password or a deactivation ends the sign-ins of its user.

    A deactivation also revokes their API keys and removes their picture. Also remembers whether there is an admin, if
    the flush could remove the last one.
    """
    for user in rows.changed:
        if isinstance(user, User) and _ends_sign_ins(user):
            sessions.end_sign_ins(session, datetime.now(UTC), SignIn.user_id == user.id)
            with access.as_system(session):
                two_factor.forget(session, user.id)
            if not user.active:
                # Permanently: reactivated users create new keys. The audit entry of the deactivation says so.
                _revoke_keys_unaudited(session, user.id, datetime.now(UTC))
                user.picture = None  # its file is deleted once nothing refers to it
            note_sign_in_ended(session, user.id)
    if rows.deleted or any(_may_remove_admin(row) for row in rows.changed):
        transaction_state(session).had_admin = has_admin(session)


def _revoke_keys_unaudited(session: Session, user_id: int, now: datetime) -> None:
    step = update(ApiKey).where(*sessions.live_keys(user_id, now)).values(revoked_on=now)
    with access.as_system(session):
        session.execute(step, execution_options={"synchronize_session": False})


def refuse_without_admin(session: Session, _rows: Rows) -> None:
    """Effect after a flush: raise RuleBroken if it removed the last active admin."""
    gathered = transaction_state(session)
    had_admin, gathered.had_admin = gathered.had_admin, False
    if had_admin and not has_admin(session):
        raise RuleBroken(_("This is the last active admin. Make another user an admin first."))


def _ends_sign_ins(user: Any) -> bool:
    state = inspect(user).attrs
    return state.password.history.has_changes() or (state.active.history.has_changes() and not user.active)


def _may_remove_admin(row: Any) -> bool:
    """Whether the change could take the role Admin from someone."""
    if isinstance(row, User) and _ends_sign_ins(row):
        return True
    state = inspect(row).attrs
    watched = {User: ("roles", "groups"), Role: ("user", "groups", "name"), Group: ("users", "roles")}
    return any(state[name].history.deleted for name in watched[type(row)])


def has_admin(session: Session) -> bool:
    """Whether an active user has the role Admin, directly or through a group."""
    admin = Role.name == access.ADMIN
    holds = or_(User.roles.any(admin), User.groups.any(Group.roles.any(admin)))
    query = select(exists().where(User.active.is_(True), holds))
    return bool(session.execute(query).scalar())
