"""The predecessor's response formats: {"message": …} for success, exc_type and _server_messages for errors.

An error has no key "message": the telephone app treats any response with one as success, whatever the status.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Response, g, request
from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError

from app.domain.base import AlreadyExists, Conflict, NotFound, RuleBroken
from app.web.core.fab_access import json_answer, refusal
from app.web.core.localization.languages import translate_text
from app.web.core.views import save_warnings

#: Status -> exc_type, which the predecessor's clients check.
EXC_TYPES = {
    400: "ValidationError",
    401: "AuthenticationError",
    403: "PermissionError",
    404: "DoesNotExistError",
    405: "MethodNotAllowed",
    409: "TimestampMismatchError",
    413: "ValidationError",
    417: "ValidationError",
    429: "TooManyRequestsError",
    500: "Exception",
    503: "Exception",
}


class CompatError(RuleBroken):
    """An error of this API only, with the predecessor's status and exception type."""

    def __init__(self, status: int, text: str, exc_type: str | None = None) -> None:
        super().__init__(text)
        self.status, self.exc_type = status, exc_type or EXC_TYPES.get(status, "ValidationError")


class SessionExpired(CompatError):
    """The session of the cookie has ended (403, session_expired), which the predecessor's clients expect."""

    def __init__(self, text: str) -> None:
        super().__init__(403, text, "PermissionError")


class DuplicateError(Conflict):
    """The record exists already (409, DuplicateEntryError)."""


class Envelope:
    """A result under another key than "message": data for /api/resource, docs for forms."""

    def __init__(self, key: str, result: Any, **more: Any) -> None:
        self.key, self.result, self.more = key, result, more


def success_response(result: Any) -> Response:
    """200 with the method's result, and a warning that names the fields that were sent but not stored."""
    envelope = result if isinstance(result, Envelope) else Envelope("data" if is_version_2() else "message", result)
    body: dict[str, Any] = {envelope.key: envelope.result, **envelope.more}
    texts = save_warnings.pop_all()
    if names := g.get("ignored_fields"):
        texts.append(_("These fields were not saved: %(names)s.", names=", ".join(sorted(names))))
    if texts:
        body["_server_messages"] = json.dumps([_server_message(text, "orange") for text in texts])
    return _json_response(200, body)


def _json_response(status: int, body: dict[str, Any]) -> Response:
    """A JSON response, even if the body contains a lone surrogate, which orjson refuses."""
    try:
        return json_answer(status, body)
    except TypeError:
        text = json.dumps(body, default=str, ensure_ascii=False)
        return Response(text.encode("utf-8", "replace"), status, mimetype="application/json")


def _server_message(text: str, color: str) -> str:
    return json.dumps({"message": text, "indicator": color, "title": _("Message")})


def error_response(status: int, text: str, exc_type: str | None = None, expired: bool = False) -> Response:
    """The error response; clients read the text from different keys, so several contain it. None is "message"."""
    text = text.encode("utf-8", "replace").decode()
    exc_type = exc_type or EXC_TYPES.get(status, "ValidationError")
    body: dict[str, Any] = {
        "exc_type": exc_type,
        "exception": f"frappe.exceptions.{exc_type}: {text}",
        "exc": json.dumps([f"{exc_type}: {text}"]),
        "_server_messages": json.dumps([_server_message(text, "red")]),
    }
    if expired:
        body["session_expired"] = 1
    if is_version_2():
        body["errors"] = [{"type": exc_type, "exception": body["exception"]}]
    return _json_response(status, body)


def exception_response(broken: BaseException) -> Response:
    """The error response for a refused request. Re-raises any other exception, which is a bug."""
    if isinstance(broken, CompatError):
        expired = isinstance(broken, SessionExpired)
        return error_response(broken.status, translate_text(broken.message), broken.exc_type, expired)
    status, text, errors = refusal(broken)
    if isinstance(broken, NotFound):
        return error_response(404, text)
    if isinstance(broken, DuplicateError | AlreadyExists) or _is_duplicate(broken):
        return error_response(409, text, "DuplicateEntryError")
    is_missing = status == 422 and len(errors) == 1 and not text
    return error_response(417 if status in (400, 422) else status, text, "MandatoryError" if is_missing else None)


def _is_duplicate(broken: BaseException) -> bool:
    """Whether the database refused a second row with a unique value."""
    if not isinstance(broken, IntegrityError):
        return False
    code = (getattr(broken.orig, "args", None) or (None,))[0]
    return code == 1062 or str(code).startswith("UNIQUE")  # MariaDB's error number, SQLite's text


def rule_failure_response(broken: RuleBroken) -> Response:
    """A broken business rule as 200 with success false, which the predecessor's own clients check."""
    text = translate_text(broken.message)
    return _json_response(200, {"message": {"success": False, "error": text, "message": text}})


def is_rule_failure(broken: BaseException) -> bool:
    """Whether a business rule was broken, as opposed to access rules, a bad request or a conflict."""
    is_other = isinstance(broken, CompatError | Conflict | NotFound | AlreadyExists)
    return isinstance(broken, RuleBroken) and not is_other and refusal(broken).status == 422


def to_compat_envelope(response: Response) -> Response:
    """Convert an error response of shared code (too many wrong API keys) to this API's format."""
    body = response.get_json(silent=True) or {}
    converted = error_response(response.status_code, str(body.get("message") or response.status))
    if "Retry-After" in response.headers:
        converted.headers["Retry-After"] = response.headers["Retry-After"]
    return converted


#: The predecessor's newer URLs; version 1 also works without a number.
VERSION_1 = ("/api/method/", "/api/resource/", "/api/v1/method/", "/api/v1/resource/")
VERSION_2 = ("/api/v2/",)


def is_version_2() -> bool:
    """Whether the request is for the predecessor's API version 2, which responds under "data"."""
    return request.path.startswith(VERSION_2)


def is_compat_request() -> bool:
    """Whether the request is for this API, so that Flask's own errors need its format too."""
    if request.path.startswith(VERSION_1 + VERSION_2):
        return True
    return request.path == "/" and (request.method == "POST" or "cmd" in request.args)


def render_error(status: int, text: str) -> Response | None:
    """The error response for a request to this API; None for any other request."""
    return error_response(status, text) if is_compat_request() else None
