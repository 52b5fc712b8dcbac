"""The page of the clocks of complaints, each with its source, and of the people to whom complaints are escalated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app import access
from app.access.person import Person
from app.domain import business_settings
from app.domain.base import RuleBroken
from app.domain.business_settings import OF_COMPLAINTS
from app.domain.complaints.clocks import CLOCKS, DEFAULT_CLOCKS, DEFAULT_SOURCES, MATRIX, PEOPLE, SOURCES
from app.extensions import db
from app.lib.ids import parse_id
from app.web.core.fab_access import NOT_REFUSED, Refusal, content_hash, current_viewer
from app.web.core.fields.base import clean_text
from app.web.core.fields.reference_fields import PersonField
from app.web.core.viewer import Viewer
from app.web.pages.settings_page import SettingsFormPage, refuse_stale, settings_form
from app.web.settings import settings_audit

#: Most days of a clock, most warnings, characters of a source.
MAX_DAYS, MAX_WARNINGS, MAX_SOURCE = 365, 6, 200
LABELS = {
    "acknowledge": _l("Acknowledgment: working days"),
    "report": _l("Action taken report: days"),
    "review_request": _l("First review may be asked for within: days"),
    "first_review": _l("First review by the exchange or depository: days"),
    "second_review": _l("Second review by SEBI: days"),
    "dispute": _l("Online dispute resolution: days"),
    "desk": _l("Step of the desk: days"),
    "officer": _l("Step of the compliance officer: days"),
    "director": _l("Step of the director: days"),
    "warnings": _l("Warnings after so many days, separated by commas"),
    "review_warning": _l("Warning before the last day of a review: days"),
}
PEOPLE_LABELS = {
    "care": _l("Customer care"),
    "head": _l("Head of customer care"),
    "compliance": _l("Compliance officer"),
    "chief": _l("Chief executive"),
}
#: (title, clocks) of each section.
_SECTIONS = (
    (_l("Clocks of the law"), ("acknowledge", "report", "review_request", "first_review", "second_review", "dispute")),
    (_l("Internal steps and warnings"), ("desk", "officer", "director", "warnings", "review_warning")),
)


class ComplaintSettingsView(SettingsFormPage):
    """/settings/complaints/, for who may change all complaints: the compliance officer sets the clocks."""

    route_base = "/settings/complaints"
    module = "Complaints"
    VERBS = {"index": "write", "save": "write"}

    @staticmethod
    def opens_for(person: Person) -> bool:
        """Whether the person may change these settings."""
        return person.level("Complaints", "write") == "all"

    def _refuse(self) -> None:
        if not self.opens_for(current_viewer().person):
            raise access.Denied(_("Only people whose role changes all complaints can open these settings."))

    def _save(self, session: Session) -> None:
        stored = business_settings.values_of(session, *OF_COMPLAINTS)
        refuse_stale(stored)
        errors: dict[str, list[str]] = {}
        days = {name: _read(f"days.{name}", lambda text, n=name: _days(n, text), errors) for name in DEFAULT_CLOCKS}
        sources = {name: _read(f"source.{name}", _source, errors) for name in DEFAULT_CLOCKS}
        people = {role: _read(f"people.{role}", _person, errors) for role in MATRIX}
        if not errors and not days["desk"] <= days["officer"] <= days["director"] <= days["report"]:
            errors["days.director"] = [_("The steps follow each other and lie within the days of the report.")]
        if errors:
            raise RuleBroken(_("Not saved yet. Please check these fields:"), errors=errors)
        changed = {name: text for name, text in sources.items() if text != DEFAULT_SOURCES[name]}
        chosen = {role: key for role, key in people.items() if key is not None}
        settings_audit.store(session, "complaint", stored, {CLOCKS: days, SOURCES: changed, PEOPLE: chosen})

    def _page(self, posted: Mapping[str, str], refused: Refusal = NOT_REFUSED) -> str:
        stored = business_settings.values_of(db.session(), *OF_COMPLAINTS)
        days, sources = {**DEFAULT_CLOCKS, **stored[CLOCKS]}, DEFAULT_SOURCES | stored[SOURCES]
        sections, inputs = [], _Inputs(posted, refused)
        for title, names in _SECTIONS:
            fields = [each for name in names for each in inputs.of_clock(name, days[name], sources[name])]
            sections.append({"title": title, "fields": fields})
        people = [inputs.of_person(role, stored[PEOPLE].get(role)) for role in MATRIX]
        sections.append({"title": _("People to whom complaints are escalated"), "fields": people})
        form = settings_form(_("Complaints"), f"{self.route_base}/", sections, content_hash(stored))
        form["error"] = refused.sentence if not refused.errors else ""
        return self.render_template("pages/form.html", title=form["title"], form=form)


def _read(name: str, parse: Any, errors: dict[str, list[str]]) -> Any:
    """The parsed input of this name; what is wrong is added to the errors."""
    try:
        return parse(request.form.get(name, "").strip())
    except (ValueError, RuleBroken) as wrong:
        errors[name] = [str(wrong)]
        return 0


def _days(name: str, text: str) -> Any:
    if name != "warnings":
        return _number(text)
    found = sorted({_number(each.strip()) for each in text.split(",") if each.strip()})
    if len(found) > MAX_WARNINGS:
        raise ValueError(_("Please enter at most %(most)s warnings.", most=MAX_WARNINGS))
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_DAYS):
        raise ValueError(_("Please enter a whole number from 1 to %(most)s.", most=MAX_DAYS))
    return int(text)


def _source(text: str) -> str:
    found = clean_text(text, "source", MAX_SOURCE)
    if not found:
        raise ValueError(_("Please say where this number comes from, such as the number of the circular."))
    return found


def _person(text: str) -> int | None:
    key: int | None = PersonField("person").parse(text, current_viewer())
    return key


@dataclass(frozen=True)
class _Inputs:
    """The inputs of the form, with what was posted and why it was refused."""

    posted: Mapping[str, str]
    refused: Refusal

    def of_clock(self, name: str, days: Any, source: str) -> list[dict[str, Any]]:
        """The days of a clock, and beside them their source."""
        is_list = isinstance(days, list)
        number = self._text(f"days.{name}", LABELS[name], ", ".join(map(str, days)) if is_list else days)
        number |= {"kind": "text" if is_list else "number", "help": _("As set by your compliance officer.")}
        return [number, self._text(f"source.{name}", _("Source"), source) | {"maxlength": MAX_SOURCE}]

    def _text(self, name: str, label: Any, value: Any) -> dict[str, Any]:
        errors = self.refused.errors.get(name, [])
        shown = {"name": name, "label": label, "value": self.posted.get(name, value), "errors": errors}
        return shown | {"required": True, "kind": "text", "maxlength": 40}

    def of_person(self, role: str, key: int | None) -> dict[str, Any]:
        """Whoever has a role of the escalation."""
        viewer: Viewer = current_viewer()
        name = f"people.{role}"
        typed = self.posted.get(name)
        raw = key if typed is None else parse_id(typed) or typed
        return PersonField(name, PEOPLE_LABELS[role]).form_input(raw, self.refused.errors.get(name, []), viewer)
