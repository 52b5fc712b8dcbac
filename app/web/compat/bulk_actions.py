"""One step for many records: each for itself, so that one that is refused stops nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_babel import gettext as _

from app.extensions import db
from app.web.compat import client
from app.web.compat.doctypes import DocType
from app.web.core.fields import Viewer
from app.web.core.gate import REFUSABLE, current_viewer, refusal, refuse_unreached


class ModuleAccess:
    """What giving away wants to know of where a record is worked on."""

    def __init__(self, doctype: DocType) -> None:
        self.module = doctype.module

    def refuse_unless_reached(self, row: Any, verb: str) -> None:
        """Raise Denied when the person sees the row but may not do this to it."""
        refuse_unreached(self.module, row, verb)


def update_record(doctype: DocType, row: Any, values: dict[str, Any], viewer: Viewer) -> None:
    """Change a record through its desk. `values`: the domain's names."""
    doctype.resource.service.save(db.session(), row, values, None, viewer)
    db.session.flush()


def find_status_id(doctype: DocType, label: str) -> int:
    """The id of a status. Raises RuleBroken for one that there is not."""
    return int(doctype.record_table.by_name["status"].parse(label, current_viewer()))


def apply_to_each(
    doctype: DocType, names: list[str], verb: str, step: Callable[[Any], bool | None], **more: Any
) -> dict[str, Any]:
    """{success, message, updated, updated_count, skipped, failed: [{name, error}]}; the step answers False to skip.

    What the person does not see fails like what there is not. Raises Denied without the right to change many.
    """
    current_viewer().person.refuse_unless(doctype.module, "bulk")
    found = client.find_records(doctype, names, verb)
    result: dict[str, Any] = {"updated": [], "skipped": [], "failed": []}
    for name in names:
        row = found.get(name)
        if row is None:
            error = _("%(kind)s %(name)s was not found.", kind=doctype.name, name=name[:40])
            result["failed"].append({"name": name[:140], "error": error})
            continue
        try:
            with db.session.begin_nested():
                result["updated" if step(row) is not False else "skipped"].append(name)
        except REFUSABLE as broken:
            result["failed"].append({"name": name, "error": refusal(broken)[1]})
    return _with_counts(result) | more


def _with_counts(result: dict[str, Any]) -> dict[str, Any]:
    counts = {f"{name}_count": len(result[name]) for name in ("updated", "skipped", "failed")}
    text = _(
        "%(done)s updated, %(passed)s skipped, %(failed)s failed",
        done=counts["updated_count"],
        passed=counts["skipped_count"],
        failed=counts["failed_count"],
    )
    return {"success": not result["failed"], "message": text} | counts | result
