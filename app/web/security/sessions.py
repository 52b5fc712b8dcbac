"""Sign-ins: rows that can end a browser's session or a token at once, and the page that lists them."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from flask import Response, abort, current_app, flash, g, has_request_context, redirect, request, url_for
from flask import session as flask_session
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy import ColumnElement, bindparam, func, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.domain.people import two_factor
from app.domain.people.authentication import note_sign_in_ended
from app.extensions import csrf, db
from app.lib import browser_names
from app.lib.ids import parse_id
from app.lib.token_hash import hash_token
from app.models import ApiKey, SignIn, User
from app.ops.database.database_errors import ONLY_WRITES, cause_of
from app.ops.statements import loaded_objects
from app.web.core.fab_access import zone
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.request_transaction import request_transaction
from app.web.pages import errors

if TYPE_CHECKING:
    from config import Settings

#: `seen_on` is written at most this often.
SEEN_SECONDS = 60
#: Size of the random token in the cookie.
TOKEN_BYTES = 32


@dataclass(frozen=True)
class Credential:
    """A valid sign-in or API key, with its user and the access version, read by one statement."""

    user: Any
    id: int
    #: When its use was last recorded, UTC.
    used_on: datetime | None
    version: int
    scope: frozenset[str] = frozenset()
    #: The version of saved views and choices for lists; None if no page is shown.
    lists: int | None = None
    #: The user as whom it views the CRM, and until when; see view_as.py.
    view: tuple[int, datetime] | None = None
    #: Whether it is an API key, a credential of its own: it needs no second factor.
    is_key: bool = False

    def is_stale(self, now: datetime) -> bool:
        """Whether its use is due to be recorded again."""
        return self.used_on is None or (now - self.used_on).total_seconds() > SEEN_SECONDS


@contextmanager
def usage_transaction() -> Iterator[Session]:
    """Like `request_transaction`, for usage records: a read-only database does not stop readers."""
    try:
        with request_transaction() as session:
            yield session
    except DBAPIError as error:
        cause = cause_of(error)
        if cause not in ONLY_WRITES:
            raise
        errors.log_trouble(cause, error, "the record of activity")


#: The columns that a request needs of its user; others load on access.
USER_COLUMNS = (User.id, User.username, User.first_name, User.last_name, User.active)
_USER_NAMES = tuple(column.key for column in USER_COLUMNS)


def known_user(session: Session, values: Sequence[Any]) -> User:
    """The user whose USER_COLUMNS were read, as an object of the session."""
    known = loaded_objects.present(session, User, values[0])
    if known is not None:
        return cast(User, known)
    return cast(User, loaded_objects.hold(session, User, dict(zip(_USER_NAMES, values, strict=True))))


def valid_sign_ins(now: Any, settings: Settings) -> tuple[ColumnElement[bool], ...]:
    """The sign-ins that are valid at `now`: not ended, used recently, and not too old. The same for all kinds."""
    idle, oldest = timedelta(hours=settings.session_idle_hours), timedelta(days=settings.session_days)
    return SignIn.ended_on.is_(None), SignIn.seen_on > now - idle, SignIn.started_on > now - oldest


_VIEW = (SignIn.viewed_id, SignIn.view_ends_on)


def _valid(*conditions: Any) -> Any:
    """SELECT of a valid sign-in with its user, its last use, and the versions of access and of lists."""
    return (
        select(*USER_COLUMNS, SignIn.id, SignIn.seen_on, access.version_query(), access.lists_version_query(), *_VIEW)
        .join(SignIn, SignIn.user_id == User.id)
        .where(
            SignIn.token_hash == bindparam("token"),
            SignIn.ended_on.is_(None),
            SignIn.seen_on > bindparam("since"),
            SignIn.started_on > bindparam("oldest"),
            User.active.is_(True),
            *conditions,
        )
    )


_VALID_SIGN_IN = _valid(User.id == bindparam("user"))
#: For endpoints whose cookie contains only the token.
_VALID_BY_TOKEN = _valid(SignIn.method == "compat")


def find(token: str, user_id: int, now: datetime) -> Credential | None:
    """The valid sign-in of this token and user, by one statement; None if it has ended, was idle too long or is old."""
    return _found(_VALID_SIGN_IN, {"token": hash_token(token), "user": user_id}, now)


def find_by_token(token: str, now: datetime) -> Credential | None:
    """The valid sign-in of a token of the compatibility API; None if there is none."""
    return _found(_VALID_BY_TOKEN, {"token": hash_token(token)}, now)


def _found(query: Any, values: dict[str, Any], now: datetime) -> Credential | None:
    settings: Settings = current_app.config["CRM"]
    since, oldest = timedelta(hours=settings.session_idle_hours), timedelta(days=settings.session_days)
    session = db.session()
    found = access.answer_as_system(session, query, values | {"since": now - since, "oldest": now - oldest})
    if not found:
        return None
    cut = len(USER_COLUMNS)
    sign_in, used_on, version, lists, viewed, until = found[0][cut:]
    view = (viewed, until) if viewed is not None else None
    return Credential(known_user(session, found[0][:cut]), sign_in, used_on, version, lists=lists, view=view)


def change_view(session: Session, token: str, former: tuple[Any, Any], view: tuple[Any, Any]) -> bool:
    """Replace whom the sign-in of this token views, and until when; False if another request has done it."""
    step = update(SignIn).where(SignIn.token_hash == hash_token(token), SignIn.ended_on.is_(None))
    for column, value in zip(_VIEW, former, strict=True):
        step = step.where(column == value if value is not None else column.is_(None))
    values = dict(zip(_VIEW, view, strict=True))
    return bool(session.execute(step.values(values), execution_options={"synchronize_session": False}).rowcount)  # type: ignore[attr-defined]


def record_activity(sign_in_id: int, now: datetime) -> None:
    """Record that the sign-in is in use."""
    with usage_transaction() as session:
        step = update(SignIn).where(SignIn.id == sign_in_id).values(seen_on=now)
        session.execute(step, execution_options={"synchronize_session": False})


def create_sign_in(user_id: int, method: str, now: datetime) -> str:
    """Create a sign-in of this kind (form, jwt, compat). Returns its token, of which only the hash is stored."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    address, agent = request.remote_addr, request.user_agent.string[:200]
    with request_transaction() as session:
        session.add(
            SignIn(
                token_hash=hash_token(token),
                user_id=user_id,
                method=method,
                started_on=now,
                seen_on=now,
                address=address,
                agent=agent,
            )
        )
        audit.write(session, "sign-in", user_id, now, address=address, method=method)
    return token


