"""The evidence of an order by telephone over REST: /api/v1/call_log/<id>/evidence."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_appbuilder.api import expose, protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.telephony import order_evidence
from app.extensions import db
from app.lib.ids import parse_id
from app.models import OrderEvidence
from app.web.api.operations import OperationSpec
from app.web.api.resource import request_json
from app.web.api.schemas import ID, STRING, ref, shape
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.records.telephony.order_evidence import call_to_prove, chosen, linked

_KINDS = ("file", "message")
_ROW = shape(
    {"id": ID, "file": ID | {"nullable": True}, "message": ID | {"nullable": True}, "created_on": STRING},
    "id",
    "file",
    "message",
    "created_on",
)
_LIST = shape({"result": {"type": "array", "items": _ROW}}, "result")
_ONE = shape({"id": ID, "result": _ROW}, "id", "result")
_BODY = shape({kind: ID | {"description": f"ID of a {kind} of the call's record."} for kind in _KINDS})
EVIDENCE_DOCUMENTATION = {
    "evidence": OperationSpec(
        "The files and messages that prove the order of a call, oldest first", (404,), ("pk",), answer=_LIST
    ),
    "add_evidence": OperationSpec(
        "Link a file or message as evidence of an order; 200 also if it is linked already",
        (404, 409, 413, 422),
        ("pk",),
        _BODY,
        _ONE,
    ),
    "remove_evidence": OperationSpec(
        "Remove a piece of evidence; the file or message stays",
        (404, 409, 422),
        ("pk", "evidence"),
        answer=ref("Done"),
    ),
}


class OrderEvidenceRest:
    """The endpoints of the resource of calls for evidence."""

    EVIDENCE_REST_VERBS = dict.fromkeys(("evidence", "add_evidence", "remove_evidence"), "read")
    _row: Any

    @expose("/<int:pk>/evidence", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("evidence")
    def evidence(self, pk: Any) -> Response:
        """What is linked to a call as evidence."""
        call = self._row(pk, "read")
        found = order_evidence.of_call(db.session(), call.id)
        return json_answer(200, {"result": [_serialized(each) for each in found]})

    @expose("/<int:pk>/evidence", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("add_evidence")
    def add_evidence(self, pk: Any) -> Response:
        """Link {file} or {message}."""
        viewer, given = current_viewer(), request_json()
        call = call_to_prove(self._row, pk, viewer)
        named = [(kind, given[kind]) for kind in _KINDS if given.get(kind) is not None]
        if unknown := sorted(set(given) - {*_KINDS}):
            raise RuleBroken(_("There is no field “%(name)s” here.", name=unknown[0][:60]), unknown[0][:60])
        if len(named) != 1:
            raise RuleBroken(_("Please name exactly one file or message."), "file")
        kind, key = named[0]
        row = order_evidence.link(db.session(), call, chosen(kind, parse_id(key)), viewer.stamp)
        db.session.commit()
        return json_answer(200, {"id": row.id, "result": _serialized(row)})

    @expose("/<int:pk>/evidence/<int:evidence>", methods=["DELETE"])
    @protect()
    @refuse_as_json
    @permission_name("remove_evidence")
    def remove_evidence(self, pk: Any, evidence: Any) -> Response:
        """Remove the link; the file or message itself stays."""
        viewer = current_viewer()
        call = call_to_prove(self._row, pk, viewer)
        order_evidence.unlink(db.session(), linked(call, evidence), viewer.stamp)
        db.session.commit()
        return json_answer(200, {"message": _("Deleted.")})


def _serialized(row: OrderEvidence) -> dict[str, Any]:
    kinds = {"file": row.attachment_id, "message": row.message_id}
    return {"id": row.id, **kinds, "created_on": row.created_on.isoformat()}
