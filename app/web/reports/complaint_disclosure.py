"""The monthly disclosure of complaints: preview, checks, publishing, versions, files, and the return to the exchange.

Its figures are those of all complaints, so only people whose role reaches all of them may open it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, current_app, flash, redirect, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.access import Person
from app.domain import business_settings
from app.domain.audit_log import audit
from app.domain.base import NotFound, RuleBroken
from app.domain.complaints import disclosure_periods, exchange_return, published_disclosures
from app.domain.complaints.disclosure_figures import LAYOUTS, Disclosure
from app.domain.complaints.disclosure_periods import Span
from app.domain.complaints.exchange_return import ExchangeReturn
from app.domain.complaints.published_disclosures import ComplaintDisclosure, Publication
from app.extensions import db
from app.web.core import fab_access
from app.web.core.fab_access import ModulePermissions, current_viewer, parse_integer
from app.web.core.fields.base import clean_text
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages import disclosure_tables, return_tables
from app.web.pages.routes import page_route
from app.web.reports import disclosure_files, disclosure_page
from app.web.reports.disclosure_pdf import DisclosureDocument

MODULE = "Complaints"
#: What a file shows.
DISCLOSURE, RETURN = "disclosure", "return"


@dataclass(frozen=True)
class Shown:
    """The figures of a month: as they are now, or of a published version."""

    month: Span
    #: As they are now.
    counted: Disclosure
    counted_return: ExchangeReturn
    #: The newest first.
    versions: list[ComplaintDisclosure]
    #: The version that is shown; None = as they are now.
    version: ComplaintDisclosure | None
    layout: str

    @property
    def disclosure(self) -> Disclosure:
        """The figures to show."""
        return self.version.disclosure if self.version else self.counted

    @property
    def exchange_return(self) -> ExchangeReturn:
        """The return to show."""
        return exchange_return.from_json(self.version.exchange_return) if self.version else self.counted_return

    @property
    def base(self) -> int:
        """The number of the newest version; 0 = none."""
        return self.versions[0].version_number if self.versions else 0


class DisclosureView(ModulePermissions, BaseView):
    """/complaints-disclosure/"""

    route_base = "/complaints-disclosure"
    default_view = "index"
    module = MODULE
    VERBS = {"index": "read", "file": "export", "publish": "write"}

    @staticmethod
    def opens_for(person: Person) -> bool:
        """Whether the sidebar offers the page."""
        return access.reaches_all_complaints(person)

    @page_route("/")
    def index(self) -> Any:
        """The figures of a month, their checks, and its versions."""
        viewer = current_viewer()
        _refuse_unless_all(viewer.person, "read")
        return self._page(_shown(), viewer, {})

    @page_route("/<name>.<format_>")
    def file(self, name: str, format_: str) -> Any:
        """The disclosure or the return as a file, recorded in the audit."""
        viewer = current_viewer()
        _refuse_unless_all(viewer.person, "export")
        if name not in (DISCLOSURE, RETURN) or format_ not in disclosure_files.MIMES:
            raise NotFound("This file doesn't exist.")
        shown = _shown()
        content = _content(shown, name, format_, viewer)
        month = disclosure_periods.month_name(shown.month)
        with request_transaction() as session:
            about = f"complaints {month}"
            audit.write(session, "export", viewer.person.id, viewer.now, about, what=name, format=format_)
        attachment = f'attachment; filename="complaints-{name}-{month}.{format_}"'
        headers = {"Content-Disposition": attachment, "Cache-Control": "no-store"}
        return Response(content, 200, headers, content_type=disclosure_files.MIMES[format_])

    @page_route("/publish", methods=["POST"])
    def publish(self) -> Any:
        """Publish the month as it is now, or show why not."""
        viewer = current_viewer()
        _refuse_unless_all(viewer.person, "write")
        month = _month(request.form.get("month", ""))
        try:
            with request_transaction() as session:
                row = published_disclosures.publish(session, _posted(session, month), viewer.stamp, _today())
                number = row.version_number
        except RuleBroken as broken:
            refused = fab_access.refusal(broken)
            sentence = translate_text(refused.sentence)
            return self._page(_shown(month), viewer, {"error": sentence, **_reason_of(refused.errors)}), refused.status
        name = disclosure_tables.month_label(month)
        flash(_("%(month)s is published, version %(number)s.", month=name, number=number), "success")
        return redirect(disclosure_page.page_url(month))

    def _page(self, shown: Shown, viewer: Viewer, refused: dict[str, Any]) -> str:
        with access.as_system(db.session()) as session:
            context = disclosure_page.context(session, shown, viewer, _today())
        form = {"reason": request.form.get("reason", ""), "error": "", "reason_errors": []} | refused
        return str(self.render_template("reports/disclosure.html", form=form, **context))


def _refuse_unless_all(person: Person, verb: str) -> None:
    """Raise Denied unless the person may do this to all complaints."""
    person.refuse_unless(MODULE, verb)
    if not access.reaches_all_complaints(person, verb):
        raise access.Denied(_("The disclosure counts all complaints, so your role must reach all of them."))


def _reason_of(errors: Mapping[str, list[str]]) -> dict[str, Any]:
    return {"reason_errors": errors.get("reason", [])}


def _today() -> date:
    """The day in the office."""
    zone = ZoneInfo(current_app.config["CRM"].time_zone)
    return fab_access.request_time().astimezone(zone).date()


def _month(text: str) -> Span:
    """The month of a URL or form; the last one by default. Raises RuleBroken."""
    if not text:
        return disclosure_periods.previous(disclosure_periods.month_of(_today()))
    try:
        return disclosure_periods.parse_month(text)
    except ValueError:
        raise RuleBroken(_("Please choose a month such as 2026-10."), "month") from None


def _shown(month: Span | None = None) -> Shown:
    """What the URL asks for. Raises RuleBroken, NotFound."""
    span = month or _month(request.args.get("month", ""))
    number = parse_integer(request.args.get("version"), 0, 0, 10**6)
    with access.as_system(db.session()) as session:
        versions = published_disclosures.versions_of(session, span)
        version = next((each for each in versions if each.version_number == number), None)
        if number and version is None:
            raise NotFound("This version doesn't exist.")
        layout = version.layout if version else _layout(session)
        return Shown(span, *published_disclosures.count(session, span), versions, version, layout)


def _layout(session: Session) -> str:
    """The layout of the URL, else that of the settings."""
    asked = request.args.get("layout", "")
    return asked if asked in LAYOUTS else str(business_settings.value_of(session, "disclosure_layout"))


def _posted(session: Session, month: Span) -> Publication:
    """What the form publishes: the figures as they are now."""
    base = parse_integer(request.form.get("base"), 0, 0, 10**6)
    layout = request.form.get("layout", "") or _layout(session)
    counted = published_disclosures.count(session, month)
    reason = clean_text(request.form.get("reason"), "reason", published_disclosures.MAX_REASON, has_lines=True) or ""
    return Publication(*counted, layout, base, reason)


def _content(shown: Shown, name: str, format_: str, viewer: Viewer) -> bytes:
    month = disclosure_tables.month_label(shown.month)
    if name == RETURN:
        title, tables = (
            _("Return of complaints to the exchange: %(month)s", month=month),
            return_tables.tables_of(shown.exchange_return, shown.month),
        )
    else:
        title, tables = (
            _("Disclosure of complaints: %(month)s", month=month),
            disclosure_tables.tables_of(shown.disclosure, shown.layout),
        )
    document = DisclosureDocument(title, disclosure_page.about(shown.version, viewer), tables)
    return disclosure_files.make(document, viewer, format_)
