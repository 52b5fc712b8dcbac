"""Customers: pages and REST resource."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import expose
from flask_appbuilder.api import protect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy import literal, select, union_all
from sqlalchemy.orm import Session

from app import access
from app.domain import customer_keys, customers
from app.domain.base import RuleBroken
from app.domain.customers import Customer, CustomerAccount
from app.extensions import db
from app.models import Lead, Ticket
from app.web.api.resource import Resource, request_json
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.fields.base import ChoiceField, Field
from app.web.core.fields.contact_fields import CONTACT, contact_fields
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService, refuse_foreign_assignee, refuse_new_owner
from app.web.pages.routes import page_route
from app.web.records import customer_facts, customer_link_actions, identity_guesses, related_lists
from app.web.records.attachments import profile_pictures
from app.web.records.consent_ledger_link import consents_action
from app.web.records.merging import merge_actions
from app.web.records.merging.merge_rest import MergeableResource
from app.web.records.reveals import REVEAL_DOCUMENTATION, REVEAL_VERBS, RevealActions, RevealApi
from app.web.records.screen import Screen
from app.web.records.who_has_seen_page import who_has_seen_action, who_has_seen_page

SPECIAL_FIELDS: tuple[Field, ...] = (
    *contact_fields(Customer, avatar=(Customer.picture, Customer.id), avatar_url=profile_pictures.address_of),
    profile_pictures.CustomerPictureField("picture"),
    ChoiceField("status", options=("Active", "Inactive"), colors={"Active": "green", "Inactive": "gray"}),
    ChoiceField("source", options=("Lead", "Ticket", "Direct", "Other")),
    *customer_facts.facts("kyc_status", "refused_channels"),
)
LABELS = customer_facts.LABELS | {
    "number": _("Number"),
    "status": _("Status"),
    "source": _("Source"),
    "referral_code": _("Client ID"),
    "referred_by": _("Referred by"),
    "kyc_status": _("KYC"),
    "rekyc_on": _("Re-KYC on"),
    "no_calls": _("No calls"),
    "no_whatsapp": _("No WhatsApp"),
    "no_sms": _("No SMS"),
    "no_email": _("No email"),
    "owner": _("Owner"),
    "version": _("Version"),
    "created_on": _("Created"),
    "changed_on": _("Updated"),
}
#: Leads and tickets whose timelines appear on the customer's page.
MOST_RECORDS = 100
_KYC = ["status", "source", "referral_code", "referred_by", "kyc_status", "rekyc_on"]
_CONSENT = ["no_calls", "no_whatsapp", "no_sms", "no_email"]


def _accounts(session: Session, ids: list[int], viewer: Viewer) -> dict[int, dict[str, Any]]:
    """The accounts of these customers, in one statement."""
    found: dict[int, dict[str, Any]] = {key: {"accounts": []} for key in ids}
    table = CustomerAccount
    query = select(table.customer_id, table.client_id, table.account_type_id, table.opened_on, table.activated_on)
    for customer, client_id, kind, opened, activated in session.execute(query.where(table.customer_id.in_(ids))):
        found[customer]["accounts"].append(
            {
                "client_id": client_id,
                "account_type": viewer.lookups.card("account_type", kind),
                "opened_on": opened.isoformat() if opened else None,
                "activated_on": activated.isoformat() if activated else None,
            }
        )
    return found


class CustomerService(RecordService):
    """Creates, changes and deletes customers."""

    record = Customer
    module = "Customers"
    fields = SPECIAL_FIELDS
    label_columns = LABELS
    load_children = staticmethod(_accounts)

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Customer:
        """Create a customer owned by its creator."""
        refuse_foreign_assignee(values, "Customers", viewer)
        identity_guesses.count(values, viewer)
        with access.as_system(session):  # duplicates are searched among all customers
            return customers.create(session, values, viewer.change_context(vault=self.vault()))

    def change(self, session: Session, row: Customer, values: dict[str, Any], viewer: Viewer) -> None:
        """Change fields; the owner only with permission to assign."""
        refuse_new_owner(values, row, "Customers", viewer)
        for name in ("status", "source", "kyc_status"):
            if name in values and values[name] is None:
                raise RuleBroken(_("Please choose one."), name)
        identity_guesses.count(values, viewer)
        with access.as_system(session):
            customers.change(session, row, values, viewer.change_context(vault=self.vault()))

    def remove(self, session: Session, row: Customer, viewer: Viewer) -> None:
        """Delete a customer; a number shared since before the rule passes to the customer who shares it."""
        with access.as_system(session):
            customer_keys.release(session, row)
        super().remove(session, row, viewer)


class CustomerResource(RevealApi, MergeableResource, Resource):
    """/api/v1/customer/"""

    resource_name = "customer"
    datamodel = SQLAInterface(Customer)
    module = "Customers"
    service = CustomerService()
    show_columns = [
        *("number", "name", *CONTACT, *_KYC, *_CONSENT, "picture", "owner", "version", "created_on", "changed_on"),
    ]
    add_columns = [*CONTACT, *(name for name in _KYC if name != "referral_code"), *_CONSENT]
    edit_columns = [*add_columns, "owner"]
    search_exclude_columns = ["name", "address", "no_whatsapp", "no_sms", "no_email", "picture", "version"]
    order_columns = ["number", "created_on", "changed_on"]
    VERBS = MergeableResource.VERBS | Resource.VERBS | REVEAL_VERBS | {"links": "write", "decide_link": "write"}
    documentation = MergeableResource.documentation | customer_link_actions.DOCUMENTATION | REVEAL_DOCUMENTATION

    @expose("/links", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("links")
    def links(self) -> Any:
        """The leads and tickets with links that this person has to decide about."""
        return json_answer(200, {"result": customer_link_actions.waiting(current_viewer())})

    @expose("/<int:pk>/links", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("decide_link")
    def decide_link(self, pk: Any) -> Any:
        """Confirm or refuse such a link: {link, confirm}."""
        row, raw = self._row(pk, "write"), request_json()
        customer_link_actions.decide(row, raw.get("link"), raw.get("confirm"), current_viewer())
        db.session.commit()
        return json_answer(200, {"message": _g("Saved.")})

    extra_schema = {"accounts": {"type": "array", "items": {"type": "object"}}}


class CustomerScreen(RevealActions, Screen):
    """/customers/"""

    route_base = "/customers"
    datamodel = SQLAInterface(Customer)
    module = "Customers"
    service = CustomerService()
    list_title, record_name = _("Customers"), _("Customer")
    empty_text = _("No customers yet. A lead becomes one when its account is opened. Or import them under “…”.")
    list_columns = ["name", "mobile", "referral_code", "kyc_status", "status", "owner", "number", "created_on"]
    search_exclude_columns = [*CustomerResource.search_exclude_columns, "refused_channels"]
    order_columns = CustomerResource.order_columns
    show_columns = [*CustomerResource.show_columns, "refused_channels"]
    show_fieldsets = [
        (_("Contact"), {"fields": ["picture", *CONTACT]}),
        (_("Details"), {"fields": [*_KYC, *_CONSENT]}),
        (_("Record"), {"fields": ["owner", "created_on", "changed_on"]}),
    ]
    add_fieldsets = [
        (_("Contact"), {"fields": CONTACT}),
        (_("Details"), {"fields": ["status", "source", "referred_by", "kyc_status", "rekyc_on", *_CONSENT]}),
    ]
    edit_fieldsets = [
        (_("Contact"), {"fields": CONTACT}),
        (_("Details"), {"fields": ["status", "source", "referred_by", "kyc_status", "rekyc_on", "owner", *_CONSENT]}),
    ]
    title_column = "name"
    quick_fields = ("first_name", "last_name", "mobile", "email", "pan", "address")
    quick_filters = ("status", "kyc_status", "owner")
    summary_columns = ("referral_code", "pan", "mobile", "kyc_status", "rekyc_on")
    summary_if_any = ("refused_channels",)
    bulk_edit_columns = ("status", "source", "kyc_status", "rekyc_on", "owner")
    timeline_column = "customer_id"

    VERBS = Screen.VERBS | REVEAL_VERBS | {"decide_link": "write", "seen": "read"}
    more_actions_verb = "read"

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """Confirm or refuse pending links, for people who decide; consents; who has seen the data."""
        offered = []
        for each in customer_link_actions.waiting(viewer, row["id"]):
            who = (each["requested_by"] or {}).get("full_name", "")
            typed = ", ".join(filter(None, (each["name"], each["mobile"]))) or "–"
            values = {"number": each["record"], "name": who, "typed": typed, "customer": each["customer_number"]}
            base = f"/customers/links/{row['id']}/{each['id']}"
            confirm = _g(
                "%(name)s asks to link %(number)s (entered: %(typed)s) with %(customer)s. "
                "Whoever works on %(number)s will see this customer. Link them?",
                **values,
            )
            offered += [
                {
                    "label": _g("Confirm the link with %(number)s (%(name)s)", **values),
                    "url": f"{base}?confirm=1",
                    "method": "post",
                    "icon": "link",
                    "confirm": confirm,
                },
                {
                    "label": _g("Refuse the link with %(number)s (%(name)s)", **values),
                    "url": base,
                    "method": "post",
                    "icon": "x",
                    "confirm": None,
                },
            ]
        merge = merge_actions.action("customer", row, self.module, viewer)
        return [*offered, *consents_action("customer", row, viewer), *who_has_seen_action(row, viewer), *merge]

    @page_route("/seen/<pk>", methods=["GET"])
    def seen(self, pk: str) -> Any:
        """The page "Who has seen this person's data"."""
        return who_has_seen_page(self.row_for(pk, "read"), current_viewer())

    @page_route("/links/<pk>/<link>", methods=["POST"])
    def decide_link(self, pk: str, link: str) -> Any:
        """Confirm or refuse a pending link."""
        row, is_confirmed = self.row_for(pk, "write"), request.args.get("confirm") == "1"
        customer_link_actions.decide(row, link, is_confirmed, current_viewer())
        db.session.commit()
        flash(_g("The link is confirmed.") if is_confirmed else _g("The link is refused."), "success")
        return redirect(self.url_of(row))

    def timeline_records(self, key: int, viewer: Viewer) -> dict[tuple[str, int], str | None]:
        """The customer, with the newest of their leads and tickets that the person sees."""
        parts = [
            select(literal(kind).label("kind"), record.id.label("row"), record.number).where(
                record.customer_id == key, access.visible(viewer.person, record)
            )
            for kind, record in (("lead", Lead), ("ticket", Ticket))
        ]
        both = union_all(*parts)
        with access.as_system(db.session()):  # the rules are in the statement, which is shared by both
            found = db.session().execute(both.order_by(both.selected_columns.row.desc()).limit(MOST_RECORDS)).all()
        return {("customer", key): None} | {(kind, row): number for kind, row, number in found}

    def related_parts(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """The customer's leads, tickets and accounts."""
        return [*related_lists.leads_and_tickets(row["id"], viewer), related_lists.accounts(row)]
