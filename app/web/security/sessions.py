"""Where a person is signed in: rows that end a browser or a token at once, and the screen that lists them."""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, abort, flash, g, redirect, request, session, url_for
from flask_appbuilder import BaseView, expose
from flask_babel import format_datetime
from flask_babel import gettext as _
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session, load_only

from app import access
from app.domain import audit
from app.domain.authentication import note_sign_in_ended
from app.extensions import csrf, db
from app.lib.ids import parse_id
from app.models import SignIn, User
from app.ops.database import WRITES
from app.web.core.gate import zone

#: A browser that nobody used for so long must sign in again.
IDLE_HOURS = 12
#: A token's sign-in lives as long as its refresh token may.
TOKEN_DAYS = 30
#: `seen_on` is written at most this often.
SEEN_SECONDS = 60
#: Size of the random token in the cookie.
TOKEN_BYTES = 32


@dataclass(frozen=True)
class Found:
    """A live sign-in or key: its user and the version of access, read by one statement."""

    user: Any
    id: int
    #: When its use was last written down, UTC.
    used_on: datetime | None
    version: int
    scope: frozenset[str] = frozenset()

    def is_stale(self, now: datetime) -> bool:
        """Whether its use should be written down again."""
        return self.used_on is None or (now - self.used_on).total_seconds() > SEEN_SECONDS


@contextmanager
def own_transaction() -> Iterator[Session]:
    """The request's session as the system, in a write transaction of its own that is committed at the end."""
    held = db.session()
    # On SQLite a transaction that began by reading cannot always become a writer: end it first.
    held.commit()
    token = WRITES.set(True)
    try:
        with access.as_system(held):
            yield held
            held.commit()
    except BaseException:
        held.rollback()
        raise
    finally:
        WRITES.reset(token)


def hashed(secret: str) -> str:
    """SHA-256 in hex of a random secret; enough for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


#: What a request needs of its user; the rest is read when it is asked for.
BRIEFLY = load_only(User.id, User.username, User.first_name, User.last_name, User.active)
_LIVE = (
    select(User, SignIn.id, SignIn.seen_on, access.version_query())
    .join(SignIn, SignIn.user_id == User.id)
    .where(
        SignIn.token_hash == bindparam("token"),
        SignIn.ended_on.is_(None),
        SignIn.seen_on > bindparam("since"),
        User.id == bindparam("user"),
        User.active.is_(True),
    )
    .options(BRIEFLY)
)


def find(token: str, user_id: int, lifetime: timedelta, now: datetime) -> Found | None:
    """The live sign-in of this token and user, by one statement; None when it ended or lay idle too long."""
    values = {"token": hashed(token), "since": now - lifetime, "user": user_id}
    with access.as_system(db.session()) as held:
        row = held.execute(_LIVE, values).first()
    return Found(*row) if row else None


#: The same, for doors whose cookie is the token alone.
_LIVE_BY_TOKEN = (
    select(User, SignIn.id, SignIn.seen_on, access.version_query())
    .join(SignIn, SignIn.user_id == User.id)
    .where(
        SignIn.token_hash == bindparam("token"),
        SignIn.door == "compat",
        SignIn.ended_on.is_(None),
        SignIn.seen_on > bindparam("since"),
        User.active.is_(True),
    )
    .options(BRIEFLY)
)


def find_by_token(token: str, lifetime: timedelta, now: datetime) -> Found | None:
    """The live sign-in of a token that the compatibility door handed out; None when it ended or lay idle too long."""
    with access.as_system(db.session()) as held:
        row = held.execute(_LIVE_BY_TOKEN, {"token": hashed(token), "since": now - lifetime}).first()
    return Found(*row) if row else None


def note_seen(sign_in_id: int, now: datetime) -> None:
    """Write down that the sign-in is in use."""
    with own_transaction() as held:
        step = update(SignIn).where(SignIn.id == sign_in_id).values(seen_on=now)
        held.execute(step, execution_options={"synchronize_session": False})


def begin(user_id: int, door: str, now: datetime) -> str:
    """Open a sign-in at the door (form, jwt, compat) and hand out its token, which is stored hashed only."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    address, agent = request.remote_addr, request.user_agent.string[:200]
    with own_transaction() as held:
        held.add(
            SignIn(
                token_hash=hashed(token),
                user_id=user_id,
                door=door,
                started_on=now,
                seen_on=now,
                address=address,
                agent=agent,
            )
        )
        audit.write(held, "sign-in", user_id, now, address=address, door=door)
    return token


