"""The second factor of sign-in: a code of an authenticator app or a recovery code, each accepted once."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import Group, Role, User
from sqlalchemy import (
    Boolean,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    String,
    and_,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import UtcDateTime
from app.lib import totp
from app.lib.field_encryption import Vault
from app.lib.token_hash import hash_token

#: How many recovery codes a person has, and how long each is: 80 random bits, so that a plain hash protects them.
RECOVERY_CODES, RECOVERY_CHARACTERS = 10, 16
#: Without characters that look alike.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
#: How long a person has between password and code.
PENDING_FOR = timedelta(minutes=5)
#: How long a browser is remembered, and how many of a person's.
REMEMBERED_FOR, MAX_REMEMBERED = timedelta(days=30), 10
#: How far the clocks of servers may differ. What began later than that is of a clock that was set back since.
_CLOCKS_DIFFER = timedelta(minutes=2)
_TOKEN_BYTES = 32
_SEPARATORS = re.compile(r"[\s-]+")
_NOT_LOADED = {"synchronize_session": False}

#: Whether people of the role must sign in with two factors.
Role.needs_two_factor = mapped_column(Boolean, nullable=False, default=False, server_default="0")


class TwoFactor(Model):  # type: ignore[misc]
    """The authenticator app of a user; there is a row as long as the second factor is on."""

    __tablename__ = "two_factor"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False, unique=True)
    #: The key that the app has too, encrypted.
    key_sealed: Mapped[str] = mapped_column(String(200), nullable=False)
    #: The step of the last accepted code: it and earlier ones are accepted no more.
    last_step: Mapped[int] = mapped_column(Integer, nullable=False)
    confirmed_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)


class RecoveryCode(Model):  # type: ignore[misc]
    """A code that works once in place of the app's."""

    __tablename__ = "recovery_code"
    __table_args__ = (Index("ix_recovery_code_user", "user_id", "used_on"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: SHA-256 of the code.
    code_hash: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    used_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PendingSignIn(Model):  # type: ignore[misc]
    """A browser whose user has entered the password, but not yet the code. It opens nothing but the page for it."""

    __tablename__ = "pending_sign_in"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: SHA-256 of the random token that the cookie carries.
    token_hash: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False, index=True)
    started_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False, index=True)


class RememberedBrowser(Model):  # type: ignore[misc]
    """A browser in which a user is asked for the password only."""

    __tablename__ = "remembered_browser"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: SHA-256 of the random token in a cookie of its own.
    token_hash: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False, index=True)
    started_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False, index=True)


# --- who has it, and who must have it ----------------------------------------------------------------------------


def find(session: Session, user_id: int) -> TwoFactor | None:
    """The user's factor; None if it is off."""
    return session.scalars(select(TwoFactor).where(TwoFactor.user_id == user_id)).first()


def users_with(session: Session, users: Iterable[int]) -> set[int]:
    """Those of these users who have it on."""
    return set(session.scalars(select(TwoFactor.user_id).where(TwoFactor.user_id.in_(sorted(users)))))


def is_owed(session: Session, user_id: int, roles: Iterable[Any]) -> bool:
    """Whether one of these roles of the user demands a factor that they don't have. Without a demand, no statement."""
    return any(role.needs_two_factor for role in roles) and find(session, user_id) is None


def owes() -> ColumnElement[bool]:
    """`is_owed` in SQL: the users who lack the factor that a role of theirs demands."""
    demanding = Role.needs_two_factor.is_(True)
    held = or_(User.roles.any(demanding), User.groups.any(Group.roles.any(demanding)))
    return and_(held, not_(exists().where(TwoFactor.user_id == User.id)))


def state(session: Session, user_id: int) -> tuple[bool, bool]:
    """(whether the user has it on, whether they owe it), by one statement."""
    query = select(exists().where(TwoFactor.user_id == User.id), owes()).where(User.id == user_id)
    found = session.execute(query).first()
    return (bool(found[0]), bool(found[1])) if found else (False, False)


# --- on, off -----------------------------------------------------------------------------------------------------


def turn_on(session: Session, factor: TwoFactor) -> list[str]:
    """Store the key, confirmed by the code of `last_step`, and return the recovery codes, known only now.

    Begun sign-ins end. Raises IntegrityError if it is on already.
    """
    session.add(factor)
    session.flush()
    forget(session, factor.user_id)
    return new_recovery_codes(session, factor.user_id)


def turn_off(session: Session, user_id: int) -> bool:
    """Remove the factor with its recovery codes, remembered browsers and begun sign-ins; False if it was off."""
    done = session.execute(delete(TwoFactor).where(TwoFactor.user_id == user_id), execution_options=_NOT_LOADED)
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id), execution_options=_NOT_LOADED)
    forget(session, user_id)
    return bool(done.rowcount)  # type: ignore[attr-defined]


def new_recovery_codes(session: Session, user_id: int) -> list[str]:
    """Replace the user's recovery codes; returns the new ones, of which only hashes are stored."""
    codes = [_new_recovery_code() for _number in range(RECOVERY_CODES)]
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id), execution_options=_NOT_LOADED)
    session.execute(
        insert(RecoveryCode), [{"user_id": user_id, "code_hash": _hash_of(user_id, _plain(each))} for each in codes]
    )
    return codes


