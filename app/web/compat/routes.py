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
from app.web.compat.responses import Named, Refused, good, is_soft, refuse, respoken, soft
from app.web.core.gate import REFUSABLE

compat = Blueprint("compat", __name__)


@compat.route("/api/method/<path:name>", methods=["GET", "POST", "PUT"])
def method(name: str) -> Response:
    """Call a method by name; a slash at the end is no part of it."""
    return _answer(lambda: _call(name.strip("/")))


@compat.route("/api/resource/<doctype>", methods=["GET", "POST"], strict_slashes=False)
def resource(doctype: str) -> Response:
    """GET: a list ({"data": [...]}); POST: a new document, in the body or in the field "data"."""
    if request.method == "GET":
        found = Method(lambda arguments: Named("data", client.list_of(arguments, client.known(doctype))))
    else:
        found = Method(
            lambda arguments: Named("data", client.inserted({**sent(arguments), "doctype": doctype})), writes=True
        )
    return _answer(lambda: run(found))


@compat.route("/api/resource/<doctype>/<path:name>", methods=["GET", "PUT", "POST", "DELETE"])
def document(doctype: str, name: str) -> Response:
    """One document: read, changed, deleted."""
    key = name.strip("/")
    verbs = {
        "GET": Method(lambda arguments: Named("data", client.whole_of(client.known(doctype), key))),
        "DELETE": Method(lambda arguments: client.removed(client.known(doctype), key), writes=True),
    }
    change = Method(
        lambda arguments: Named(
            "data", client.changed(client.known(doctype), key, sent(arguments), arguments.raw("modified"))
        ),
        writes=True,
    )
    return _answer(lambda: run(verbs.get(request.method, change)))


def sent(arguments: Arguments) -> dict[str, Any]:
    """The document of a body, or of its field "data"."""
    data = arguments.parsed("data")
    return dict(data) if isinstance(data, dict) else dict(arguments.values)


@compat.route("/", methods=["POST"])
def command() -> Response:
    """The oldest way: the name of the method is the argument "cmd"."""
    return _answer(lambda: _call(str(request.values.get("cmd") or "")))


def asked_by_command() -> Response | None:
    """GET /?cmd=…: the same for who only reads; every other GET of the root is the start page."""
    if request.path != "/" or request.method != "GET" or "cmd" not in request.args:
        return None
    return _answer(lambda: _call(request.args["cmd"]))


def _call(name: str) -> Any:
    found = METHODS.get(name)
    if found is None:
        raise Refused(404, _("There is no method “%(name)s” here.", name=name[:80]))
    if found.writes and request.method == "GET":
        raise Refused(403, _("“%(name)s” changes something: please send it by POST.", name=name))
    return run(found)


def run(found: Method) -> Any:
    """Find out who asks, call, commit."""
    WRITES.set(found.writes)
    who = authentication.enter()
    if who is None and not found.guest:
        raise Refused(401, _("Please sign in first."))
    if who is not None and who.read_only and found.writes:
        raise access.Denied(_("Your role does not allow this. Ask your manager if you need it."))
    try:
        answer = found.function(Arguments.of_request())
        db.session.flush()  # what the database refuses is refused here, in words
    except RuleBroken as broken:
        if not found.soft or not is_soft(broken):
            raise
        db.session.rollback()
        return soft(broken)
    if found.writes and g.get("person") is not None:
        db.session.commit()
    return answer


def _answer(call: Any) -> Response:
    """Nothing of a refused call is stored; what is a bug is heard as one."""
    try:
        answer = call()
    except REFUSABLE as broken:
        db.session.rollback()
        return refuse(broken)
    except HTTPException as known:
        if not isinstance(known.response, Response):
            raise
        return respoken(known.response)
    return answer if isinstance(answer, Response) else good(answer)


def install(app: Flask) -> None:
    """Open the doors."""
    app.register_blueprint(compat)
    app.before_request(asked_by_command)
