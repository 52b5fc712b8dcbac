"""Invitations: a new user gets a link by email under which they choose their first password. One per user."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import ForeignKey, Index, Integer, String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.domain.base import RuleBroken, Stamp, UtcDateTime, translatable
from app.domain.persistence.bulk_statements import execute_counted
from app.lib.token_hash import hash_token

#: How long the link of an invitation works.
VALID_FOR = timedelta(days=7)


class Invitation(Model):  # type: ignore[misc]
    """The invitation of a user, and the delivery of its email."""

    __tablename__ = "invitation"
    __table_args__ = (Index("ix_invitation_due", "state", "next_try_on"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False, unique=True)
    #: The email address to which the link goes; the invitation ends when the user's differs.
    address: Mapped[str] = mapped_column(String(320), nullable=False)
    #: SHA-256 of the token of the link. The token itself is not stored, see `token_of`.
    token_hash: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    #: Random; a new one with each email, so that former links end.
    nonce: Mapped[str] = mapped_column(String(64), nullable=False)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id", ondelete="SET NULL"))
    expires_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    accepted_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: queued, sending, sent, failed, dropped or unknown.
    state: Mapped[str] = mapped_column(String(16), nullable=False)
    #: When it entered this state, UTC.
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Why the email could not be sent, as a sentence for admins.
    error: Mapped[str | None] = mapped_column(String(300))
    user: Mapped[User] = relationship(foreign_keys=[user_id])

    def is_open(self, now: datetime) -> bool:
        """Whether its link works at `now`."""
        return self.accepted_on is None and self.revoked_on is None and self.expires_on > now


def token_of(key: str, invitation: Invitation, password_hash: str) -> str:
    """The token of the link: derived, so that an email can be sent again, from a key that the database doesn't hold.

    Another password or address of the user gives another token, and ends the invitation.
    """
    parts = f"invitation {invitation.nonce} {invitation.address} {password_hash}"
    return hmac.new(key.encode(), parts.encode(), "sha256").hexdigest()


def invite(session: Session, user: User, key: str, stamp: Stamp) -> Invitation:
    """Invite the user, or again: former links end. Raises RuleBroken for somebody who has signed in, or can't."""
    row = session.scalars(select(Invitation).where(Invitation.user_id == user.id)).first() if user.id else None
    if not user.active:
        raise RuleBroken(translatable("This user is inactive. Activate them, then send the invitation."))
    if user.last_login is not None or (row is not None and row.accepted_on is not None):
        raise RuleBroken(translatable("This user has signed in already. Reset their password instead."))
    if row is None:
        row = Invitation(user=user)
        session.add(row)
    row.address, row.nonce, row.created_by_id = user.email, secrets.token_hex(32), stamp.by
    row.token_hash = hash_token(token_of(key, row, user.password or ""))
    row.expires_on, row.revoked_on = stamp.now + VALID_FOR, None
    row.state, row.at, row.tries, row.next_try_on, row.error = "queued", stamp.now, 0, stamp.now, None
    return row


def revoke(session: Session, user_id: int, now: datetime) -> bool:
    """End the user's open invitation. Returns whether there was one."""
    step = update(Invitation).where(Invitation.user_id == user_id, *_open(now))
    return execute_counted(session, step.values(revoked_on=now)) == 1


def find(session: Session, token: str, keys: Sequence[str], now: datetime) -> Invitation | None:
    """The open invitation of this token whose user can sign in; None if there is none, whatever the reason.

    `keys`: from one of them the token was derived.
    """
    query = select(Invitation).join(User, User.id == Invitation.user_id)
    row = session.scalars(query.where(Invitation.token_hash == hash_token(token), User.active.is_(True))).first()
    if row is None or not row.is_open(now) or row.user.email != row.address:
        return None
    current = current_token(keys, row, row.user)
    is_current = current is not None and hmac.compare_digest(token.encode("utf-8", "surrogatepass"), current.encode())
    return row if is_current else None


def current_token(keys: Sequence[str], row: Invitation, user: User) -> str | None:
    """The token of the link; None if the user's password, or every one of these keys, is another one by now."""
    tokens = (token_of(key, row, user.password or "") for key in keys)
    return next((token for token in tokens if hash_token(token) == row.token_hash), None)


def claim(session: Session, row: Invitation, now: datetime) -> bool:
    """Accept the invitation; False if its link was used, revoked or renewed meanwhile."""
    step = update(Invitation).where(Invitation.id == row.id, Invitation.token_hash == row.token_hash, *_open(now))
    return execute_counted(session, step.values(accepted_on=now)) == 1


def _open(now: datetime) -> tuple[Any, ...]:
    return Invitation.accepted_on.is_(None), Invitation.revoked_on.is_(None), Invitation.expires_on > now


def of_users(session: Session, users: list[int]) -> dict[int, Invitation]:
    """User id -> their invitation."""
    found = session.scalars(select(Invitation).where(Invitation.user_id.in_(users)))
    return {row.user_id: row for row in found}
