"""API keys, sent as `Authorization: token KEY:SECRET`: their verification, creation and revocation, and their page.

A key belongs to a user, may be limited to a scope, and its secret is shown once.
"""

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
from app.domain.audit_log import audit
from app.domain.base import RuleBroken
from app.domain.people import permissions
from app.domain.people.authentication import note_sign_in_ended
from app.domain.people.permission_labels import VERB_LABELS, module_labels
from app.extensions import db
from app.lib.token_hash import hash_token
from app.models import ApiKey, User
from app.web.core.fab_access import zone
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.security import login_throttle, passwords
from app.web.security.sessions import (
    USER_COLUMNS,
    Credential,
    format_moment,
    known_user,
    live_keys,
    refuse_foreign_sign_in,
    signed_in,
    usage_transaction,
    without_cache,
)

#: Random bytes in the key (hex) and in the secret.
KEY_BYTES = 10
SECRET_BYTES = 32
MAX_NAME_LENGTH = 120
#: Valid keys of one user.
MAX_KEYS = 50


def known_scopes() -> frozenset[str]:
    """Possible scopes of a key: modules (all their verbs), and "module.verb"."""
    modules = permissions.all_modules()
    return frozenset(modules) | {f"{module}.{verb}" for module in modules for verb in permissions.VERBS_OF[module]}


@dataclass(frozen=True)
class ApiKeyRequest:
    """The properties of a new key."""

    #: The program that will use it.
    name: str
    #: Some of known_scopes(); empty = everything its user may do.
    scope: list[str] = field(default_factory=list)
    #: When it expires, UTC; None = never.
    expires_on: datetime | None = None


@dataclass(frozen=True)
class NewApiKey:
    """A new key, with its secret, which is known only now."""

    id: int
    key: str
    secret: str


# --- authentication ----------------------------------------------------------------------------------------------


def key_from_header(header: str) -> str | None:
    """The `key:secret` of an Authorization header; "" if it is malformed, None for another scheme."""
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


_VALID_KEY = (
    select(*USER_COLUMNS, ApiKey.id, ApiKey.last_used_on, access.version_query(), ApiKey.scope, ApiKey.secret_hash)
    .join(ApiKey, ApiKey.user_id == User.id)
    .where(
        ApiKey.key == bindparam("key"),
        ApiKey.revoked_on.is_(None),
        User.active.is_(True),
        or_(ApiKey.expires_on.is_(None), ApiKey.expires_on > bindparam("now")),
    )
)
#: Compared when there is no such key, so that the response takes as long.
_NO_HASH = "0" * 64


def find(text: str, now: datetime) -> Credential | None:
    """The valid key of `key:secret` with its user, by one statement; None for anything else."""
    key, _colon, secret = text.partition(":")
    if not key.isascii() or not key.isalnum() or len(key) > 40 or len(secret) > 200:
        return None
    session, cut = db.session(), len(USER_COLUMNS)
    found = access.answer_as_system(session, _VALID_KEY, {"key": key, "now": now})
    stored = found[0][-1] if found else _NO_HASH
    if not hmac.compare_digest(stored, hash_token(secret)) or not found:
        return None
    key_id, used_on, version, scope = found[0][cut:-1]
    return Credential(
        known_user(session, found[0][:cut]), key_id, used_on, version, frozenset(scope or ()), is_key=True
    )


def count_failure(now: datetime) -> Response | None:
    """Count an invalid key of this address; the 429 response if there were too many, else None.

    Counted by address: counted by key, anybody could lock out its holder. A valid key never has to wait.
    """
    try:
        login_throttle.count_attempt(login_throttle.counter(f"key from {request.remote_addr}"), now)
    except login_throttle.Locked as locked:
        return too_many_response(locked)
    return None


def too_many_response(locked: login_throttle.Locked) -> Response:
    """The JSON response to too many failed attempts."""
    response = make_response(jsonify(message=str(locked.message), errors={}), 429)
    response.headers["Retry-After"] = str(locked.seconds)
    return response


def record_use(credential: Credential, now: datetime) -> None:
    """Record when and from where a key is used; once a day also in the audit."""
    with usage_transaction() as session:
        step = (
            update(ApiKey)
            .where(ApiKey.id == credential.id)
            .values(last_used_on=now, last_used_from=request.remote_addr)
        )
        session.execute(step, execution_options={"synchronize_session": False})
        if credential.used_on is None or credential.used_on.date() != now.date():
            audit.write(
                session, "api key used", credential.user.id, now, f"api key {credential.id}", request.remote_addr
            )


# --- making and revoking -----------------------------------------------------------------------------------------


