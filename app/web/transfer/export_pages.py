"""The pages of exports: choosing format and columns, progress, and the download for whoever requested it."""

from __future__ import annotations

from typing import Any

from flask import redirect, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.access import Person
from app.domain.base import Gone
from app.domain.files.export_and_import_runs import FORMATS, OPEN_EXPORTS, ExportRun
from app.domain.people import permissions
from app.extensions import db
from app.lib.digit_grouping import capped, grouped
from app.web.core.fab_access import current_viewer, refusal
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.pages.routes import signed_in_route
from app.web.transfer import export_requests, exports, file_rights
from app.web.transfer.exports import ExportQuery

BASE = "/exports/"
#: Exports that are listed.
MOST = 50
_CHIPS = {
    "waiting": "gray",
    "running": "blue",
    "done": "green",
    "failed": "red",
    "cancelled": "gray",
    "expired": "gray",
}


def may_transfer(person: Person, verb: str) -> bool:
    """Whether the person may export or import any kind of record."""
    return any(permissions.is_offered(each, verb) and person.may(each, verb) for each in permissions.all_modules())


def tabs(active: str, person: Person) -> list[dict[str, Any]]:
    """The sections of the pages of imports and exports that the person may open."""
    offered = [
        ("exports", _("Exports"), BASE, may_transfer(person, "export")),
        ("imports", _("Imports"), "/imports/", may_transfer(person, "import")),
    ]
    return [{"label": label, "url": url, "active": name == active} for name, label, url, is_open in offered if is_open]


class ExportsView(BaseView):
    """/exports/"""

    route_base = "/exports"
    default_view = "index"
    #: Other pages that belong to its entry of the sidebar.
    also_at = ("/imports/",)

    @staticmethod
    def opens_for(person: Person) -> bool:
        """Whether the sidebar offers imports and exports: to people who may do either."""
        return may_transfer(person, "export") or may_transfer(person, "import")

    @signed_in_route("/")
    def index(self) -> Any:
        """The person's own exports; people who may only import are redirected there."""
        viewer = current_viewer()
        if not may_transfer(viewer.person, "export"):
            if may_transfer(viewer.person, "import"):
                return redirect("/imports/")
            raise access.Denied(_("Your role doesn't allow exports. Ask your manager if you need one."))
        mine = (ExportRun.created_by_id == viewer.person.id, ExportRun.kind.not_in(exports.elsewhere()))
        rows = db.session.scalars(select(ExportRun).where(*mine).order_by(ExportRun.id.desc()).limit(MOST)).all()
        return self.render_template(
            "transfer/exports.html",
            exports=[export_context(row, viewer) for row in rows],
            tabs=tabs("exports", viewer.person),
            is_running=any(row.outcome in OPEN_EXPORTS for row in rows),
            is_admin=viewer.person.is_admin,
        )

    @signed_in_route("/<string:kind>/new", methods=["GET", "POST"])
    def new(self, kind: str) -> Any:
        """Format and columns of an export of the list with these arguments; POST: or of its selected rows alone."""
        viewer = current_viewer()
        screen = exports.screen_for(kind, viewer)
        want = exports.parse_request(screen, (), "csv", viewer)
        found = exports.count(want)
        return self.render_template(
            "transfer/export_new.html",
            title=str(screen.list_title),
            back=f"{screen.route_base}/" + _with_query(exports.query_string()),
            action=f"{BASE}{kind}" + _with_query(exports.query_string()),
            columns=[(name, str(_label(screen, name)), name in want.names) for name in exports.offered(screen)],
            found=found,
            count=capped(found, exports.AT_ONCE),
            is_long=found > exports.AT_ONCE,
            is_filtered=bool(exports.query_string()),
            formats=FORMATS,
            selected=_selection(want, viewer),
        )

    @signed_in_route("/all", methods=["POST"])
    def everything(self) -> Any:
        """Request an export of everything; admins only."""
        return redirect(f"{BASE}{export_requests.start_full_export(current_viewer())}/")

    @signed_in_route("/<string:kind>", methods=["POST"])
    def make(self, kind: str) -> Any:
        """Send a short list at once; have a long one written in the background."""
        viewer = current_viewer()
        screen = exports.screen_for(kind, viewer)
        want = exports.parse_request(screen, request.form.getlist("columns"), request.form.get("format", ""), viewer)
        if request.form.get("rows") == "selected":
            keys = exports.selected_ids(request.form.getlist("rowid"))
            return export_requests.export_response(
                kind, exports.only_selected(want, keys, viewer), viewer, selected=len(keys)
            )
        if exports.count(want) <= exports.AT_ONCE:
            return export_requests.export_response(kind, want, viewer)
        return redirect(f"{BASE}{export_requests.start_export(kind, want, viewer)}/")

    @signed_in_route("/<int:key>/")
    def show(self, key: int) -> Any:
        """The progress of an export, and its file."""
        viewer = current_viewer()
        run = export_requests.own_export(key, viewer)
        return self.render_template(
            "transfer/export.html", e=export_context(run, viewer), tabs=tabs("exports", viewer.person)
        )

    @signed_in_route("/<int:key>/file")
    def file(self, key: int) -> Any:
        """The file, only for who asked for it, and only while they may export this.

        A file that can't be had any more is refused on a page that leads to the export, where it is made again.
        """
        try:
            return export_requests.download(key, current_viewer())
        except (Gone, access.Denied) as broken:
            status, sentence, _errors = refusal(broken)
            words = {"sentence": sentence, "url": f"{BASE}{key}/", "url_label": _("Open the export")}
            return self.render_template(f"errors/{status}.html", **words), status

    @signed_in_route("/<int:key>/cancel", methods=["POST"])
    def cancel(self, key: int) -> Any:
        """Cancel an export in progress."""
        viewer = current_viewer()
        export_requests.stop(export_requests.own_export(key, viewer), viewer)
        return redirect(f"{BASE}{key}/")

    @signed_in_route("/<int:key>/again", methods=["POST"])
    def again(self, key: int) -> Any:
        """Repeat an export."""
        viewer = current_viewer()
        return redirect(f"{BASE}{export_requests.make_again(export_requests.own_export(key, viewer), viewer)}/")


