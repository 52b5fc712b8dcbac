"""API keys: `Authorization: token KEY:SECRET`, bound to a user, limited, revocable; the secret is shown once."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Response, abort, flash, g, jsonify, make_response, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from sqlalchemy import bindparam, select, update

from app import access
from app.domain import audit, permissions
from app.domain.base import RuleBroken
from app.domain.signin import note_ended
from app.extensions import db
from app.models import ApiKey, User
from app.web import tries
from app.web.sessions import BRIEFLY, Found, hashed, never_stored, own_transaction, signed_in, when

#: Bytes of chance in the key (a name, hex) and in the secret.
KEY_BYTES = 10
SECRET_BYTES = 32
LONGEST_NAME = 120
#: Live keys of one user.
MOST_KEYS = 50
#: What a key may be limited to: a module with all its verbs, or one verb of it.
SCOPES = frozenset(permissions.MODULES) | {f"{m}.{verb}" for m in permissions.MODULES for verb in permissions.VERBS}


@dataclass(frozen=True)
class Made:
    """A new key; the only moment at which its secret is known."""

    id: int
    key: str
    secret: str


# --- the door ----------------------------------------------------------------------------------------------------


def from_header(header: str) -> str | None:
    """The `key:secret` of an Authorization header; "" when it is rubbish, None when the scheme is another."""
    scheme, _blank, rest = header.partition(" ")
    if scheme.lower() == "token":
        return rest.strip()
    if scheme.lower() == "basic":
        return _decoded(rest.strip())
    return None


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


_HELD = (
    select(User, ApiKey.id, ApiKey.last_used_on, access.version_query(), ApiKey.scope, ApiKey.secret_hash)
    .join(ApiKey, ApiKey.user_id == User.id)
    .where(ApiKey.key == bindparam("key"), ApiKey.revoked_on.is_(None), User.active.is_(True))
    .options(BRIEFLY)
)
#: Compared with when there is no such key, so that the answer takes as long.
_NO_HASH = "0" * 64


def find(text: str) -> Found | None:
    """The live key of `key:secret` with its user, by one statement; None for anything else."""
    key, _colon, secret = text.partition(":")
    if not key.isascii() or not key.isalnum() or len(key) > 40 or len(secret) > 200:
        return None
    with access.as_system(db.session()) as session:
        row = session.execute(_HELD, {"key": key}).first()
    if not hmac.compare_digest(row.secret_hash if row else _NO_HASH, hashed(secret)) or row is None:
        return None
    return Found(row[0], row[1], row[2], row[3], frozenset(row.scope or ()))


def count_failure(now: datetime) -> Response | None:
    """Count a wrong key of this address; the 429 to answer when there were too many.

    Counted by address: by key, anybody could lock out its holder. A right key is never asked to wait.
    """
    try:
        tries.count(f"key from {request.remote_addr}", now)
    except tries.Locked as locked:
        return too_many(locked)
    return None


def too_many(locked: tries.Locked) -> Response:
    """The JSON answer to somebody who tried too often."""
    response = make_response(jsonify(message=str(locked.message)), 429)
    response.headers["Retry-After"] = str(locked.seconds)
    return response


def note_used(found: Found, now: datetime) -> None:
    """Write down the use of a key, and once a day in the audit."""
    with own_transaction() as session:
        step = update(ApiKey).where(ApiKey.id == found.id).values(last_used_on=now)
        session.execute(step, execution_options={"synchronize_session": False})
        if found.used_on is None or found.used_on.date() != now.date():
            audit.write(session, "api key used", found.user.id, now, f"api key {found.id}", request.remote_addr)


# --- making and revoking -----------------------------------------------------------------------------------------


def make(user_id: int, name: str, scope: list[str], now: datetime, address: str | None = None) -> Made:
    """Make a key for the user. Raises RuleBroken for a bad name or scope, or too many keys."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise RuleBroken(_("Please name what will use the key, in at most 120 signs."), "name")
    if unknown := set(scope) - SCOPES:
        raise RuleBroken(_("There is no such module or right: %(name)s.", name=min(unknown)[:40]), "scope")
    key, secret = secrets.token_hex(KEY_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    with own_transaction() as session:
        _refuse_too_many(session, user_id)
        row = ApiKey(key=key, secret_hash=hashed(secret), name=name, user_id=user_id, scope=sorted(set(scope)),
                     created_on=now)  # fmt: skip
        session.add(row)
        session.flush()
        audit.write(session, "api key made", user_id, now, f"api key {row.id}", address, scope=row.scope)
    return Made(row.id, key, secret)


def _refuse_too_many(session: Any, user_id: int) -> None:
    live = select(ApiKey.id).where(ApiKey.user_id == user_id, ApiKey.revoked_on.is_(None)).limit(MOST_KEYS)
    if len(session.scalars(live).all()) >= MOST_KEYS:
        raise RuleBroken(_("There are too many keys already. Please revoke one that is not used any more."))


def revoke(row: Any, by: int, now: datetime, address: str | None = None) -> None:
    """Revoke the key; it is refused from its next use on."""
    with own_transaction() as session:
        live = update(ApiKey).where(ApiKey.id == row.id, ApiKey.revoked_on.is_(None)).values(revoked_on=now)
        done = session.execute(live, execution_options={"synchronize_session": False})
        if done.rowcount:  # type: ignore[attr-defined]
            note_ended(session, row.user_id)
            audit.write(session, "api key revoked", row.user_id, now, f"api key {row.id}", address, by=by)


# --- the screen --------------------------------------------------------------------------------------------------


class KeysView(BaseView):
    """One's API keys; an admin sees everybody's."""

    route_base = "/keys"
    default_view = "index"

    @expose("/")
    @signed_in
    def index(self) -> Any:
        """The list, and the form for a new one."""
        return self._page()

    @expose("/", methods=["POST"])
    @signed_in
    def create(self) -> Any:
        """Make one for oneself; the answer shows the secret, and is not stored anywhere."""
        who: access.Person = g.person
        name, scope = request.form.get("name", ""), request.form.getlist("scope")
        try:
            made = make(who.id, name, scope, datetime.now(UTC), request.remote_addr)
        except RuleBroken as broken:
            return self._page(str(broken.message), name), 422
        page = self.render_template("signin/key_made.html", title=_("New API key"), made=made, name=name)
        return never_stored(make_response(page))

    @expose("/<int:pk>/revoke", methods=["POST"])
    @signed_in
    def revoke(self, pk: int) -> Any:
        """Revoke one of one's own (an admin: any)."""
        row = access.get_visible(db.session(), ApiKey, pk) or abort(404)
        revoke(row, g.person.id, datetime.now(UTC), request.remote_addr)
        flash(_("The key is revoked."), "success")
        return redirect(url_for(f"{self.endpoint}.index"))

    def _page(self, error: str | None = None, name: str = "") -> Any:
        query = select(ApiKey, User.username).join(User, User.id == ApiKey.user_id)
        rows = db.session.execute(query.order_by(ApiKey.revoked_on.is_not(None), ApiKey.id.desc()).limit(500)).all()
        words = {
            "rows": rows,
            "modules": permissions.MODULES,
            "error": error,
            "name": name[:LONGEST_NAME],
            "when": when,
        }
        return self.render_template("signin/keys.html", title=_("API keys"), **words)
