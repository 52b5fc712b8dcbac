"""The screens of a record: FAB's routes and permissions, the gate's compiled plan, our templates."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import abort, flash, g, jsonify, redirect, render_template, request
from flask_appbuilder import ModelView, expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.base import NotFound, RuleBroken
from app.extensions import db
from app.lib.ids import parse_id
from app.web.core.fields import Field, Viewer, clean_text
from app.web.core.gate import REFUSABLE, ModulePermissions, current_viewer, refusal, whole
from app.web.core.record_service import RecordService
from app.web.pages import record_page as pages
from app.web.pages.listing import hits, list_page, list_query_from
from app.web.records import assignment_actions, mentions

# `list` is the name of FAB's method here.
Rows = list[dict[str, Any]]
Fields = list[Field]


def refuse_as_page(function: Callable[..., Any]) -> Callable[..., Any]:
    """A refused question is an error page; a refused POST says its sentence where the person was."""

    @functools.wraps(function)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(self, *args, **kwargs)
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            return refused(status, sentence)

    return guarded


def refused(status: int, sentence: str) -> Any:
    """The sentence as an error page, as an htmx answer, or as a flash where the person was."""
    if request.headers.get("HX-Request"):
        return (
            render_template("errors/400.html", sentence=sentence),
            status,
            {"X-Sentence": sentence.encode("ascii", "ignore").decode()[:200]},
        )
    if request.method == "GET" or status in (403, 404):
        g.sentence = sentence
        abort(400 if status == 422 else status)
    flash(sentence, "danger")
    return redirect(back())


def back() -> str:
    """Where the person came from, on this site; else the start."""
    came = urlsplit(request.referrer or "")
    return f"{came.path}?{came.query}" if came.path and came.netloc == request.host else "/"


class Screen(ModulePermissions, ModelView):
    """List, record, form, delete, bulk and row actions of one record."""

    service: RecordService
    VERBS = {
        "list": "read",
        "show": "read",
        "numbered": "read",
        "timeline": "read",
        "lookup": "read",
        "download": "read",
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
    }
    datamodel = None
    #: FAB's, which sends whatever lies in a folder for uploads; files go through their record's own rule.
    download = None
    related_views: Any = []
    title: Any = ""
    singular: Any = ""
    #: Columns of the list in order; () = those whose field says so.
    columns: tuple[str, ...] = ()
    #: Quick filters above the list; fields of the strip; fields of the form in order.
    quick: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    #: The Activity column of this record's timeline.
    own_timeline = ""
    #: Status meaning -> field that the gate asks for.
    needs: dict[str, str] = {}
    status_master = ""
    headline = "name"
    #: Who may do what `more` offers; it looks closer by itself.
    more_verb = "write"
    actions: dict[str, Any] = {}

    # FAB would read every related row for its pick-lists here; the plan replaces its forms.
    def _init_titles(self) -> None:
        pass

    def _init_properties(self) -> None:
        self._related_views: Any = []

    def _init_forms(self) -> None:
        pass

    def _init_vars(self) -> None:
        self.label_columns: dict[str, Any] = {}
        self.list_title = str(self.title)

    # --- list ---

    @expose("/list/")
    @expose("/")
    @has_access
    @refuse_as_page
    @permission_name("list")
    def list(self) -> Any:
        """One page of the rows that the person sees."""
        viewer = current_viewer()
        list_query = self._list_query(viewer)
        names = self.columns or tuple(each.name for each in self.service.record_table.fields if each.listed)
        rows = self.service.record_table.rows(db.session(), list_query, names)
        page = list_page(self, list_query, rows, names, viewer)
        page["tabs"] = self.tabs(viewer)
        return render_template("crm/_rows.html" if request.headers.get("HX-Request") else "crm/list.html", page=page)

    def tabs(self, viewer: Viewer) -> Rows:
        """Parts of the list, each under an address of its own: {label, url, count, active}."""
        return []

    def _list_query(self, viewer: Viewer) -> Any:
        return list_query_from(self.service.record_table, request.args, viewer)

    # --- one record ---

    @expose("/show/<pk>", methods=["GET"])
    @has_access
    @refuse_as_page
    @permission_name("show")
    def show(self, pk: str) -> Any:
        """The record page."""
        return self._page(parse_id(pk))

    @expose("/<string:number>", methods=["GET"])
    @has_access
    @refuse_as_page
    @permission_name("show")
    def numbered(self, number: str) -> Any:
        """The record page under its number."""
        record = self.service.record
        if not hasattr(record, "number"):
            raise NotFound(_("There is no such record."))
        key = db.session.execute(select(record.id).where(record.number == number[:40].upper())).scalar()
        return self._page(key)

    def _page(self, key: int | None) -> Any:
        viewer = current_viewer()
        row = self.service.record_table.one(db.session(), key) if key is not None and 0 < key < 2**31 else None
        if row is None:
            raise NotFound(_("This record doesn't exist, or you don't have access to it."))
        context = pages.record_page(self, row, viewer, request.args)
        return render_template("crm/record.html", record=context)

    @expose("/timeline/<pk>", methods=["GET"])
    @has_access
    @refuse_as_page
    @permission_name("show")
    def timeline(self, pk: str) -> Any:
        """More of the timeline, or its fresh head."""
        row = self.row_for(pk, "read")
        before = whole(request.args.get("before"), 0, 1, 2**62) if request.args.get("before") else None
        context = pages.timeline_part(self, row.id, before, current_viewer())
        return render_template("crm/_timeline.html", record=context, more=before is not None)

    def row_for(self, pk: str, verb: str) -> Any:
        """The row of this id for the verb. Raises NotFound or Denied."""
        row = self.service.find(db.session(), parse_id(pk))
        if row is None:
            raise NotFound(_("This record doesn't exist, or you don't have access to it."))
        if verb != "read":
            self.refuse_unless_reached(row, verb)
        return row

    def url_of(self, row: Any) -> str:
        """The permalink of a row."""
        return f"{self.route_base}/{getattr(row, 'number', None) or f'show/{row.id}'}"

    def more(self, row: dict[str, Any], viewer: Viewer) -> Rows:
        """Further actions of the record page."""
        return []

    def primary(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """The one main action of the record page: {label, icon, url, method}."""
        return None

    def instead(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
        """What the record page says otherwise than others: keys of crm/record.html."""
        return {}

    # --- forms ---

    @expose("/add", methods=["GET", "POST"])
    @has_access
    @refuse_as_page
    @permission_name("add")
    def add(self) -> Any:
        """The form of a new record; everything typed stays on any error."""
        viewer = current_viewer()
        raw: dict[str, Any] = {name: request.args.get(name) for name in self.input_names if request.args.get(name)}
        if request.method == "GET":
            return self._form("add", raw, {}, viewer)
        raw |= self._typed("add")  # a form on a record's page names the record in its address
        try:
            values = self.service.record_table.parse(raw, "add", viewer)
            row = self.service.create(db.session(), values, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            return self._again("add", raw, broken, viewer)
        flash(_("%(what)s saved.", what=str(self.singular)), "success")
        return redirect(back() if request.args.get("back") else self.url_of(row))

    @expose("/edit/<pk>", methods=["GET", "POST"])
    @has_access
    @refuse_as_page
    @permission_name("edit")
    def edit(self, pk: str) -> Any:
        """The form of a record; a stale save shows both sides."""
        viewer = current_viewer()
        row = self.row_for(pk, "write")
        stored = pages.typed_values(self, row.id, viewer)
        if request.method == "GET":
            return self._form("edit", stored, {}, viewer, row=row)
        raw = self._typed("edit")
        version = whole(request.form.get("version"), 0, 0, 2**31) or None
        try:
            values = self.service.record_table.parse(self._changed(raw, stored, viewer), "edit", viewer)
            self.service.save(db.session(), row, values, version, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            return self._again("edit", raw, broken, viewer, row.id)
        flash(_("%(what)s saved.", what=str(self.singular)), "success")
        return redirect(self.url_of(row))

    def _inputs(self, which: str) -> Fields:
        named = self.service.record_table.by_name
        return [named[name] for name in self.input_names if getattr(named[name], which)]

    def _typed(self, which: str) -> dict[str, Any]:
        """What the form sent, by field."""
        sent: dict[str, Any] = {}
        for each in self._inputs(which):
            if each.kind == "many":
                sent[each.name] = [part for part in request.form.getlist(each.name) if part]
            elif each.kind == "flag":
                sent[each.name] = bool(request.form.get(each.name))
            elif each.name in request.form:
                sent[each.name] = request.form[each.name]
        return sent if which == "edit" else {name: given for name, given in sent.items() if given not in ("", [])}

    @staticmethod
    def _changed(raw: dict[str, Any], stored: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
        """Only what the person changed, so that a save never touches what he did not look at."""
        return {name: given for name, given in raw.items() if not _same(given, stored.get(name))}

    def _again(self, which: str, raw: dict[str, Any], broken: Exception, viewer: Viewer, key: int | None = None) -> Any:
        db.session.rollback()
        status, sentence, errors = refusal(broken)
        row = self.service.find(db.session(), key) if key is not None else None
        return self._form(which, raw, errors, viewer, row, sentence, status)

    def _form(
        self,
        which: str,
        raw: dict[str, Any],
        errors: dict[str, Any],
        viewer: Viewer,
        row: Any = None,
        sentence: str | None = None,
        status: int = 200,
    ) -> Any:
        context = pages.form_page(self, which, self._inputs(which), raw, errors, viewer, row, sentence)
        if status == 409 and row is not None:
            context["conflict"] = pages.conflict(self, row, raw, viewer)
            context["version"] = row.version
        return render_template("crm/form.html", form=context), status

    # --- verbs ---

    @expose("/move/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("edit")
    def move(self, pk: str) -> Any:
        """Change the status through its gate."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        raw: dict[str, Any] = {
            name: request.form[name] for name in ("status", *set(self.needs.values())) if request.form.get(name)
        }
        if request.form.get("task_title") or request.form.get("task_due_on"):
            raw["task"] = {"title": request.form.get("task_title"), "due_on": request.form.get("task_due_on")}
        if request.form.getlist("close_tasks"):
            raw["close_tasks"] = request.form.getlist("close_tasks")
        values = self.service.record_table.parse(raw, "edit", viewer)
        version = whole(request.form.get("version"), 0, 0, 2**31) or None
        self.service.save(db.session(), row, values, version, viewer)
        db.session.commit()
        return redirect(self.url_of(row))

    @expose("/note/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("show")
    def note(self, pk: str) -> Any:
        """Write a note on a record that the person sees; what has no timeline of its own takes none.

        A request or call may be seen by who does not see its lead: the note would hang on a foreign record.
        """
        row, viewer = self.row_for(pk, "read"), current_viewer()
        if not self.own_timeline:
            raise NotFound(_("This record doesn't exist, or you don't have access to it."))
        viewer.person.refuse_unless("Notes", "create")
        text = clean_text(request.form.get("body"), "body", 20_000)
        if not text:
            raise RuleBroken(_("Please enter a text."), "body")
        mentions.write_note(db.session(), row, text, viewer)
        db.session.commit()
        for sentence in mentions.remarks():
            flash(sentence, "warning")
        return redirect(self.url_of(row))

    @expose("/delete/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("delete")
    def delete(self, pk: str) -> Any:
        """Delete a record that the person may delete."""
        row = self.row_for(pk, "delete")
        self.service.remove(db.session(), row, current_viewer())
        db.session.commit()
        flash(_("Deleted."), "success")
        return redirect(f"{self.route_base}/")

    @expose("/lookup", methods=["GET"])
    @has_access
    @refuse_as_page
    @permission_name("list")
    def lookup(self) -> Any:
        """Up to 20 visible rows for a pick-list."""
        return jsonify({"results": hits(self, request.args.get("q", "").strip(), current_viewer(), 20)})

    @expose("/action/<string:name>/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("action_post")
    def action(self, name: str, pk: str) -> Any:
        """A bulk action on one record."""
        return self._act(name, [pk])

    @expose("/action_post", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("action_post")
    def action_post(self) -> Any:
        """A bulk action on chosen records: foreign ones are refused by number, the others are done."""
        return self._act(request.form.get("action", ""), request.form.getlist("rowid")[:500])

    def bulk_actions(self, viewer: Viewer) -> Rows:
        """What the floating bar offers: {name, label, icon, confirm, fields}."""
        return pages.bulk_actions(self, viewer)

    def _act(self, name: str, keys: Iterable[str]) -> Any:
        viewer = current_viewer()
        known = {action["name"]: action for action in self.bulk_actions(viewer)}
        if name not in known:
            raise NotFound(_("There is no such action."))
        verb = "delete" if name == "delete" else "write"
        done, failed, takers = 0, [], Counter[int]()
        for key in dict.fromkeys(keys):
            try:
                taker = pages.act_on(self, name, self.row_for(key, verb), request.form, viewer)
                db.session.commit()
                done += 1
                takers.update([taker] if taker else [])
            except REFUSABLE as broken:
                db.session.rollback()
                failed.append(f"{key}: {refusal(broken)[1]}")
        told = [_("%(n)s updated.", n=done), assignment_actions.who_got_how_many(takers, viewer)]
        flash(" ".join(filter(None, told)), "success" if done else "info")
        for sentence in failed[:10]:
            flash(sentence, "warning")
        return redirect(f"{self.route_base}/")


def _same(given: Any, stored: Any) -> bool:
    if isinstance(stored, dict):
        stored = stored.get("id")
    if isinstance(given, list):
        return sorted(map(str, given)) == sorted(map(str, stored or []))
    if isinstance(given, bool):
        return given == bool(stored)
    return (given or "").strip().replace("\r\n", "\n") == ("" if stored is None else str(stored))
