"""Import of users: names, roles, managers. They get an unknown password, until an admin sets one."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from flask_babel import lazy_gettext as _
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash

from app import access
from app.access.role_matrix import PUBLIC
from app.domain.base import RuleBroken, translatable
from app.domain.people import teams
from app.lib import phone
from app.lib.label_matching import nearest_label
from app.lib.mail_addresses import is_email
from app.models import Role, User
from app.web.core.fields.base import Field, TextField
from app.web.core.fields.reference_fields import PersonField
from app.web.core.fields.scalar_fields import BooleanField
from app.web.core.viewer import Viewer
from app.web.transfer.import_kind import ImportKind

_COLUMNS = ("first_name", "last_name", "username", "email", "mobile", "active", "manager_id")


class UserKind(ImportKind):
    """Users. Nobody can grant a role that exceeds their own permissions: the session ensures that on every path."""

    name, module, label = "user", "Settings", _("Users")
    keys: ClassVar[tuple[str, ...]] = ("username", "email")

    @property
    def model(self) -> Any:
        """The model: FAB's user."""
        return User

    def fields(self) -> dict[str, Field]:
        """The fields of a user."""
        made: tuple[Field, ...] = (
            TextField("username", _("Username"), max_length=64, edit=False),
            TextField("full_name", _("Full name"), max_length=128, edit=True),
            TextField("first_name", _("First name"), max_length=64, edit=True),
            TextField("last_name", _("Last name"), max_length=64, edit=True),
            TextField("email", _("Email"), max_length=254, edit=True),
            TextField("mobile", _("Mobile"), max_length=40, edit=True),
            TextField("role", _("Role"), max_length=64, edit=True),
            PersonField("manager", _("Reports to"), key="manager_id", edit=True),
            BooleanField("active", _("Active"), edit=True),
        )
        return {each.name: each for each in made}

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Any:
        """Add the user. Raises RuleBroken, Denied."""
        username = str(values.get("username") or values.get("email") or "").strip()
        if not username or len(username) > 64 or not username.isprintable() or " " in username:
            raise RuleBroken("A username has 1 to 64 characters and no spaces.", "username")
        user = User(username=username, email=values.get("email") or f"{username}@localhost", active=True)
        user.first_name, user.last_name = username, ""
        user.password = generate_password_hash(secrets.token_urlsafe(24), "pbkdf2:sha256:1")
        _set(session, user, values)
        if not user.roles:
            raise RuleBroken(translatable("Please name the role of this user."), "role")
        session.add(user)
        session.flush()
        return user

    def update(self, session: Session, row: Any, values: dict[str, Any], viewer: Viewer) -> None:
        """Change the user. Raises RuleBroken, Denied."""
        _set(session, row, values)
        if row.manager_id:
            teams.refuse_cycle(session, row.id, row.manager_id)
        session.flush()

    def before(self, row: Any, values: dict[str, Any]) -> dict[str, Any]:
        """The values that are replaced, for the undo."""
        kept = {name: getattr(row, name) for name in _COLUMNS if name in values}
        if "full_name" in values:
            kept |= {"first_name": row.first_name, "last_name": row.last_name}
        return kept | ({"role": ", ".join(role.name for role in row.roles)} if "role" in values else {})

    def is_unchanged(self, row: Any, values: dict[str, Any], viewer: Viewer) -> bool:
        """Whether the user has these values already."""
        first, _blank, last = str(values.get("full_name") or "").partition(" ")
        given = values | ({"first_name": first, "last_name": last} if values.get("full_name") else {})
        kept = self.before(row, values)
        return all(given.get(name) == value for name, value in kept.items())

    def numbers(self, session: Session, ids: set[int]) -> dict[int, str]:
        """Id → username."""
        with access.as_system(session):
            query = select(User.id, User.username).where(User.id.in_(ids))
            return dict(session.execute(query).all())

    def look_up(self, session: Session, key: str, texts: list[str]) -> dict[str, set[int]]:
        """Look up records by name or address, ignoring case."""
        column = User.username if key == "username" else User.email
        found: dict[str, set[int]] = {}
        with access.as_system(session):
            query = select(func.upper(column), User.id).where(func.upper(column).in_(texts))
            for text, user_id in session.execute(query):
                found.setdefault(text, set()).add(user_id)
        return found


def _set(session: Session, user: Any, values: dict[str, Any]) -> None:
    if values.get("full_name"):
        user.first_name, _blank, user.last_name = values["full_name"].partition(" ")
    for name in ("first_name", "last_name", "active", "manager_id"):
        if values.get(name) is not None:
            setattr(user, name, values[name])
    _set_contact(user, values)
    if values.get("role"):
        user.roles = _roles(session, values["role"])


def _set_contact(user: Any, values: dict[str, Any]) -> None:
    if values.get("email"):
        email = values["email"].lower()
        if not is_email(email) and not email.endswith("@localhost"):
            text = "This isn't a valid email address. It should look like name@example.com."
            raise RuleBroken(text, "email")
        user.email = email
    if values.get("mobile"):
        user.mobile, user.mobile_e164 = values["mobile"], phone.normalize(values["mobile"])
        if user.mobile_e164 is None:
            raise RuleBroken("This isn't a valid phone number. Please check it.", "mobile")


def _roles(session: Session, typed: str) -> list[Any]:
    names = [each.strip() for each in typed.replace(";", ",").split(",") if each.strip()]
    there = {role.name.casefold(): role for role in session.scalars(select(Role))}
    missing = [name for name in names if name.casefold() not in there]
    if missing:
        named, nearest = (
            missing[0][:60],
            nearest_label(missing[0], [role.name for role in there.values() if role.name != PUBLIC]),
        )
        if nearest is None:
            raise RuleBroken(translatable("There is no role “%(name)s”.", name=named), "role")
        text = translatable("There is no role “%(name)s”. Did you mean “%(nearest)s”?", name=named, nearest=nearest)
        raise RuleBroken(text, "role")
    return [there[name.casefold()] for name in names]
