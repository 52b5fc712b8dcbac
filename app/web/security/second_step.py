"""The second step of every sign-in with a password: who owes a code, and what is accepted as one.

All doors share it: the pages, FAB's JWT resource and the predecessor's API. Wrong codes are counted per user, whatever
session or door they come from.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import current_app, has_request_context, request
from flask import session as flask_session
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, translatable
from app.domain.notifications import notices
from app.domain.people import two_factor
from app.domain.people.authentication import note_sign_in_ended
from app.domain.people.two_factor import TwoFactor
from app.extensions import db
from app.lib.field_encryption import Vault
from app.models import SignIn
from app.web.core.request_transaction import request_transaction
from app.web.security import login_throttle, sessions

#: Longer texts are no codes.
MAX_CODE_LENGTH = 64
#: Key of the token of a begun sign-in in the cookie.
_BEGUN = "begun"
OWED = translatable("Your role demands two-factor sign-in. Open the CRM in a browser and set it up first.")


class CodeRefused(RuleBroken):
    """The code is missing or wrong (401)."""

    http_status = 401


def vault() -> Vault:
    """The vault that seals the keys of apps."""
    sealed: Vault = current_app.extensions["vault"]
    return sealed


def is_on(user_id: int) -> bool:
    """Whether the user signs in with two factors."""
    with access.as_system(db.session()) as session:
        return two_factor.find(session, user_id) is not None


def count_recovery_codes(user_id: int) -> int:
    """How many recovery codes the user has left."""
    with access.as_system(db.session()) as session:
        return two_factor.count_recovery_codes(session, user_id)


def check(user_id: int, typed: Any, now: datetime) -> None:
    """Use up a code of the user. Raises CodeRefused, and login_throttle.Locked after too many wrong ones.

    Like a password, it is counted before it is checked, so that parallel requests don't get more attempts.
    """
    counted_as = login_throttle.counter(f"the code of user {user_id}")
    login_throttle.begin_attempt(counted_as, now)
    is_text = isinstance(typed, str) and len(typed) <= MAX_CODE_LENGTH
    with request_transaction() as session:
        kind = two_factor.accept(session, user_id, typed, vault(), now) if is_text else None
        (login_throttle.reset if kind else login_throttle.fail)(session, counted_as)
        if kind is None:
            write_audit(session, user_id, "wrong code", now)
        elif kind == "recovery":
            left = two_factor.count_recovery_codes(session, user_id)
            record(session, user_id, "recovery code used", now, left=left)
    if kind is None:
        raise CodeRefused(_("This code is wrong or was used already. Please enter the one that your app shows now."))


def refuse_without_code(user_id: int, otp: Any, now: datetime) -> None:
    """The second step of programs, which send the code along with the password.

    Raises CodeRefused, Locked, or access.Denied if the user's role demands a factor that they haven't set up.
    """
    with access.as_system(db.session()) as session:
        has_it, owes = two_factor.state(session, user_id)
    if has_it:
        if otp in (None, ""):
            text = _("This account signs in with two factors. Please send the code of the authenticator app as “otp”.")
            raise CodeRefused(text)
        check(user_id, otp, now)
    elif owes:
        raise access.Denied(OWED)


# --- pages -------------------------------------------------------------------------------------------------------


def needs_code(user_id: int, remembered: str, now: datetime) -> bool:
    """Whether the browser with this cookie of a remembered browser ("" = none) must enter a code of the user."""
    if not is_on(user_id):
        return False
    with access.as_system(db.session()) as session:
        return not (remembered and two_factor.is_remembered(session, user_id, remembered, now))


def begin(user: Any, now: datetime) -> None:
    """Let the browser enter the code: its session is a new one, which opens nothing else."""
    locale, old = flask_session.get("locale"), flask_session.get("sid")
    if isinstance(old, str):
        sessions.sign_out(old, now)
    with request_transaction() as session:
        token = two_factor.begin_sign_in(session, user.id, now)
    flask_session.clear()
    flask_session[_BEGUN] = token
    if locale:
        flask_session["locale"] = locale


def begun_by(now: datetime) -> Any:
    """The user whose password was entered in this browser less than five minutes ago, or None."""
    token = flask_session.get(_BEGUN)
    if not isinstance(token, str):
        return None
    with access.as_system(db.session()) as session:
        return two_factor.pending_user(session, token, now)


def finish(user: Any, now: datetime) -> bool:
    """End the begun sign-in, which leads to one session at most; False if another request was faster."""
    with request_transaction() as session:
        return two_factor.finish_sign_in(session, str(flask_session.get(_BEGUN)), now)


def remember(user_id: int, now: datetime) -> str:
    """Remember this browser; returns the token for its cookie."""
    with request_transaction() as session:
        return two_factor.remember(session, user_id, now)


# --- changes -----------------------------------------------------------------------------------------------------


def turn_on(user_id: int, key: str, step: int, now: datetime) -> list[str]:
    """Turn the factor on, and end the user's sign-ins, which were made without it. Returns the recovery codes."""
    with request_transaction() as session:
        factor = TwoFactor(user_id=user_id, key_sealed=vault().seal(key), last_step=step, confirmed_on=now)
        codes = two_factor.turn_on(session, factor)
        _end_sign_ins(session, user_id, now)
        record(session, user_id, "turned on", now)
    return codes


def turn_off(user_id: int, now: datetime) -> None:
    """Turn the factor off."""
    with request_transaction() as session:
        if two_factor.turn_off(session, user_id):
            access.bump_version(session)
            record(session, user_id, "turned off", now)


def reset(session: Session, user_id: int, now: datetime, by: int | None) -> bool:
    """Remove the factor of a user who has lost it, and end their sign-ins; `by`: the admin, None = the command line.

    False if it was off.
    """
    if not two_factor.turn_off(session, user_id):
        return False
    _end_sign_ins(session, user_id, now)
    record(session, user_id, "reset", now, by=by)
    return True


def _end_sign_ins(session: Session, user_id: int, now: datetime) -> None:
    sessions.end_sign_ins(session, now, SignIn.user_id == user_id)
    note_sign_in_ended(session, user_id)
    access.bump_version(session)


def new_recovery_codes(user_id: int, now: datetime) -> list[str]:
    """Replace the recovery codes of the user; returns the new ones."""
    with request_transaction() as session:
        codes = two_factor.new_recovery_codes(session, user_id)
        record(session, user_id, "new recovery codes", now)
    return codes


def record(session: Session, user_id: int, what: str, now: datetime, **more: Any) -> None:
    """Audit the change, and notify the user of it."""
    write_audit(session, user_id, what, now, **more)
    payload = {"what": what} | {name: value for name, value in more.items() if name != "by"}
    event = notices.NoticeEvent("security", f"two-factor:{what}:{now.isoformat()}", (user_id,), payload)
    notices.notify(session, event, now)


def write_audit(session: Session, user_id: int, what: str, now: datetime, **more: Any) -> None:
    """An audit entry about the user's second factor, by the user unless `by` is in `more`."""
    by = more.pop("by", user_id)
    if by is None:
        more["by"] = "command line"
    address = request.remote_addr if has_request_context() else None
    audit.write(session, "two-factor", by, now, f"user {user_id}", address, what=what, **more)