def end(held: Session, now: datetime, *conditions: Any) -> int:
    """End the live sign-ins under the conditions in the caller's transaction; how many they were."""
    step = update(SignIn).where(SignIn.ended_on.is_(None), *conditions).values(ended_on=now)
    with access.as_system(held):
        return int(held.execute(step, execution_options={"synchronize_session": False}).rowcount)  # type: ignore[attr-defined]


def sign_out(user_id: int, token: str, now: datetime) -> None:
    """End the sign-in of this token and note it in the audit."""
    with own_transaction() as held:
        if end(held, now, SignIn.token_hash == hashed(token)):
            note_sign_in_ended(held, user_id)
            audit.write(held, "sign-out", user_id, now, address=request.remote_addr)


# --- the screen --------------------------------------------------------------------------------------------------


def signed_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """A page for every signed-in person; a write needs the CSRF token, and eyes that are one's own."""

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


def whose() -> int:
    """The user id of ?user=; 404 unless it is oneself or an admin asks."""
    who: access.Person = g.person
    key = parse_id(request.args.get("user", ""))
    key = who.id if key is None else key
    if key != who.id and not who.is_admin:
        abort(404)
    return key


class SessionsView(BaseView):
    """Where am I signed in, and how do I end it."""

    route_base = "/sessions"
    default_view = "index"

    @expose("/")
    @signed_in
    def index(self) -> Any:
        """The live sign-ins of a person, the latest first."""
        key = whose()
        user = db.session.get(User, key) or abort(404)
        live = (SignIn.user_id == key, SignIn.ended_on.is_(None), SignIn.seen_on > datetime.now(UTC) - _longest())
        rows = db.session.scalars(select(SignIn).where(*live).order_by(SignIn.seen_on.desc()).limit(200)).all()
        words = {"rows": rows, "user": user, "this": _this_hash(), "own": key == g.person.id, "when": when}
        return self.render_template("signin/sessions.html", title=_("Sessions"), **words)

    @expose("/<int:pk>/end", methods=["POST"])
    @signed_in
    def end_one(self, pk: int) -> Any:
        """End one; the browser or token behind it is signed out with its next request."""
        row = access.get_visible(db.session(), SignIn, pk) or abort(404)
        with own_transaction() as held:
            end(held, datetime.now(UTC), SignIn.id == row.id)
            note_sign_in_ended(held, row.user_id)
            audit.write(
                held,
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
        """End all of a person's sign-ins but the one that asks."""
        key = whose()
        with own_transaction() as held:
            now = datetime.now(UTC)
            count = end(held, now, SignIn.user_id == key, SignIn.token_hash != _this_hash())
            note_sign_in_ended(held, key)
            audit.write(held, "sign-out", key, now, None, request.remote_addr, by=g.person.id, ended=count)
        flash(_("%(count)s sessions ended.", count=count), "success")
        return redirect(self._list(key))

    def _list(self, key: int) -> str:
        return url_for(f"{self.endpoint}.index", user=None if key == g.person.id else key)


def when(moment: datetime) -> str:
    """A moment in the zone of the person who looks, for a table cell."""
    return str(format_datetime(moment.astimezone(zone()), "medium", rebase=False))


def _longest() -> timedelta:
    return timedelta(days=TOKEN_DAYS)


def _this_hash() -> str:
    return hashed(session.get("sid") or "")


def never_stored(response: Response) -> Response:
    """The answer with the order to every cache to keep nothing of it."""
    response.headers["Cache-Control"] = "no-store"
    return response
