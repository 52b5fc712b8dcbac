"""Who may change a person's account: one table of columns, applied to every flush and so on every path.

A person changes their own preferences. Everything that decides whose records somebody reaches, or how they sign in, is
for those to whom the person reports, directly or through others, and for admins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import ORMExecuteState, Session

from app.access.changed_rows import changed_rows, history_of
from app.access.person import ADMIN, Denied, Person
from app.access.system_session import acting
from app.domain.base import TranslatableText, translatable
from app.domain.people import teams
from app.models import FieldMask, Group, ModulePermission, Role, User

#: Columns of a user that the person and those above them may change -> their names for people.
OWN_COLUMNS: dict[str, TranslatableText] = {
    "first_name": translatable("name"),
    "last_name": translatable("name"),
    "mobile": translatable("mobile"),
    "mobile_e164": translatable("mobile"),
    "password": translatable("password"),
    "available": translatable("availability"),
    "away_until": translatable("availability"),
    "leave_from": translatable("leave"),
    "leave_to": translatable("leave"),
    "delegate_id": translatable("delegate"),
    "time_zone": translatable("time zone"),
    "locale": translatable("language"),
    "reminder_minutes": translatable("reminders"),
    "notice_choices": translatable("notification preferences"),
    "takes_calls": translatable("incoming calls"),
    "picture": translatable("picture"),
}
#: Column that only those above the person may change.
COLUMNS_OF_MANAGERS: dict[str, TranslatableText] = {
    "username": translatable("username"),
    "email": translatable("email address"),
    "telephony_number": translatable("telephony number"),
    "manager_id": translatable("manager"),
    "active": translatable("status"),
    "roles": translatable("roles"),
    "groups": translatable("groups"),
}
LABELS = OWN_COLUMNS | COLUMNS_OF_MANAGERS
#: Columns that the CRM and FAB write themselves; no form or endpoint accepts them.
KEPT_BY_THE_CRM = frozenset(
    {
        "id",
        "last_login",
        "login_count",
        "fail_login_count",
        "created_on",
        "changed_on",
        "created_by_fk",
        "changed_by_fk",
        "created_by",
        "changed_by",
    }
)
#: Columns that name a person who gains access to this person's records.
_GIVE_SIGHT = ("manager_id", "delegate_id")


def refuse_foreign_changes(session: Session, actor: Person) -> None:
    """Raise Denied when the flush would change an account that the actor, who is no admin, may not change."""
    changed = list(_changes(session))
    if not changed:
        return
    below = teams.reporting_tree(session, actor.id) - {actor.id}
    for user, name in changed:
        if user.id != actor.id and user.id is not None and is_admin_account(user):
            raise Denied("Only an admin can change an admin's account.")
        if user.id == actor.id:
            _refuse_own(name)
        elif user.id is not None and user.id not in below:
            _refuse_foreign(user, name)
        if name in _GIVE_SIGHT and user.id != actor.id:
            _refuse_outsider(getattr(user, name), below | {actor.id, None}, name)


def is_admin_account(user: Any) -> bool:
    """Whether the account had the role Admin before this flush, directly or through a group."""
    groups = stored(user, "groups")
    return any(role.name == ADMIN for role in stored(user, "roles")) or any(
        role.name == ADMIN for group in groups for role in stored(group, "roles")
    )


def stored(row: Any, name: str) -> list[Any]:
    """The members of a collection of a row as stored, before this flush."""
    getattr(row, name)  # load it: the history of a collection that isn't loaded is empty
    history = history_of(row, name)
    return [*(history.unchanged or ()), *(history.deleted or ())]


def changed_members(session: Session) -> list[Any]:
    """The users whose roles or groups the flush would change, or the roles of whose groups."""
    return list(dict.fromkeys(user for user, name in _changes(session) if name in ("roles", "groups")))


def _changes(session: Session) -> Iterator[tuple[Any, str]]:
    """(user, column) for each column of an account that the flush would change; "active" for a deletion."""
    for user in changed_rows(session, User):
        if user in session.deleted:
            yield user, "active"
            continue
        names = [attr.key for attr in inspect(user).attrs if attr.history.has_changes()]
        yield from ((user, name) for name in names if name in LABELS)
    for group in changed_rows(session, Group):
        yield from ((user, "groups") for user in _members_changed(session, group))
    for role in changed_rows(session, Role):
        history = history_of(role, "user")
        yield from ((user, "roles") for user in (*(history.added or ()), *(history.deleted or ())))


def _members_changed(session: Session, group: Any) -> list[Any]:
    """Users who gain or lose roles by a change of this group: its new and removed members, or all if its roles
    change.
    """
    if group in session.deleted or history_of(group, "roles").has_changes():
        return [*group.users, *(history_of(group, "users").deleted or ())]
    history = history_of(group, "users")
    return [*(history.added or ()), *(history.deleted or ())]


def _refuse_own(name: str) -> None:
    if name in COLUMNS_OF_MANAGERS:
        raise Denied(
            translatable("You can't change your own %(what)s. Ask your manager or an admin.", what=LABELS[name]),
            name,
        )


def _refuse_foreign(user: Any, name: str) -> None:
    raise Denied(
        translatable(
            "You can't change the %(what)s of %(name)s, who doesn't report to you. Ask their manager or an admin.",
            what=LABELS[name],
            name=user.get_full_name().strip(),
        ),
        name,
    )


def _refuse_outsider(chosen: int | None, allowed: frozenset[int | None], name: str) -> None:
    if chosen not in allowed:
        raise Denied(
            translatable(
                "You can only choose yourself or somebody who reports to you as %(what)s. Ask an admin.",
                what=LABELS[name],
            ),
            name,
        )


def refuse_bulk(state: ORMExecuteState) -> None:
    """Session hook: a person's UPDATE or DELETE of accounts and roles without loading them would bypass these rules.

    Raises RuntimeError: no input leads here, only code that should change rows one by one.
    """
    if not (state.is_update or state.is_delete or state.is_insert) or acting(state.session) is None:
        return
    mapper = state.bind_mapper
    if mapper is not None and mapper.class_ in (User, Role, Group, ModulePermission, FieldMask):
        raise RuntimeError(f"change rows of {mapper.class_.__name__} through the session, so that its rules apply")
