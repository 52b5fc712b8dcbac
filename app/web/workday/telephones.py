"""My phone: its last sync, missing and rejected calls; managers also see the phones of their team."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import flash, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from sqlalchemy import func, select

from app.domain.base import NotFound, RuleBroken
from app.domain.working_time import office_hours
from app.extensions import db
from app.lib import phone
from app.lib.digit_grouping import grouped
from app.lib.ids import parse_id
from app.models import PhoneSync, QuarantinedCall
from app.web.core.fab_access import ModulePermissions, current_viewer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records.telephony import call_batches
from app.web.records.timelines import call_entries
from app.web.workday.absence_text import moment

#: Why a call was rejected: code -> text for the user of the phone.
_REASONS = {
    "not_a_record": _l("The app sent something that isn't a call."),
    "missing_field": _l("The app left out a number, the direction or the time of the call."),
    "wrong_type": _l("The app sent a number or name that can't be read."),
    "too_long": _l("The app sent a number or name that is too long."),
    "bad_number": _l("The number has characters that don't belong in a phone number."),
    "bad_duration": _l("The app sent an invalid call duration."),
    "bad_time": _l("The app sent an invalid call time."),
}
#: Office time without a sync after which a phone is shown as delayed; after a working day, as off.
QUIET_TIME = timedelta(minutes=30)
#: The working day of an office that is always open.
LONG_DAY = timedelta(hours=24)
MAX_REJECTED, MAX_PHONES = 100, 500


class TelephonesView(ModulePermissions, BaseView):
    """/phone/"""

    route_base = "/phone"
    default_view = "index"
    module = "Call Logs"
    VERBS = {"index": "read", "retry": "create", "drop": "create", "dismiss_gap": "create"}

    @page_route("/", methods=["GET"])
    def index(self) -> Any:
        """The person's own phone, followed by those of the team."""
        viewer = current_viewer()
        sync = db.session.scalars(select(PhoneSync).where(PhoneSync.employee_id == viewer.person.id)).first()
        return render_template(
            "workday/telephones.html",
            page={
                "tabs": call_entries.call_tabs("phone"),
                "may_log": viewer.person.may("Call Logs", "create"),
                "phone": _own_phone(sync, viewer) if sync is not None else None,
                "kept": _rejected_rows(viewer),
                "team": _team_rows(viewer),
                "version": viewer.lookups.business.get("phone_app_version"),
                "url": viewer.lookups.business.get("phone_app_url"),
            },
        )

    @page_route("/again/<pk>", methods=["POST"])
    def retry(self, pk: str) -> Any:
        """Parse a rejected call again, without counting it as a sync of the phone."""
        row, viewer = _own_rejected(pk), current_viewer()
        key, raw = row.id, row.raw
        (result,) = call_batches.store([raw], viewer, by_hand=True)
        if result.status == "error":
            raise RuleBroken(_("Still rejected: %(why)s", why=result.sentence or ""))
        db.session.delete(_own_rejected(str(key)))
        db.session.commit()
        flash(_("The call was added."), "success")
        return redirect(f"/calls/show/{result.call_id}")

    @page_route("/drop/<pk>", methods=["POST"])
    def drop(self, pk: str) -> Any:
        """Delete a rejected call."""
        db.session.delete(_own_rejected(pk))
        db.session.commit()
        flash(_("Removed."), "success")
        return redirect("/phone/")

    @page_route("/noted", methods=["POST"])
    def dismiss_gap(self) -> Any:
        """Hide the warning about missing calls, unless a newer gap has been found."""
        mine = select(PhoneSync).where(PhoneSync.employee_id == current_viewer().person.id).with_for_update()
        sync = db.session.scalars(mine).first()
        if sync is not None and request.form.get("to") == _gap_key(sync.gap_to):
            sync.gap_from = sync.gap_to = None
            db.session.commit()
        return redirect("/phone/")


def _own_rejected(pk: str) -> QuarantinedCall:
    """One's own rejected call. Raises NotFound, also for one of the team."""
    query = select(QuarantinedCall).where(QuarantinedCall.id == (parse_id(pk) or 0))
    row = db.session.scalars(query.where(QuarantinedCall.employee_id == current_viewer().person.id)).first()
    if row is None:
        raise NotFound(_("This record doesn't exist, or you don't have access to it."))
    return row


# --- one phone


