"""A hardened FAB ModelView: no URL or form causes a 500, and a refused form keeps the input."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import abort, current_app, flash, g, has_request_context, redirect, request, url_for
from flask_appbuilder import ModelView, expose
from flask_appbuilder.fieldwidgets import Select2Widget
from flask_appbuilder.hooks import before_request
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import has_access
from flask_appbuilder.urltools import get_order_args, get_page_args, get_page_size_args
from flask_appbuilder.validators import Unique
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from markupsafe import Markup
from sqlalchemy.exc import IntegrityError
from werkzeug.datastructures import ImmutableMultiDict
from wtforms import BooleanField, DateTimeLocalField, SelectField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, ValidationError

from app import access
from app.domain.persistence import record_locks
from app.extensions import csrf, db
from app.lib.ids import parse_id
from app.web.core import fab_access
from app.web.pages import submitted_data

MAX_ROWS = 100
LAST_PAGE = 99_999
MAX_FILTER_LENGTH = 200
#: FAB method -> verb of the matrix.
VERBS = {
    "list": "read",
    "show": "read",
    "download": "read",
    "add": "create",
    "edit": "write",
    "delete": "delete",
    "muldelete": "delete",
}
YEARS = range(2000, 2101)


def protect() -> None:
    """Refuse writes without a CSRF token, or by read-only viewers."""
    if request.method == "GET":
        return
    if "csrf" in current_app.extensions and current_app.config.get("WTF_CSRF_ENABLED", True):
        csrf.protect()
    person = g.get("person")
    if person is not None and person.read_only:
        abort(403)


class HardenedInterface(SQLAInterface):
    """FAB's data interface with validated keys; related rows follow the access rules."""

    def get(self, id: Any, *args: Any, **kwargs: Any) -> Any:
        """The row, or None, also for an invalid key."""
        key = parse_id(id)
        return None if key is None else super().get(key, *args, **kwargs)

    def get_related_obj(self, col_name: str, value: Any) -> Any:
        """The related row that the person sees, or None."""
        return access.get_visible(self.session, self.get_related_model(col_name), parse_id(value))


class PerRequest:
    """Gives each request its own filters; FAB keeps one set per screen, so people would share their searches."""

    def __get__(self, view: Any, owner: Any) -> Any:
        base = None if view is None else view.__dict__.get("_filters_made")
        if base is None or not has_request_context():
            return base
        filters: dict[str, Any] = g.setdefault("crm_filters", {})
        if type(view).__name__ not in filters:
            filters[type(view).__name__] = copy.copy(base)
            filters[type(view).__name__].clear_filters()
        return filters[type(view).__name__]

    def __set__(self, view: Any, made: Any) -> None:
        view.__dict__["_filters_made"] = made


# --- URL arguments ---------------------------------------------------------------------------------------------


def _between(raw: str, least: int, maximum: int) -> bool:
    number = parse_id(raw)
    return number is not None and least <= number <= maximum


#: Argument of a list -> whether its value is valid for the screen.
_LIST_ARGUMENTS: dict[str, Callable[[Any, str], bool]] = {
    "page": lambda view, raw: _between(raw, 0, LAST_PAGE),
    "psize": lambda view, raw: _between(raw, 1, MAX_ROWS),
    "_oc": lambda view, raw: raw in view.order_columns,
    "_od": lambda view, raw: raw in ("asc", "desc"),
}
_LIST_ARGUMENT = re.compile(r"(page|psize|_oc|_od)_(\w+)")
_FILTER_ARGUMENT = re.compile(r"_flt_(\d)_(.+)")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?")
#: FAB matches these anywhere in an argument name.
_FAB_ARGUMENT = re.compile(r"page_|psize_|_oc_|_od_|_flt_\d_")


def _makes_sense(view: Any, name: str, raw: str) -> bool:
    lists = {type(each).__name__: each for each in (view, *view._related_views)}
    argument, a_filter = _LIST_ARGUMENT.fullmatch(name), _FILTER_ARGUMENT.fullmatch(name)
    if argument:
        list_query = lists.get(argument[2])
        return list_query is not None and _LIST_ARGUMENTS[argument[1]](list_query, raw)
    if a_filter:
        return _filter_fits(view, int(a_filter[1]), a_filter[2], raw)
    return not _FAB_ARGUMENT.search(name)


def _filter_fits(view: Any, place: int, column: str, raw: str) -> bool:
    known = view._filters.get_search_filters().get(column, [])
    return place < len(known) and len(raw) <= MAX_FILTER_LENGTH and "\0" not in raw and _value_fits(view, column, raw)


def _value_fits(view: Any, column: str, raw: str) -> bool:
    model = view.datamodel
    if model.is_relation(column):
        return model.get_related_obj(column, raw) is not None
    if model.is_boolean(column):
        return raw == "y"
    if model.is_integer(column):
        return _between(raw.removeprefix("-"), 0, 2**31 - 1)
    return _is_a_date(raw) if model.is_date(column) or model.is_datetime(column) else True


