"""The doors themselves: /api/method, /api/resource and the old "cmd" at the root."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, g, request
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException

from app import access
from app.domain.base import RuleBroken
from app.extensions import db
from app.ops.database import WRITES
from app.web.compat import authentication, client
from app.web.compat.arguments import Arguments
from app.web.compat.registry import METHODS, Method
from app.web.compat.responses import (
    CompatError,
    Envelope,
    exception_response,
    is_rule_failure,
    rule_failure_response,
    success_response,
    to_compat_envelope,
)
from app.web.core.gate import REFUSABLE

compat = Blueprint("compat", __name__)


@compat.route("/api/method/<path:name>", methods=["GET", "POST", "PUT"])
def call_method(name: str) -> Response:
    """Call a method by name; a slash at the end is no part of it."""
    return _respond(lambda: _call_by_name(name.strip("/")))


@compat.route("/api/resource/<doctype>", methods=["GET", "POST"], strict_slashes=False)
def resource(doctype: str) -> Response:
    """GET: a list ({"data": [...]}); POST: a new document, in the body or in the field "data"."""
    if request.method == "GET":
        found = Method(
            lambda arguments: Envelope("data", client.list_documents(arguments, client.find_doctype(doctype)))
        )
    else:
        found = Method(
            lambda arguments: Envelope(
                "data", client.insert_document({**sent_document(arguments), "doctype": doctype})
            ),
            writes=True,
        )
    return _respond(lambda: run_method(found))


@compat.route("/api/resource/<doctype>/<path:name>", methods=["GET", "PUT", "POST", "DELETE"])
def document(doctype: str, name: str) -> Response:
    """One document: read, changed, deleted."""
    key = name.strip("/")
    verbs = {
        "GET": Method(lambda arguments: Envelope("data", client.read_document(client.find_doctype(doctype), key))),
        "DELETE": Method(lambda arguments: client.delete_document(client.find_doctype(doctype), key), writes=True),
    }
    change = Method(
        lambda arguments: Envelope(
            "data",
            client.update_document(
                client.find_doctype(doctype), key, sent_document(arguments), arguments.raw("modified")
            ),
        ),
        writes=True,
    )
    return _respond(lambda: run_method(verbs.get(request.method, change)))


def sent_document(arguments: Arguments) -> dict[str, Any]:
    """The document of a body, or of its field "data"."""
    data = arguments.json_value("data")
    return dict(data) if isinstance(data, dict) else dict(arguments.values)


@compat.route("/", methods=["POST"])
def call_by_cmd() -> Response:
    """The oldest way: the name of the method is the argument "cmd"."""
    return _respond(lambda: _call_by_name(str(request.values.get("cmd") or "")))


def answer_cmd_query() -> Response | None:
    """GET /?cmd=…: the same for who only reads; every other GET of the root is the start page."""
    if request.path != "/" or request.method != "GET" or "cmd" not in request.args:
        return None
    return _respond(lambda: _call_by_name(request.args["cmd"]))


def _call_by_name(name: str) -> Any:
    found = METHODS.get(name)
    if found is None:
        raise CompatError(404, _("There is no method “%(name)s” here.", name=name[:80]))
    if found.writes and request.method == "GET":
        raise CompatError(403, _("“%(name)s” changes data. Please send it as a POST request.", name=name))
    return run_method(found)


def run_method(found: Method) -> Any:
    """Find out who asks, call, commit."""
    WRITES.set(found.writes)
    person = authentication.authenticate()
    if person is None and not found.allow_guest:
        raise CompatError(401, _("Please sign in first."))
    if person is not None and person.read_only and found.writes:
        raise access.Denied(_("Your role doesn't allow this. Ask your manager if you need it."))
    try:
        answer = found.function(Arguments.from_request())
        db.session.flush()  # what the database refuses is refused here, in words
    except RuleBroken as broken:
        if not found.errors_in_body or not is_rule_failure(broken):
            raise
        db.session.rollback()
        return rule_failure_response(broken)
    if found.writes and g.get("person") is not None:
        db.session.commit()
    return answer


def _respond(call: Any) -> Response:
    """Nothing of a refused call is stored; what is a bug is heard as one."""
    try:
        answer = call()
    except REFUSABLE as broken:
        db.session.rollback()
        return exception_response(broken)
    except HTTPException as known:
        if not isinstance(known.response, Response):
            raise
        return to_compat_envelope(known.response)
    return answer if isinstance(answer, Response) else success_response(answer)


def install(app: Flask) -> None:
    """Open the doors."""
    app.register_blueprint(compat)
    app.before_request(answer_cmd_query)