def _own_phone(sync: PhoneSync, viewer: Viewer) -> dict[str, Any]:
    counted = (
        (_("New calls"), sync.created),
        (_("Updated"), sync.updated),
        (_("Duplicates"), sync.duplicates),
        (_("Rejected"), sync.refused),
    )
    gap = None
    if sync.gap_from is not None and sync.gap_to is not None:
        gap = {"from": moment(sync.gap_from, viewer), "to": moment(sync.gap_to, viewer), "mark": _gap_key(sync.gap_to)}
    return _state(sync.synced_on, viewer) | {
        "synced": moment_cell(sync.synced_on, viewer),
        "newest": moment_cell(sync.newest_call_on, viewer),
        "agent": sync.agent,
        "figures": [(label, grouped(count)) for label, count in counted],
        "gap": gap,
    }


def _gap_key(at: datetime | None) -> str:
    """Identifies the gap that the page shows."""
    return at.isoformat() if at is not None else ""


def _state(synced_on: datetime | None, viewer: Viewer) -> dict[str, Any]:
    """{tone, silent}: amber after half an hour of office time without a sync, red after a working day."""
    if synced_on is None:
        return {"tone": "gray", "silent": _("No calls yet.")}
    office = viewer.lookups.office
    silent = (
        viewer.now - synced_on
        if office.is_always_open
        else office_hours.open_time_between(office, synced_on, viewer.now)
    )
    if silent <= QUIET_TIME:
        return {"tone": "green", "silent": _("Syncing.")}
    day = LONG_DAY if office.is_always_open else max(office.hours)
    return {
        "tone": "red" if silent >= day else "amber",
        "silent": _("No sync since %(moment)s.", moment=moment(synced_on, viewer)),
    }


def _rejected_rows(viewer: Viewer) -> list[dict[str, Any]]:
    """The person's own rejected calls, newest first."""
    query = select(QuarantinedCall).where(QuarantinedCall.employee_id == viewer.person.id)
    query = query.order_by(QuarantinedCall.last_on.desc(), QuarantinedCall.id.desc()).limit(MAX_REJECTED)
    return [_rejected_row(row, viewer) for row in db.session.scalars(query)]


def _rejected_row(row: QuarantinedCall, viewer: Viewer) -> dict[str, Any]:
    raw = row.raw if isinstance(row.raw, dict) else {}
    numbers = [_number_text(raw.get("from"), viewer), _number_text(raw.get("to"), viewer)]
    facts = [
        " → ".join(numbers) if any(numbers) else "",
        _start_text(raw.get("start_time"), viewer),
        str(raw.get("type") or "")[:20],
    ]
    return {
        "id": row.id,
        "sentence": _REASONS.get(row.code, row.sentence),
        "exact": row.sentence,
        "about": " · ".join(fact for fact in facts if fact),
        "times": ngettext("sent %(num)s time", "sent %(num)s times", row.times),
        "last": moment_cell(row.last_on, viewer),
    }


def _start_text(raw: Any, viewer: Viewer) -> str:
    """The start time, formatted if it can be parsed, else as sent."""
    text = str(raw or "")[:40]
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        return text
    return format_local_date(start, "%-d %b %Y, %H:%M")


def _number_text(raw: Any, viewer: Viewer) -> str:
    """The number as this person may see it."""
    text = str(raw)[:40] if isinstance(raw, str | int) else ""
    normal = phone.normalize(text)
    shown = str(viewer.person.mask_value("mobile", normal or text) or "") if text else ""
    return phone.display(shown) if shown == normal else shown


# --- the phones of the team


def _team_rows(viewer: Viewer) -> list[dict[str, Any]]:
    """The visible phones of others, longest without a sync first; one statement, including counts."""
    reach = viewer.person.reach("Call Logs")
    if reach is not None and reach <= {viewer.person.id}:
        return []
    kept = select(func.count(QuarantinedCall.id)).where(QuarantinedCall.employee_id == PhoneSync.employee_id)
    columns = (PhoneSync.employee_id, PhoneSync.synced_on, PhoneSync.newest_call_on, PhoneSync.gap_to)
    query = select(*columns, kept.correlate(PhoneSync).scalar_subquery().label("kept"))
    rows = db.session.execute(query.where(PhoneSync.employee_id != viewer.person.id).order_by(PhoneSync.synced_on))
    team = []
    for row in rows.fetchmany(MAX_PHONES):
        card = viewer.lookups.person(row.employee_id)
        if card is not None:
            team.append(
                _state(row.synced_on, viewer)
                | {
                    "person": {"kind": "person", **person_card(card)},
                    "synced": moment_cell(row.synced_on, viewer),
                    "newest": moment_cell(row.newest_call_on, viewer),
                    "kept": row.kept,
                    "has_gap": row.gap_to is not None,
                }
            )
    return team
