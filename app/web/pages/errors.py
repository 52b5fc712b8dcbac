"""Error responses as pages or JSON: a message and a way back, never a traceback."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, g, render_template, request
from flask_babel import gettext as _
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from app.extensions import db
from app.ops.database.connections import WRITES
from app.ops.database.database_errors import ONLY_WRITES, Cause, cause_of, summary_of
from app.ops.monitoring import request_log
from app.web.core.fab_access import REFUSABLE, database_sentence, json_answer, refusal, sentence_header, wants_json

log = logging.getLogger("crm.errors")
_PAGES = (400, 403, 404, 409, 410, 413, 429, 500, 503)
#: For a longer form, resubmitting is not offered.
MAX_FORM_AGAIN = 200_000
#: Retry-After of every 503.
RETRY_SECONDS = 10
#: Database problems are logged once per cause in this time.
LOG_INTERVAL_SECONDS = 10.0
_last_logged: dict[Cause, float] = {}


def _sentences() -> dict[int, str]:
    return {
        400: _("We couldn't understand this request. Please go back and try again."),
        401: _("Please sign in first."),
        403: _("Your role doesn't allow this. Ask your manager if you need it."),
        404: _("This page or record doesn't exist."),
        405: _("This method isn't allowed here."),
        409: _("Someone else changed this record. Review it and try again."),
        410: _("What you are looking for is no longer there."),
        413: _("This request is too large. Please send less at once."),
        415: _("Please send JSON."),
        422: _("This isn't allowed. Please check what you entered."),
        429: _("Too many attempts. Please wait a moment and try again."),
        500: _("Something went wrong on our side. Nothing was saved and the error was logged. Please try again."),
        503: _("The database isn't responding. Your changes may not have been saved. Please try again soon."),
    }


def register_renderer(app: Flask, render: Callable[[int, str], Response | None]) -> None:
    """Let an API return errors in its own format: `render(status, text)` returns None for other requests."""
    app.extensions.setdefault("error_renderers", []).append(render)


def install(app: Flask) -> None:
    """Return every error as JSON on /api and as a page elsewhere."""
    app.before_request_funcs.setdefault(None, []).insert(0, _refuse_too_large)
    app.register_error_handler(HTTPException, _known)
    for kind in REFUSABLE:
        app.register_error_handler(kind, _refused)
    app.register_error_handler(OSError, _refused)
    app.register_error_handler(Exception, _unknown)
    app.after_request(_add_retry_after)


def _add_retry_after(response: Response) -> Response:
    """Add Retry-After to every 503, whatever its origin."""
    if response.status_code == 503:
        response.headers.setdefault("Retry-After", str(RETRY_SECONDS))
    return response


def _large_file() -> str:
    return _("A file can have up to 25 MB. Go back: what you wrote is still there.")


def _refuse_too_large() -> None:
    """Refuse a body that is too large before anything else, so that every path responds alike."""
    asked: Any = request._get_current_object()  # type: ignore[attr-defined]  # a proxy would be resolved each time
    is_cut = getattr(asked.environ.get("gunicorn.socket"), "is_too_large", False)
    config = current_app.config
    takes_files = asked.path.startswith(config["UPLOAD_PATHS"])
    asked.max_content_length = config["MAX_UPLOAD_LENGTH" if takes_files else "MAX_CONTENT_LENGTH"]
    has_length = "CONTENT_LENGTH" in asked.environ
    if is_cut or (has_length and (asked.content_length or 0) > asked.max_content_length):
        if takes_files:
            g.sentence = _large_file()
        raise RequestEntityTooLarge


def _known(error: HTTPException) -> Any:
    if error.response is not None and error.code is None:
        return error.response
    response = current_app.make_response(
        answer(error.code or 500, g.pop("sentence", None), getattr(error, "retry_after", None))
    )
    if methods := getattr(error, "valid_methods", None):
        response.headers["Allow"] = ", ".join(sorted(methods))
    return response


def _refused(error: Exception) -> Any:
    cause = cause_of(error)
    if cause is not None:
        return database_trouble(cause, error)
    db.session.rollback()
    try:
        status, sentence, errors = refusal(error)
    except REFUSABLE:
        return _unknown(error)
    return answer(status, sentence, errors=errors)


def database_trouble(cause: Cause, error: Exception) -> Any:
    """The response to a database problem, which is temporary or for the operator, not a bug: one log line, no
    traceback.
    """
    db.session.rollback()
    WRITES.set(False)
    log_trouble(cause, error, f"{request.method} {request.path}")
    if cause not in ONLY_WRITES:
        _forget_person()
    return answer(503, database_sentence(cause))


def log_trouble(cause: Cause, error: BaseException, what: str) -> None:
    """Log one line per cause and LOG_INTERVAL_SECONDS, however many people are affected."""
    now = time.monotonic()
    if now - _last_logged.get(cause, -LOG_INTERVAL_SECONDS) >= LOG_INTERVAL_SECONDS:
        _last_logged[cause] = now
        log.error("the database is in trouble (%s: %s) at %s", cause.value, summary_of(error), what)


def _forget_person() -> None:
    """Render without the person: the menu and the bell would query the database again."""
    g.person = None
    g._login_user = current_app.login_manager.anonymous_user()  # type: ignore[attr-defined]


def _unknown(error: Exception) -> Any:
    """The response to a bug: logged under a reference that the person can quote."""
    db.session.rollback()
    reference = (request_log.request_id() or uuid.uuid4().hex)[:10]
    log.exception("unexpected error %s at %s %s", reference, request.method, request.path, exc_info=error)
    return answer(500, None, reference=reference)


def answer(
    status: int, sentence: str | None = None, retry_after: Any = None, errors: Any = None, reference: str | None = None
) -> Any:
    """The error as JSON or page."""
    text = sentence or _sentences().get(status) or _sentences()[400 if status < 500 else 500]
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    response = rendered_by_api(status, text)
    if response is not None:
        response.headers.update(headers)
        return response
    if wants_json():
        body = {"message": text, "errors": errors or {}}
        return json_answer(status, body | ({"reference": reference} if reference else {}), **headers)
    if request.headers.get("HX-Request"):
        headers |= sentence_header(text)
    return page(status, text, reference), status, headers


def rendered_by_api(status: int, text: str) -> Response | None:
    """The error in the format of the requested API; None for APIs without one of their own, and for pages."""
    rendered = (render(status, text) for render in current_app.extensions.get("error_renderers", ()))
    return next((response for response in rendered if response is not None), None)


def sent_form() -> list[tuple[str, str]]:
    """The fields of a form that could not be saved, for resubmitting; empty for a form with a password."""
    if request.method != "POST" or any(each.filename for each in request.files.values()):
        return []
    fields = list(request.form.items(multi=True))
    is_small = sum(len(value) for _name, value in fields) <= MAX_FORM_AGAIN
    return fields if is_small and not any("passw" in name or name == "pwd" for name, _value in fields) else []


def page(status: int, text: str, reference: str | None = None) -> str:
    """The error page for a status, with this sentence; `reference`: of the log."""
    name = status if status in _PAGES else (400 if status < 500 else 500)
    words = {"sentence": text, "reference": reference, "sent": sent_form() if status == 503 else []}
    try:
        return render_template(f"errors/{name}.html", **words)
    except SQLAlchemyError as error:  # the menu could not be read
        log.warning("an error page is shown as to a stranger: %s", summary_of(error))
        db.session.rollback()
        _forget_person()
        return render_template(f"errors/{name}.html", **words)