def create_key(user_id: int, key_request: ApiKeyRequest, now: datetime, address: str | None = None) -> NewApiKey:
    """Create a key for the user. Raises RuleBroken for an invalid name, scope or expiry, or too many keys."""
    _refuse_bad(key_request, now)
    key, secret = secrets.token_hex(KEY_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    with request_transaction() as session:
        _refuse_too_many(session, user_id, now)
        row = ApiKey(
            key=key,
            secret_hash=hash_token(secret),
            name=key_request.name.strip(),
            user_id=user_id,
            scope=sorted(set(key_request.scope)),
            created_on=now,
            expires_on=key_request.expires_on,
        )
        session.add(row)
        session.flush()
        ends = key_request.expires_on and key_request.expires_on.isoformat(timespec="minutes")
        audit.write(session, "api key made", user_id, now, f"api key {row.id}", address, scope=row.scope, ends=ends)
    return NewApiKey(row.id, key, secret)


def _refuse_bad(key_request: ApiKeyRequest, now: datetime) -> None:
    name = key_request.name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise RuleBroken(_("Please enter a name for the key, at most 120 characters."), "name")
    if unknown := set(key_request.scope) - known_scopes():
        raise RuleBroken(_("There is no such module or permission: %(name)s.", name=min(unknown)[:40]), "scope")
    if key_request.expires_on is not None and key_request.expires_on <= now:
        raise RuleBroken(_("Please choose an expiry date in the future, or leave it empty."), "ends")


def _refuse_too_many(session: Any, user_id: int, now: datetime) -> None:
    # The lock on the user makes others who add a key for them wait, so that all are counted.
    session.execute(select(User.id).where(User.id == user_id).with_for_update())
    live = select(ApiKey.id).where(*live_keys(user_id, now)).limit(MAX_KEYS)
    if len(session.scalars(live).all()) >= MAX_KEYS:
        raise RuleBroken(_("You have reached the maximum number of keys. Please revoke one you no longer use."))


def revoke(row: Any, by: int, now: datetime, address: str | None = None) -> None:
    """Revoke the key; it is refused from now on."""
    with request_transaction() as session:
        live = update(ApiKey).where(ApiKey.id == row.id, ApiKey.revoked_on.is_(None)).values(revoked_on=now)
        done = session.execute(live, execution_options={"synchronize_session": False})
        if done.rowcount:  # type: ignore[attr-defined]
            note_sign_in_ended(session, row.user_id)
            audit.write(session, "api key revoked", row.user_id, now, f"api key {row.id}", address, by=by)


# --- the screen --------------------------------------------------------------------------------------------------


class KeysView(BaseView):
    """The person's own API keys; people who may read others' sign-ins see those of all users."""

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
        """Create a key; the response shows the secret and must not be cached."""
        who: access.Person = g.person
        try:
            passwords.refuse_wrong_password(db.session.get(User, who.id), request.form.get("current_password"))
            key_request = ApiKeyRequest(
                request.form.get("name", ""), request.form.getlist("scope"), _end_of_day(request.form.get("ends"))
            )
            made = create_key(who.id, key_request, datetime.now(UTC), request.remote_addr)
        except RuleBroken as broken:
            return self._page(broken), 422
        values = {
            "made": made,
            "name": key_request.name,
            "scope": scope_labels(key_request.scope),
            "ends": key_request.expires_on,
        }
        title = _("New API key")
        page = self.render_template("security/api_key_created.html", title=title, day=_last_day, **values)
        return without_cache(make_response(page))

    @expose("/<int:pk>/revoke", methods=["POST"])
    @signed_in
    def revoke(self, pk: int) -> Any:
        """Revoke one's own key; for others' keys the permission to end sign-ins is needed."""
        row = access.get_visible(db.session(), ApiKey, pk) or abort(404)
        refuse_foreign_sign_in(row.user_id)
        revoke(row, g.person.id, datetime.now(UTC), request.remote_addr)
        flash(_("API key revoked."), "success")
        return redirect(url_for(f"{self.endpoint}.index"))

    def _page(self, broken: RuleBroken | None = None) -> Any:
        now = datetime.now(UTC)
        status_rank = case((ApiKey.revoked_on.is_not(None), 2), (ApiKey.expires_on <= now, 1), else_=0)
        query = select(ApiKey, User.first_name + " " + User.last_name).join(User, User.id == ApiKey.user_id)
        rows = db.session.execute(query.order_by(status_rank, ApiKey.id.desc()).limit(500)).all()
        values = {
            "rows": rows,
            "choices": _scope_choices(g.person),
            "sent": request.form,
            "when": format_moment,
            "day": _last_day,
            "in_words": scope_labels,
            "names_users": g.person.may("Sign-ins", "read"),
            "chosen": request.form.getlist("scope"),
            "now": now,
            "errors": {name: [translate_text(each) for each in list_] for name, list_ in broken.errors.items()}
            if broken
            else {},
            "error": translate_text(broken.message) if broken else None,
        }
        return self.render_template("security/api_keys.html", title=_("API keys"), **values)


def _scope_choices(person: access.Person) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(module, its label, [(scope, label of its verb)]): the possible scopes of this person's keys."""
    offered = {
        module: [verb for verb in verbs if person.may(module, verb)] for module, verbs in permissions.VERBS_OF.items()
    }
    return [
        (
            module,
            translate_text(module_labels()[module]),
            [(f"{module}.{verb}", translate_text(VERB_LABELS[verb])) for verb in verbs],
        )
        for module, verbs in offered.items()
        if verbs
    ]


def scope_labels(scope: list[str]) -> list[tuple[str, str]]:
    """(module, verbs) as labels for each module of a key's scope; [] if the key is not limited."""
    verbs_of: dict[str, list[str]] = {}
    for name in scope:
        module, _dot, verb = name.partition(".")
        verbs_of.setdefault(module, []).append(verb)
    return [(translate_text(module_labels()[module]), _verb_labels(verbs)) for module, verbs in verbs_of.items()]


def _verb_labels(verbs: list[str]) -> str:
    if "" in verbs:
        return str(_("Everything"))
    return ", ".join(translate_text(VERB_LABELS[verb]) for verb in permissions.VERBS if verb in verbs)


def _last_day(ends: datetime) -> str:
    """The last day of a key, in the viewer's time zone."""
    return format_local_date((ends - timedelta(seconds=1)).astimezone(zone()), "%-d %b %Y")


def _end_of_day(typed: str | None) -> datetime | None:
    """The end of that day in the person's zone, UTC; None for empty input. Raises RuleBroken for an invalid date."""
    if not typed:
        return None
    try:
        next_day = date.fromisoformat(typed[:10]) + timedelta(days=1)
        return datetime.combine(next_day, time(), tzinfo=zone()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RuleBroken(_("Please choose an expiry date in the future, or leave it empty."), "ends") from None