def _label(screen: Any, name: str) -> Any:
    return screen.record_table.by_name[name].label or name


def _with_query(query: str) -> str:
    return f"?{query}" if query else ""


def _selection(export_query: ExportQuery, viewer: Viewer) -> dict[str, Any] | None:
    """The selected rows that were posted: their ids, how many there are, and how many of them can be exported."""
    if request.method != "POST":
        return None
    keys = exports.selected_ids(request.form.getlist("rowid"))
    allowed = exports.count(exports.only_selected(export_query, keys, viewer))
    return {"ids": keys, "count": grouped(len(keys)), "allowed": grouped(allowed), "is_less": allowed < len(keys)}


def export_context(run: ExportRun, viewer: Viewer) -> dict[str, Any]:
    """The context of an export for pages."""
    words = {
        "waiting": _("Waiting"),
        "running": _("Being written"),
        "done": _("Ready"),
        "failed": _("Failed"),
        "cancelled": _("Canceled"),
        "expired": _("Expired"),
    }
    is_over = run.expires_on is not None and run.expires_on <= viewer.now
    state = "expired" if run.outcome == "done" and is_over else run.outcome
    is_refused = state == "done" and file_rights.are_fewer(run.rights, viewer)
    return {
        "id": run.id,
        "url": f"{BASE}{run.id}/",
        "title": exports.kind_of(run).title(run),
        "format": run.format.upper(),
        "chip": {"kind": "status", "label": words[state], "color": _CHIPS[state]},
        "is_open": state in OPEN_EXPORTS,
        "is_ready": state == "done" and not is_refused,
        "is_over": state not in OPEN_EXPORTS,
        "waits_until": moment_cell(run.next_try_on, viewer) if run.next_try_on and state in OPEN_EXPORTS else None,
        "is_filtered": bool(run.payload.get("query")),
        "count": run.rows,
        "rows": grouped(run.rows),
        "total": grouped(run.total) if run.total is not None else "",
        "percent": min(100, run.rows * 100 // run.total) if run.total else 0,
        "size": _size(run.size),
        "error": translate_text(file_rights.FEWER_NOW) if is_refused else translate_text(run.error or ""),
        "at": moment_cell(run.created_on, viewer),
        "expires": moment_cell(run.expires_on, viewer),
    }


def _size(bytes_: int) -> str:
    return f"{grouped(round(bytes_ / 1_000_000, 1))} MB" if bytes_ >= 100_000 else f"{max(1, bytes_ // 1000)} kB"
