"""Forms that a page may queue while offline: processed once, and only for the person who filled them in.

A page assigns a key to such a form, and resends it under the same key if there was no response. The key is claimed in
the form's own transaction, so that a committed form is never processed twice. See docs/decisions/0082.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from flask import Flask, Response, flash, g, redirect, request
from flask_babel import gettext as _

from app.domain import idempotency
from app.domain.idempotency import IdempotentRequest
from app.extensions import db
from app.web.api.idempotency import HEADER
from app.web.core.fab_access import current_viewer, json_answer, request_time
from app.web.pages.refusals import previous_page

#: Paths of the forms, as a regular expression of Python and of JavaScript.
_PATHS = re.compile(
    r"^/(?:leads|tickets|customers)/note/[\w-]+$"
    r"|^/(?:leads|tickets)/move/[\w-]+$"
    r"|^/tasks/(?:add|(?:done|reopen|snooze|finish|move)/[\w-]+)$"
    r"|^/calls/(?:outcome|log/\w+)/[\w-]+$"
    r"|^/requests/decide/[\w-]+$"
)
PATHS = _PATHS.pattern
#: The field with the key, if a form can't send a header.
FIELD = "once"
#: The user id of the page that sends it.
MEANT_FOR = "X-Crm-Meant-For"
#: Marks a processed form: a redirect could also lead to the sign-in page.
DONE = "X-Crm-Done"


def install(app: Flask) -> None:
    """Check queued forms in a before_request function, after the person is known."""
    app.before_request(_claim)
    app.after_request(_say_done)


def _claim() -> Any:
    """Claim the key of the form; the response, if it was processed before or filled in by somebody else."""
    if request.method != "POST" or not _PATHS.match(request.path):
        return None
    if _is_of_another():
        text = _("This was entered by another person, who has to sign in to send it.")
        return json_answer(401, {"message": text, "errors": {}})
    key = request.headers.get(HEADER) or request.form.get(FIELD)
    if not key or g.get("person") is None:
        return None
    claimed = IdempotentRequest(current_viewer().person.id, key, _fingerprint())
    if idempotency.claim(db.session(), claimed, request_time()) is not None:
        return _done_before()
    # In the form's transaction, so that a refused or unfinished one leaves nothing behind.
    idempotency.store_response(db.session(), claimed, 200, None)
    return None


def _is_of_another() -> bool:
    meant, person = request.headers.get(MEANT_FOR), g.get("person")
    return meant is not None and (person is None or str(person.id) != meant)


def _fingerprint() -> str:
    """A hash of URL and fields: the same however the form is sent, without values that differ between attempts."""
    sent = sorted(pair for pair in request.form.items(multi=True) if pair[0] not in (FIELD, "csrf_token"))
    return hashlib.sha256(repr((request.full_path, sent)).encode("utf-8", "surrogatepass")).hexdigest()


def _done_before() -> Any:
    """The response to a form that was sent twice."""
    if MEANT_FOR in request.headers:
        return Response(status=204)  # _say_done adds the header
    flash(_("This was saved already."), "success")
    if request.headers.get("HX-Request"):
        return Response(status=204, headers={"HX-Redirect": previous_page()})
    return redirect(previous_page())


def _say_done(response: Response) -> Response:
    """Mark the response as processed; a page that sends a queued form needs no page in return."""
    if MEANT_FOR not in request.headers or response.status_code >= 400 or not _PATHS.match(request.path):
        return response
    response.set_data(b"")
    response.status_code = 204
    response.headers.pop("Location", None)
    response.headers[DONE] = "1"
    return response