def _is_a_date(raw: str) -> bool:
    """Whether it is a date or date-time in our fields' format; FAB treats anything else as no value."""
    try:
        return bool(_MOMENT.fullmatch(raw) and datetime.fromisoformat(raw))
    except ValueError:
        return False


def _let_untick(field: Any) -> None:
    """Let a checkbox be unchecked: FAB requires a value for a column that is not null, and "no" is one."""
    if getattr(field, "field_class", None) is not None and issubclass(field.field_class, BooleanField):
        validators = field.kwargs.get("validators") or ()
        field.kwargs["validators"] = [each for each in validators if not isinstance(each, DataRequired | InputRequired)]


# --- the screen --------------------------------------------------------------------------------------------------


class HardenedView(ModelView):
    """A ModelView that answers any URL and any form with a page and a message."""

    interface: type[SQLAInterface] = HardenedInterface
    #: FAB's download endpoint sends any file of the upload folder, so it is disabled.
    download = None
    datamodel: Any
    label_columns: Any
    list_columns: Any
    search_columns: Any
    order_columns: Any
    base_order: Any
    validators_columns: Any
    _filters = PerRequest()
    taken_message = lazy_gettext("This already exists. Choose another value, or edit the existing record.")
    in_use_message = lazy_gettext("This is still in use, so it can't be deleted. Make it inactive instead.")

    def __init__(self, **kwargs: Any) -> None:
        if type(self.datamodel) is SQLAInterface:
            self.datamodel = self.interface(self.datamodel.obj)
        # FAB writes to both; without copies all instances of the class would share them.
        self.label_columns = dict(self.label_columns or {})
        self.validators_columns = {key: list(each) for key, each in (self.validators_columns or {}).items()}
        super().__init__(**kwargs)

    def _init_properties(self) -> None:
        super()._init_properties()
        self.order_columns = [each for each in self.order_columns if each in self.datamodel.list_columns]
        self.base_order = self.base_order or (self.datamodel.get_pk_name(), "asc")

    def _init_forms(self) -> None:
        super()._init_forms()
        for form in (self.add_form, self.edit_form):
            for name in {*self.add_columns, *self.edit_columns}:
                self._word_unique(getattr(form, name, None))
                _let_untick(getattr(form, name, None))

    def _word_unique(self, field: Any) -> None:
        for each in (getattr(field, "kwargs", None) or {}).get("validators") or ():
            if isinstance(each, Unique):
                each.message = self.taken_message

    @before_request
    def _clean_request(self) -> None:
        """Drop URL arguments that FAB cannot handle, and flash a warning."""
        protect()
        sent = list(request.args.items(multi=True))
        kept = [(name, raw) for name, raw in sent if _makes_sense(self, name, raw)]
        if len(kept) < len(sent):
            flash(_("Part of the address wasn't understood and was ignored."), "warning")
            request.args = ImmutableMultiDict(kept)

    # --- add and edit

    def _add(self) -> Any:
        form = self.add_form.refresh()
        if request.method == "POST" and self._saved(form, None):
            return None
        if request.method == "GET":
            self.start_form(form)
        return self._get_add_widget(form=form)

    def start_form(self, form: Any) -> None:
        """Fill in what a new row begins with; nothing unless a subclass does."""

    def _edit(self, pk: Any) -> Any:
        item = self.datamodel.get(pk, self._base_filters) or abort(404)
        form = self.edit_form.refresh(obj=item)
        form._id = item.id
        if request.method == "POST" and self._saved(form, item):
            return None
        if request.method == "GET":
            self.prefill_form(form, item.id)
        return self._related(item, self._get_edit_widget(form=form))

    def _related(self, item: Any, widgets: Any) -> Any:
        places = {"orders": get_order_args(), "pages": get_page_args(), "page_sizes": get_page_size_args()}
        return self._get_related_views_widgets(item, widgets=widgets, **places)

    def _saved(self, form: Any, item: Any) -> bool:
        """Whether the form was saved; if not, the errors are in its fields, or flashed."""
        submitted_data.trim(form)
        unstorable = submitted_data.drop_unstorable(form)
        if not form.validate() or unstorable:
            for field in unstorable:
                name = field.label.text
                text = _("“%(name)s” has a character that can't be stored. Please remove it.", name=name)
                field.errors = [*field.errors, text]
            g.refused = 422
            return False
        try:
            self._store(form, item)
        except fab_access.REFUSABLE as broken:
            db.session.rollback()
            self._show_refusal(form, broken)
            return False
        return True

    def _store(self, form: Any, item: Any) -> None:
        created = item is None
        item = self.datamodel.obj() if created else item
        self.process_form(form, created)
        with db.session.no_autoflush:
            form.populate_obj(item)
            (self.pre_add if created else self.pre_update)(item)
        db.session.add(item)
        db.session.commit()
        (self.post_add if created else self.post_update)(item)
        flash(self.add_row_message if created else self.edit_row_message, "success")

    def _show_refusal(self, form: Any, broken: BaseException) -> None:
        g.refused, sentence, errors = fab_access.refusal(broken)
        shown = [name for name in errors if name in form]
        for name in shown:
            form[name].errors = list(errors[name])
        if len(shown) < len(errors) or not shown:  # else the summary of the form says it
            flash(sentence, "danger")

    @expose("/add", methods=["GET", "POST"])
    @has_access
    def add(self) -> Any:
        """The add form; after a refusal with the input."""
        widgets = self._add()
        if not widgets:
            return self.post_add_redirect()
        page = self.render_template(self.add_template, title=self.add_title, widgets=widgets)
        return page, g.get("refused", 200)

    @expose("/edit/<pk>", methods=["GET", "POST"])
    @has_access
    def edit(self, pk: Any) -> Any:
        """The edit form; after a refusal with the input."""
        widgets = self._edit(pk)
        if not widgets:
            return self.post_edit_redirect()
        page = self.render_template(
            self.edit_template, title=self.edit_title, widgets=widgets, related_views=self._related_views
        )
        return page, g.get("refused", 200)

    # --- delete and actions: POST only

    @expose("/delete/<pk>", methods=["POST"])
    @has_access
    def delete(self, pk: Any) -> Any:
        """Delete a row, or flash why it cannot be deleted."""
        item = self.datamodel.get(pk, self._base_filters) or abort(404)
        try:
            record_locks.refuse_gone(db.session(), item)
            self.pre_delete(item)
            db.session.delete(item)
            db.session.commit()
        except fab_access.REFUSABLE as broken:
            db.session.rollback()
            flash(
                self.in_use_message if isinstance(broken, IntegrityError) else fab_access.refusal(broken).sentence,
                "danger",
            )
        else:
            self.post_delete(item)
            flash(self.delete_row_message, "success")
        return self.post_delete_redirect()

    @expose("/action/<string:name>/<pk>", methods=["POST"])
    def action(self, name: str, pk: Any) -> Any:
        """Run an action on one row."""
        chosen = self._action_named(name, "single")
        item = self.datamodel.get(pk, self._base_filters) or abort(404)
        return self._run_action(chosen, item)

    @expose("/action_post", methods=["POST"])
    def action_post(self) -> Any:
        """Run an action on the chosen rows; 404 if one of them is missing."""
        chosen = self._action_named(request.form.get("action", ""), "multiple")
        keys = request.form.getlist("rowid")[:MAX_ROWS]
        if not keys:
            flash(_("Please select at least one row."), "warning")
            return self._to_list()
        return self._run_action(chosen, [self.datamodel.get(key, self._base_filters) or abort(404) for key in keys])

    def _action_named(self, name: str, kind: str) -> Any:
        found = self.actions.get(name)
        if found is None or not getattr(found, kind):
            abort(404)
        if not self.appbuilder.sm.has_access(self.get_action_permission_name(name), self.class_permission_name):
            abort(403)
        return found

    def _run_action(self, chosen: Any, subject: Any) -> Any:
        try:
            return chosen.func(subject)
        except fab_access.REFUSABLE as broken:
            db.session.rollback()
            flash(fab_access.refusal(broken).sentence, "danger")
            return self._to_list()

    def _to_list(self) -> Any:
        return redirect(url_for(f"{self.endpoint}.list"))

    def post_add_redirect(self) -> Any:
        """Back to the list."""
        return self._to_list()

    post_edit_redirect = post_delete_redirect = post_add_redirect


