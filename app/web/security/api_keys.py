"""API keys: `Authorization: token KEY:SECRET`, bound to a user, limited, revocable; the secret is shown once."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask import Response, abort, flash, g, jsonify, make_response, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from sqlalchemy import bindparam, case, or_, select, update

from app import access
from app.domain import audit, permissions
from app.domain.authentication import note_sign_in_ended
from app.domain.base import RuleBroken
from app.domain.permission_labels import MODULE_LABELS, VERB_LABELS
from app.extensions import db
from app.models import ApiKey, User
from app.web.core.gate import zone
from app.web.core.languages import said
from app.web.security import login_throttle
from app.web.security.sessions import BRIEFLY, Found, hashed, never_stored, own_transaction, signed_in

#: Bytes of chance in the key (a name, hex) and in the secret.
KEY_BYTES = 10
SECRET_BYTES = 32
LONGEST_NAME = 120
#: Live keys of one user.
MOST_KEYS = 50


#: What a key may be limited to: a module with all its verbs, or one verb of it.
def known_scopes() -> frozenset[str]:
    """What a key may be limited to: modules, and "module.verb"."""
    modules = permissions.all_modules()
    return frozenset(modules) | {f"{module}.{verb}" for module in modules for verb in permissions.VERBS}


@dataclass(frozen=True)
class ApiKeyRequest:
    """What somebody wants of a new key."""

    #: What will use it.
    name: str
    #: Of known_scopes(); empty = everything its user may.
    scope: list[str] = field(default_factory=list)
    #: From when on it is refused, UTC; None = it has no end.
    expires_on: datetime | None = None


@dataclass(frozen=True)
class NewApiKey:
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
    .where(
        ApiKey.key == bindparam("key"),
        ApiKey.revoked_on.is_(None),
        User.active.is_(True),
        or_(ApiKey.expires_on.is_(None), ApiKey.expires_on > bindparam("now")),
    )
    .options(BRIEFLY)
)
#: Compared with when there is no such key, so that the answer takes as long.
_NO_HASH = "0" * 64


def find(text: str, now: datetime) -> Found | None:
    """The key of `key:secret` with its user, if it is live at `now`, by one statement; None for anything else."""
    key, _colon, secret = text.partition(":")
    if not key.isascii() or not key.isalnum() or len(key) > 40 or len(secret) > 200:
        return None
    with access.as_system(db.session()) as session:
        row = session.execute(_HELD, {"key": key, "now": now}).first()
    if not hmac.compare_digest(row.secret_hash if row else _NO_HASH, hashed(secret)) or row is None:
        return None
    return Found(row[0], row[1], row[2], row[3], frozenset(row.scope or ()))


def count_failure(now: datetime) -> Response | None:
    """Count a wrong key of this address; the 429 to answer when there were too many.

    Counted by address: by key, anybody could lock out its holder. A right key is never asked to wait.
    """
    try:
        login_throttle.count(f"key from {request.remote_addr}", now)
    except login_throttle.Locked as locked:
        return too_many(locked)
    return None


def too_many(locked: login_throttle.Locked) -> Response:
    """The JSON answer to somebody who tried too often."""
    response = make_response(jsonify(message=str(locked.message), errors={}), 429)
    response.headers["Retry-After"] = str(locked.seconds)
    return response


def note_used(found: Found, now: datetime) -> None:
    """Write down when and from where a key is used, and once a day in the audit."""
    with own_transaction() as session:
        step = update(ApiKey).where(ApiKey.id == found.id).values(last_used_on=now, last_used_from=request.remote_addr)
        session.execute(step, execution_options={"synchronize_session": False})
        if found.used_on is None or found.used_on.date() != now.date():
            audit.write(session, "api key used", found.user.id, now, f"api key {found.id}", request.remote_addr)


# --- making and revoking -----------------------------------------------------------------------------------------


def make(user_id: int, wish: ApiKeyRequest, now: datetime, address: str | None = None) -> NewApiKey:
    """Make a key for the user. Raises RuleBroken for a bad name, scope or end, or too many keys."""
    _refuse_bad(wish, now)
    key, secret = secrets.token_hex(KEY_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    with own_transaction() as session:
        _refuse_too_many(session, user_id, now)
        row = ApiKey(
            key=key,
            secret_hash=hashed(secret),
            name=wish.name.strip(),
            user_id=user_id,
            scope=sorted(set(wish.scope)),
            created_on=now,
            expires_on=wish.expires_on,
        )
        session.add(row)
        session.flush()
        ends = wish.expires_on and wish.expires_on.isoformat(timespec="minutes")
        audit.write(session, "api key made", user_id, now, f"api key {row.id}", address, scope=row.scope, ends=ends)
    return NewApiKey(row.id, key, secret)


def _refuse_bad(wish: ApiKeyRequest, now: datetime) -> None:
    name = wish.name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise RuleBroken(_("Please enter a name for the key, at most 120 characters."), "name")
    if unknown := set(wish.scope) - known_scopes():
        raise RuleBroken(_("There is no such module or permission: %(name)s.", name=min(unknown)[:40]), "scope")
    if wish.expires_on is not None and wish.expires_on <= now:
        raise RuleBroken(_("Please choose an expiry date in the future, or leave it empty."), "ends")


def _refuse_too_many(session: Any, user_id: int, now: datetime) -> None:
    lasts = or_(ApiKey.expires_on.is_(None), ApiKey.expires_on > now)
    live = select(ApiKey.id).where(ApiKey.user_id == user_id, ApiKey.revoked_on.is_(None), lasts).limit(MOST_KEYS)
    if len(session.scalars(live).all()) >= MOST_KEYS:
        raise RuleBroken(_("You have reached the maximum number of keys. Please revoke one you no longer use."))


def revoke(row: Any, by: int, now: datetime, address: str | None = None) -> None:
    """Revoke the key; it is refused from its next use on."""
    with own_transaction() as session:
        live = update(ApiKey).where(ApiKey.id == row.id, ApiKey.revoked_on.is_(None)).values(revoked_on=now)
        done = session.execute(live, execution_options={"synchronize_session": False})
        if done.rowcount:  # type: ignore[attr-defined]
            note_sign_in_ended(session, row.user_id)
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
        try:
            wish = ApiKeyRequest(
                request.form.get("name", ""), request.form.getlist("scope"), _end_of(request.form.get("ends"))
            )
            made = make(who.id, wish, datetime.now(UTC), request.remote_addr)
        except RuleBroken as broken:
            return self._page(broken), 422
        told = {"made": made, "name": wish.name, "scope": in_words(wish.scope), "ends": wish.expires_on}
        title = _("New API key")
        page = self.render_template("signin/key_made.html", title=title, day=_last_day, **told)
        return never_stored(make_response(page))

    @expose("/<int:pk>/revoke", methods=["POST"])
    @signed_in
    def revoke(self, pk: int) -> Any:
        """Revoke one of one's own (an admin: any)."""
        row = access.get_visible(db.session(), ApiKey, pk) or abort(404)
        revoke(row, g.person.id, datetime.now(UTC), request.remote_addr)
        flash(_("API key revoked."), "success")
        return redirect(url_for(f"{self.endpoint}.index"))

    def _page(self, broken: RuleBroken | None = None) -> Any:
        now = datetime.now(UTC)
        dead = case((ApiKey.revoked_on.is_not(None), 2), (ApiKey.expires_on <= now, 1), else_=0)
        query = select(ApiKey, User.first_name + " " + User.last_name).join(User, User.id == ApiKey.user_id)
        rows = db.session.execute(query.order_by(dead, ApiKey.id.desc()).limit(500)).all()
        told = {
            "rows": rows,
            "choices": _choices(g.person),
            "sent": request.form,
            "when": _at,
            "day": _last_day,
            "in_words": in_words,
            "names_users": g.person.is_admin,
            "chosen": request.form.getlist("scope"),
            "now": now,
            "errors": {name: [said(each) for each in list_] for name, list_ in broken.errors.items()} if broken else {},
            "error": said(broken.message) if broken else None,
        }
        return self.render_template("signin/keys.html", title=_("API keys"), **told)


