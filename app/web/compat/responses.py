"""The predecessor's envelopes: {"message": …} when it went well, exc_type and _server_messages when it did not."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, g, request
from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError

from app.domain.base import AlreadyExists, Conflict, NotFound, RuleBroken
from app.web.core.gate import json_answer, refusal
from app.web.core.languages import said

#: Status -> what the predecessor's clients look for in exc_type.
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
    """What only this door refuses, with the predecessor's status and kind of exception."""

    def __init__(self, status: int, sentence: str, exc_type: str | None = None) -> None:
        super().__init__(sentence)
        self.status, self.exc_type = status, exc_type or EXC_TYPES.get(status, "ValidationError")


class DuplicateError(Conflict):
    """There is one already (409, DuplicateEntryError)."""


class Envelope:
    """An answer under another key than "message": data for /api/resource, docs for documents."""

    def __init__(self, key: str, body: Any) -> None:
        self.key, self.body = key, body


def success_response(body: Any) -> Response:
    """200 with what the method answered, and a warning that names what was sent and not kept."""
    told: dict[str, Any] = {body.key: body.body} if isinstance(body, Envelope) else {"message": body}
    if names := g.get("unkept"):
        text = _("These fields were not saved: %(names)s.", names=", ".join(sorted(names)))
        told["_server_messages"] = json.dumps([_server_message(text, "orange")])
    return _json_response(200, told)


def _json_response(status: int, body: dict[str, Any]) -> Response:
    """JSON, also where half a picture of what was sent is told back."""
    try:
        return json_answer(status, body)
    except TypeError:
        text = json.dumps(body, default=str, ensure_ascii=False)
        return Response(text.encode("utf-8", "replace"), status, mimetype="application/json")


def _server_message(sentence: str, colour: str) -> str:
    return json.dumps({"message": sentence, "indicator": colour, "title": _("Message")})


def error_response(status: int, sentence: str, exc_type: str | None = None) -> Response:
    """The error envelope. Both old clients and people can read it: the sentence stands in it three times."""
    sentence = sentence.encode("utf-8", "replace").decode()
    kind = exc_type or EXC_TYPES.get(status, "ValidationError")
    body: dict[str, Any] = {
        "exc_type": kind,
        "exception": f"frappe.exceptions.{kind}: {sentence}",
        "message": sentence,
        "exc": json.dumps([f"{kind}: {sentence}"]),
        "_server_messages": json.dumps([_server_message(sentence, "red")]),
    }
    if status == 401:
        body["session_expired"] = 1
    return _json_response(status, body)


def exception_response(broken: BaseException) -> Response:
    """The envelope of a refusal; re-raises what is a bug."""
    if isinstance(broken, CompatError):
        return error_response(broken.status, str(broken.message), broken.exc_type)
    status, sentence, errors = refusal(broken)
    if isinstance(broken, NotFound):
        return error_response(404, sentence)
    if isinstance(broken, DuplicateError | AlreadyExists) or _is_duplicate(broken):
        return error_response(409, sentence, "DuplicateEntryError")
    missing = status == 422 and bool(errors) and len(errors) == 1 and not sentence
    return error_response(417 if status in (400, 422) else status, sentence, "MandatoryError" if missing else None)


def _is_duplicate(broken: BaseException) -> bool:
    """Whether the database refused a second one of what must be unique."""
    if not isinstance(broken, IntegrityError):
        return False
    words = getattr(broken.orig, "args", None) or (None,)
    return words[0] == 1062 or str(words[0]).startswith("UNIQUE")


def rule_failure_response(broken: RuleBroken) -> Response:
    """A rule of the trade refuses: 200 with the flag that the predecessor's own clients look at."""
    sentence = said(broken.message)
    return _json_response(200, {"message": {"success": False, "error": sentence, "message": sentence}})


def is_rule_failure(broken: BaseException) -> bool:
    """Whether it is a rule of the trade and no refusal of the law, of the door, or of somebody who was faster."""
    hard = isinstance(broken, CompatError | Conflict | NotFound | AlreadyExists)
    return isinstance(broken, RuleBroken) and not hard and refusal(broken)[0] == 422


def to_compat_envelope(answer: Response) -> Response:
    """A refusal of another door (too many wrong keys) in these words."""
    told = answer.get_json(silent=True) or {}
    again = error_response(answer.status_code, str(told.get("message") or answer.status))
    if "Retry-After" in answer.headers:
        again.headers["Retry-After"] = answer.headers["Retry-After"]
    return again


def is_compat_request() -> bool:
    """Whether whoever asked expects these envelopes, also where Flask itself refuses."""
    if request.path.startswith(("/api/method/", "/api/resource/")):
        return True
    return request.path == "/" and (request.method == "POST" or "cmd" in request.args)
