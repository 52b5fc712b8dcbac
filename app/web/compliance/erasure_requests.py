"""The erasure of a person for a request: what would go and stay, its confirmation, and what can be told the person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain import data_requests
from app.domain.base import Conflict, RuleBroken
from app.domain.data_requests import DataRequest
from app.domain.erasure import duties, erasing, same_contacts
from app.domain.erasure.erased_tables import KINDS
from app.domain.erasure.erasing import Confirmation, ErasurePlan
from app.domain.erasure.erasures import DataErasure
from app.domain.erasure.same_contacts import SameContact
from app.domain.maintenance import retention
from app.extensions import db
from app.models import Customer, Lead
from app.web.compliance.erasure_texts import KIND_WORDS, duty_sentence, span_of
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import translate_text
from app.web.core.repeated_writes import again_if_overtaken
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer

URL = "/data-requests"
#: What a confirmation says that it was made for: the number of the customer or lead, and the version of the request.
SHOWN = ("record", "version")
#: Days that a backup of each kind is kept for.
_BACKUP_DAYS = {"daily": 1, "weekly": 7, "monthly": 31}
_BASES: dict[type[Any], str] = {Lead: "/leads", Customer: "/customers"}
#: Kinds of the retention that hold what can't be found by the person.
_PASSING = ("provider requests", "rejected calls", "failed queue calls", "undo of actions", "answers")


def confirm(row: DataRequest, number: str, given: Mapping[str, Any], viewer: Viewer) -> DataErasure:
    """Begin the erasure, or note the end of the accounts of one that waits for it.

    Raises RuleBroken, Conflict. `given`: record and version, which the person was shown; may have accounts_ended_on.
    """
    ended = parse_day(given)
    shown = {name: str(given.get(name) or "").strip() for name in SHOWN}
    confirmed = Confirmation(number, ended, **shown, today=viewer.today)
    _refuse_unseen(row)
    key = row.id
    return again_if_overtaken(lambda: _confirm(key, confirmed, viewer))  # a merge locks the record first


def _confirm(key: int, confirmed: Confirmation, viewer: Viewer) -> DataErasure:
    with request_transaction() as session:
        request = session.get(DataRequest, key, with_for_update=True, populate_existing=True)
        if request is None:
            raise RuleBroken("This record doesn't exist.")
        with access.acting_as(session, viewer.person):  # it may be about somebody else by now
            _refuse_unseen(request)
        erasure = erasing.of_request(session, request)
        if erasure is not None and confirmed.accounts_ended_on is not None:
            erasing.set_end(session, request, erasure, confirmed, viewer.stamp)
            return erasure
        return erasing.begin(session, request, confirmed, viewer.stamp)


def parse_day(given: Mapping[str, Any]) -> date | None:
    """The last day of the accounts. Raises RuleBroken."""
    text = str(given.get("accounts_ended_on") or "").strip()
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise RuleBroken("Please enter a day such as 2027-03-31, or leave it empty.", "accounts_ended_on") from None


def _refuse_unseen(row: DataRequest) -> None:
    """Raise RuleBroken for people who don't see the customer or lead: they would be told what there is."""
    for model, key in ((Customer, row.customer_id), (Lead, row.lead_id)):
        if key is not None and not access.sees_id(db.session(), model, key):
            raise RuleBroken("You don't have access to this customer or lead, so you can't erase them.")


# --- what is shown


def context(row: DataRequest, given: Mapping[str, Any], viewer: Viewer, broken: RuleBroken | None) -> dict[str, Any]:
    """What the page shows; `broken`: why what was entered is refused.

    After a conflict the number has to be typed again: it would now confirm something else.
    """
    shown = {} if broken is not None and "accounts_ended_on" in broken.errors else given
    found = state(row, shown, viewer)
    erasure = found["erasure"]
    return found | {
        "number": erasing.number_of(row),
        "asked_by": row.person,
        "person": found["person"] or row.person,
        "url": f"{URL}/show/{row.id}",
        "action": f"{URL}/erasure/{row.id}",
        "edit_url": f"{URL}/edit/{row.id}#f-{'customer' if row.identity_checked_on else 'identity_how'}",
        "typed": "" if isinstance(broken, Conflict) else str(given.get("confirm") or ""),
        "day": str(given.get("accounts_ended_on") or ""),
        "error": translate_text(broken.message) if broken is not None else "",
        "errors": {name: [translate_text(each) for each in list_] for name, list_ in broken.errors.items()}
        if broken is not None
        else {},
        "is_open": erasure is not None and erasure.state == "running",
        "is_customer": row.customer_id is not None,
        "takes_end": erasure is not None and erasure.state == "waiting" and _keeps_customer(erasure),
        "confirmed": moment_cell(erasure.confirmed_on, viewer) if erasure is not None else None,
        "state": _state(erasure) if erasure is not None else "",
    }


def _keeps_customer(erasure: DataErasure) -> bool:
    return any(each["duty"] == "customer" for each in erasure.kept)


def refusal_of_day(row: DataRequest, given: Mapping[str, Any], viewer: Viewer) -> RuleBroken | None:
    """Why the last day of the accounts can't be the given one; None if it can, or nothing could be erased anyway."""
    try:
        day = parse_day(given)
        _refuse_unseen(row)
        with access.as_system(db.session()) as session:
            erasing.refuse_day(session, row, day, viewer.today)
    except RuleBroken as broken:
        return broken if "accounts_ended_on" in broken.errors else None
    return None


