"""The endpoints: /api/method and /api/resource, with and without v1, their version 2, and "cmd" at the root."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, g, request
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException

from app import access
from app.domain.base import RuleBroken
from app.extensions import db
from app.ops.database.connections import WRITES
from app.web.compat import authentication, client
from app.web.compat.arguments import Arguments
from app.web.compat.list_options import ListOptions, refuse_unknown_options
from app.web.compat.method_registry import METHODS, Method
from app.web.compat.responses import (
    CompatError,
    Envelope,
    SessionExpired,
    exception_response,
    is_rule_failure,
    render_error,
    rule_failure_response,
    success_response,
    to_compat_envelope,
)
from app.web.core.fab_access import REFUSABLE
from app.web.core.repeated_writes import again_if_overtaken
from app.web.pages import errors

compat = Blueprint("compat", __name__)


@compat.route("/api/method/<path:name>", methods=["GET", "POST", "PUT"])
@compat.route("/api/v1/method/<path:name>", methods=["GET", "POST", "PUT"])
@compat.route("/api/v2/method/<path:name>", methods=["GET", "POST", "PUT"])
def call_method(name: str) -> Response:
    """Call a whitelisted method by name; a slash at the end is ignored."""
    return _respond(lambda: _run_by_name(name.strip("/")))


@compat.route("/api/resource/<doctype>", methods=["GET", "POST"], strict_slashes=False)
@compat.route("/api/v1/resource/<doctype>", methods=["GET", "POST"], strict_slashes=False)
def resource(doctype: str) -> Response:
    """GET: a list ({"data": [...]}); POST: a new document, as the body or in its field "data"."""

    def list_documents(arguments: Arguments) -> Envelope:
        found = client.find_doctype(doctype)
        return Envelope("data", client.list_documents(found, ListOptions.of_resource(arguments)))

    return _respond(lambda: _run(Method(list_documents) if request.method == "GET" else _insertion(doctype)))


def _insertion(doctype: str) -> Method:
    def insert(arguments: Arguments) -> Envelope:
        return Envelope("data", client.insert_document({**_sent_document(arguments), "doctype": doctype}))

    return Method(insert, writes=True)


@compat.route("/api/v2/document/<doctype>", methods=["GET", "POST"], strict_slashes=False)
def documents_of_version_2(doctype: str) -> Response:
    """GET: {"data": [...], "has_next_page": bool}; POST: a new document, as the body or in its field "data"."""

    def list_documents(arguments: Arguments) -> Envelope:
        options = ListOptions.of_resource(arguments)
        found = client.list_documents(client.find_doctype(doctype), options.with_one_more())
        has_next = len(found) > options.size
        return Envelope("data", found[: options.size], has_next_page=has_next)

    return _respond(lambda: _run(Method(list_documents) if request.method == "GET" else _insertion(doctype)))


@compat.route("/api/v2/doctype/<doctype>/count", methods=["GET"])
def count_of_version_2(doctype: str) -> Response:
    """How many documents match "filters"."""
    return _respond(lambda: _run(Method(lambda sent: client.get_count(Arguments(sent.values | {"doctype": doctype})))))


@compat.route("/api/v2/document/<doctype>/<path:name>", methods=["GET", "PUT", "PATCH", "POST", "DELETE"])
@compat.route("/api/v1/resource/<doctype>/<path:name>", methods=["GET", "PUT", "POST", "DELETE"])
@compat.route("/api/resource/<doctype>/<path:name>", methods=["GET", "PUT", "POST", "DELETE"])
def document(doctype: str, name: str) -> Response:
    """GET, PUT or POST, DELETE: read, change, delete a document."""
    name = name.strip("/")

    def read(arguments: Arguments) -> Envelope:
        refuse_unknown_options(arguments, "document")
        return Envelope("data", client.read_document(client.find_doctype(doctype), name))

    def delete(arguments: Arguments) -> str:
        return client.delete_document(client.find_doctype(doctype), name)

    def update(arguments: Arguments) -> Envelope:
        found, doc = client.find_doctype(doctype), _sent_document(arguments)
        return Envelope(
            "data", again_if_overtaken(lambda: client.update_document(found, name, doc, arguments.raw("modified")))
        )

    methods = {"GET": Method(read), "DELETE": Method(delete, writes=True)}
    return _respond(lambda: _run(methods.get(request.method, Method(update, writes=True))))


def _sent_document(arguments: Arguments) -> dict[str, Any]:
    """The document in the body, or in its field "data"."""
    data = arguments.json_value("data")
    if data is not None and not isinstance(data, dict):
        raise CompatError(417, _("“%(name)s” must be an object.", name="data"))
    refuse_unknown_options(arguments, "document")
    return dict(data if data is not None else arguments.values)


@compat.route("/", methods=["POST"])
def call_by_cmd() -> Response:
    """POST /: the argument "cmd" names the method."""
    return _respond(lambda: _run_by_name(str(Arguments.from_request().raw("cmd") or "")))


def answer_cmd_query() -> Response | None:
    """GET /?cmd=…: call a read-only method; any other GET of the root is the start page."""
    if request.path != "/" or request.method != "GET" or "cmd" not in request.args:
        return None
    return _respond(lambda: _run_by_name(request.args["cmd"]))


def _run_by_name(name: str) -> Any:
    """Call a method by name. Raises CompatError (404, 403) for an unknown one, and for a GET of one that writes."""
    method = METHODS.get(name)
    if method is None:
        raise CompatError(404, _("There is no method “%(name)s” here.", name=name[:80]))
    if method.writes and request.method == "GET":
        raise CompatError(403, _("“%(name)s” changes data. Please send it as a POST request.", name=name))
    return _run(method)


def _run(method: Method) -> Any:
    """Authenticate, call the method, commit."""
    WRITES.set(method.writes)
    person = authentication.authenticate()
    if person is None and not method.allow_guest:
        if authentication.has_dead_session():
            raise SessionExpired(_("Your session has ended. Please sign in again."))
        raise CompatError(401, _("Please sign in first."))
    if person is not None and person.read_only and method.writes:
        raise access.Denied(_("Your role doesn't allow this. Ask your manager if you need it."))
    try:
        result = method.function(Arguments.from_request())
        db.session.flush()  # so that a database error is caught here and gets the right format
    except RuleBroken as broken:
        if not method.errors_in_body or not is_rule_failure(broken):
            raise
        db.session.rollback()
        return rule_failure_response(broken)
    if method.writes and g.get("person") is not None and db.session().in_transaction():
        db.session.commit()
    return result


def _respond(call: Callable[[], Any]) -> Response:
    """The response for a result or a refused request, which is rolled back; bugs are re-raised."""
    try:
        result = call()
    except REFUSABLE as broken:
        db.session.rollback()
        return exception_response(broken)
    except HTTPException as error:
        if not isinstance(error.response, Response):
            raise
        return to_compat_envelope(error.response)
    return result if isinstance(result, Response) else success_response(result)


def install(app: Flask) -> None:
    """Register the endpoints, and the format of errors raised by Flask itself."""
    app.register_blueprint(compat)
    app.before_request(answer_cmd_query)
    errors.register_renderer(app, render_error)
