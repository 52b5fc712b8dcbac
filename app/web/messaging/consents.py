"""The consent ledger: its list, one person's part of it with exports, and adding an entry; pages and REST resource."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Any

from flask import Response
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app import access
from app.access import Person
from app.domain import business_settings
from app.domain.audit_log import audit
from app.domain.base import NotFound, RuleBroken
from app.domain.messaging import consents, messages
from app.domain.messaging.consents import ACTIONS, OPT_OUTS, PURPOSES, WAYS, Consent, ConsentInput, DoNotDisturb
from app.extensions import db
from app.lib.spreadsheet_formulas import as_text
from app.models import Customer, Lead
from app.web.api.resource import Resource
from app.web.core.fab_access import current_viewer, json_answer
from app.web.core.fields import contact_guesses
from app.web.core.fields.base import ChoiceField, Field, LongTextField, TextField
from app.web.core.fields.date_fields import DateTimeField, moment_cell
from app.web.core.fields.scalar_fields import BooleanField
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.pages.routes import page_route
from app.web.records.call_fields import CallNumberField
from app.web.records.conversation_list import shown_peer
from app.web.records.message_words import CHANNEL_WORDS, PURPOSE_WORDS
from app.web.records.screen import Screen

CONSENT_CHANNELS = {**CHANNEL_WORDS, "voice": _l("Calls")}
ACTION_WORDS = {"given": _l("Given"), "withdrawn": _l("Withdrawn")}
WAY_WORDS = {
    "form": _l("Form"),
    "call": _l("Call"),
    "letter": _l("Letter"),
    "meeting": _l("Meeting"),
    "website": _l("Website"),
    "message": _l("Message"),
    "provider": _l("Provider"),
    "mail": _l("Email"),
    "erasure": _l("Erasure"),
}
_FIELDS: tuple[Field, ...] = (
    ChoiceField("channel", options=tuple(OPT_OUTS), words=CONSENT_CHANNELS, required=True),
    CallNumberField("address", columns=(Consent.address,), max_length=254),
    ChoiceField("purpose", options=PURPOSES, words=PURPOSE_WORDS),
    ChoiceField(
        "action", options=ACTIONS, words=ACTION_WORDS, colors={"given": "green", "withdrawn": "red"}, required=True
    ),
    ChoiceField("how", options=WAYS, words=WAY_WORDS, required=True),
    DateTimeField("happened_on"),
    DateTimeField("ends_on"),
    LongTextField("words"),
    TextField("language", max_length=16),
    TextField("evidence", max_length=190),
    BooleanField("is_for_transaction"),
    BooleanField("is_unasked"),
)
_LABELS = {
    "channel": _l("Channel"),
    "address": _l("Number or address"),
    "purpose": _l("Purpose"),
    "action": _l("Consent"),
    "how": _l("How"),
    "happened_on": _l("Said on"),
    "ends_on": _l("Lapses on"),
    "words": _l("Words shown or said"),
    "language": _l("Language"),
    "evidence": _l("Evidence"),
    "is_for_transaction": _l("Only to finish an ongoing transaction"),
    "is_unasked": _l("They came on their own initiative; nobody had invited them"),
    "customer": _l("Customer"),
    "lead": _l("Lead"),
    "created_on": _l("Noted on"),
    "created_by": _l("Noted by"),
}


class ConsentService(RecordService):
    """Entries of the ledger: added, never changed."""

    record = Consent
    module = "Messages"
    fields = _FIELDS
    label_columns = _LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Consent:
        """Record what a person said. Raises RuleBroken."""
        channel = values.get("channel") or ""
        if values.get("address"):
            contact_guesses.refuse(channel, "address", viewer)
        address = _address(session, channel, values)
        people = _people(session, channel, address, values)
        if not any(people.values()) and not access.reads_all(viewer.person, Customer):
            text = _("Please choose the lead or customer whose number or address this is.")
            raise RuleBroken(text, "customer")
        if not access.reads_all(viewer.person, Customer) and address not in _addresses_of(session, people):
            text = _("This isn't a number or address of theirs. Please add it to the lead or customer first.")
            raise RuleBroken(text, "address")
        given = {name: values[name] for name in _OF_NOTED if values.get(name) is not None}
        with access.as_system(session):
            noted = ConsentInput(channel=channel, address=address, **({"action": "", "how": ""} | given | people))
            return consents.record_input(session, noted, viewer.stamp)

    def change(self, session: Session, row: Consent, values: dict[str, Any], viewer: Viewer) -> None:
        """Refuse changes: entries are never changed."""
        raise RuleBroken(_("The consent ledger is append-only. Add a new entry instead."))


_OF_NOTED = (
    *("action", "how", "happened_on", "words", "language", "evidence", "purpose"),
    *("is_for_transaction", "is_unasked"),
)


def _addresses_of(session: Session, people: dict[str, int | None]) -> set[str]:
    """The numbers and addresses of these people, because nobody can consent for somebody else."""
    with access.as_system(session):
        rows = [session.get(model, people[name]) for model, name in _PEOPLE if people.get(name)]
        return {each for row in rows if row is not None for each in _addresses(row)}


_PEOPLE: tuple[tuple[Any, str], ...] = ((Lead, "lead_id"), (Customer, "customer_id"))


def _address(session: Session, channel: str, values: dict[str, Any]) -> str:
    """The address in its normal form; the record's if none is given. Raises RuleBroken."""
    typed = str(values.get("address") or "")
    if not typed:
        with access.as_system(session):  # people who see it masked may record a consent, too
            for model, name in _PEOPLE:
                row: Any = session.get(model, values[name]) if values.get(name) else None
                typed = typed or (getattr(row, "email" if channel == "email" else "mobile_e164", None) or "")
    clean = messages.clean_peer("email" if channel == "email" else "sms", typed)
    if not clean:
        raise RuleBroken(_("Please enter the number or address that it is about."), "address")
    return clean