def count_recovery_codes(session: Session, user_id: int) -> int:
    """How many recovery codes are left."""
    query = select(func.count(RecoveryCode.id))
    return session.scalar(query.where(RecoveryCode.user_id == user_id, RecoveryCode.used_on.is_(None))) or 0


def _new_recovery_code() -> str:
    """As in abcd-efgh-jkmn-pqrs."""
    letters = "".join(secrets.choice(_ALPHABET) for _number in range(RECOVERY_CHARACTERS))
    return "-".join(letters[at : at + 4] for at in range(0, RECOVERY_CHARACTERS, 4))


def _plain(code: str) -> str:
    return _SEPARATORS.sub("", code).lower()


def _hash_of(user_id: int, code: str) -> str:
    return hash_token(f"{user_id}:{code}")


# --- codes -------------------------------------------------------------------------------------------------------


def accept(session: Session, user_id: int, typed: str, vault: Vault, now: datetime) -> str | None:
    """Use up the code: "app" for one of the app, "recovery" for a recovery code, None if it is wrong or used.

    The database decides which of several requests with one code is the first.
    """
    code = _plain(typed)
    if len(code) == totp.DIGITS and code.isascii() and code.isdigit():
        factor = find(session, user_id)
        step = totp.matching_step(vault.open(factor.key_sealed), code, now) if factor is not None else None
        return "app" if step is not None and _use_step(session, factor, step) else None
    if len(code) != RECOVERY_CHARACTERS or find(session, user_id) is None:
        return None
    unused = (RecoveryCode.code_hash == _hash_of(user_id, code), RecoveryCode.used_on.is_(None))
    used = update(RecoveryCode).where(RecoveryCode.user_id == user_id, *unused).values(used_on=now)
    return "recovery" if _changes_a_row(session, used) else None


def _use_step(session: Session, factor: Any, step: int) -> bool:
    newer = update(TwoFactor).where(TwoFactor.id == factor.id, TwoFactor.last_step < step)
    return _changes_a_row(session, newer.values(last_step=step))


def _changes_a_row(session: Session, step: Any) -> bool:
    return bool(session.execute(step, execution_options=_NOT_LOADED).rowcount)  # type: ignore[attr-defined]


# --- between password and code, and browsers that need none ------------------------------------------------------


def begin_sign_in(session: Session, user_id: int, now: datetime) -> str:
    """Note that the user has entered the password. Returns the token for the browser."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    session.add(PendingSignIn(token_hash=hash_token(token), user_id=user_id, started_on=now))
    return token


def pending_user(session: Session, token: str, now: datetime) -> Any:
    """The active user of a begun sign-in that is not too old, or None."""
    query = select(User).join(PendingSignIn, PendingSignIn.user_id == User.id).where(User.active.is_(True))
    return session.scalars(query.where(*_open_sign_in(token, now))).first()


def finish_sign_in(session: Session, token: str, now: datetime) -> bool:
    """Use up the begun sign-in; False if another request has done so, or if it has ended."""
    step = delete(PendingSignIn).where(*_open_sign_in(token, now))
    return _changes_a_row(session, step)


def _open_sign_in(token: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return PendingSignIn.token_hash == hash_token(token), *_within(PendingSignIn.started_on, PENDING_FOR, now)


def remember(session: Session, user_id: int, now: datetime) -> str:
    """Remember a browser of the user, and forget the ones over the limit. Returns the token for its cookie."""
    newest = select(RememberedBrowser.id).where(RememberedBrowser.user_id == user_id)
    kept = list(session.scalars(newest.order_by(RememberedBrowser.id.desc()).limit(MAX_REMEMBERED - 1)))
    over = delete(RememberedBrowser).where(RememberedBrowser.user_id == user_id, RememberedBrowser.id.not_in(kept))
    session.execute(over, execution_options=_NOT_LOADED)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    session.add(RememberedBrowser(token_hash=hash_token(token), user_id=user_id, started_on=now))
    return token


def is_remembered(session: Session, user_id: int, token: str, now: datetime) -> bool:
    """Whether the token is of a remembered browser of this user."""
    query = select(RememberedBrowser.id).where(RememberedBrowser.token_hash == hash_token(token))
    return session.scalars(query.where(*_remembered(user_id, now))).first() is not None


def count_remembered(session: Session, user_id: int, now: datetime) -> int:
    """How many browsers of the user are remembered."""
    return session.scalar(select(func.count(RememberedBrowser.id)).where(*_remembered(user_id, now))) or 0


def _remembered(user_id: int, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return RememberedBrowser.user_id == user_id, *_within(RememberedBrowser.started_on, REMEMBERED_FOR, now)


def _within(started_on: Any, span: timedelta, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Whether less than this span has passed since the start; not for a start in the future."""
    return started_on > now - span, started_on < now + _CLOCKS_DIFFER


def forget(session: Session, user_id: int) -> None:
    """Forget the user's remembered browsers and begun sign-ins."""
    for table in (RememberedBrowser, PendingSignIn):
        session.execute(delete(table).where(table.user_id == user_id), execution_options=_NOT_LOADED)
