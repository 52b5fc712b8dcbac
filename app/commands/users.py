"""The commands `flask user add|password|two-factor reset|list|clashes`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy import func, select
from werkzeug.security import generate_password_hash

from app.access.role_matrix import PUBLIC
from app.domain.audit_log import audit
from app.domain.base import RuleBroken
from app.domain.people import login_names
from app.extensions import db
from app.models import Role, User
from app.web.core.request_transaction import request_transaction
from app.web.security import passwords, second_step, sessions


@dataclass(frozen=True)
class NewUser:
    """A user to create, as typed."""

    name: str
    role: str
    password: str
    manager: str | None
    email: str | None
    full_name: str | None


def commands(readable_errors: Callable[..., Any]) -> AppGroup:
    """The group of commands; `readable_errors` shows expected errors as a sentence."""
    group = AppGroup("user", help="Create and list users, and set their passwords.")

    @group.command("add")
    @click.argument("name")
    @click.option("--role", required=True, help="Role of the user.")
    @click.option("--password", required=True, prompt=True, hide_input=True, confirmation_prompt=True)
    @click.option("--manager", help="Username of the manager.")
    @click.option("--email", help="Default: NAME@localhost.")
    @click.option("--full-name", help="Default: the username.")
    @readable_errors
    def add(**typed: Any) -> None:
        """Create a user."""
        key = add_user(NewUser(**typed), datetime.now(UTC))
        click.echo(f"Created user {typed['name']} with ID {key}.")

    @group.command("password")
    @click.argument("name")
    @click.option("--password", required=True, prompt=True, hide_input=True, confirmation_prompt=True)
    @click.option("--with-keys", is_flag=True, help="Revoke the API keys of the user, too.")
    @readable_errors
    def password_(name: str, password: str, with_keys: bool) -> None:
        """Set a new password of a user who has lost theirs, and end their sessions."""
        user = set_password(name, password, with_keys, datetime.now(UTC))
        click.echo(f"{user.username} can sign in with the new password. Their sessions have ended.")
        if not user.active:
            click.echo("The user is inactive, and can't sign in until an admin activates them.")

    _add_two_factor(group, readable_errors)
    _add_lists(group, readable_errors)
    return group


def _add_two_factor(group: AppGroup, readable_errors: Callable[..., Any]) -> None:
    two_factor = AppGroup("two-factor", help="Two-factor sign-in of users.")
    group.add_command(two_factor)

    @two_factor.command("reset")
    @click.argument("name")
    @readable_errors
    def reset(name: str) -> None:
        """Turn it off for a user who has lost phone and recovery codes, and end their sessions."""
        with request_transaction() as session:
            user = find_user(name)
            is_done = second_step.reset(session, user.id, datetime.now(UTC), None)
        if is_done:
            click.echo(f"{user.username} signs in with the password alone now. Their sessions have ended.")
        else:
            click.echo(f"{user.username} has no second factor.")


def _add_lists(group: AppGroup, readable_errors: Callable[..., Any]) -> None:
    @group.command("list")
    @readable_errors
    def list_() -> None:
        """Print the ID, username, state, roles and email of every user."""
        for user in db.session.scalars(select(User).order_by(User.username)).unique():
            roles = ", ".join(sorted(role.name for role in user.roles))
            click.echo(f"{user.id}\t{user.username}\t{'active' if user.active else 'inactive'}\t{roles}\t{user.email}")

    @group.command("clashes")
    @readable_errors
    def clashes() -> None:
        """Print the usernames and addresses that look like those of an earlier user."""
        found = login_names.stored_clashes(db.session())
        for name, key, holder in found:
            click.echo(
                f"{name} of user {key} looks like a name of user {holder}, to whom it belongs. Rename one of them."
            )
        if not found:
            click.echo("No two users have names that look alike.")


def add_user(new: NewUser, now: datetime) -> int:
    """Create the user and return its id. Raises ClickException, RuleBroken or PasswordComplexityValidationError."""
    name = new.name.strip()
    if not name or len(name) > 64 or not name.isprintable() or " " in name:
        raise RuleBroken("A username has 1 to 64 characters and no spaces.")
    passwords.refuse_weak_password(new.password, name, new.email, new.full_name)
    first, _blank, last = (new.full_name or name).strip().partition(" ")
    with request_transaction() as session:
        manager = find_user(new.manager).id if new.manager else None
        user = User(
            username=name,
            first_name=first[:64],
            last_name=last[:64],
            email=new.email or f"{name}@localhost",
            active=True,
            password=generate_password_hash(new.password),
            roles=[_role(new.role)],
            manager_id=manager,
        )
        session.add(user)
        session.flush()
        audit.write(session, "user change", None, now, f"user {user.id}", by="command line", made=True)
        return int(user.id)


def set_password(name: str, password: str, with_keys: bool, now: datetime) -> Any:
    """Set the password of the user of this name, end their sessions, and revoke their API keys if `with_keys`.

    Returns the user. Raises click.ClickException, RuleBroken or PasswordComplexityValidationError.
    """
    with request_transaction() as session:
        user = find_user(name)
        passwords.refuse_weak_password(password, user.username, user.email, user.get_full_name())
        user.password = generate_password_hash(password)
        audit.write(session, "password change", user.id, now, f"user {user.id}", by="command line")
        if with_keys:
            sessions.revoke_keys(session, user.id, now, None)
    return user


def find_user(name: str) -> Any:
    """The user of this name. Raises click.ClickException when there is none."""
    user = db.session.scalars(select(User).where(func.lower(User.username) == name.strip().lower())).first()
    if user is None:
        raise click.ClickException(f"There is no user named “{name}”.")
    return user


def _role(name: str) -> Any:
    role = db.session.scalars(select(Role).where(Role.name == name)).first()
    if role is None:
        known = ", ".join(db.session.scalars(select(Role.name).where(Role.name != PUBLIC).order_by(Role.name)))
        raise click.ClickException(f"There is no role named “{name}”. Existing roles: {known}.")
    return role
