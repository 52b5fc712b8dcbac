"""Calling, and the card of a call on every page: who, its state, its duration, a note; and its actions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Response, current_app, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.base import Conflict, NotFound
from app.domain.telephony import call_cards, call_requests, caller_ids, calls
from app.domain.telephony.call_requests import QueuedCall
from app.extensions import db
from app.lib import phone
from app.models import CallCard, CallLog, CallRequest, Customer, Lead, Ticket
from app.outbox.call_delivery import EXPIRED, NOT_KNOWN
from app.web.core.fab_access import current_viewer, sentence_header
from app.web.core.localization.durations import span
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.pages.refusals import previous_page
from app.web.pages.routes import page_route
from app.web.records import dial_targets
from app.web.records.notes import clean_note

#: The argument of the URL of a call that takes the place of one of which nobody knows whether it was made.
INSTEAD = "instead"
#: Cards on a page.
MAX_CARDS = 3
#: No telephone rings for longer.
RINGS_FOR = timedelta(minutes=5)
_PAGES: dict[str, tuple[Any, str]] = {
    "ticket_id": (Ticket, "/tickets/show/"),
    "lead_id": (Lead, "/leads/show/"),
    "customer_id": (Customer, "/customers/show/"),
}


class CallCardRoutes:
    """/calls/dial/… and /calls/card/…"""

    @page_route("/dial/<kind>/<pk>", methods=["GET", "POST"])
    def dial(self, kind: str, pk: str) -> Any:
        """Call the person of a record; without scripts, a page asks before."""
        number = request.args.get("number") or "mobile"
        target = dial_targets.find(kind, pk, number)
        if request.method == "GET":
            return _ask(target.label)
        try:
            started = start(target, current_viewer(), INSTEAD in request.args)
        except call_requests.LineUnknown:
            db.session.rollback()
            return _offer(target.label)
        if request.headers.get("HX-Request"):
            return _shown(current_viewer())
        flash(_("Your phone rings first. Pick up, then %(name)s is called.", name=target.label), "success")
        for text in warnings(started):
            flash(text, "warning")
        return redirect(_came_from(f"/calls/show/{started.call.id}"))

    @page_route("/card", methods=["GET"])
    def card(self) -> Any:
        """The cards of the viewer's calls, as an HTML fragment."""
        return _shown(current_viewer())

    @page_route("/card/<int:key>/note", methods=["POST"])
    def card_note(self, key: int) -> Any:
        """Store the note written so far."""
        note = clean_note(request.form.get("note"), "note")
        call_cards.write_note(db.session(), _card(key)[0], note or "", current_viewer().stamp)
        db.session.commit()
        return Response(status=204)

    @page_route("/card/<int:key>/<any(close, rang, silent, take):step>", methods=["POST"])
    def card_step(self, key: int, step: str) -> Any:
        """Close the card; report whether a call with an unknown outcome has rung; take an incoming call."""
        viewer, session = current_viewer(), db.session()
        with access.as_system(session):  # the card is the viewer's own, its call need not be theirs yet
            call = _card(key)[1]
            if step == "take":
                _take(call, viewer)
            elif step == "close":
                call_requests.release(session, call.id)
                call_cards.close(session, call.id, viewer.now, CallCard.user_id == viewer.person.id)
            else:
                call_requests.decide(session, call, step == "rang", viewer.stamp)
            session.commit()
        return _shown(viewer) if request.headers.get("HX-Request") else redirect(_came_from("/calls/"))

    @page_route("/card/<int:key>/lead", methods=["POST"])
    def card_lead(self, key: int) -> Any:
        """Take an incoming call of an unknown number, and create a lead with that number even if it is masked for the
        viewer.
        """
        viewer, session = current_viewer(), db.session()
        with access.as_system(session):
            call = _card(key)[1]
            if call.lead_id is None:
                _take(call, viewer)
                lead = self._create_record(call, "lead", viewer)  # type: ignore[attr-defined]
                session.commit()
            else:
                lead = session.get_one(Lead, call.lead_id)
        return redirect(f"/leads/{lead.number}")


CARD_VERBS = {
    "dial": "create",
    "card": "create",
    "card_note": "create",
    "card_step": "create",
    "card_lead": "create",
}


def start(target: dial_targets.DialTarget, viewer: Viewer, is_instead: bool = False) -> QueuedCall:
    """Queue a call to the target, and commit. Raises RuleBroken.

    `is_instead`: in place of a call of which nobody knows whether it was dialed.
    """
    session, wanted = db.session(), replace(target.wanted, replaces_unknown=is_instead)
    with access.as_system(session):  # an opt-out counts whoever may see the customer
        started = call_requests.start(session, wanted, viewer.stamp, current_app.config["CRM"].time_zone)
        session.commit()
    return started


