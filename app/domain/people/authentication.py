"""Sign-ins and API keys, which can be revoked at once, and the count of failed sign-ins."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import JSON, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.domain.base import UtcDateTime
from app.domain.persistence.transaction_state import transaction_state

#: How long after the last failure a count is valid; longer than any lock. Then `retention` deletes it.
FAILED_LOGINS_KEPT_FOR = timedelta(hours=24)


class SignIn(Model):  # type: ignore[misc]
    """One signed-in browser, telephone or token."""

    __tablename__ = "sign_in"
    __table_args__ = (Index("ix_sign_in_user", "user_id", "ended_on"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: SHA-256 of the random token that the cookie carries.
    token_hash: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: How the user signed in: form, jwt or compat. The column has an older name.
    method: Mapped[str] = mapped_column("door", String(16), nullable=False)
    started_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: When it was last used; written at most once a minute.
    seen_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    address: Mapped[str | None] = mapped_column(String(64))
    agent: Mapped[str | None] = mapped_column(String(200))
    #: The user as whom it views the CRM, and when that ends, UTC.
    viewed_id: Mapped[int | None] = mapped_column(Integer)
    view_ends_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    user: Mapped[User] = relationship()


class ApiKey(Model):  # type: ignore[misc]
    """A key and secret bound to a user; the secret is stored hashed and shown once."""

    __tablename__ = "api_key"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[str] = mapped_column(String(40), nullable=False, unique=True)
    #: SHA-256 of the 256-bit random secret.
    secret_hash: Mapped[str] = mapped_column(String(64), nullable=False)
    name: Mapped[str] = mapped_column(String(120), nullable=False, default="")
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False, index=True)
    #: Modules and verbs it is limited to, e.g. ["Leads.read"]; empty = everything its user may do.
    scope: Mapped[list[str]] = mapped_column(JSON, nullable=False, default=list)
    created_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: Written at most once a minute, with the address it was used from.
    last_used_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_from: Mapped[str | None] = mapped_column(String(64))
    #: When the key expires; null = never.
    expires_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    user: Mapped[User] = relationship()


class FailedLogin(Model):  # type: ignore[misc]
    """Failed sign-ins of one user name. All processes read lockouts from here."""

    __tablename__ = "failed_try"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: SHA-256 of the lower-case user name.
    name_hash: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    count: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: Sign-ins are refused until then.
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)


def note_sign_in_ended(session: Session, user_id: int) -> None:
    """Check the user's sockets after the commit: a sign-in or key has ended, or the user is inactive."""
    transaction_state(session).ended_sign_ins.add(user_id)