def _people(session: Session, channel: str, address: str, values: dict[str, Any]) -> dict[str, int | None]:
    """The lead and customer that it is about: the given ones, or visible ones with this address."""
    found = {"lead_id": values.get("lead_id"), "customer_id": values.get("customer_id")}
    if not any(found.values()):
        for model, name in _PEOPLE:
            column: Any = getattr(model, "email" if channel == "email" else "mobile_e164")
            found[name] = session.scalars(select(model.id).where(column == address).order_by(model.id.desc())).first()
    return found


_COLUMNS = [
    *("channel", "address", "purpose", "action", "how", "happened_on", "ends_on"),
    *("words", "language", "evidence", "customer", "lead", "created_on"),
]
_INPUTS = [
    *("channel", "action", "customer", "lead", "address", "how", "happened_on"),
    *("purpose", "words", "language", "evidence", "is_for_transaction", "is_unasked"),
]


class ConsentResource(Resource):
    """/api/v1/consent/"""

    resource_name = "consent"
    datamodel = SQLAInterface(Consent)
    module = "Messages"
    service = ConsentService()
    exclude_route_methods = {"put", "delete"}
    show_columns = _COLUMNS
    add_columns = _INPUTS
    edit_columns: list[str] = []
    search_exclude_columns = ["words", "evidence"]
    order_columns = ["happened_on", "created_on"]


class ConsentScreen(Screen):
    """/consents/"""

    route_base = "/consents"
    datamodel = SQLAInterface(Consent)
    module = "Messages"
    service = ConsentService()
    list_title, record_name = _l("Consents"), _l("Consent")
    list_columns = ["address", "channel", "action", "purpose", "how", "happened_on", "ends_on", "customer", "lead"]
    search_exclude_columns = ConsentResource.search_exclude_columns
    order_columns = ConsentResource.order_columns
    show_columns = _COLUMNS
    add_columns = _INPUTS
    edit_columns: list[str] = []
    quick_filters = ("channel", "action", "purpose")
    summary_columns = ("channel", "action", "happened_on")
    title_column = "address"
    new_values = {"action": "given", "purpose": "promotional"}
    exclude_route_methods = {"edit", "delete"}
    is_searched = False
    is_in_new_menu = False
    VERBS = Screen.VERBS | {"of_person": "read", "export": "read"}

    @staticmethod
    def in_menu(person: Person) -> bool:
        """Not in the sidebar, because campaigns and records link to it."""
        return False

    @page_route("/of/<any(lead, customer):kind>/<int:key>")
    def of_person(self, kind: str, key: int) -> Any:
        """The ledger of one person: the current state of each channel, and every entry."""
        viewer, row = current_viewer(), _person(kind, key)
        return self.render_template(
            "campaigns/consents.html",
            kind=kind,
            key=key,
            name=f"{row.first_name or ''} {row.last_name or ''}".strip() or row.number,
            number=row.number,
            channels=_standing(row, viewer),
            entries=[_entry(each, viewer) for each in _entries(kind, row)],
            may_add=viewer.person.may("Messages", "create"),
        )

    @page_route("/export/<any(lead, customer):kind>/<int:key>.<any(csv, json):form>")
    def export(self, kind: str, key: int, form: str) -> Any:
        """The ledger of one person as a file; addresses as the viewer may see them."""
        viewer, row = current_viewer(), _person(kind, key)
        rows = [_exported(each, viewer) for each in _entries(kind, row)]
        what: dict[str, Any] = {"what": "consents", "format": form, "rows": len(rows)}
        name = f"consents-{row.number}.{form}"
        with request_transaction() as session:
            audit.write(session, "export", viewer.person.id, viewer.now, f"{kind} {key}", **what)
        return _csv(rows, name) if form == "csv" else _json(rows, name)


def _person(kind: str, key: int) -> Any:
    row = access.get_visible(db.session(), Lead if kind == "lead" else Customer, key)
    if row is None:
        raise NotFound(_("This record doesn't exist, or you don't have access to it."))
    return row


