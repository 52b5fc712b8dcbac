"""The pages of custom fields that an admin adds to leads, customers, tickets and tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import custom_fields, custom_values
from app.domain.base import NotFound, refuse_stale
from app.domain.custom_fields import LANGUAGES, RECORDS, CustomField, ExistingNames, FieldInput
from app.extensions import db
from app.lib.digit_grouping import capped
from app.models import Customer, Lead, Task, Ticket
from app.web.core.fab_access import NOT_REFUSED, REFUSABLE, Refusal, current_viewer, parse_integer, refusal
from app.web.core.request_transaction import request_transaction
from app.web.core.view_registry import screen_of
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage
from app.web.settings.custom_field_form import LANGUAGE_NAMES, choice_rows, sections, typed_choices

MODELS = {"leads": Lead, "customer": Customer, "ticket": Ticket, "task": Task}
KIND_LABELS = {
    "text": _l("Text"),
    "number": _l("Number"),
    "date": _l("Date"),
    "choice": _l("Choice"),
    "link": _l("Link"),
}
ROOT = "/settings/fields"


class CustomFieldsView(SettingsPage):
    """/settings/fields/"""

    route_base = ROOT
    VERBS = {"index": "read", "add": "write", "edit": "write", "remove": "write", "restore": "write"}

    @page_route("/")
    def index(self) -> Any:
        """The fields of one record, followed by removed ones."""
        table = _table(request.args.get("record") or "leads")
        with access.as_system(db.session()) as session:
            rows = _fields(session, table)
            used = {row.id: _count(custom_values.count_used(session, row)) for row in rows}
        cards = [(row.removed_on, _card(row, used[row.id])) for row in rows]
        return self.render_template(
            "settings/custom_fields.html",
            title=_("Custom fields"),
            table=table,
            tabs=[
                {"label": screen_of(model).list_title, "url": f"{ROOT}/?record={name}", "active": name == table}
                for name, model in MODELS.items()
            ],
            fields=[card for removed, card in cards if removed is None],
            removed=[card for removed, card in cards if removed is not None],
            may_write=current_viewer().person.may("Settings", "write"),
        )

    @page_route("/add", methods=["GET", "POST"])
    def add(self) -> Any:
        """The form of a new field; on an error it keeps the input."""
        table = _table(request.args.get("record") or "leads")
        if request.method == "GET":
            return self._form(table, None, {"kind": request.args.get("kind", "text")})
        try:
            with request_transaction() as session:
                row = custom_fields.create(
                    session, _field_input(request.form), _existing(session, table), current_viewer().stamp
                )
                label, is_limited = row.label, row.is_restricted
        except REFUSABLE as broken:
            return self._refused(table, None, broken)
        flash(_added(label, is_limited), "success")
        return redirect(f"{ROOT}/?record={table}")

    @page_route("/<int:key>", methods=["GET", "POST"])
    def edit(self, key: int) -> Any:
        """The form of a field; on an error it keeps the input."""
        with access.as_system(db.session()) as session:
            row = _field(session, key)
            table, stored = row.record_table, _stored(row)
        if request.method == "GET":
            return self._form(table, row, stored)
        version = parse_integer(request.form.get("version"), 0, 0, 2**31) or None
        try:
            with request_transaction() as session:
                row = _field(session, key, version, locks=True)
                custom_fields.change(session, row, _field_input(request.form), _existing(session, table, row), _stamp())
        except REFUSABLE as broken:
            return self._refused(table, key, broken)
        flash(_("Field saved."), "success")
        return redirect(f"{ROOT}/?record={table}")

    @page_route("/<int:key>/remove", methods=["POST"])
    def remove(self, key: int) -> Any:
        """Remove it from every page; its values stay."""
        with request_transaction() as session:
            row = _field(session, key)
            custom_fields.remove(
                session, row, parse_integer(request.form.get("version"), 0, 0, 2**31) or None, _stamp()
            )
            label, table = row.label, row.record_table
        flash(_("“%(label)s” was removed. Its values are kept, and you can bring it back.", label=label), "success")
        return redirect(f"{ROOT}/?record={table}")

    @page_route("/<int:key>/restore", methods=["POST"])
    def restore(self, key: int) -> Any:
        """Restore a removed field."""
        with request_transaction() as session:
            row = _field(session, key)
            custom_fields.restore(
                session, row, parse_integer(request.form.get("version"), 0, 0, 2**31) or None, _stamp()
            )
            label, table = row.label, row.record_table
        flash(_("“%(label)s” is back, with its values.", label=label), "success")
        return redirect(f"{ROOT}/?record={table}")

    def _refused(self, table: str, key: int | None, broken: Exception) -> Any:
        db.session.rollback()
        refused = refusal(broken)
        with access.as_system(db.session()) as session:
            row = _field(session, key) if key is not None else None
        return self._form(table, row, _typed(request.form), refused), refused.status

    def _form(self, table: str, row: CustomField | None, raw: Mapping[str, Any], refused: Refusal = NOT_REFUSED) -> str:
        errors = refused.errors
        own = str(screen_of(MODELS[table]).list_title)
        title = _("New field for %(what)s", what=own) if row is None else _("Field “%(label)s”", label=row.label)
        named = {field["name"] for part in sections(row, raw, errors) for field in part["fields"]}
        left = any(name not in named for name in errors)
        form = {
            "title": title,
            "back_label": _("Custom fields"),
            "cancel_url": f"{ROOT}/?record={table}",
            "action": f"{ROOT}/add?record={table}" if row is None else f"{ROOT}/{row.id}",
            "sections": sections(row, raw, errors),
            "version": getattr(row, "version", None),
            "error": refused.sentence if refused.sentence and (left or not errors) else None,
            "conflict": None,
        }
        return self.render_template(
            "settings/custom_field.html",
            title=title,
            form=form,
            is_choice=raw.get("kind") == "choice",
            is_new=row is None,
            choices=choice_rows(raw),
            languages=[(code, LANGUAGE_NAMES[code]) for code in LANGUAGES],
            choice_errors=errors.get("choices", []),
        )


def _added(label: str, is_limited: bool) -> str:
    if not is_limited:
        return _("“%(label)s” is available to everybody now.", label=label)
    return _(
        "“%(label)s” is available now. Only admins see it until you choose who else does on the Roles page.",
        label=label,
    )


def _stamp() -> Any:
    return current_viewer().stamp


def _table(name: str) -> str:
    if name not in RECORDS:
        raise NotFound(_("There is no such list."))
    return name


def _fields(session: Session, table: str) -> list[CustomField]:
    query = select(CustomField).where(CustomField.record_table == table)
    return list(session.scalars(query.order_by(CustomField.position, CustomField.id)))


def _field(session: Session, key: int | None, version: int | None = None, locks: bool = False) -> CustomField:
    """The field with this id, after comparing a given version. Raises NotFound, Conflict.

    `locks`: lock it, so that nobody changes it meanwhile, or stores one of its choices without being noticed.
    """
    row = session.get(CustomField, min(key or 0, 2**31 - 1), with_for_update=locks or None, populate_existing=locks)
    if row is None:
        raise NotFound(_("This field doesn't exist."))
    refuse_stale(row, version)
    return row


def _existing(session: Session, table: str, row: CustomField | None = None) -> ExistingNames:
    table_of_columns = screen_of(MODELS[table]).record_table
    custom = set(table_of_columns.declared.custom)
    labels = {str(each.label).casefold() for name, each in table_of_columns.by_name.items() if name not in custom}
    used = custom_values.used_choices(session, row) if row is not None and row.kind == "choice" else ()
    return ExistingNames(table, frozenset(labels), frozenset(used))


def _field_input(form: Mapping[str, str]) -> FieldInput:
    return FieldInput(
        label=form.get("label", "")[:500],
        kind=form.get("kind", "")[:20],
        name=form.get("name", "")[:100],
        labels={code: form.get(f"label_{code}", "")[:500] for code in LANGUAGES},
        help=form.get("help", "")[:2000],
        choices=typed_choices(form),
        is_required=bool(form.get("is_required")),
        is_restricted=bool(form.get("is_restricted")),
        is_quick=bool(form.get("is_quick")),
        position=parse_integer(form.get("position"), 0, -(2**31), 2**31 - 1),
    )


def _typed(form: Mapping[str, str]) -> dict[str, Any]:
    return {**form, "choices": typed_choices(form)}


def _stored(row: CustomField) -> dict[str, Any]:
    own = {name: getattr(row, name) for name in ("label", "name", "kind", "help", "position", "choices")}
    flags = {name: getattr(row, name) for name in ("is_required", "is_restricted", "is_quick")}
    return own | flags | {f"label_{code}": (row.labels or {}).get(code, "") for code in LANGUAGES}


def _card(row: CustomField, used: str) -> dict[str, Any]:
    marks = ((row.is_required, _("required")), (row.is_quick, _("quick form")), (row.is_restricted, _("limited")))
    return {
        "label": row.label,
        "name": row.name,
        "kind": KIND_LABELS[row.kind],
        "marks": [word for is_on, word in marks if is_on],
        "used": used,
        "url": f"{ROOT}/{row.id}",
        "version": row.version,
    }


def _count(found: int) -> str:
    return capped(found, 10_000)
