"""My phone: when its calls came last, what may be missing, what could not be taken; a manager sees the team's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import flash, redirect, render_template, request
from flask_appbuilder import BaseView, expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from sqlalchemy import func, select

from app.domain import office_hours
from app.domain.base import NotFound, RuleBroken
from app.extensions import db
from app.lib import phone
from app.lib.ids import parse_id
from app.models import PhoneSync, QuarantinedCall
from app.web.core.date_fields import moment_cell
from app.web.core.fields import Viewer
from app.web.core.gate import ModulePermissions, current_viewer
from app.web.core.reference_fields import person_card
from app.web.pages.refusals import refuse_as_page
from app.web.records import call_batches, call_lines
from app.web.workday.absence_text import moment

#: What is wrong with a kept record, in words for who has the telephone in hand.
_PLAIN = {
    "not_a_record": _l("The app sent something that isn't a call."),
    "missing_field": _l("The app left out a number, the direction or the time of the call."),
    "wrong_type": _l("The app sent a number or name that can't be read."),
    "too_long": _l("The app sent a number or name that is too long."),
    "bad_number": _l("The number has characters that don't belong in a phone number."),
    "bad_duration": _l("The app sent an invalid call duration."),
    "bad_time": _l("The app sent an invalid call time."),
}
#: Office time without a batch after which a telephone is looked at; after a working day it is surely off.
QUIET = timedelta(minutes=30)
#: A working day of an office that is always open.
LONG_DAY = timedelta(hours=24)
MOST_KEPT_SHOWN, MOST_PHONES = 100, 500


class PhoneView(ModulePermissions, BaseView):
    """/phone/"""

    route_base = "/phone"
    default_view = "index"
    module = "Call Logs"
    VERBS = {"index": "read", "again": "create", "drop": "create", "noted": "create"}

    @expose("/", methods=["GET"])
    @has_access
    @refuse_as_page
    @permission_name("index")
    def index(self) -> Any:
        """One's own telephone; below, those of the team."""
        viewer = current_viewer()
        held = db.session.scalars(select(PhoneSync).where(PhoneSync.employee_id == viewer.person.id)).first()
        return render_template(
            "crm/phone.html",
            page={
                "tabs": call_lines.tabs("phone"),
                "may_log": viewer.person.may("Call Logs", "create"),
                "phone": _own(held, viewer) if held is not None else None,
                "kept": _kept(viewer),
                "team": _team(viewer),
                "version": viewer.lookups.business.get("phone_app_version"),
                "url": viewer.lookups.business.get("phone_app_url"),
            },
        )

    @expose("/again/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("again")
    def again(self, pk: str) -> Any:
        """Read a kept record once more, as if the telephone had sent it now; which it has not, and its page says so."""
        row, viewer = _mine(pk), current_viewer()
        key, raw = row.id, row.raw
        (result,) = call_batches.store([raw], viewer, by_hand=True)
        if result.status == "error":
            raise RuleBroken(_("Still rejected: %(why)s", why=result.sentence or ""))
        db.session.delete(_mine(str(key)))
        db.session.commit()
        flash(_("The call was added."), "success")
        return redirect(f"/calls/show/{result.call_id}")

    @expose("/drop/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("drop")
    def drop(self, pk: str) -> Any:
        """Forget a kept record."""
        db.session.delete(_mine(pk))
        db.session.commit()
        flash(_("Removed."), "success")
        return redirect("/phone/")

    @expose("/noted", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("noted")
    def noted(self) -> Any:
        """The person has seen that calls may be missing, and which."""
        mine = select(PhoneSync).where(PhoneSync.employee_id == current_viewer().person.id).with_for_update()
        held = db.session.scalars(mine).first()
        if held is not None and request.form.get("to") == _mark(held.gap_to):
            held.gap_from = held.gap_to = None
            db.session.commit()
        return redirect("/phone/")


def _mine(pk: str) -> QuarantinedCall:
    """A kept record of one's own. Raises NotFound, also for one of the team."""
    query = select(QuarantinedCall).where(QuarantinedCall.id == (parse_id(pk) or 0))
    row = db.session.scalars(query.where(QuarantinedCall.employee_id == current_viewer().person.id)).first()
    if row is None:
        raise NotFound(_("This record doesn't exist, or you don't have access to it."))
    return row


# --- one telephone in words


def _own(held: PhoneSync, viewer: Viewer) -> dict[str, Any]:
    counted = (
        (_("New calls"), held.created),
        (_("Updated"), held.updated),
        (_("Duplicates"), held.duplicates),
        (_("Rejected"), held.refused),
    )
    gap = None
    if held.gap_from is not None and held.gap_to is not None:
        gap = {"from": moment(held.gap_from, viewer), "to": moment(held.gap_to, viewer), "mark": _mark(held.gap_to)}
    return _state(held.synced_on, viewer) | {
        "synced": moment_cell(held.synced_on, viewer),
        "newest": moment_cell(held.newest_call_on, viewer),
        "agent": held.agent,
        "figures": counted,
        "gap": gap,
    }


def _mark(at: datetime | None) -> str:
    """Names the gap that the page showed: a newer one stays."""
    return at.isoformat() if at is not None else ""


def _state(synced_on: datetime | None, viewer: Viewer) -> dict[str, Any]:
    """{tone, silent}: amber after half an hour of office time without a batch, red after a working day."""
    if synced_on is None:
        return {"tone": "gray", "silent": _("No calls yet.")}
    office = viewer.lookups.office
    silent = (
        viewer.now - synced_on
        if office.is_always_open
        else office_hours.open_time_between(office, synced_on, viewer.now)
    )
    if silent <= QUIET:
        return {"tone": "green", "silent": _("Syncing.")}
    day = LONG_DAY if office.is_always_open else max(office.hours)
    return {
        "tone": "red" if silent >= day else "amber",
        "silent": _("No sync since %(moment)s.", moment=moment(synced_on, viewer)),
    }


def _kept(viewer: Viewer) -> list[dict[str, Any]]:
    """One's own records that could not be taken, the newest first."""
    query = select(QuarantinedCall).where(QuarantinedCall.employee_id == viewer.person.id)
    query = query.order_by(QuarantinedCall.last_on.desc(), QuarantinedCall.id.desc()).limit(MOST_KEPT_SHOWN)
    return [_kept_row(row, viewer) for row in db.session.scalars(query)]


def _kept_row(row: QuarantinedCall, viewer: Viewer) -> dict[str, Any]:
    raw = row.raw if isinstance(row.raw, dict) else {}
    told = [_number(raw.get("from"), viewer), _number(raw.get("to"), viewer)]
    facts = [
        " → ".join(told) if any(told) else "",
        _began(raw.get("start_time"), viewer),
        str(raw.get("type") or "")[:20],
    ]
    return {
        "id": row.id,
        "sentence": _PLAIN.get(row.code, row.sentence),
        "exact": row.sentence,
        "about": " · ".join(fact for fact in facts if fact),
        "times": ngettext("sent %(num)s time", "sent %(num)s times", row.times),
        "last": moment_cell(row.last_on, viewer),
    }


def _began(raw: Any, viewer: Viewer) -> str:
    """The time as the telephone wrote it, in our spelling if it is one."""
    text = str(raw or "")[:40]
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{told:%-d %b %Y, %H:%M}"


def _number(raw: Any, viewer: Viewer) -> str:
    """A number as this person may see it."""
    text = str(raw)[:40] if isinstance(raw, str | int) else ""
    normal = phone.normalize(text)
    shown = str(viewer.person.mask_value("mobile", normal or text) or "") if text else ""
    return phone.display(shown) if shown == normal else shown


# --- those of the team


def _team(viewer: Viewer) -> list[dict[str, Any]]:
    """The telephones that the law shows beside one's own, the longest silent first; one statement, counts included."""
    reach = viewer.person.reach("Call Logs")
    if reach is not None and reach <= {viewer.person.id}:
        return []
    kept = select(func.count(QuarantinedCall.id)).where(QuarantinedCall.employee_id == PhoneSync.employee_id)
    columns = (PhoneSync.employee_id, PhoneSync.synced_on, PhoneSync.newest_call_on, PhoneSync.gap_to)
    query = select(*columns, kept.correlate(PhoneSync).scalar_subquery().label("kept"))
    rows = db.session.execute(query.where(PhoneSync.employee_id != viewer.person.id).order_by(PhoneSync.synced_on))
    made = []
    for row in rows.fetchmany(MOST_PHONES):
        card = viewer.lookups.person(row.employee_id)
        if card is not None:
            made.append(
                _state(row.synced_on, viewer)
                | {
                    "person": {"kind": "person", **person_card(card)},
                    "synced": moment_cell(row.synced_on, viewer),
                    "newest": moment_cell(row.newest_call_on, viewer),
                    "kept": row.kept,
                    "has_gap": row.gap_to is not None,
                }
            )
    return made
