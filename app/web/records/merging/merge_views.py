"""/merge/: choosing the other record, comparing both, earlier merges, and their undo."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import select

from app import access
from app.domain.base import NotFound
from app.domain.merging.merge_undo import UNDO_FOR, UndoResult
from app.domain.merging.merged_records import MergedRecord, RecordMerge
from app.domain.merging.record_merge import MergeRequest
from app.extensions import db
from app.lib.digit_grouping import GroupedInt
from app.lib.ids import parse_id
from app.models import Ticket
from app.web.core.fab_access import REFUSABLE, current_viewer, refusal
from app.web.core.fields.date_fields import moment_cell
from app.web.core.view_registry import kind_of
from app.web.core.viewer import Viewer
from app.web.pages.routes import signed_in_route
from app.web.records.lists.list_page import hits
from app.web.records.merging import duplicate_list, merge_actions, merge_form

#: Records offered by a search for the other one; listed merges of a record.
OFFERED, LISTED = 10, 20
#: Columns that tell the offered records apart, as far as a record has them.
FACTS = ("customer", "mobile", "status", "created_on")


class MergeView(BaseView):
    """/merge/"""

    route_base = "/merge"
    default_view = "compare"

    @signed_in_route("/<string:kind>", methods=["GET", "POST"])
    def compare(self, kind: str) -> Any:
        """The records side by side, or a search for the other one; a form merges them."""
        viewer = current_viewer()
        screen = merge_actions.screen_for(kind, viewer)
        ids = merge_actions.ids_of(_ids())
        if request.method == "POST" and len(ids) > 1:
            return self._merge(screen, ids, viewer)
        if not ids:
            raise NotFound(_("Please open a record first, and choose “Merge…” there."))
        merge_actions.rows_for(screen, ids)
        if len(ids) == 1:
            return self._choose(screen, ids[0], viewer)
        rows = merge_actions.stored_rows(screen.service.record, ids)
        return _page(merge_form.page(screen, rows, viewer, {}))

    def _merge(self, screen: Any, ids: tuple[int, ...], viewer: Viewer) -> Any:
        kept = parse_id(request.form.get("keep"))
        if kept in ids:
            ids = (kept, *(key for key in ids if key != kept))
        chosen = merge_form.sent_choices(request.form)
        versions = {key: version for key in ids if (version := parse_id(request.form.get(f"v.{key}")))}
        try:
            made = merge_actions.run(screen, MergeRequest(screen.service.record, ids, chosen, versions), viewer)
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            rows = merge_actions.stored_rows(screen.service.record, ids)
            if status in (403, 404) or len(rows) < len(ids):
                raise
            db.session.expire_all()
            rows = merge_actions.stored_rows(screen.service.record, ids)
            seen = {name: each for name, each in chosen.items() if each.record_id in ids}
            return _page(merge_form.page(screen, rows, viewer, seen), sentence), status
        flash(
            _("The records are merged. You can undo this for %(days)s days: choose “Merge…”.", days=UNDO_FOR.days),
            "success",
        )
        return redirect(f"{screen.route_base}/{made.kept_number}")

    @staticmethod
    def _choose(screen: Any, key: int, viewer: Viewer) -> str:
        typed = request.args.get("q", "").strip()[:100]
        shown = merge_form.columns_of(screen, [key], viewer)[key]
        found = [each["value"] for each in hits(screen, typed, viewer, OFFERED + 1)] if typed else []
        page = {
            "title": _("Merge %(numbers)s", numbers=shown["number"]),
            "kind": kind_of(screen),
            "record": shown,
            "list_label": screen.list_title,
            "list_url": f"{screen.route_base}/",
            "typed": typed,
            "hits": offered(screen, [each for each in found if each != key][:OFFERED], viewer),
            "siblings": offered(screen, tickets_of_customer(screen, key), viewer) if not typed else [],
            "known": duplicate_list.of_record(screen, key, viewer),
            "merges": merges_of(screen, key, viewer),
        }
        return render_template("merge/choose.html", page=page)

    @signed_in_route("/undo/<int:key>", methods=["POST"])
    def undo(self, key: int) -> Any:
        """Undo a merge."""
        viewer = current_viewer()
        screen = merge_actions.refuse_foreign(merge_actions.find(key), viewer)
        done = merge_actions.undo(key, viewer)
        for sentence in describe_undo(done):
            flash(sentence, "warning")
        flash(_("The merge is undone: %(numbers)s is there again.", numbers=", ".join(done.numbers)), "success")
        return redirect(f"{screen.route_base}/{done.merge.kept_number}")


def _page(page: dict[str, Any], sentence: str | None = None) -> str:
    return render_template("merge/page.html", page=page | {"error": sentence})


def offered(screen: Any, ids: list[int], viewer: Viewer) -> list[dict[str, Any]]:
    """Records to merge with, in this order, as the person sees them, with what tells them apart."""
    found = merge_form.columns_of(screen, ids, viewer) if ids else {}
    return [
        found[key] | {"facts": [found[key]["cells"][name] for name in FACTS if name in found[key]["cells"]]}
        for key in ids
        if key in found
    ]


def tickets_of_customer(screen: Any, key: int) -> list[int]:
    """The ids of the newest other tickets of a ticket's customer; none for other records."""
    if screen.service.record is not Ticket:
        return []
    own = select(Ticket.customer_id).where(Ticket.id == key).scalar_subquery()
    query = select(Ticket.id).where(Ticket.customer_id == own, Ticket.id != key)
    return list(db.session.scalars(query.order_by(Ticket.id.desc()).limit(OFFERED)))