def end_sign_ins(session: Session, now: datetime, *conditions: Any) -> int:
    """End the sign-ins that match the conditions, in the caller's transaction. Returns how many."""
    step = update(SignIn).where(SignIn.ended_on.is_(None), *conditions).values(ended_on=now)
    with access.as_system(session):
        return int(session.execute(step, execution_options={"synchronize_session": False}).rowcount)  # type: ignore[attr-defined]


def revoke_keys(session: Session, user_id: int, now: datetime, by: int | None = None) -> int:
    """Revoke all API keys of the user, in the caller's transaction, with one line in the audit. Returns how many."""
    step = update(ApiKey).where(*live_keys(user_id, now)).values(revoked_on=now)
    with access.as_system(session):
        count = int(session.execute(step, execution_options={"synchronize_session": False}).rowcount)  # type: ignore[attr-defined]
        if count:
            note_sign_in_ended(session, user_id)
            address = request.remote_addr if has_request_context() else None
            audit.write(session, "api key revoked", user_id, now, f"user {user_id}", address, by=by, count=count)
    return count


def sign_out(token: str, now: datetime) -> None:
    """End the sign-in of this token, whosever it is, and audit it."""
    with request_transaction() as session:
        user_id = session.scalar(select(SignIn.user_id).where(SignIn.token_hash == hash_token(token)))
        if user_id is not None and end_sign_ins(session, now, SignIn.token_hash == hash_token(token)):
            note_sign_in_ended(session, user_id)
            audit.write(session, "sign-out", user_id, now, address=request.remote_addr)


