"""Invitations on the users page: inviting by email, their state, and what is said where no mail server is set up."""

from __future__ import annotations

from typing import Any

from flask import flash, g, request
from flask_babel import gettext as _

from app import access
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, Stamp
from app.domain.people import invitations
from app.domain.people.invitations import Invitation
from app.extensions import db
from app.ops.redis.rate_counter import Rate
from app.outbox import invitation_delivery
from app.web.core.fab_access import current_viewer, request_time
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.security import invitation_page, rate_limits

#: Invitations that a user can be sent again.
EMAILS = Rate(5, 3600)


def refuse_impossible() -> None:
    """Raise RuleBroken if no email leaves this server."""
    if not invitation_page.is_possible():
        text = _(
            "Nobody can be invited by email: no mail server is set up (CRM_SMTP_URL). "
            "Enter a first password here and tell it to the user; they can change it under My profile."
        )
        raise RuleBroken(text, "password")


def invite(user: Any) -> Invitation:
    """Invite the user, in this transaction; `announce` follows the commit. Raises RuleBroken."""
    refuse_impossible()
    seconds = rate_limits.count_attempt(f"invitation {user.id}", EMAILS) if user.id else 0
    if seconds:
        text = _(
            "This user was sent several invitations within the hour. Please send the next one in %(minutes)s min.",
            minutes=-(-seconds // 60),
        )
        raise rate_limits.TooManyRequests(text)
    session, now = db.session(), request_time()
    try:
        made = invitations.invite(session, user, invitation_delivery.keys()[0], Stamp(g.person.id, now))
    except RuleBroken as broken:
        raise RuleBroken(translate_text(broken.message)) from broken
    with access.as_system(session):
        about = f"user {user.id}" if user.id else f"user {user.username}"
        audit.write(session, "user change", g.person.id, now, about, request.remote_addr, what="invited")
    return made


def announce(user: Any) -> None:
    """After the commit: send the user's invitation, if they have an open one, and say so."""
    row = invitations.of_users(db.session(), [user.id]).get(user.id)
    if row is None or not row.is_open(request_time()):
        return
    invitation_delivery.enqueue(row.id)
    flash(_("The invitation is on its way to %(address)s.", address=row.address), "success")


def revoke(user: Any) -> None:
    """End the user's invitation."""
    session, now = db.session(), request_time()
    with access.as_system(session):
        is_done = invitations.revoke(session, user.id, now)
        if is_done:
            about = f"user {user.id}"
            audit.write(session, "user change", g.person.id, now, about, request.remote_addr, what="invitation revoked")
    session.commit()
    done, nothing = _("The invitation was revoked: its link doesn't work any more."), _("There is no open invitation.")
    flash(done if is_done else nothing, "success" if is_done else "info")


def offered_actions(user: Any) -> list[str]:
    """The actions of the user's page that concern invitations."""
    row = invitations.of_users(db.session(), [user.id]).get(user.id)
    is_new = user.active and user.last_login is None and (row is None or row.accepted_on is None)
    is_open = row is not None and row.is_open(request_time())
    return [*(["invite"] if is_new else []), *(["revoke_invitation"] if is_open else [])]


def state_text(row: Invitation | None) -> str | None:
    """The state of an invitation in a few words; None without one, and once it was accepted."""
    if row is None or row.accepted_on is not None:
        return None
    if row.revoked_on is not None:
        return _("Revoked")
    if not row.is_open(request_time()):
        return _("Expired")
    if row.state in ("failed", "dropped", "unknown"):
        return _("Not sent: %(why)s", why=translate_text(row.error or ""))
    until = moment_cell(row.expires_on, current_viewer())["text"]
    return _("Invited, until %(day)s", day=until) if row.state == "sent" else _("Being sent")
