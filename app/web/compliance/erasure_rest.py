"""The erasure for a request over REST: /api/v1/data_request/<id>/erasure."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_appbuilder.api import expose, protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.data_requests import DataRequest
from app.domain.erasure import erasing
from app.web.api.operations import OperationSpec
from app.web.api.resource import request_json
from app.web.api.schemas import ID, STRING, shape
from app.web.compliance import erasure_requests
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json

_LIST_OF_TEXTS = {"type": "array", "items": STRING}
_DAYS = {"type": "array", "items": STRING | {"nullable": True}}
_STAYS = ID | {"nullable": True, "description": "Rows that stay; null while it is running: known when it is settled."}
_OTHER = shape({"number": STRING, "is_newer": {"type": "boolean", "description": "Entered since the confirmation."}})
_LINE = shape({"kind": STRING, "goes": ID, "stays": _STAYS, "why": _LIST_OF_TEXTS, "until": _DAYS})
_ONE = shape(
    {
        "result": shape(
            {
                "number": STRING,
                "state": STRING | {"description": "planned, running, waiting or done"},
                "record": STRING | {"description": "The number of the customer or lead; empty if it can't be erased."},
                "version": ID,
                "hinders": STRING | {"description": "Why it can't be done, as a sentence; empty if it can."},
                "lines": {"type": "array", "items": _LINE},
                "sentences": _LIST_OF_TEXTS,
                "others": {
                    "type": "array",
                    "items": _OTHER,
                    "description": "Other leads and customers with the same number or address; they stay.",
                },
                "unseen": ID | {"description": "How many more of these there are that you don't see."},
            }
        )
    },
    "result",
)
_BODY = shape(
    {
        "confirm": STRING | {"description": "The number of the request, such as DR-12."},
        "record": STRING | {"description": "As GET has shown it: if the request is about another one now, 409."},
        "version": ID | {"description": "As GET has shown it: if the request was changed since, 409."},
        "accounts_ended_on": STRING | {"format": "date", "nullable": True},
    }
)
ERASURE_DOCUMENTATION = {
    "erasure": OperationSpec("What the erasure for a request would do, or has done", (404, 422), ("pk",), answer=_ONE),
    "erase": OperationSpec(
        "Erase the customer or lead of a request; jobs do it. Later: the end of the accounts",
        (404, 409, 413, 422),
        ("pk",),
        _BODY,
        _ONE,
    ),
}
_FIELDS = ("confirm", *erasure_requests.SHOWN, "accounts_ended_on")


class ErasureRest:
    """The endpoints of the resource of data requests for erasure."""

    ERASURE_REST_VERBS = dict.fromkeys(("erasure", "erase"), "write")
    _row: Any

    @expose("/<int:pk>/erasure", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("erasure")
    def erasure(self, pk: Any) -> Response:
        """The dry run, or how far it is; ?accounts_ended_on=2026-03-31."""
        row = self._row(pk, "write")
        if (broken := erasure_requests.refusal_of_day(row, request.args, current_viewer())) is not None:
            raise broken
        return json_answer(200, {"result": _result(row, request.args)})

    @expose("/<int:pk>/erasure", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("erase")
    def erase(self, pk: Any) -> Response:
        """Begin it: {confirm, record, version, accounts_ended_on}."""
        row, given = self._row(pk, "write"), request_json()
        if unknown := sorted(set(given) - {*_FIELDS}):
            raise RuleBroken(_("There is no field “%(name)s” here.", name=unknown[0][:60]), unknown[0][:60])
        erasure_requests.confirm(row, str(given.get("confirm") or ""), given, current_viewer())
        return json_answer(200, {"result": _result(row, {})})


def _result(row: DataRequest, given: Any) -> dict[str, Any]:
    found = erasure_requests.state(row, given, current_viewer())
    erasure = found["erasure"]
    return {
        "number": erasing.number_of(row),
        "state": erasure.state if erasure is not None else "planned",
        "record": found["record"],
        "version": found["version"],
        "hinders": found["hinders"],
        "lines": [{name: each[name] for name in ("kind", "goes", "stays", "why", "until")} for each in found["lines"]],
        "sentences": found["sentences"],
        "others": [{name: each[name] for name in ("number", "is_newer")} for each in found["others"]],
        "unseen": found["unseen"],
    }