def live_keys(user_id: int, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """The API keys of a user that work at `now`."""
    return (
        ApiKey.user_id == user_id,
        ApiKey.revoked_on.is_(None),
        or_(ApiKey.expires_on.is_(None), ApiKey.expires_on > now),
    )


def count_keys(session: Session, user_id: int) -> int:
    """How many API keys of the user work now."""
    with access.as_system(session):
        return session.scalar(select(func.count(ApiKey.id)).where(*live_keys(user_id, datetime.now(UTC)))) or 0


def flash_live_keys(count: int) -> None:
    """Say that API keys still work."""
    text = _n(
        "%(num)s API key still works. If somebody else may have made it, revoke it under API keys.",
        "%(num)s API keys still work. If somebody else may have made one, revoke it under API keys.",
        count,
    )
    flash(text, "warning")


# --- the screen --------------------------------------------------------------------------------------------------


def signed_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of pages for every signed-in person; a write needs the CSRF token and a person who is not read-only."""

    @functools.wraps(function)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        who = getattr(g, "person", None)
        if who is None:
            return redirect(self.appbuilder.get_url_for_login_with(request.full_path.rstrip("?")))
        if request.method != "GET":
            csrf.protect()
            if who.read_only:
                abort(403)
        return function(self, *args, **kwargs)

    return guarded


def requested_user_id(verb: str) -> int:
    """The user id of ?user=; 404 for another user, unless the person may do this to the sign-ins of others."""
    who: access.Person = g.person
    key = parse_id(request.args.get("user", ""))
    key = who.id if key is None else key
    if key != who.id and not who.may("Sign-ins", verb):
        abort(404)
    return key


def refuse_foreign_sign_in(user_id: int) -> None:
    """Respond with 403 unless it is the person's own, or they may end the sign-ins of others."""
    if user_id != g.person.id and not g.person.may("Sign-ins", "delete"):
        abort(403)


class SessionsView(BaseView):
    """The sessions page: where a user is signed in."""

    route_base = "/sessions"
    default_view = "index"
    class_permission_name = "Sign-ins"
    base_permissions = ["can_read", "can_delete"]

    @expose("/")
    @signed_in
    def index(self) -> Any:
        """The valid sign-ins of a user, most recently used first."""
        key = requested_user_id("read")
        user = db.session.get(User, key) or abort(404)
        live = valid_sign_ins(datetime.now(UTC), current_app.config["CRM"])
        rows = db.session.scalars(
            select(SignIn).where(SignIn.user_id == key, *live).order_by(SignIn.seen_on.desc()).limit(200)
        ).all()
        words = {
            "rows": rows,
            "user": user,
            "this": _current_token_hash(),
            "own": key == g.person.id,
            "when": format_moment,
            "program": _shown_program,
            "keys": count_keys(db.session(), key),
        }
        return self.render_template("security/sessions.html", title=_("Sessions"), **words)

    @expose("/<int:pk>/end", methods=["POST"])
    @signed_in
    def end_one(self, pk: int) -> Any:
        """End one; its browser or token is signed out with the next request."""
        row = access.get_visible(db.session(), SignIn, pk) or abort(404)
        refuse_foreign_sign_in(row.user_id)
        with request_transaction() as session:
            end_sign_ins(session, datetime.now(UTC), SignIn.id == row.id)
            two_factor.forget(session, row.user_id)  # perhaps one of them is that browser
            note_sign_in_ended(session, row.user_id)
            audit.write(
                session,
                "sign-out",
                row.user_id,
                datetime.now(UTC),
                f"sign-in {row.id}",
                request.remote_addr,
                by=g.person.id,
            )
        flash(_("Session ended."), "success")
        return redirect(self._list(row.user_id))

    @expose("/end-others", methods=["POST"])
    @signed_in
    def end_others(self) -> Any:
        """End all of a user's sign-ins except the current one."""
        key = requested_user_id("delete")
        with request_transaction() as session:
            now = datetime.now(UTC)
            count = end_sign_ins(session, now, SignIn.user_id == key, SignIn.token_hash != _current_token_hash())
            two_factor.forget(session, key)
            note_sign_in_ended(session, key)
            audit.write(session, "sign-out", key, now, None, request.remote_addr, by=g.person.id, ended=count)
        flash(_n("%(count)s session ended.", "%(count)s sessions ended.", count, count=count), "success")
        if keys := count_keys(db.session(), key):
            flash_live_keys(keys)
        return redirect(self._list(key))

    def _list(self, key: int) -> str:
        return url_for(f"{self.endpoint}.index", user=None if key == g.person.id else key)


def format_moment(moment: datetime) -> str:
    """A moment in the viewer's time zone, for a table cell."""
    return format_local_date(moment.astimezone(zone()), "%-d %b %Y, %H:%M")


def _current_token_hash() -> str:
    return hash_token(flask_session.get("sid") or "")


def without_cache(response: Response) -> Response:
    """The response, marked so that no cache stores it."""
    response.headers["Cache-Control"] = "no-store"
    return response


def _shown_program(agent: str) -> str:
    """The browser and system of a User-Agent header, such as “Chrome on Android”."""
    browser, system = browser_names.names_of(agent)
    return _("%(browser)s on %(system)s", browser=browser, system=system) if browser and system else browser or system
