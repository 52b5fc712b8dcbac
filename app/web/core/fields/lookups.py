"""Cached picklists and people, reloaded when the version of access changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import current_app
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access, shown_brand
from app.domain import brand, business_settings, custom_fields
from app.domain.messaging import channel_accounts
from app.domain.working_time import office_hours, sla
from app.lib.ids import parse_id
from app.models import (
    AccountType,
    ComplaintCategory,
    LeadSource,
    LeadStatus,
    ListSetup,
    MessageTemplate,
    Role,
    SupportPage,
    TicketStatus,
    TicketSubject,
    User,
)
from app.ops.database.connections import address_of
from app.ops.statements import loaded_objects
from app.shown_brand import ShownBrand
from app.web.core.fields import custom_field_catalog

PICKLISTS = {
    "lead_status": LeadStatus,
    "ticket_status": TicketStatus,
    "ticket_subject": TicketSubject,
    "complaint_category": ComplaintCategory,
    "account_type": AccountType,
    "lead_source": LeadSource,
    "support_page": SupportPage,
    "message_template": MessageTemplate,
}
# What is read each time is compiled once.
_ROWS = {name: select(each.__table__).order_by(each.position, each.id) for name, each in PICKLISTS.items()}
_PEOPLE = select(
    *(User.id, User.username, User.first_name, User.last_name, User.active, User.notice_choices),
    *(User.email, User.reminder_minutes, User.picture, User.manager_id),
)
_ROLES = select(Role.name).where(Role.name != "Public").order_by(Role.name)


@dataclass
class Lookups:
    """Cards by id, and ids by label or user name."""

    version: int
    #: picklist name -> id -> {id, label, color?}.
    cards: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    #: picklist name -> id -> column -> value.
    rows: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    meanings: dict[str, dict[int, str]] = field(default_factory=dict)
    #: picklist name -> active ids, in order.
    offered: dict[str, list[int]] = field(default_factory=dict)
    #: user id -> {id, username, full_name}.
    people: dict[int, dict[str, Any]] = field(default_factory=dict)
    #: user id -> digest of their picture, if they have one; not on the card either.
    pictures: dict[int, str] = field(default_factory=dict)
    #: user id -> email address; not on the card, which everybody sees.
    addresses: dict[int, str] = field(default_factory=dict)
    active: set[int] = field(default_factory=set)
    roles: list[str] = field(default_factory=list)
    #: user id -> notice preferences, if the user set any (NoticeChoices).
    choices: dict[int, Any] = field(default_factory=dict)
    #: user id -> minutes before the due time of a task, if the user chose any.
    reminders: dict[int, tuple[int, ...]] = field(default_factory=dict)
    #: Users to whom somebody reports.
    managers: frozenset[int] = frozenset()
    #: Current business settings.
    business: dict[str, Any] = field(default_factory=dict)
    #: List -> an admin's choices for it: {quick_filters, create_fields}, each None for the declared ones.
    list_setups: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The brand of the CRM.
    brand: ShownBrand = field(default_factory=lambda: ShownBrand(""))
    #: Whether an account for calls is active.
    has_voice: bool = False
    #: The custom fields.
    custom: custom_field_catalog.CustomFieldCatalog = field(default_factory=custom_field_catalog.CustomFieldCatalog)
    #: Terms of the SLA clocks, with the office hours.
    terms: sla.SlaTerms = sla.NO_TERMS
    _labels: dict[str, dict[str, int]] = field(default_factory=dict)

    def card(self, picklist: str, key: int | None) -> dict[str, Any] | None:
        """The card of a picklist's row; None for null."""
        return self.cards[picklist].get(key) if key is not None else None

    def person(self, key: int | None) -> dict[str, Any] | None:
        """The public card of a user; None for null."""
        return self.people.get(key) if key is not None else None

    def of_meaning(self, picklist: str, meaning: str) -> int | None:
        """The first row of this meaning; None if there is none."""
        return next((key for key, each in self.meanings[picklist].items() if each == meaning), None)

    def introduce(self, session: Session, picklist: str, *keys: int | None) -> dict[tuple[Any, int], Any]:
        """Rows of a picklist as objects of the session, which then need not load them: (model, id) -> object.

        Sessions drop objects without references: the caller keeps them.
        """
        model = PICKLISTS[picklist]
        found = {}
        for key in keys:
            row = self.rows[picklist].get(key) if key is not None else None
            if key is None or row is None:
                continue
            made = loaded_objects.present(session, model, key)
            if made is None:
                made = loaded_objects.hold(session, model, row)
            found[model, key] = made
        return found

    @property
    def office(self) -> office_hours.OfficeSchedule:
        """The opening hours of the office."""
        return self.terms.office

    def find(self, picklist: str, typed: Any) -> int | None:
        """The id for an id, a label (ignoring case) or a card; None if there is no such row."""
        typed = typed.get("id", typed.get("label")) if isinstance(typed, dict) else typed
        return _found(typed, self.cards[picklist], self._labels[picklist])

    def find_person(self, typed: Any) -> int | None:
        """The user id for an id, a user name or email address (ignoring case) or a card; None if there is no such user.

        User names take precedence over email addresses.
        """
        typed = typed.get("id", typed.get("username")) if isinstance(typed, dict) else typed
        return _found(typed, self.people, self._labels["user"])


