"""The pages of imports: states, mapping, figures, problems."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain.files import export_and_import_runs, spreadsheet_files
from app.domain.files.export_and_import_runs import OPEN_IMPORTS, REVERTED_WITHIN, ImportRun
from app.lib.digit_grouping import grouped
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.transfer import import_kinds, import_results, import_runs
from app.web.transfer.import_options import ImportOptions
from app.web.transfer.predecessor import display as move_shown
from app.web.transfer.predecessor.worker import KIND

#: Outcomes in which what was created and updated doesn't count any more.
REVERTS = ("reverting", "reverted")
#: Problems on the page; the file has all of them.
MAX_SHOWN = 50
_CHIPS = {
    "mapping": "amber",
    "checking": "blue",
    "checked": "amber",
    "running": "blue",
    "done": "green",
    "cancelled": "gray",
    "failed": "red",
    "reverting": "blue",
    "reverted": "gray",
}


def import_context(run: ImportRun, viewer: Viewer) -> dict[str, Any]:
    """An import in the list."""
    words = {
        "mapping": _("Needs a mapping"),
        "checking": _("Being checked"),
        "checked": _("Ready to start"),
        "running": _("Being imported"),
        "done": _("Done"),
        "cancelled": _("Canceled"),
        "failed": _("Stopped"),
        "reverting": _("Being reverted"),
        "reverted": _("Reverted"),
    }
    kind = import_kinds.kinds().get(run.kind)
    word, color = words[run.outcome], _CHIPS[run.outcome]
    if run.outcome == "checked" and not _would_write(run):
        word, color = _("Checked"), "gray"
    done, total = _progress(run)
    return {
        "id": run.id,
        "url": f"/imports/{run.id}/" + ("map" if run.outcome == "mapping" else ""),
        "base": f"/imports/{run.id}/",
        "name": run.name,
        "kind": str(kind.label) if kind else run.kind,
        "state": run.outcome,
        "chip": {"kind": "status", "label": word, "color": color},
        "is_open": run.outcome in OPEN_IMPORTS,
        "percent": min(100, done * 100 // total) if total else 0,
        "position": grouped(done),
        "total": grouped(total) if total is not None else "",
        "created": "–" if run.outcome in REVERTS else grouped(run.created),
        "updated": "–" if run.outcome in REVERTS else grouped(run.updated),
        "wrong": grouped(run.wrong),
        "error": translate_text(run.error or ""),
        "can_go_on": import_runs.can_go_on(run),
        "waits_until": moment_cell(run.next_try_on, viewer)
        if run.next_try_on and run.outcome in OPEN_IMPORTS
        else None,
        "at": moment_cell(run.created_on, viewer),
    }


def _would_write(run: ImportRun) -> int:
    """Records that the check found could be created or updated."""
    figures = run.payload.get("check") or {}
    return int(figures.get("created", 0) + figures.get("updated", 0))


def _progress(run: ImportRun) -> tuple[int, int | None]:
    """Rows processed, and in total; None = not counted yet."""
    if run.outcome == "reverting":
        return int(run.payload.get("undone") or 0), run.created + run.updated
    return run.position, run.total


def page(session: Session, run: ImportRun, viewer: Viewer) -> dict[str, Any]:
    """The context of an import's own page."""
    is_trial = run.outcome in ("checking", "checked")
    figures = _figures(run, is_trial)
    with access.as_system(session):
        former = export_and_import_runs.same_file(session, run) if run.outcome == "checked" else None
    is_young = run.changed_on > viewer.now - REVERTED_WITHIN
    return import_context(run, viewer) | {
        "is_trial": is_trial,
        "tiles": _tiles(figures, run.outcome),
        "has_figures": bool(figures),
        "count": figures.get("wrong", 0),
        "remarks": _remarks(session, run, is_trial, viewer),
        "made": [] if is_trial else import_results.made(session, run, viewer),
        "again_url": f"/imports/new?kind={run.kind}",
        "works": _would_write(run) if is_trial else 0,
        "move": move_shown.page(run) if run.kind == KIND else None,
        "can_revert": run.kind != KIND
        and run.outcome in ("done", "cancelled", "failed")
        and run.created + run.updated > 0
        and is_young,
        "former": former.name if former is not None else "",
        "encoding": _encoding(run),
        "recipients": _recipients(run, viewer) if run.outcome == "checked" and run.kind != KIND else "",
    }


def _figures(run: ImportRun, is_trial: bool) -> dict[str, int]:
    """How many rows came to which result: by the check, by the import, or by its revert."""
    if is_trial:
        return run.payload.get("check") or {}
    found = {name: getattr(run, name) for name in ("created", "updated", "skipped", "wrong")}
    if run.outcome in REVERTS:
        kept = int(run.payload.get("kept") or 0)
        found |= {"reverted": int(run.payload.get("undone") or 0) - kept, "kept": kept}
    return found