def _choices(who: access.Person) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(module, its label, [(scope, label of its verb)]): what a key of this person can be limited to."""
    offered = {
        module: [verb for verb in verbs if who.may(module, verb)] for module, verbs in permissions.VERBS_OF.items()
    }
    return [
        (module, said(MODULE_LABELS[module]), [(f"{module}.{verb}", said(VERB_LABELS[verb])) for verb in verbs])
        for module, verbs in offered.items()
        if verbs
    ]


def in_words(scope: list[str]) -> list[tuple[str, str]]:
    """(module, what of it) in words for each module of a key's scope; [] when it is not limited."""
    told: dict[str, list[str]] = {}
    for name in scope:
        module, _dot, verb = name.partition(".")
        told.setdefault(module, []).append(verb)
    return [(said(MODULE_LABELS[module]), _verbs_in_words(verbs)) for module, verbs in told.items()]


def _verbs_in_words(verbs: list[str]) -> str:
    if "" in verbs:
        return str(_("Everything"))
    return ", ".join(said(VERB_LABELS[verb]) for verb in permissions.VERBS if verb in verbs)


def _last_day(ends: datetime) -> str:
    """The day at whose end a key ends, in the zone of the person who looks."""
    return f"{(ends - timedelta(seconds=1)).astimezone(zone()):%-d %b %Y}"


def _at(moment: datetime) -> str:
    """A moment in the zone of the person who looks."""
    return f"{moment.astimezone(zone()):%-d %b %Y, %H:%M}"


def _end_of(typed: str | None) -> datetime | None:
    """The end of the day that was chosen, in the person's zone; None for no day. Raises RuleBroken for no date."""
    if not typed:
        return None
    try:
        next_day = date.fromisoformat(typed[:10]) + timedelta(days=1)
        return datetime.combine(next_day, time(), tzinfo=zone()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RuleBroken(_("Please choose an expiry date in the future, or leave it empty."), "ends") from None
