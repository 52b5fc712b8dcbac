"""While a form of a new record is filled in: known leads and customers who have the typed number, address or PAN."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flask import render_template, request

from app.extensions import db
from app.lib import phone
from app.lib.identity_numbers import is_pan
from app.models import Customer, Lead
from app.web.core.fab_access import current_viewer
from app.web.core.queries.list_query import ListQuery
from app.web.core.urls.local_links import row_url
from app.web.core.view_registry import screen_of
from app.web.core.viewer import Viewer
from app.web.pages.html_parts import cell
from app.web.pages.routes import page_route
from app.web.records import related_lists

#: Known people that are shown.
MAX_KNOWN = 5
#: Fields that identify a person.
IDENTIFYING = ("mobile", "email", "pan")


class PossibleDuplicates:
    """The endpoint of a screen for them."""

    route_base: Any

    def known_url(self, names: Iterable[str]) -> str | None:
        """The URL of this endpoint for a form of a new record with these fields; None if none identifies a person."""
        return f"{self.route_base}/known" if set(names) & set(IDENTIFYING) else None

    @page_route("/known", methods=["POST"], permission="add")
    def known(self) -> Any:
        """Visible leads and customers with the typed number, address or PAN, with open tickets of these: a fragment.

        Nothing is revealed about records that the person doesn't see, nor about masked values.
        """
        viewer = current_viewer()
        typed = _identifying()
        found = [hit for model in (Customer, Lead) for hit in _known(screen_of(model), typed, viewer)] if typed else []
        can_merge = any(viewer.person.may(each, "merge") for each in ("Leads", "Customers"))
        known = found[:MAX_KNOWN]
        customers = {each["customer"] for each in known if each["customer"]}
        tickets = [each | {"status": cell(each["cells"][1])} for each in related_lists.open_tickets(customers, viewer)]
        return render_template("records/_possible_duplicates.html", known=known, tickets=tickets, can_merge=can_merge)


def _identifying() -> dict[str, str]:
    """The completely typed identifiers: a phone number, an address, a PAN."""
    given = {name: request.form.get(name, "").strip()[:100] for name in IDENTIFYING}
    if not phone.normalize(given["mobile"]):
        del given["mobile"]
    if "@" not in given["email"][1:-3]:
        del given["email"]
    if not is_pan(given["pan"]):
        del given["pan"]
    return given


def _known(screen: Any, typed: dict[str, str], viewer: Viewer) -> list[dict[str, Any]]:
    if screen is None or not viewer.person.may(screen.module, "read"):
        return []
    table = screen.record_table
    shown = ("name", "number", "status", "mobile", "email", "assignee" if "assignee" in table.by_name else "owner")
    names = tuple(name for name in shown if name in table.by_name)
    made: dict[int, dict[str, Any]] = {}
    for name, value in typed.items():
        if table.by_name[name].is_hidden(viewer):
            continue
        query = ListQuery(
            [table.by_name[name].where("eq", value, viewer)], table.order_by(None, "desc", viewer), MAX_KNOWN
        )
        for row in table.rows(db.session(), query, names):
            made.setdefault(row[0], _hit(screen, row, names, viewer))["by"].append(str(table.by_name[name].label))
    return list(made.values())


def _hit(screen: Any, row: Any, names: tuple[str, ...], viewer: Viewer) -> dict[str, Any]:
    values = tuple(row)
    cells = {each.name: each.shown_cell(values[cut], viewer) for each, cut in screen.record_table.selection(names)[1]}
    number = cells["number"].get("text")
    title = cells["name"].get("text") or number
    first, _space, last = str(title).partition(" ")
    use: dict[str, Any] = {"first_name": first, "last_name": last}
    use |= {
        name: cells[name].get("text", "") for name in ("mobile", "email") if cells[name]["kind"] in ("phone", "email")
    }
    if screen.service.record is Customer:
        use["customer"] = {"value": values[0], "label": title}
    return {
        "title": title,
        "kind": str(screen.record_name),
        "number": number,
        "url": row_url(screen.route_base, values[0], number),
        "status": cell(cells["status"]) if "status" in cells else "",
        "person": cells.get("assignee", cells.get("owner", {})).get("full_name", ""),
        "use": json.dumps(use),
        "customer": values[0] if screen.service.record is Customer else None,
        "by": [],
    }
