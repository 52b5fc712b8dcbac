"""Two-factor sign-in of one's own: turning it on and off, recovery codes, remembered browsers.

People whose role demands a second factor that they lack are led here, and reach nothing else until they have it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import abort, flash, g, make_response, redirect, request, url_for
from flask import session as flask_session
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from markupsafe import Markup
from sqlalchemy.exc import IntegrityError

from app import access
from app.domain.base import RuleBroken
from app.domain.people import two_factor
from app.extensions import csrf, db
from app.lib import totp
from app.lib.field_encryption import VaultError
from app.models import User
from app.web.core.fab_access import wants_json
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.urls.local_links import local_path
from app.web.pages import brand, errors
from app.web.security import passwords, second_step
from app.web.security.sessions import format_moment, without_cache

#: How long the key of a page can be confirmed.
OFFERED_FOR = timedelta(hours=1)
#: Views that people reach who owe a second factor.
_OPEN_VIEWS = ("TwoFactorView", "AuthDBView", "InvitationView", "LocaleView")
#: Endpoints of theirs that need no view.
_OPEN = ("offline", "offline_state")


def refuse_owing(endpoint: str) -> Any:
    """The response to a person who owes a second factor: the page that sets it up, or 403. None for all others."""
    if g.get("owing") is None or endpoint.partition(".")[0] in _OPEN_VIEWS or endpoint in _OPEN:
        return None
    if request.method != "GET" or wants_json() or request.headers.get("HX-Request"):
        return errors.answer(403, translate_text(second_step.OWED))
    return redirect(url_for("TwoFactorView.index", next=local_path(request.full_path.rstrip("?"))))


def account_holder(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: for who has signed in, also if they owe a second factor. A write needs the CSRF token."""

    @functools.wraps(function)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        who = _holder()
        if who is None:
            return redirect(self.appbuilder.get_url_for_login_with(request.full_path.rstrip("?")))
        if request.method != "GET":
            csrf.protect()
            if who.read_only:
                abort(403)
        return without_cache(make_response(function(self, *args, **kwargs)))

    return guarded


def _holder() -> access.Person | None:
    found: access.Person | None = g.get("person") or g.get("owing")
    return found


def _holder_id() -> int:
    who = _holder()
    return 0 if who is None else who.id


