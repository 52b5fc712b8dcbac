"""Viewing the CRM as another user: reads only, for admins and managers, for half an hour, and audited.

The sign-in's row keeps whom its user views, so that of requests at the same time one begins a view and one ends it.
Each request then acts as a read-only copy of that person, so that lists, pages, REST, counts and caches follow the
person's access rules; the sign-in stays the viewer's own. Who may view as whom: `app/access/viewing_rules.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, Response, abort, g, redirect, request
from flask import session as flask_session
from flask_appbuilder import BaseView, expose
from sqlalchemy import select

from app import access
from app.access.read_only_sessions import NOTHING_CHANGES
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, translatable
from app.extensions import csrf, db
from app.models import User
from app.web.core.fab_access import zone
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.pages import errors
from app.web.security import sessions

#: How long a view lasts.
LASTS = timedelta(minutes=30)
#: In the cookie: that it is of a page of a view. The database knows whose.
_KEY = "viewing"
NO_VIEW = (None, None)
#: What may be posted in a view: its end, and signing out.
_POSTED = ("ViewAsView.end", "AuthDBView.logout")
#: Pages of the account itself: its keys, sessions, password, profile.
_OF_THE_ACCOUNT = (
    *("KeysView", "SessionsView", "TwoFactorView", "ResetMyPasswordView", "UserInfoEditView"),
    *("ExportsView", "ImportsView"),
)
NOT_ALLOWED = translatable(
    "You can't view the CRM as this user. Admins can, signed in on a page, and managers if the user is in their team "
    "and sees nothing that they don't see themselves. Nobody views as an admin or as a deactivated user."
)
#: For what was sent from a page of a view that is over.
IS_OVER = translatable(
    "The view as another user is over. Nothing was changed. From here on, you act as yourself again."
)


@dataclass(frozen=True)
class View:
    """A view under way."""

    #: The admin or manager.
    own: access.Person
    #: The person as whom they see the CRM.
    person: access.Person
    ends_on: datetime

    @property
    def ends_at(self) -> str:
        """When it ends, as a time of day on the clock of the viewed person, like all times of the page."""
        return format_local_date(self.ends_on.astimezone(zone()), "%H:%M")

    @property
    def reason(self) -> str:
        """Why nothing can be changed in it: view_as.js writes it at what it disables."""
        return translate_text(NOTHING_CHANGES)


def current() -> View | None:
    """The view of this request, if it is one."""
    found: View | None = g.get("view_as")
    return found


def is_offered(user: Any) -> bool:
    """Whether the person of this request may view as this user."""
    own: access.Person = g.person
    may = current() is None and own.scope is None and "sid" in flask_session
    return may and _viewed(own, user.id, own.version) is not None


def begin(user: Any, now: datetime) -> None:
    """View as this user from the next request on. Raises RuleBroken, which is audited, too."""
    own: access.Person = g.person
    user_id, is_allowed, ends_on = user.id, is_offered(user), now + LASTS
    with request_transaction() as session:
        begins = is_allowed and sessions.change_view(session, flask_session["sid"], NO_VIEW, (user_id, ends_on))
        what = {"what": "began", "until": ends_on.isoformat()} if begins else {"what": "refused"}
        audit.write(session, "view-as", own.id, now, f"user {user_id}", request.remote_addr, **what)
    if not begins:
        raise RuleBroken(translate_text(NOT_ALLOWED))
    flask_session[_KEY] = True


def enter(signed_in: sessions.Credential) -> None:
    """Let this request of a signed-in person act as the person of their view; end one that is over."""
    is_its_end = request.endpoint in _POSTED
    if signed_in.view is None:
        if _KEY in flask_session and not is_its_end:  # sent by a page of a view that another request has ended
            _forget()
            g.view_is_over = True
        return
    (user_id, ends_on), own, now = signed_in.view, g.person, datetime.now(UTC)
    person = _viewed(own, user_id, signed_in.version) if ends_on > now or is_its_end else None
    if person is None:
        _end(own, signed_in.view, "expired", now)
        g.view_is_over = True
        return
    session = db.session()
    access.act_as(session, person)
    access.set_read_only(session, True)
    g.person, g.view_as = person, View(own, person, ends_on)


def leave(what: str = "ended") -> int:
    """End the view of this request; from here on it acts as its own person. Returns the id of who was viewed."""
    view = current()
    if view is None:
        if _KEY in flask_session:
            _forget()
        return 0
    g.person, g.view_as = view.own, None
    g.pop("viewer", None)
    session = db.session()
    access.set_read_only(session, False)
    access.act_as(session, view.own)
    _end(view.own, (view.person.id, view.ends_on), what, datetime.now(UTC))
    return view.person.id


def _end(own: access.Person, view: tuple[int, datetime], what: str, now: datetime) -> None:
    """End the view; the request that the database lets do it writes the audit."""
    _forget()
    with request_transaction() as session:
        if sessions.change_view(session, flask_session["sid"], view, NO_VIEW):
            audit.write(session, "view-as", own.id, now, f"user {view[0]}", request.remote_addr, what=what)


def _forget() -> None:
    """Let the cookie go on without a view, and with another CSRF token: forms of the view's pages are refused."""
    flask_session.pop(_KEY, None)
    flask_session.pop("csrf_token", None)


def _viewed(own: access.Person, user_id: int, version: int) -> access.Person | None:
    """The read-only person, if they are active and this person may view as them."""
    session = db.session()
    with access.as_system(session):
        is_active = session.scalar(select(User.active).where(User.id == user_id))
    found = access.person(session, user_id, version) if is_active else None
    return found.viewed() if found is not None and access.may_view_as(own, found) else None


def refuse_writes() -> None:
    """Answer 403 to what a view may not do: writes, and pages of the person's account.

    A write with which a view ends by itself is refused, too: its page promised that nothing would change.
    """
    endpoint = request.endpoint or ""
    is_write = request.method not in ("GET", "HEAD", "OPTIONS") and endpoint not in _POSTED
    if is_write and g.get("view_is_over"):
        g.sentence = translate_text(IS_OVER)
        abort(403)
    if current() is None:
        return
    if is_write or endpoint.partition(".")[0] in _OF_THE_ACCOUNT:
        g.sentence = translate_text(NOTHING_CHANGES)
        abort(403)


def _after(response: Response) -> Response:
    """No download leaves a view, and no page of it is stored by the browser."""
    if current() is None:
        return response
    if response.headers.get("Content-Disposition", "").startswith("attachment"):
        response.close()
        refused: Response = errors.answer(403, translate_text(NOTHING_CHANGES))
        return refused
    if not (request.endpoint or "").endswith("static"):
        response.headers["Cache-Control"] = "no-store"
    return response


def install(app: Flask) -> None:
    """Watch the responses of views, and let templates show the banner."""
    app.after_request(_after)
    app.jinja_env.globals["view_as"] = current


class ViewAsView(BaseView):
    """/view-as/end"""

    route_base = "/view-as"
    default_view = "end"

    @expose("/end", methods=["POST"])
    def end(self) -> Any:
        """End the view, and return to the user's page."""
        csrf.protect()
        if g.get("person") is None:
            return redirect(self.appbuilder.get_url_for_login)
        user = leave()
        page = "show" if g.person.is_admin else "can"
        return redirect(f"/users/{page}/{user}" if user else "/")
