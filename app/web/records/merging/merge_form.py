"""The page of a merge: the records as columns, each field with a choice, and what moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain.merging import merge_fields
from app.domain.merging.merge_fields import SECOND, MergeChoice, MergeField
from app.extensions import db
from app.lib.digit_grouping import GroupedInt
from app.lib.ids import parse_id
from app.web.core.queries.list_query import ListQuery
from app.web.core.urls.local_links import row_url
from app.web.core.view_registry import kind_of
from app.web.core.viewer import Viewer
from app.web.records.merging import merge_actions

#: Table -> label of its rows.
TABLES = {
    "activity": _l("Timeline entries"),
    "assignment_request": _l("Requests"),
    "attachment": _l("Files"),
    "call_log": _l("Calls"),
    "campaign_recipient": _l("Campaigns"),
    "consent": _l("Consents"),
    "conversation": _l("Conversations"),
    "customer_account": _l("Accounts"),
    "leads": _l("Leads"),
    "message": _l("Messages"),
    "task": _l("Tasks"),
    "ticket": _l("Tickets"),
}


def named_counts(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """{label, count} for tables with a label; all others are “Other”."""
    made = {str(TABLES[name]): count for name, count in counts.items() if name in TABLES}
    other = sum(count for name, count in counts.items() if name not in TABLES)
    listed = [{"label": label, "count": GroupedInt(count)} for label, count in sorted(made.items())]
    return [*listed, {"label": _("Other"), "count": GroupedInt(other)}] if other else listed


def columns_of(screen: Any, ids: Sequence[int], viewer: Viewer) -> dict[int, dict[str, Any]]:
    """The records as the person sees them: id -> {cells by name, number, title, url, version}."""
    table = screen.record_table
    wanted = [each.name for each in merge_fields.FIELDS[screen.service.record]]
    wanted += ["number", "version", "created_on", "changed_on", "customer", "status", screen.title_column]
    names = tuple(dict.fromkeys(name for name in wanted if name in table.by_name and table.by_name[name].columns))
    query = ListQuery([screen.service.record.id.in_(ids)], table.order_by(None, "desc", viewer), len(ids))
    rows = table.rows(db.session(), query, names)
    table.prepare(rows, names, viewer)
    found = {}
    for row in rows:
        values = tuple(row)
        cells = {each.name: each.shown_cell(values[cut], viewer) for each, cut in table.selection(names)[1]}
        number = cells["number"].get("text")
        found[values[0]] = {
            "id": values[0],
            "cells": cells,
            "number": number,
            "title": cells.get(screen.title_column, {}).get("text") or number,
            "url": row_url(screen.route_base, values[0], number),
        }
    return found


def page(screen: Any, rows: Sequence[Any], viewer: Viewer, sent: Mapping[str, MergeChoice]) -> dict[str, Any]:
    """The context of merge/page.html. `rows`: as stored, the remaining one first; `sent`: earlier choices."""
    record, ids = screen.service.record, [row.id for row in rows]
    shown = columns_of(screen, ids, viewer)
    columns = [shown[key] | {"version": row.version} for key, row in zip(ids, rows, strict=True) if key in shown]
    compared = _Compared(rows, shown, merge_fields.defaults(record, rows) | dict(sent))
    fields = [_field(screen, each, compared, viewer) for each in merge_fields.offered(record, rows)]
    moves = merge_actions.proposal(screen, ids, viewer)["moves"]
    is_linked = any(getattr(row, "customer_id", None) is not None for row in rows)
    return {
        "kind": kind_of(screen),
        "title": _("Merge %(numbers)s", numbers=", ".join(str(each["number"]) for each in columns)),
        "list_label": screen.list_title,
        "list_url": f"{screen.route_base}/",
        "action": f"/merge/{kind_of(screen)}",
        "ids": ids,
        "columns": columns,
        "fields": [each for each in fields if each["has_value"]],
        "moves": named_counts(moves),
        "kept": columns[0],
        "gone": columns[1:],
        "contact_note": is_linked and record.__tablename__ != "customer",
    }


@dataclass(frozen=True)
class _Compared:
    """The records of a merge, and what was chosen of them."""

    #: As stored, the remaining one first.
    rows: Sequence[Any]
    #: Id -> the record as the person sees it, see columns_of.
    shown: dict[int, dict[str, Any]]
    choices: Mapping[str, MergeChoice]

    def cells(self, row: Any) -> dict[str, Any]:
        """The cells of a record by name of the field; empty for one that the person doesn't see."""
        return dict(self.shown.get(row.id, {"cells": {}})["cells"])

    def own(self, each: MergeField, row: Any) -> dict[str, Any]:
        """The record's own value of a field, as an option."""
        return {
            "value": str(row.id),
            "cell": self.cells(row).get(each.name),
            "is_chosen": self.choices[each.name] == MergeChoice(row.id, each.name),
            "is_empty": each.value_of(row) is None,
        }

    def second(self, each: MergeField, row: Any) -> list[dict[str, Any]]:
        """If a second number may come from the main one of a record: that number, as an option."""
        main = SECOND.get(each.name)
        # As numbers, however they were typed.
        if main is None or not getattr(row, main) or len({getattr(one, f"{main}_e164") for one in self.rows}) < 2:
            return []
        is_chosen = self.choices[each.name] == MergeChoice(row.id, main)
        return [
            {"value": f"{row.id}:{main}", "cell": self.cells(row).get(main), "is_chosen": is_chosen, "is_empty": False}
        ]


def _field(screen: Any, each: MergeField, compared: _Compared, viewer: Viewer) -> dict[str, Any]:
    named, rows = screen.record_table.by_name.get(each.name), compared.rows
    is_hidden = named is not None and named.is_hidden(viewer)
    is_apart = is_hidden or merge_actions.is_masked(screen, SECOND.get(each.name, ""), viewer)
    options = [[compared.own(each, row), *([] if is_apart else compared.second(each, row))] for row in rows]
    return {
        "name": each.name,
        "label": named.label if named is not None else each.name,
        "is_hidden": is_hidden,
        "is_conflict": not is_hidden and merge_fields.is_conflict(each, rows),
        "has_value": any(each.value_of(row) is not None for row in rows) or any(len(part) > 1 for part in options),
        "options": options,
    }


def sent_choices(pairs: Mapping[str, str]) -> dict[str, MergeChoice]:
    """The choices of a form: f.<field> = <id>, or <id>:<field>."""
    found = {}
    for name, value in pairs.items():
        field, (number, _colon, other) = name.removeprefix("f."), value.partition(":")
        key = parse_id(number)
        if name.startswith("f.") and key is not None:
            found[field] = MergeChoice(key, other or field)
    return found
