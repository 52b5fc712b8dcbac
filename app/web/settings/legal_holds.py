"""The page of legal holds: records under one, reasons and end dates; placing and releasing them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from flask import flash, redirect, request
from flask_babel import gettext as _
from sqlalchemy import func, select

from app import access
from app.domain import legal_holds
from app.domain.base import NotFound, RuleBroken, kind_of_number
from app.domain.legal_holds import HELD_COLUMNS, MAX_REASON
from app.extensions import db
from app.models import Customer, Lead, LegalHold, Ticket
from app.web.core import fab_access
from app.web.core.fab_access import current_viewer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage

URL = "/settings/legal-holds/"
#: Holds that are listed, newest first, after those in force.
SHOWN = 500
_RECORDS: dict[str, Any] = {"LEAD": Lead, "TICKET": Ticket, "CUST": Customer}


class LegalHoldsView(SettingsPage):
    """/settings/legal-holds/"""

    route_base = "/settings/legal-holds"
    module = "Legal Holds"
    VERBS = {"index": "read", "new": "create", "place": "create", "ending": "write", "end": "write"}

    @page_route("/")
    def index(self) -> Any:
        """All holds, those in force first."""
        viewer = current_viewer()
        may = {verb: viewer.person.may(self.module, verb) for verb in ("create", "write")}
        return self.render_template("settings/legal_holds.html", holds=_rows(viewer), may=may, most=SHOWN)

    @page_route("/new")
    def new(self) -> Any:
        """The form of a new hold; ?record= is the number of its record."""
        return self._form(_new_form({"record": request.args.get("record", "")[:24]}, {}, ""))

    @page_route("/new", methods=["POST"])
    def place(self) -> Any:
        """Put the record under a hold, or show the errors by field."""
        viewer = current_viewer()
        try:
            record = _record(request.form.get("record", ""))
            until = _day(request.form.get("until", ""))
            with request_transaction() as session:
                row = session.get(type(record), record.id)
                if row is None:
                    raise NotFound("This record doesn't exist.")
                entered = legal_holds.HoldInput(request.form.get("reason", ""), until, viewer.today)
                legal_holds.place(session, row, entered, viewer.stamp)
                number = row.number
        except RuleBroken as broken:
            return self._form(
                _new_form(request.form, broken.errors, translate_text(broken.message))
            ), fab_access.refusal(broken).status
        flash(_("%(number)s is under a legal hold. Nothing of it is deleted until it ends.", number=number), "success")
        return redirect(URL)

    @page_route("/<int:pk>/release")
    def ending(self, pk: int) -> Any:
        """The form that asks why a hold is released."""
        hold = _hold(pk)
        return self._form(_release_form(hold, {}, {}, ""))

    @page_route("/<int:pk>/release", methods=["POST"])
    def end(self, pk: int) -> Any:
        """Release a hold, or show the errors by field."""
        hold, viewer = _hold(pk), current_viewer()
        try:
            with request_transaction() as session:
                row = session.get(LegalHold, hold.id, with_for_update=True, populate_existing=True)
                if row is None:
                    raise NotFound("This record doesn't exist.")
                legal_holds.release(session, row, request.form.get("reason", ""), viewer.stamp, _number(row))
        except RuleBroken as broken:
            form = _release_form(hold, request.form, broken.errors, translate_text(broken.message))
            return self._form(form), fab_access.refusal(broken).status
        flash(_("The legal hold is released."), "success")
        return redirect(URL)

    def _form(self, form: dict[str, Any]) -> str:
        shared = {"back_label": _("Legal holds"), "cancel_url": URL, "version": None, "conflict": None}
        return self.render_template("pages/form.html", title=form["title"], form=shared | form)


def _day(text: str) -> date | None:
    """A date from a form. Raises RuleBroken."""
    try:
        return date.fromisoformat(text.strip()) if text.strip() else None
    except ValueError:
        raise RuleBroken("Please enter a day such as 2027-03-31, or leave it empty.", "until") from None


def _record(text: str) -> Any:
    """The customer, lead or ticket of this number that the person sees. Raises RuleBroken."""
    number = text.strip().upper()
    model = _RECORDS.get(kind_of_number(number) or "")
    found = db.session.scalars(select(model).where(model.number == number)).unique().first() if model else None
    if found is None:
        raise RuleBroken(
            "There is no such customer, lead or ticket that you can see. Please enter its number, such as "
            "CRM-CUST-2026-00042.",
            "record",
        )
    return found


def _hold(pk: int) -> Any:
    found = access.get_visible(db.session(), LegalHold, pk)
    if found is None:
        raise NotFound("This record doesn't exist.")
    return found


def _number(hold: Any) -> str:
    """The number of the record of a hold."""
    model, key = _about(hold)
    with access.as_system(db.session()) as session:
        return str(session.execute(select(model.number).where(model.id == key)).scalar() or "")


def _about(hold: Any) -> tuple[Any, int]:
    for model in _RECORDS.values():
        key = getattr(hold, HELD_COLUMNS[model.__tablename__])
        if key is not None:
            return model, key
    raise NotFound("This record doesn't exist.")


def _rows(viewer: Viewer) -> list[dict[str, Any]]:
    """{number, url, reason, until, placed, by, state, release, released} of each."""
    numbers = func.coalesce(*(model.number for model in _RECORDS.values()))
    query = select(LegalHold, numbers)
    for model in _RECORDS.values():
        query = query.outerjoin(model, model.id == getattr(LegalHold, HELD_COLUMNS[model.__tablename__]))
    query = query.order_by(LegalHold.released_on.is_not(None), LegalHold.id.desc()).limit(SHOWN)
    with access.as_system(db.session()) as session:
        found = session.execute(query).all()
    return [_row(hold, number, viewer) for hold, number in found]


def _row(hold: LegalHold, number: str, viewer: Viewer) -> dict[str, Any]:
    is_standing = legal_holds.is_in_force(hold, viewer.today)
    word = _("Released") if hold.released_on else _("In force") if is_standing else _("Over")
    return {
        "number": number,
        "url": f"/{_PAGES[type_of(hold)]}/{number}",
        "reason": hold.reason,
        "until": format_local_date(hold.until, "%-d %b %Y") if hold.until else _("Until it is released"),
        "placed": moment_cell(hold.placed_on, viewer),
        "by": _person(hold.placed_by_id, viewer),
        "state": {"kind": "status", "label": word, "color": "amber" if is_standing else "gray"},
        "release": f"{URL}{hold.id}/release" if hold.released_on is None else "",
        "released": hold.released_why or "",
        "released_by": _person(hold.released_by_id, viewer),
    }


_PAGES = {"customer": "customers", "leads": "leads", "ticket": "tickets"}


def type_of(hold: Any) -> str:
    """The table of the record of a hold."""
    return next(name for name, column in HELD_COLUMNS.items() if getattr(hold, column) is not None)


def _person(key: int | None, viewer: Viewer) -> dict[str, Any] | None:
    card = viewer.lookups.person(key) if key is not None else None
    return person_card(card) if card is not None else None


def _field(name: str, kind: str, posted: Mapping[str, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    texts = [translate_text(each) for each in errors.get(name, ())]
    return {"name": name, "kind": kind, "value": posted.get(name, ""), "errors": texts}


def _reason_field(posted: Mapping[str, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"label": _("Reason"), "required": True, "maxlength": MAX_REASON}
    return _field("reason", "textarea", posted, errors) | shown


def _new_form(posted: Mapping[str, Any], errors: Mapping[str, Any], error: str) -> dict[str, Any]:
    number = _field("record", "text", posted, errors) | {"label": _("Number of the record"), "required": True}
    number |= {"maxlength": 24, "help": _("Of a customer (with all leads and tickets), of a lead or a ticket.")}
    reason = _reason_field(posted, errors)
    reason["help"] = _("Such as the number of the dispute or of the authority's letter.")
    until = _field("until", "date", posted, errors) | {"label": _("Last day")}
    until["help"] = _("Leave it empty if the hold stands until somebody releases it.")
    fields = [number, until, reason]
    title, label = _("New legal hold"), _("Put under a legal hold")
    form = {"title": title, "action": f"{URL}new", "sections": [{"title": "", "fields": fields}], "error": error}
    return form | {"submit_label": label}


def _release_form(hold: Any, posted: Mapping[str, Any], errors: Mapping[str, Any], error: str) -> dict[str, Any]:
    reason = _reason_field(posted, errors)
    reason["help"] = _("From then on, what is old enough is deleted as usual.")
    title = _("Release the legal hold on %(number)s", number=_number(hold))
    form = {"title": title, "action": f"{URL}{hold.id}/release", "error": error, "submit_label": _("Release")}
    return form | {"sections": [{"title": "", "fields": [reason]}]}
