"""Forms whose sender was signed out, or whose page was open for too long: what was entered is kept, to be sent again.

Nothing is saved meanwhile. Only forms of our own pages are offered again: a button that resends the form of another
site would be the forgery that the CSRF token prevents.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, render_template, request
from flask import session as flask_session
from flask_babel import gettext as _
from flask_login import current_user
from flask_wtf.csrf import CSRFError

from app.web.core.fab_access import sentence_header, wants_json
from app.web.pages import errors

#: Tells the page's script (htmx_requests.js) that it needs a new token.
EXPIRED = {"X-Page-Expired": "1"}
_REDIRECTS = (302, 303)


def install(app: Flask) -> None:
    """Answer forms with a wrong CSRF token, and those that would be redirected to the sign-in page."""
    app.register_error_handler(CSRFError, _refuse_stale)
    app.after_request(_keep_form_of_signed_out)


def _refuse_stale(_error: CSRFError) -> Any:
    if wants_json() or errors.rendered_by_api(400, "") is not None or not _is_own_form():
        return errors.answer(400, _stale_form())
    return _offer_again()


def _stale_form() -> str:
    return _("This page has expired. Please reload it and try again.")


def _keep_form_of_signed_out(response: Response) -> Response:
    """Replace the redirect to the sign-in page, which would lose what was entered."""
    if response.status_code not in _REDIRECTS or g.get("person") is not None:
        return response
    sign_in = current_app.extensions["appbuilder"].get_url_for_login
    is_sign_in = urlsplit(response.headers.get("Location", "")).path == urlsplit(sign_in).path
    if not is_sign_in or request.path.startswith(("/login/", "/logout/")):
        return response
    flask_session.pop("_flashes", None)  # FAB adds “You don't have permission”
    if request.method != "POST" or wants_json() or not _is_own_form():
        return response
    return current_app.make_response(_offer_again())


def _is_own_form() -> bool:
    """Whether a page of ours sent the form; browsers set these headers, pages can't."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(request.headers.get("Origin", "")).netloc == request.host


def _offer_again() -> Any:
    """The response to the page's script, or the page with the form to be sent again."""
    is_signed_out = not current_user.is_authenticated  # the token is checked before the person is loaded
    status = 401 if is_signed_out else 400
    if request.headers.get("HX-Request"):
        sentence = (
            _("You were signed out. Sign in in another tab, then try again here: what you typed is still there.")
            if is_signed_out
            else _("This page was open for too long. Please try again: what you typed is still there.")
        )
        return "", status, EXPIRED | sentence_header(sentence)
    sent = [(name, value) for name, value in errors.sent_form() if name != "csrf_token"]
    return render_template("errors/expired_form.html", sent=sent, is_signed_out=is_signed_out), status, {}
