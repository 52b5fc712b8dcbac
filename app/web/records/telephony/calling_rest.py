"""Making a call over REST: `POST /api/v1/call_log/dial`."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.lib import phone_number_series
from app.lib.ids import parse_id
from app.web.api.operations import OperationSpec
from app.web.api.schemas import ID, STRING, shape
from app.web.core.viewer import Viewer
from app.web.records import dial_targets
from app.web.records.telephony import call_cards

_ANY_ID = {"anyOf": [ID, STRING], "nullable": True}
_NUMBER = {"type": "string", "enum": list(dial_targets.NUMBERS), "description": "Which number of it; default: mobile."}
_INSTEAD = {
    "type": "boolean",
    "description": "Call all the same although nobody knows whether your last call was made; otherwise that is a 409.",
}
_BODY = shape({**dict.fromkeys(dial_targets.KINDS, _ANY_ID), "number": _NUMBER, "instead": _INSTEAD})
_ANSWER = shape(
    {
        "id": ID,
        "state": {"type": "string", "enum": ["queued", "sending", "sent", "unknown"]},
        "purpose": {"type": "string", "enum": ["promotional", "service"]},
        "caller_id": {**STRING, "nullable": True, "description": "What they see; null = the provider's own number."},
        "series": {"type": "string", "enum": list(phone_number_series.SERIES)},
        "warnings": {"type": "array", "items": STRING},
        "result": {"type": "object", "nullable": True, "description": "The call, as GET returns it."},
    },
    "id",
    "state",
    "purpose",
    "series",
    "warnings",
)
DOCUMENTATION = {
    "dial": OperationSpec(
        "Ring your own phone and connect the person of one lead, ticket, customer, earlier call or conversation; "
        "200 if you are in this call already",
        (404, 409, 413, 422),
        (),
        _BODY,
        _ANSWER,
        good=(200, 201),
    )
}


def dial(raw: dict[str, Any], viewer: Viewer) -> tuple[dict[str, Any], int]:
    """(answer, status). Raises RuleBroken."""
    number = raw.get("number") or "mobile"
    if unknown := sorted(set(raw) - {*dial_targets.KINDS, "number", "instead"}):
        raise RuleBroken(_("There is no field “%(name)s” here.", name=unknown[0][:60]), unknown[0][:60])
    named = [(kind, given) for kind, given in raw.items() if given is not None and kind in dial_targets.KINDS]
    if len(named) != 1:
        raise RuleBroken(_("Please name exactly one lead, ticket, customer, call or conversation."), "lead")
    kind, given = named[0]
    key = parse_id(given)
    target = dial_targets.find(kind, given if key is None else key, number if isinstance(number, str) else "")
    started = call_cards.start(target, viewer, raw.get("instead") is True)
    row = started.request
    answer = {
        "id": started.call.id,
        "state": row.state,
        "purpose": row.purpose,
        "caller_id": row.caller_id,
        "series": phone_number_series.phone_series(row.caller_id),
        "warnings": call_cards.warnings(started),
    }
    return answer, 200 if started.is_repeated else 201
