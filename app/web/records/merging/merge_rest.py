"""Merging over REST: POST /<id>/merge, with a dry run, and its undo."""

from __future__ import annotations

from typing import Any

from flask_appbuilder import expose
from flask_appbuilder.api import protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.merging.merge_fields import SECOND, MergeChoice
from app.domain.merging.record_merge import MergeRequest
from app.lib.ids import parse_id
from app.web.api.operations import OperationSpec
from app.web.api.resource import request_json
from app.web.api.schemas import ID, STRING, shape
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.records.merging import merge_actions, merge_views

_COUNTS = {"type": "object", "additionalProperties": ID, "description": "Rows that move, by table."}
_MERGE = shape(
    {
        "with": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": ID,
            "description": "IDs of the records that are merged into this one.",
        },
        "fields": {
            "type": "object",
            "additionalProperties": {"anyOf": [ID, STRING]},
            "description": "Field → ID of the record whose value is kept; for the others a value is proposed. "
            "`alternative_mobile` also takes “ID:mobile”, that record's main number.",
        },
        "dry_run": {"type": "boolean", "description": "Only say what would happen."},
    },
    "with",
)
_MERGED = {
    "id": ID,
    "merge": {**ID, "nullable": True, "description": "For the undo; null for a dry run."},
    "dry_run": {"type": "boolean"},
    "fields": {"type": "object", "additionalProperties": ID, "description": "Field → whose value is (to be) kept."},
    "conflicts": {"type": "array", "items": STRING, "description": "Fields in which the records differ."},
    "moves": _COUNTS,
    "result": {"type": "object", "nullable": True},
}
_UNDONE = {
    "id": ID,
    "numbers": {"type": "array", "items": STRING, "description": "The records that are there again."},
    "remarks": {"type": "array", "items": STRING, "description": "What stayed as it is."},
}


class MergeableResource:
    """A resource whose records can be merged."""

    VERBS = {"merge": "merge", "undo_merge": "merge"}
    documentation = {
        "merge": OperationSpec(
            "Merge up to two other records into this one; with `dry_run` only say what would happen",
            (404, 409, 410, 413, 422),
            ("pk",),
            _MERGE,
            shape(_MERGED, "id", "dry_run", "fields", "conflicts", "moves"),
        ),
        "undo_merge": OperationSpec(
            "Undo a merge into this record, within 30 days",
            (404, 409, 410, 413, 422),
            ("pk",),
            shape({"merge": ID}, "merge"),
            shape(_UNDONE, "id", "numbers"),
        ),
    }
    service: Any
    _after: Any

    @expose("/<int:pk>/merge", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("merge")
    def merge(self, pk: Any) -> Any:
        """Merge records into this one: {with, fields, dry_run}."""
        viewer, raw = current_viewer(), request_json()
        others, is_trial = raw.get("with"), raw.get("dry_run", False)
        if not isinstance(others, list) or not others:
            raise RuleBroken(_("“with” must be a list of the IDs that are merged into this record."), "with")
        if not isinstance(is_trial, bool):
            raise RuleBroken(_("“%(name)s” must be yes or no.", name="dry_run"), "dry_run")
        ids = merge_actions.ids_of([pk, *others])
        merge_actions.rows_for(self, ids)
        chosen = _choices(raw.get("fields"))
        proposal = merge_actions.proposal(self, ids, viewer)
        proposal["fields"] |= {name: choice.record_id for name, choice in chosen.items()}
        if is_trial:
            merge_actions.try_out(self, MergeRequest(self.service.record, ids, chosen), viewer)
            return json_answer(200, {"id": pk, "merge": None, "dry_run": True, **proposal})
        made = merge_actions.run(self, MergeRequest(self.service.record, ids, chosen), viewer)
        body = {"id": pk, "merge": made.id, "dry_run": False, **proposal, "moves": made.counts}
        return json_answer(200, body | {"result": self._after(pk)})

    @expose("/<int:pk>/merge/undo", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("undo_merge")
    def undo_merge(self, pk: Any) -> Any:
        """Undo a merge into this record: {merge}."""
        key = parse_id(request_json().get("merge")) or 0
        merge_actions.refuse_other_record(key, pk)
        done = merge_actions.undo(key, current_viewer(), self)
        return json_answer(200, {"id": pk, "numbers": done.numbers, "remarks": merge_views.describe_undo(done)})


def _choices(raw: Any) -> dict[str, MergeChoice]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise RuleBroken(_("“fields” must be an object: field → ID of a record."), "fields")
    found = {}
    for name, value in raw.items():
        number, _colon, other = str(value).partition(":")
        key = parse_id(number)
        if isinstance(value, bool) or key is None or other not in ("", SECOND.get(name)):
            raise RuleBroken(
                _("Please choose one of these records for “%(name)s”.", name=str(name)[:40]), str(name)[:40]
            )
        found[str(name)] = MergeChoice(key, other or str(name))
    return found