def warnings(started: QueuedCall) -> list[str]:
    """What is wrong with the caller ID."""
    request_ = started.request
    text = caller_ids.warning_of(request_.fits_purpose, request_.purpose)
    return [translate_text(text)] if text else []


def _offer(label: str) -> Any:
    """The question whether to call all the same, while nobody knows whether the last call was made."""
    sentence = _(
        "Nobody knows whether your last call was made: look at your phone. Call %(name)s all the same?", name=label
    )
    url = f"{request.full_path.rstrip('?')}{'&' if request.args else '?'}{INSTEAD}=1"
    if request.headers.get("HX-Request"):
        return Response(status=409, headers={**sentence_header(sentence), "X-Instead": url})
    return _ask(label, url, sentence), 409


def _ask(label: str, action: str | None = None, error: str | None = None) -> Any:
    form = {
        "title": _("Call %(name)s", name=label),
        "action": action or request.full_path.rstrip("?"),
        "version": None,
        "conflict": None,
        "error": error,
        "submit_label": _("Call"),
        "cancel_url": _came_from("/calls/"),
        "back_label": _("Calls"),
        "sections": [],
    }
    return render_template("pages/form.html", form=form)


def _came_from(otherwise: str) -> str:
    path = previous_page()
    return otherwise if path == "/" or path.startswith("/calls/dial/") else path


def _card(key: int) -> tuple[CallCard, CallLog]:
    """The viewer's own card and its call. Raises NotFound."""
    session, own = db.session(), CallCard.user_id == current_viewer().person.id
    query = select(CallCard, CallLog).join(CallLog, CallLog.id == CallCard.call_id)
    with access.as_system(session):
        row = session.execute(query.where(CallCard.id == key, own)).first()
    if row is None:
        raise NotFound(_("This call is no longer shown to you."))
    return row[0], row[1]


def _take(call: CallLog, viewer: Viewer) -> None:
    """Take the call. Raises Conflict if a colleague was faster."""
    session = db.session()
    locked = session.scalars(select(CallLog).where(CallLog.id == call.id).with_for_update()).one()
    is_free = locked.employee_id is None or locked.employee_id == viewer.person.id
    shown = select(CallCard.id).where(
        CallCard.call_id == call.id, CallCard.user_id == viewer.person.id, CallCard.closed_on.is_(None)
    )
    if not is_free or session.execute(shown).first() is None:
        raise Conflict(_("A colleague has taken this call."))
    call_cards.accept(session, locked, viewer.person.id, viewer.now)


# --- display


def _shown(viewer: Viewer) -> str:
    return render_template("calls/_cards.html", cards=cards(viewer))


def cards(viewer: Viewer) -> list[dict[str, Any]]:
    """The viewer's open cards for the template, the newest first."""
    session, own = db.session(), (CallCard.user_id == viewer.person.id, CallCard.closed_on.is_(None))
    query = (
        select(CallCard, CallLog, CallRequest)
        .join(CallLog, CallLog.id == CallCard.call_id)
        .outerjoin(CallRequest, CallRequest.call_id == CallLog.id)
        .where(*own, CallCard.created_on > viewer.now - call_cards.LASTS)
    )
    with access.as_system(session):
        rows = session.execute(query.order_by(CallCard.id.desc()).limit(MAX_CARDS)).all()
    return [_context(card, call, request_, viewer) for card, call, request_ in rows if not _is_stale(call, viewer)]


def _is_stale(call: Any, viewer: Viewer) -> bool:
    """Whether an incoming call has been ringing for so long that its end was never reported."""
    is_ringing = call.direction == "Incoming" and calls.progress_of(call.status) < calls.progress_of("In Progress")
    return is_ringing and call.changed_on < viewer.now - RINGS_FOR