def _recipients(run: ImportRun, viewer: Viewer) -> str:
    """A sentence on who gets the records, to be read before they are written; "" if they have no assignee."""
    options, kind = ImportOptions.from_json(run.payload["options"]), import_kinds.kinds().get(run.kind)
    if kind is None or not kind.assignee:
        return ""
    if options.assign == "person":
        person = viewer.lookups.person(options.assignee_id) or {"full_name": "–"}
        return _("%(name)s gets the records.", name=person["full_name"])
    if options.assign == "role":
        return _("The members of “%(role)s” get the records in turn.", role=options.role)
    if options.assign == "column":
        return _("Each record goes to the person in its row, otherwise to whoever imports it.")
    return _("Whoever imports the records gets them.")


def _remarks(session: Session, run: ImportRun, is_trial: bool, viewer: Viewer) -> list[dict[str, Any]]:
    """The rows with remarks by result: a heading, the first rows, and the URL of the file with all of them."""
    whole = (_("Rows with remarks"), _("Download the rows with remarks"))
    words = {
        "wrong": (_("Rows with errors"), _("Download the rows with errors")),
        "skipped": (
            (_("Rows that would be skipped"), _("Download the rows that would be skipped"))
            if is_trial
            else (_("Skipped rows"), _("Download the skipped rows"))
        ),
        "kept": (_("Records that stay as they are"), _("Download the rows of these records")),
    }
    made = []
    for result, (title, action) in {"": whole}.items() if run.kind == KIND else words.items():
        found = import_runs.problems(session, import_runs.Remarks(run, is_trial, result))[:MAX_SHOWN]
        query = "&".join((["trial=1"] if is_trial else []) + ([f"only={result}"] if result else []))
        if found:
            url = f"/imports/{run.id}/problems.csv" + (f"?{query}" if query else "")
            shown = {"title": title, "action": action, "url": url, "rows": [_remark(run, row) for row in found]}
            links = import_results.kept(session, run, viewer) if result == "kept" else {}
            for each in shown["rows"]:
                each["record"] = links.get(each["line"])
            made.append(shown | {"is_wrong": result == "wrong", "is_kept": result == "kept"})
    return made


def _remark(run: ImportRun, row: Any) -> dict[str, Any]:
    line, _result, problem, cells = row
    shown = ", ".join(filter(None, cells or ()))[:200]
    return {"line": grouped(import_runs.row_number(run, line)), "problem": problem or "", "cells": shown}


def _encoding(run: ImportRun) -> str:
    """A remark on a file that isn't in UTF-8."""
    name = import_runs.dialect_of(run).encoding
    if name == "cp1252":
        return _("The file isn't in UTF-8; it was read as Windows-1252. Please check whether accents are right.")
    return _("The file was read as UTF-16.") if name.startswith("utf-16") else ""


def _tiles(figures: dict[str, int], outcome: str) -> list[dict[str, Any]]:
    words = {
        "created": (_("Created"), "green"),
        "updated": (_("Updated"), "blue"),
        "skipped": (_("Skipped"), "gray"),
        "wrong": (_("With errors"), "red"),
    }
    if outcome in REVERTS:
        words = {"reverted": (_("Reverted"), "gray"), "kept": (_("Stay as they are"), "amber"), "wrong": words["wrong"]}
    elif outcome in ("checking", "checked"):
        words |= {
            "created": (_("Would be created"), "green"),
            "updated": (_("Would be updated"), "blue"),
            "skipped": (_("Would be skipped"), "gray"),
        }
    return [
        {"label": label, "color": color, "count": grouped(figures.get(name, 0))}
        for name, (label, color) in words.items()
    ]


# --- the mapping


def mapping_form(run: ImportRun, chosen: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    """The form of mapping and options."""
    kind, options = import_kinds.kinds()[run.kind], ImportOptions.from_json(chosen["options"])
    fields = [(name, str(each.label or name)) for name, each in kind.fields().items()]
    rows = run.payload.get("sample") or []
    person = viewer.lookups.person(options.assignee_id)
    labels = dict(fields)
    return {
        "columns": [
            {
                "place": place,
                "header": header or _("(column %(n)s without a name)", n=place + 1),
                "sample": " · ".join(row[place] for row in rows[:3] if place < len(row) and row[place])[:120],
                "field": chosen["mapping"].get(header, ""),
                "is_usable": bool(header),
            }
            for place, header in enumerate(run.payload["headers"])
        ],
        "fields": fields,
        "options": options,
        "keys": [(key, labels.get(key, key), viewer.person.mask(key) == "full") for key in kind.keys],
        "has_assignee": bool(kind.assignee),
        "assignee": (options.assignee_id, person["full_name"]) if person else None,
        "roles": viewer.lookups.roles if kind.name in ("lead", "ticket") else [],
        "may_assign": viewer.person.may(kind.module, "assign"),
        "has_tasks": kind.name in ("lead", "ticket"),
        "most": grouped(spreadsheet_files.MAX_ROWS),
    }


def posted_mapping(run: ImportRun, form: Any) -> dict[str, str]:
    """Header → field, by the position of the columns in the form."""
    names = run.payload["headers"]
    chosen = {header: form.get(f"column_{place}") or "" for place, header in enumerate(names) if header}
    return {header: name[:60] for header, name in chosen.items() if name}