def _addresses(row: Any) -> list[str]:
    owner = row.customer if getattr(row, "customer_id", None) and row.customer is not None else row
    found = [getattr(owner, name, None) for name in ("mobile_e164", "alternative_e164", "email")]
    return [each.lower() for each in found if each]


def _entries(kind: str, row: Any) -> list[Consent]:
    """Every entry about the person or one of their addresses, oldest first."""
    column = Consent.lead_id if kind == "lead" else Consent.customer_id
    with access.as_system(db.session()) as session:  # the record is visible, and so is what its person has said
        mine = or_(column == row.id, Consent.address.in_(_addresses(row)))
        return list(session.scalars(select(Consent).where(mine).order_by(Consent.id)))


def _standing(row: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """The current state of each channel."""
    made = []
    with access.as_system(db.session()) as session:
        rules = business_settings.values_of(session, "consent_ask_again_days", "dnd_valid_days")
        for channel, word in CONSENT_CHANNELS.items():
            for address in _addresses(row):
                if ("@" in address) is not (channel == "email"):
                    continue
                newest = consents.latest(session, channel, address)
                free_on = consents.asked_again_on(session, channel, address, rules["consent_ask_again_days"])
                made.append(
                    {
                        "channel": str(word),
                        "address": shown_peer(channel, address, viewer),
                        "state": _state(newest, viewer.now),
                        "ask_on": moment_cell(free_on, viewer) if free_on and free_on > viewer.now else None,
                        "dnd": "" if channel == "email" else _dnd(session, address),
                    }
                )
    return made


def _state(consent: Consent | None, now: datetime) -> dict[str, Any]:
    if consent is None:
        return {"kind": "status", "label": _("Nothing on record"), "color": "gray"}
    if consent.action == "given" and consent.ends_on is not None and consent.ends_on <= now:
        return {"kind": "status", "label": _("Lapsed"), "color": "amber"}
    color = "green" if consent.action == "given" else "red"
    return {"kind": "status", "label": str(ACTION_WORDS[consent.action]), "color": color}


def _dnd(session: Session, number: str) -> str:
    found = session.scalars(select(DoNotDisturb).where(DoNotDisturb.number == number)).first()
    if found is None:
        return _("Not checked")
    words = {"none": _("Not blocked"), "blocked": _("Blocked"), "partial": _("Partly blocked")}
    return f"{words.get(found.preference, found.preference)} ({format_local_date(found.checked_on, '%-d %b %Y')})"


def _entry(entry: Consent, viewer: Viewer) -> dict[str, Any]:
    author = viewer.lookups.person(entry.created_by_id) or {}
    return {
        "channel": str(CONSENT_CHANNELS[entry.channel]),
        "address": shown_peer(entry.channel, entry.address, viewer),
        "state": {
            "kind": "status",
            "label": str(ACTION_WORDS[entry.action]),
            "color": "green" if entry.action == "given" else "red",
        },
        "purpose": str(PURPOSE_WORDS[entry.purpose]),
        "how": str(WAY_WORDS.get(entry.how, entry.how)),
        "at": moment_cell(entry.happened_on, viewer),
        "ends": moment_cell(entry.ends_on, viewer) if entry.ends_on else None,
        "words": entry.words or "",
        "language": entry.language or "",
        "evidence": entry.evidence or "",
        "by": author.get("full_name", ""),
    }


_EXPORTED = ("id", "channel", "address", "purpose", "action", "how", "happened_on", "ends_on", "words", "language")


def _exported(entry: Consent, viewer: Viewer) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in (*_EXPORTED, "evidence", "message_id", "created_on")}
    values["address"] = viewer.person.mask_value("email" if "@" in entry.address else "mobile", entry.address)
    values["noted_by"] = (viewer.lookups.person(entry.created_by_id) or {}).get("username")
    return {name: each.isoformat() if isinstance(each, datetime) else each for name, each in values.items()}


def _csv(rows: list[dict[str, Any]], name: str) -> Response:
    text = io.StringIO()
    heading = [*_EXPORTED, "evidence", "message_id", "created_on", "noted_by"]
    writer = csv.DictWriter(text, heading)
    writer.writeheader()
    writer.writerows([{key: _plain(value) for key, value in row.items()} for row in rows])
    return _file("\ufeff" + text.getvalue(), "text/csv; charset=utf-8", name)


def _plain(value: Any) -> Any:
    """A cell that no spreadsheet reads as a formula; phone numbers stay unchanged."""
    is_phone = isinstance(value, str) and value[:1] == "+" and value[1:].isdigit()
    return as_text(value) if isinstance(value, str) and not is_phone else value


def _json(rows: list[dict[str, Any]], name: str) -> Response:
    answer = json_answer(200, {"entries": rows})
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _file(text: str, mime_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode(), 200, headers, content_type=mime_type)
