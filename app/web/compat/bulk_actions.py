"""Bulk methods: one action for many records; a record that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_babel import gettext as _

from app.domain.notifications.notice_batches import one_notice_each
from app.extensions import db
from app.web.compat import client
from app.web.compat.doctypes import DocType
from app.web.core.fab_access import REFUSABLE, current_viewer, refusal_of_part, refuse_unreached
from app.web.core.repeated_writes import again_if_overtaken
from app.web.core.viewer import Viewer


class ModuleAccess:
    """A record's module, in the form in which assignment actions expect a screen."""

    def __init__(self, doctype: DocType) -> None:
        self.module = doctype.module

    def refuse_unless_reached(self, row: Any, verb: str) -> None:
        """Raise Denied when the person may see the row but not apply this verb to it."""
        refuse_unreached(self.module, row, verb)


def update_record(doctype: DocType, row: Any, values: dict[str, Any], viewer: Viewer) -> None:
    """Change a record through its record service. `values`: by the domain's names."""
    doctype.resource.service.save(db.session(), row, values, None, viewer)
    db.session.flush()


def apply_to_each(
    doctype: DocType, names: list[str], verb: str, action: Callable[[Any], bool | None]
) -> dict[str, Any]:
    """{success, message, updated, updated_count, skipped, failed: [{name, error}]}; the action returns False to skip.

    A record that is not visible fails like one that does not exist. Raises Denied without the verb "bulk". After a
    deadlock, for which the database rolls all of them back, it begins again: so nothing may be written before.
    """
    current_viewer().person.refuse_unless(doctype.module, "bulk")
    return again_if_overtaken(lambda: _applied(doctype, names, verb, action))


def _applied(doctype: DocType, names: list[str], verb: str, action: Callable[[Any], bool | None]) -> dict[str, Any]:
    client.lock_records([(doctype, names)])
    records = client.find_records(doctype, names, verb)
    result: dict[str, Any] = {"updated": [], "skipped": [], "failed": []}
    with one_notice_each(db.session(), current_viewer().now) as notices:
        for name in names:
            row = records.get(name)
            if row is None:
                error = str(client.not_found(doctype.name, name).message)
                result["failed"].append({"name": name[:140], "error": error})
                continue
            try:
                with notices.record(), db.session.begin_nested():
                    result["updated" if action(row) is not False else "skipped"].append(name)
            except REFUSABLE as broken:
                result["failed"].append({"name": name, "error": refusal_of_part(broken)[1]})
    return _with_counts(result)


def _with_counts(result: dict[str, Any]) -> dict[str, Any]:
    counts = {f"{name}_count": len(result[name]) for name in ("updated", "skipped", "failed")}
    text = _(
        "%(done)s updated, %(passed)s skipped, %(failed)s failed",
        done=counts["updated_count"],
        passed=counts["skipped_count"],
        failed=counts["failed_count"],
    )
    return {"success": not result["failed"], "message": text} | counts | result