def _ids() -> list[str]:
    """The ids of the request: `ids` once, separated by commas, or several times; `rowid` from a list."""
    raw = [*request.values.getlist("ids"), *request.values.getlist("rowid")]
    return [part for each in raw for part in each.split(",") if part.strip()]


def describe_undo(done: UndoResult) -> list[str]:
    """What an undo has left unchanged, as sentences."""
    sentences = []
    if done.kept_fields:
        names = ", ".join(name.removesuffix("_id").replace("_", " ") for name in done.kept_fields)
        sentences.append(
            _(
                "Changed since the merge, so it stayed at %(number)s: %(names)s.",
                number=done.merge.kept_number,
                names=names,
            )
        )
    left = sum(done.left.values())
    if left:
        sentences.append(
            ngettext(
                "%(num)s moved entry was changed or deleted since and stayed as it is.",
                "%(num)s moved entries were changed or deleted since and stayed as they are.",
                GroupedInt(left),
            )
        )
    return sentences


def merges_of(screen: Any, key: int, viewer: Viewer) -> list[dict[str, Any]]:
    """The merges into this record, newest first."""
    table = screen.service.record.__tablename__
    session, made = db.session(), RecordMerge
    with access.as_system(session):
        query = select(made).where(made.kind == table, made.kept_id == key).order_by(made.id.desc()).limit(LISTED)
        rows = session.scalars(query).all()
        keys = [row.id for row in rows]
        gone = select(MergedRecord.merge_id, MergedRecord.number, MergedRecord.record_id)
        stored = session.execute(gone.where(MergedRecord.merge_id.in_(keys), MergedRecord.record_id != key)).all()
    numbers: dict[int, list[str]] = {}
    for merge_id, number, _record in stored:
        numbers.setdefault(merge_id, []).append(number)
    return [
        {
            "id": row.id,
            "numbers": ", ".join(numbers.get(row.id, ())),
            "at": moment_cell(row.at, viewer),
            "by": (viewer.lookups.person(row.by_id) or {}).get("full_name", _("the system")),
            "moved": merge_form.named_counts(row.counts),
            "undone": moment_cell(row.undone_on, viewer) if row.undone_on else None,
            "can_undo": row.undone_on is None and row.forgotten_on is None and viewer.now - row.at <= UNDO_FOR,
            "until": moment_cell(row.at + UNDO_FOR, viewer),
        }
        for row in rows
    ]
