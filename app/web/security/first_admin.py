"""The user admin, created at the first start."""

from __future__ import annotations

import secrets

from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.security import generate_password_hash

from app import access
from app.domain.base import AlreadyExists
from app.models import Role, User
from app.web.core.request_transaction import request_transaction
from app.web.security import passwords


def ensure_admin(app: Flask, password: str | None = None) -> str | None:
    """Create the user admin if there is no user. Returns the random password if one was generated, to be shown once.

    Raises PasswordComplexityValidationError for a password that pages would refuse too, if it is needed.
    """
    made = None if password else secrets.token_urlsafe(12)
    with app.app_context():
        try:
            return made if _first_admin(password or made or "") else None
        except (IntegrityError, AlreadyExists):  # another process was faster
            return None


def _first_admin(password: str) -> bool:
    with request_transaction() as session:
        if session.execute(select(User.id).limit(1)).first() is not None:
            return False
        passwords.refuse_weak_password(password, "admin", "admin@localhost")
        role = session.scalars(select(Role).where(Role.name == access.ADMIN)).one()
        session.add(
            User(
                username="admin",
                first_name="Admin",
                last_name="",
                email="admin@localhost",
                active=True,
                password=generate_password_hash(password),
                roles=[role],
            )
        )
    return True