def _context(card: Any, call: Any, request_: Any, viewer: Viewer) -> dict[str, Any]:
    state, error = state_of(call, request_, viewer.now)
    record = _record(call)
    name = record["name"] if record else ""
    number = _number(call, viewer)
    is_mine = call.employee_id == viewer.person.id
    return {
        "id": card.id,
        "call": call.id,
        "state": state,
        "words": _("Unknown") if _is_dropped(request_) and state == "failed" else _words(state, call.status),
        "tone": _TONES[state],
        "icon": "phone-incoming" if call.direction == "Incoming" else "phone-outgoing",
        "name": name or number or _("Unknown number"),
        "number": number if name else "",
        "record": record,
        "seconds": _elapsed(state, call, viewer),
        "duration": span(call.duration_seconds) if state == "ended" and call.duration_seconds else "",
        "error": error,
        "from": _caller_id(request_),
        "note": card.note or "",
        "is_mine": is_mine,
        "may_take": call.direction == "Incoming" and not is_mine and call.employee_id is None,
        "may_lead": _may_lead(call, viewer, is_mine),
        "may_log": state in ("talking", "ended") and is_mine and viewer.person.may("Call Logs", "write"),
        "redial_url": {
            "failed": f"/calls/dial/call/{call.id}",
            "unknown": f"/calls/dial/call/{call.id}?{INSTEAD}=1",
        }.get(state),
    }


def _is_dropped(request_: Any) -> bool:
    return request_ is not None and request_.state == "dropped"


_TONES = {
    "dialing": "gray",
    "unknown": "orange",
    "failed": "red",
    "ringing": "amber",
    "incoming": "teal",
    "talking": "green",
    "ended": "slate",
}


def state_of(call: Any, request_: Any, now: Any) -> tuple[str, str]:
    """(state, why) of a card: dialing, unknown, failed, ringing, incoming, talking or ended."""
    if calls.has_ended(call):
        why = request_.error if request_ is not None and request_.state in ("failed", "dropped") else None
        return ("failed", translate_text(why)) if why else ("ended", "")
    if call.status == "In Progress":
        return "talking", ""
    if call.direction == "Incoming":
        return "incoming", ""
    if request_ is None or call.status == "Ringing" or request_.state == "sent":
        return "ringing", ""
    if request_.state == "queued":
        return (
            ("failed", translate_text(EXPIRED))
            if now > request_.expires_on + call_requests.DIALING
            else ("dialing", "")
        )
    if call_requests.is_unknown(request_, now):
        return "unknown", translate_text(request_.error or NOT_KNOWN)
    return "dialing", ""


def _words(state: str, status: str) -> str:
    ends = {"No Answer": _("No answer"), "Busy": _("Busy"), "Failed": _("Call failed"), "Canceled": _("Canceled")}
    return {
        "dialing": _("Dialing"),
        "unknown": _("Does it ring?"),
        "failed": _("Not called"),
        "ringing": _("Ringing"),
        "incoming": _("Incoming call"),
        "talking": _("In a call"),
        "ended": ends.get(status, _("Call ended")),
    }[state]


def _elapsed(state: str, call: Any, viewer: Viewer) -> int | None:
    """Seconds to count up from: of the talk, or of the ringing; None if nothing is counted."""
    if state not in ("ringing", "talking", "incoming"):
        return None
    begin = (call.answered_on if state == "talking" else None) or call.started_on
    return max(0, int((viewer.now - begin).total_seconds()))


def _number(call: Any, viewer: Viewer) -> str:
    """The other party's number as the viewer can see it."""
    if not call.other_e164:
        return ""
    shown = viewer.person.mask_value("mobile", call.other_e164)
    return phone.display(shown) if shown == call.other_e164 else str(shown or "")


def _record(call: Any) -> dict[str, Any] | None:
    """Name and link of the most specific record of the call that the viewer sees."""
    session, name, found = db.session(), "", None
    for column, (model, url) in _PAGES.items():
        key = getattr(call, column)
        row = access.get_visible(session, model, key) if key is not None else None
        if row is None:
            continue
        found = found or {"url": f"{url}{row.id}", "number": row.number}
        name = name or " ".join(each for each in (_part(row, "first_name"), _part(row, "last_name")) if each)
    return found | {"name": name} if found else None


def _part(row: Any, column: str) -> str:
    return getattr(row, column, None) or ""


def _may_lead(call: Any, viewer: Viewer, is_mine: bool) -> bool:
    is_strange = not (call.lead_id or call.ticket_id or call.customer_id) and bool(call.other_e164)
    is_open = call.direction == "Incoming" and (is_mine or call.employee_id is None)
    return is_strange and is_open and viewer.person.may("Leads", "create")


def _caller_id(request_: Any) -> dict[str, Any] | None:
    """The number that the customer sees, and its purpose in words."""
    if request_ is None:
        return None
    warning = caller_ids.warning_of(request_.fits_purpose, request_.purpose)
    return {
        "number": phone.display(request_.caller_id) if request_.caller_id else _("the provider's number"),
        "purpose": _("promotional") if request_.purpose == "promotional" else _("service"),
        "warning": translate_text(warning) if warning else "",
    }