class TwoFactorView(BaseView):
    """/two-factor/"""

    route_base = "/two-factor"
    default_view = "index"

    @expose("/")
    @account_holder
    def index(self) -> Any:
        """The state, or the form that turns it on."""
        return self._page()

    @expose("/on", methods=["POST"])
    @account_holder
    def turn_on(self) -> Any:
        """Turn it on with the key of the form, a code of it and the password; shows the recovery codes."""
        user_id, now = _holder_id(), datetime.now(UTC)
        if second_step.is_on(user_id):
            return redirect(url_for("TwoFactorView.index"))
        try:
            key = _offered_key(request.form.get("offer", ""), user_id, now)
            self._refuse_wrong_password(user_id)
            step = _confirmed_step(key, request.form.get("code", ""), now)
            codes = second_step.turn_on(user_id, key, step, now)
        except IntegrityError:  # another tab was faster
            return redirect(url_for("TwoFactorView.index"))
        except RuleBroken as broken:
            return self._page(broken), 422
        self._sign_in_again(user_id)
        flash(_("Two-factor sign-in is on. All your other sessions have been ended."), "success")
        return self._codes_page(codes)

    @expose("/off", methods=["POST"])
    @account_holder
    def turn_off(self) -> Any:
        """Turn it off, with password and code."""
        user_id, now = _holder_id(), datetime.now(UTC)
        if (refused := self._refusal(user_id, now)) is not None:
            return refused
        second_step.turn_off(user_id, now)
        flash(_("Two-factor sign-in is off."), "success")
        return redirect(url_for("TwoFactorView.index"))

    @expose("/codes", methods=["POST"])
    @account_holder
    def renew_codes(self) -> Any:
        """Show new recovery codes, with password and code; the former ones end."""
        user_id, now = _holder_id(), datetime.now(UTC)
        if (refused := self._refusal(user_id, now)) is not None:
            return refused
        return self._codes_page(second_step.new_recovery_codes(user_id, now))

    @expose("/forget", methods=["POST"])
    @account_holder
    def forget(self) -> Any:
        """Forget all remembered browsers."""
        with request_transaction() as session:
            two_factor.forget(session, _holder_id())
        flash(_("Every browser asks for a code again at the next sign-in."), "success")
        return redirect(url_for("TwoFactorView.index"))

    @staticmethod
    def _refuse_wrong_password(user_id: int) -> None:
        with access.as_system(db.session()) as session:
            user = session.get(User, user_id)
        passwords.refuse_wrong_password(user, request.form.get("current_password"))

    def _refusal(self, user_id: int, now: datetime) -> Any:
        """The response to a change while it is off, or without password and code in the form; None for all others.

        The password first: without it, no guesses.
        """
        if not second_step.is_on(user_id):
            return redirect(url_for("TwoFactorView.index"))
        try:
            self._refuse_wrong_password(user_id)
            second_step.check(user_id, request.form.get("code"), now)
        except RuleBroken as broken:
            return self._page(broken), 422
        return None

    def _sign_in_again(self, user_id: int) -> None:
        """Start a new session of this browser: that of before had one factor.

        A language chosen on this page is stored: who owes the factor can't choose one in the menu.
        """
        with request_transaction() as session:
            row = session.get_one(User, user_id)
            row.locale = flask_session.get("locale") or row.locale
        with access.as_system(db.session()) as session:
            user = session.get(User, user_id)
        self.appbuilder.sm.sign_in_browser(user)
        g.pop("csrf_token", None)  # that of the former session

    def _codes_page(self, codes: list[str]) -> Any:
        return self.render_template(
            "security/recovery_codes.html",
            title=_("Recovery codes"),
            codes=codes,
            text="\n".join([*codes, ""]),
            next=local_path(request.form.get("next")) or ("/" if g.get("person") is None else None),
        )

    def _page(self, broken: RuleBroken | None = None) -> Any:
        brand.refreshed()
        user_id, now = _holder_id(), datetime.now(UTC)
        with access.as_system(db.session()) as session:
            factor = two_factor.find(session, user_id)
            words: dict[str, Any] = {
                "factor": factor,
                "codes": two_factor.count_recovery_codes(session, user_id) if factor else 0,
                "browsers": two_factor.count_remembered(session, user_id, now) if factor else 0,
            }
        words |= {} if factor else self._offer(broken, now)
        words |= {"error": translate_text(broken.message) if broken else "", "form": request.form.get("form", "")}
        words |= {"next": local_path(request.values.get("next")), "is_owed": g.get("owing") is not None}
        return self.render_template(
            "security/two_factor.html", title=_("Two-factor sign-in"), when=format_moment, **words
        )

    @staticmethod
    def _offer(broken: RuleBroken | None, now: datetime) -> dict[str, Any]:
        """A new key, or the one of the refused form, as text and picture."""
        who = _holder()
        try:
            offer = request.form.get("offer", "") if broken else ""
            key = _offered_key(offer, _holder_id(), now)
        except RuleBroken:
            key = totp.new_key()
            offer = second_step.vault().seal(f"{_holder_id()} {int(now.timestamp())} {key}")
        address = totp.key_address(key, who.username if who else "", brand.refreshed().name)
        grouped = " ".join(key[at : at + 4] for at in range(0, len(key), 4))
        return {"offer": offer, "key": grouped, "address": address, "picture": qr_picture(address)}


def _offered_key(offer: str, user_id: int, now: datetime) -> str:
    """The key in a form that was made for this user within the hour. Raises RuleBroken for any other."""
    try:
        made_for, made_at, key = second_step.vault().open(offer[:400]).split(" ")
        is_valid = int(made_for) == user_id and now.timestamp() - int(made_at) < OFFERED_FOR.total_seconds()
    except (VaultError, ValueError):
        is_valid, key = False, ""
    if not is_valid:
        raise RuleBroken(_("This key is too old. Please scan the new one, and delete the old one from your app."))
    return key


def _confirmed_step(key: str, typed: str, now: datetime) -> int:
    """The step of the code, which proves that the app has the key. Raises RuleBroken."""
    step = totp.matching_step(key, "".join(typed[:20].split()), now)
    if step is None:
        raise RuleBroken(_("This code doesn't fit. Please enter the one that your app shows now, and check its clock."))
    return step


def qr_picture(address: str) -> Markup:
    """The QR code of an address as an SVG element, dark on light in every theme."""
    import segno  # only here: few people set it up

    code = segno.make(address, error="m", micro=False)
    svg = code.svg_inline(scale=5, border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True)
    return Markup(svg)  # noqa: S704  # made by the library; the address is drawn, not written