def state(row: DataRequest, given: Mapping[str, Any], viewer: Viewer) -> dict[str, Any]:
    """{erasure, hinders, person, record, version, lines, sentences, others, unseen}: what is or would be erased.

    `others`: [{number, url, is_newer}] of records with the same number or address, which stay; `is_newer`: entered
    since the confirmation. `unseen`: how many more there are that the viewer doesn't see.
    `record`, `version`: what a confirmation has to send. `person`: the name of who would be erased.
    """
    made: dict[str, Any] = {"erasure": None, "hinders": "", "person": "", "record": "", "version": row.version}
    made |= {"lines": [], "sentences": [], "others": [], "unseen": 0}
    try:
        _refuse_unseen(row)
        with access.as_system(db.session()) as session:
            made["erasure"] = erasing.of_request(session, row)
            made |= _named(session, row, made["erasure"])
            plan = _plan(session, row, made["erasure"], given, viewer)
            same = _same_contacts(session, made["erasure"], plan)
            days, general = duties.days_of(session), _general(session)
    except RuleBroken as broken:
        return made | {"hinders": translate_text(broken.message)}
    made["lines"] = [_line(kind, plan, days) for kind in KINDS if kind in plan.goes or _stays(kind, plan)]
    made["sentences"] = general
    made |= _others(same, made["erasure"])
    return made | {"hinders": translate_text(erasing.HELD) if plan.is_held else ""}


def _named(session: Session, row: DataRequest, erasure: DataErasure | None) -> dict[str, str]:
    """{person, record}: whom the erasure is about; once it has begun, their name is in the request alone."""
    if erasure is not None:
        return {"person": "", "record": erasure.number}
    found = erasing.subject_of(session, row)
    return {"person": data_requests.name_of(found), "record": found.number}


def _plan(
    session: Session, row: DataRequest, erasure: DataErasure | None, given: Mapping[str, Any], viewer: Viewer
) -> ErasurePlan:
    if erasure is not None and erasure.settled_on is not None:
        return ErasurePlan(erasure.counts, erasure.kept)
    if erasure is not None:
        return ErasurePlan(erasure.counts, [], is_stay_known=False)
    return erasing.plan(session, row, parse_day(given), viewer.now)


def _same_contacts(session: Session, erasure: DataErasure | None, plan: ErasurePlan) -> dict[str, SameContact]:
    if erasure is not None:
        return erasing.others_of(session, erasure)
    return same_contacts.find(session, plan.addresses, plan.erased)


def _others(found: dict[str, SameContact], erasure: DataErasure | None) -> dict[str, Any]:
    """Records with the same number or address, perhaps the same person once more: those that the viewer sees, and how
    many others there are.
    """
    confirmed = erasure.confirmed_on if erasure is not None else None
    seen = same_contacts.visible(db.session(), found)
    others = [
        {
            "number": number,
            "url": f"{_BASES[each.model]}/{number}",
            "is_newer": confirmed is not None and each.created_on > confirmed,
        }
        for number, each in found.items()
        if number in seen
    ]
    return {"others": others, "unseen": len(found) - len(seen)}


def _stays(kind: str, plan: ErasurePlan) -> list[dict[str, Any]]:
    return [each for each in plan.stays if each["kind"] == kind]


def _line(kind: str, plan: ErasurePlan, days: dict[str, int]) -> dict[str, Any]:
    stays = _stays(kind, plan)
    return {
        "kind": kind,
        "label": str(KIND_WORDS[kind]),
        "goes": plan.goes.get(kind, 0),
        "stays": sum(each["rows"] for each in stays) if plan.is_stay_known else None,
        "why": [duty_sentence(each["duty"], days[each["duty"]], _day(each["until"])) for each in stays],
        "until": [each["until"] for each in stays],
    }


def _day(text: str | None) -> str | None:
    return format_local_date(date.fromisoformat(text), "%-d %b %Y") if text else None


def _state(erasure: DataErasure) -> str:
    if erasure.state == "running":
        return _(
            "The data is being erased, with rows that are saved meanwhile. In about ten minutes, you see here what "
            "stays."
        )
    if erasure.state == "done" and erasure.kept:
        return str(_("This person was erased again for a later request, which goes on with what was left."))
    if erasure.state == "done":
        return str(_("All was erased."))
    return str(_("What no duty keeps was erased. The rest goes by itself when its time has come."))


def _general(session: Session) -> list[str]:
    """What holds for everybody: sentences for the person."""
    days, keep = retention.days_of(session), current_app.config["CRM"].backup.keep
    backups = max(timedelta(days=keep.get(name, 0) * each).days for name, each in _BACKUP_DAYS.items())
    return [
        _(
            "Rows and their numbers stay, so that counts and the history are true; names, phone numbers, addresses, "
            "texts and files in them don't. Files and recordings are removed from the storage within two days."
        ),
        _(
            "If you have said that you don't want to be called or written to, that stays known by a fingerprint of the "
            "number or address, from which it can't be read. If you write or call again, you are a new contact."
        ),
        _(
            "The log of who did what names records by their numbers. It can't be changed, since each entry seals the "
            "one before, and its entries are kept for %(span)s.",
            span=span_of(days["audit"]),
        ),
        _(
            "What phones and providers reported, and files of exports and imports, go by themselves, after at most "
            "%(days)s days.",
            days=max(days[name] for name in _PASSING),
        ),
        _(
            "Backups from before still hold the data until the last of them is deleted, after at most %(days)s days. "
            "Nobody works with them, and if one has to be restored, your data is erased again.",
            days=backups,
        ),
    ]