def link(url: str, words: str) -> Markup:
    """A cell with a link."""
    return Markup('<a href="{}">{}</a>').format(url, words)


def select_field(label: Any, pairs: Any, **more: Any) -> SelectField:
    """A select field of (value, label) pairs, or of a function that returns them."""

    def choices() -> list[SelectChoice]:
        return [SelectChoice(str(value), words) for value, words in (pairs() if callable(pairs) else pairs)]

    return SelectField(label, choices=choices, **{"widget": Select2Widget(), **more})


class LocalMoment(DateTimeLocalField):
    """A date and time: UTC in the row, in the person's time zone in the form."""

    def __init__(self, label: Any = None, validators: Any = None, **kwargs: Any) -> None:
        kwargs.setdefault("format", ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"])
        super().__init__(label, validators, render_kw={"class": "form-control"}, **kwargs)

    def process_data(self, value: datetime | None) -> None:
        """Take the value of the row."""
        self.data = value.astimezone(fab_access.zone()) if value is not None else None

    def process_formdata(self, valuelist: list[str]) -> None:
        """Parse what was typed. Raises ValueError."""
        super().process_formdata(valuelist)
        typed, self.data = self.data, None if valuelist else self.data
        if valuelist and typed is not None:
            if typed.year not in YEARS:
                raise ValidationError(_("Please choose a date between the years 2000 and 2100."))
            self.data = typed.replace(tzinfo=fab_access.zone()).astimezone(UTC)