def _found(typed: Any, by_id: dict[int, Any], by_label: dict[str, int]) -> int | None:
    if isinstance(typed, bool) or not isinstance(typed, int | str):
        return None
    if isinstance(typed, int):
        return typed if typed in by_id else None
    text = typed.strip()
    if text.casefold() in by_label:
        return by_label[text.casefold()]
    key = parse_id(text)
    return key if key in by_id else None


_cache: dict[str, Lookups] = {}


def load_lookups(session: Session, version: int, zone: str) -> Lookups:
    """The lookups as of this version of access, cached per process."""
    key = address_of(session)
    lookups = _cache.get(key)
    if lookups is None or lookups.version != version:
        former, lookups = lookups, _load(session, version, zone)
        if former is not None and former.custom.fields == lookups.custom.fields:
            lookups.custom = former.custom  # with the tables compiled for it
        _cache[key] = lookups
    custom_field_catalog.use(lookups.custom)
    return lookups


def _load(session: Session, version: int, zone: str) -> Lookups:
    fresh = Lookups(version)
    with access.as_system(session):
        for name in PICKLISTS:
            _load_picklist(session, fresh, name)
        users = access.answer_as_system(session, _PEOPLE, {})
        fresh.roles = [name for (name,) in access.answer_as_system(session, _ROLES, {})]
        fresh.terms = sla.load_terms(session, zone)
        fresh.has_voice = bool(channel_accounts.active(session, "voice"))
        for setup in session.scalars(select(ListSetup)):
            fresh.list_setups[setup.module] = {
                "quick_filters": setup.quick_filters,
                "create_fields": setup.create_fields,
            }
        fresh.brand = shown_brand.set_current(current_app, brand.stored_brand(session))
        fresh.custom = custom_field_catalog.CustomFieldCatalog(custom_fields.load(session))
        fresh.business = business_settings.values_of(session, *business_settings.DEFINITIONS)
    fresh.managers = frozenset(row[-1] for row in users if row[-1] is not None)
    _add_people(fresh, users)
    by_address = {address.casefold(): key for key, address in fresh.addresses.items()}
    fresh._labels["user"] = by_address | {card["username"].casefold(): key for key, card in fresh.people.items()}
    return fresh


def _add_people(fresh: Lookups, users: Sequence[Any]) -> None:
    for key, username, first, last, active, chosen, address, minutes, picture, _manager in users:
        fresh.people[key] = {"id": key, "username": username, "full_name": f"{first} {last}".strip()}
        if active:
            fresh.active.add(key)
        if chosen:
            fresh.choices[key] = chosen
        if minutes:
            fresh.reminders[key] = tuple(minutes)
        if picture:
            fresh.pictures[key] = picture
        if address:
            fresh.addresses[key] = address


def _load_picklist(session: Session, fresh: Lookups, name: str) -> None:
    keys = PICKLISTS[name].__table__.c.keys()
    found = access.answer_as_system(session, _ROWS[name], {})
    rows: list[dict[str, Any]] = [dict(zip(keys, row, strict=True)) for row in found]
    fresh.cards[name] = {row["id"]: _card(row) for row in rows}
    fresh.rows[name] = {row["id"]: row for row in rows}
    fresh.meanings[name] = {row["id"]: row.get("meaning", "") for row in rows}
    fresh.offered[name] = [row["id"] for row in rows if row["is_active"]]
    fresh._labels[name] = {row["label"].casefold(): row["id"] for row in rows}


def _card(row: Any) -> dict[str, Any]:
    card = {"id": row["id"], "label": row["label"]}
    return card | {"color": row["color"]} if "color" in row else card
