"""Screen, the base of all record pages: FAB's routes, names and permissions, our RecordTable and templates."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from flask import flash, jsonify, make_response, redirect, render_template, request
from flask_appbuilder import ModelView, expose
from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.base import NotFound, RuleBroken
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.lib.ids import parse_id
from app.web.core.declarations import pretty
from app.web.core.fab_access import current_viewer
from app.web.core.fields.base import Field
from app.web.core.fields.relation_fields import OFFERED, label_of
from app.web.core.queries.record_table import COUNT_CAP
from app.web.core.queries.replica_lists import from_replica
from app.web.core.urls.local_links import row_url
from app.web.core.urls.merged_redirects import refuse_merged
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer
from app.web.core.views.record_view import RecordView
from app.web.pages.routes import page_route
from app.web.records import notes, related_lists
from app.web.records import record_page as pages
from app.web.records.attachments import files, record_files
from app.web.records.bulk_actions import BulkActions
from app.web.records.inline_actions import InlineActions
from app.web.records.lists import list_columns, list_layouts, table_page, view_switcher
from app.web.records.lists.list_page import AskedList, filters_page, hits, list_query_from
from app.web.records.quick_create import QuickCreate
from app.web.records.record_form_routes import RecordForms
from app.web.records.status_changes import StatusMoves
from app.web.records.timelines import timeline_tabs

log = logging.getLogger("crm.views")

# `list` is the name of FAB's method here.
Rows = list[dict[str, Any]]
Fields = list[Field]
#: Attributes of FAB's ModelView that the CRM does not use, because it has its own pages.
_DRAWN_BY_US = (
    "list_widget",
    "show_widget",
    "add_widget",
    "edit_widget",
    "search_widget",
    "list_template",
    "show_template",
    "add_template",
    "edit_template",
    "add_form",
    "edit_form",
    "search_form",
)


class Screen(BulkActions, StatusMoves, InlineActions, QuickCreate, RecordForms, RecordView, ModelView):
    """List, record, form, delete, bulk and row actions of one record.

    Declared as FAB documents a ModelView: `datamodel = SQLAInterface(Branch)`, `list_columns`, `show_fieldsets`,
    `add_columns`, `edit_columns`, `search_columns`, `order_columns`, `label_columns`, `related_views` and so on.
    Raises TypeError with one sentence at registration for a declaration that it cannot show.
    """

    VERBS = {
        "list": "read",
        "filters": "read",
        "exact_count": "read",
        "show": "read",
        "numbered": "read",
        "timeline": "read",
        "lookup": "read",
        "download": "read",
        "related": "read",
        "add": "create",
        "edit": "write",
        "move": "write",
        "note": "read",
        "delete": "delete",
        "action": "bulk",
        "action_post": "bulk",
        "convert": "write",
        "unconvert": "write",
        "assign": "read",
        "board_column": "read",
        "board_move": "write",
        "cell_form": "write",
        "save_cell": "write",
        "preview": "read",
        "panel": "read",
        "bulk_forms": "bulk",
        "bulk_preview": "bulk",
        "undo": "write",
        "quick": "create",
        "known": "create",
    }
    #: FAB's download route, which serves any file of the upload folder, is off: files follow their record's rule.
    download = None
    page_size = 20
    #: Values of the argument `tab` of the list, besides none.
    tab_names: tuple[str, ...] = ()
    list_title: Any = ""
    #: The text of an empty list: what to do.
    empty_text: Any = ""
    #: Name of one row, e.g. "Lead"; by default the model's name as words.
    record_name: Any = ""
    #: Columns offered as quick filters above the list; columns of the summary strip of the record page.
    quick_filters: tuple[str, ...] = ()
    summary_columns: tuple[str, ...] = ()
    #: Further columns of the strip, shown only if they have a value.
    summary_if_any: tuple[str, ...] = ()
    #: Columns whose texts are shown in full above the timeline of the record page, unless they are empty.
    text_columns: tuple[str, ...] = ()
    #: The Activity column of this record's timeline; "" = entries are found by table and id.
    timeline_column = ""
    #: Status meaning → the column that the status requires.
    status_requirements: dict[str, str] = {}
    status_picklist = ""
    #: Inputs of a new record that show only with a value or an error of theirs.
    hidden_unless_needed: tuple[str, ...] = ()
    #: Defaults in the form of a new record that are not the columns' own: values given by the domain.
    new_values: dict[str, Any] = {}
    #: The column that names a row.
    title_column = ""
    #: Columns that can be changed for many rows at once.
    bulk_edit_columns: tuple[str, ...] = ()
    #: Fields of the quick form of a new record; none = there is only the full form.
    quick_fields: tuple[str, ...] = ()
    #: Whether people can save views of the list and choose its columns.
    has_views = True
    #: Columns of a board's cards, below the title; none = the list has no board.
    card_columns: tuple[str, ...] = ()
    #: Whether the list can be shown as a calendar.
    has_calendar = False
    #: Whether the "New" menu offers this record.
    is_in_new_menu = True
    #: Whether the search page and the command palette search this record.
    is_searched = True
    #: Verb of the role matrix that `more_actions` requires; `more_actions` itself checks the rest.
    more_actions_verb = "write"
    #: Rows for the demo data: dictionaries of column → value.
    demo_rows: tuple[dict[str, Any], ...] = ()

    @property
    def list_key(self) -> str:  # type: ignore[override]
        """The key of the list in saved views and choices: its path without slashes."""
        return str(self.route_base).strip("/")[:32]

    # FAB would read every related row for its picklists here; the RecordTable replaces its forms.
    def _init_properties(self) -> None:
        self._related_views: Any = []
        self.related_views: Any = getattr(type(self), "related_views", None) or []
        self.actions: dict[str, Any] = {}
        declared = self.record_table.declared
        self.list_columns, self.show_columns = [*declared.list], [*declared.show]
        self.add_columns, self.edit_columns = [*declared.add], [*declared.edit]
        self.search_columns, self.order_columns = [*declared.search], [*declared.order]
        drawn = [name for name in _DRAWN_BY_US if getattr(type(self), name, None) != getattr(ModelView, name, None)]
        if drawn:
            log.warning("%s.%s is not used: the CRM draws its own pages", type(self).__name__, ", ".join(drawn))

    def _init_forms(self) -> None:
        pass

    def _init_titles(self) -> None:
        self.record_name = self.record_name or pretty(self.service.record.__name__)
        self.list_title = self.list_title or self.record_name
        self.title_column = self.title_column or pages.title_column(self.record_table)

    def _init_vars(self) -> None:
        self.label_columns = {name: each.label for name, each in self.record_table.by_name.items()}

    def create_blueprint(self, *args: Any, **kwargs: Any) -> Any:
        """Register with FAB, and let other screens link to the rows of this model."""
        made = super().create_blueprint(*args, **kwargs)
        registered("screens").setdefault(self.service.record, self)
        return made

    # --- list ---

    @expose("/list/")
    @page_route("/")
    @from_replica
    def list(self) -> Any:
        """One page of the rows that the viewer sees."""
        viewer = current_viewer()
        default = view_switcher.default_url(self, viewer) or view_switcher.opening_url(self, viewer)
        if default is not None:
            return redirect(default)
        list_query = self._list_query(viewer)
        columns = list_columns.chosen(self, request.args, viewer)
        asked = AskedList(self, list_query, columns, viewer)
        layout = list_layouts.layout(self, viewer)
        if layout is not None:
            return layout(asked)
        list_query.counted_to = COUNT_CAP + 1
        rows = self.record_table.rows(db.session(), list_query, columns.names)
        return table_page.render(asked, rows)

    @page_route("/filters", methods=["GET"], permission="list")
    def filters(self) -> Any:
        """The filter builder of the list with these arguments: a fragment for htmx, else a page."""
        viewer = current_viewer()
        self._list_query(viewer)  # refuses what the list would refuse
        page = filters_page(self, viewer)
        template = "records/_filters.html" if request.headers.get("HX-Request") else "records/filters.html"
        return render_template(template, page=page)

    @page_route("/count", methods=["GET"])
    @from_replica
    def exact_count(self) -> Any:
        """The exact number of rows of the list with these arguments: a fragment for htmx, else a note on the list."""
        list_query = replace(self._list_query(current_viewer()), exact=True)
        number = grouped(self.record_table.count(db.session(), list_query)[0])
        if request.headers.get("HX-Request"):
            return render_template("records/_list_count.html", page={"count_text": number})
        flash(_("Exact number: %(count)s", count=number), "info")
        return redirect(f"{self.route_base}/?{request.query_string.decode(errors='replace')}")

    def tabs(self, viewer: Viewer) -> Rows:
        """Tabs of the list, by `list_tabs.shown_tabs`."""
        return []

    def opening_tab(self, viewer: Viewer) -> str | None:
        """The tab with which the list opens if its URL has no arguments; None for the first."""
        return None

    def row_buttons(self, rows: Rows, names: tuple[str, ...], viewer: Viewer) -> dict[int, Rows]:
        """Buttons in the rows of the list: row id → [{label, url, method, primary, confirm}]."""
        return {}

    def _list_query(self, viewer: Viewer) -> Any:
        return list_query_from(self, request.args, viewer)

    # --- one record ---

    @page_route("/show/<pk>", methods=["GET"])
    def show(self, pk: str) -> Any:
        """The record page."""
        return self._page(parse_id(pk))

    @page_route("/<string:number>", methods=["GET"], permission="show")
    def numbered(self, number: str) -> Any:
        """The record page, by record number."""
        key = self.id_of_number(number)
        if key is None:
            refuse_merged(self.service.record, None, number[:24].upper())
        return self._page(key)

    def id_of_number(self, number: str) -> int | None:
        """The id of the row with this number; None if there is none. Raises NotFound if the record has no numbers."""
        record = self.service.record
        if not hasattr(record, "number"):
            raise NotFound(_("There is no such record."))
        # MariaDB's collation also finds numbers that only look alike (É for E).
        rows = db.session.execute(select(record.id, record.number).where(record.number == number[:40].upper()))
        return next((key for key, found in rows if found == number.upper()), None)

    def _page(self, key: int | None) -> Any:
        viewer = current_viewer()
        row = self.record_table.one(db.session(), key) if key is not None and 0 < key < 2**31 else None
        if row is None:
            refuse_merged(self.service.record, key)
            raise NotFound(_("This record doesn't exist, or you don't have access to it."))
        context = pages.record_page(self, row, viewer, request.args)
        return pages.render(context)

    @page_route("/timeline/<pk>", methods=["GET"], permission="show")
    def timeline(self, pk: str) -> Any:
        """A tab of the timeline: its newest page, or older entries alone."""
        row, viewer, is_more = self.row_for(pk, "read"), current_viewer(), bool(request.args.get("before"))
        place = timeline_tabs.TimelineLocation.of(self, row.id, getattr(row, "number", None), viewer)
        context = timeline_tabs.context(replace(place, is_counted=not is_more), request.args, viewer)
        answer = make_response(render_template("records/_timeline.html", record=context, more=is_more))
        if request.headers.get("HX-Trigger") == "feed-filter":  # the form contains the state; the URL stays
            answer.headers["HX-Push-Url"] = context["page_url"]
        return answer

    def timeline_records(self, key: int, viewer: Viewer) -> dict[tuple[str, int], str | None]:
        """(kind, id) of the records whose timelines the page merges, its own first; empty = it has no timeline.

        Each with its number, which entries of the other records show; None for its own.
        """
        if self.timeline_column:
            return {(self.timeline_column.removesuffix("_id"), key): None}
        return {(self.service.record.__tablename__, key): None} if self.service.is_generic else {}

    def url_of(self, row: Any) -> str:
        """The URL of a row's page."""
        return row_url(self.route_base, row.id, getattr(row, "number", None))

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> Rows:
        """Actions in the menu of the record page: {label, icon, url, method}."""
        return []

    def main_action(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """The main action of the record page: {label, icon, url, method}."""
        return None

    def may_leave_status(self, meaning: str, viewer: Viewer) -> bool:
        """Whether this person may give another status to a record whose status means this."""
        return True

    def context_overrides(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
        """Keys of the context of records/record.html to override."""
        return {}

    def related_parts(self, row: dict[str, Any], viewer: Viewer) -> Rows:
        """The lists beside the record page: those of `related_views`."""
        return related_lists.related_parts(self, row["id"], viewer)

    # --- verbs ---

    @page_route("/note/<pk>", methods=["POST"], permission="show")
    def note(self, pk: str) -> Any:
        """Write a note on a record that the viewer sees; refused for records without a timeline of their own.

        A person can see a request or call without seeing its lead, where the note would appear.
        """
        row, viewer = self.row_for(pk, "read"), current_viewer()
        if not self.timeline_column:
            raise NotFound(_("This record doesn't exist, or you don't have access to it."))
        viewer.person.refuse_unless("Notes", "create")
        text = notes.clean_note(request.form.get("body"), "body")
        if not text:
            raise RuleBroken(_("Please enter a text."), "body")
        line = notes.write_note(db.session(), row, text, viewer)
        db.session.commit()
        files.attach_sent(record_files.FileOwner("note", line.id, row, line), viewer)
        for sentence in notes.unnotified_people():
            flash(sentence, "warning")
        return redirect(self.url_of(row))

    @page_route("/delete/<pk>", methods=["POST"])
    def delete(self, pk: str) -> Any:
        """Delete a record, with permission to delete it."""
        row = self.row_for(pk, "delete")
        self.remove_row(row, current_viewer())
        db.session.commit()
        self.post_delete(row)
        flash(_("Deleted."), "success")
        return redirect(f"{self.route_base}/")

    @page_route("/lookup", methods=["GET"], permission="list")
    def lookup(self) -> Any:
        """Up to 20 visible rows for a picklist, as JSON."""
        return jsonify({"results": hits(self, request.args.get("q", "").strip(), current_viewer(), OFFERED)})

    @page_route("/related/<string:name>", methods=["GET"], permission="list")
    def related(self, name: str) -> Any:
        """Up to 20 rows of a relation that a form of this record offers."""
        named = self.record_table.by_name.get(name)
        if not hasattr(named, "offered"):
            raise NotFound(_("This record doesn't exist."))
        which = "edit" if request.args.get("for") == "edit" else "add"
        rows = named.offered(request.args.get("q", "").strip()[:100], which)
        return jsonify({"results": [{"value": row.id, "label": label_of(row), "hint": ""} for row in rows]})
