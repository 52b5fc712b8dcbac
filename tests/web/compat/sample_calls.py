"""Sample records, and a successful call of every method with them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import select

from app.channels.provider_registry import KINDS
from app.domain import assignment
from app.domain.base import Stamp
from app.domain.messaging import channel_accounts, messages
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.notifications import notices
from app.models import BusinessSetting, CustomerAccount, MessageTemplate, Notification, SupportPage, User
from app.ops.database.connections import STATEMENTS
from tests.app_fixtures import Crm
from tests.factories import NOW
from tests.web.invalid_input import VOLATILE_TABLES

BuildBody = Callable[["SampleRecords"], dict[str, Any]]


class SampleRecords:
    """One record of each kind, owned by Ana and Cleo, and ways to call methods on them."""

    def __init__(self, crm: Crm) -> None:
        self.crm, make = crm, crm.make
        self.customer = make.customer("ana", first_name="Asha", mobile="98200 12345", email="asha@example.com")
        self.lead = make.lead("ana", first_name="Ravi", mobile="98200 54321")
        self.ticket = make.ticket("cleo", customer_id=self.customer.id)
        self.task = make.task(self.lead)
        self.linked_call = make.call("ana", lead_id=self.lead.id, device_call_id="device_1")
        self.unlinked_call = make.call("ana", to_number="98200 77777")
        self.request = make.request(make.lead("max", first_name="Meena", task={}), "ana", who="max")
        self.note = crm.client("ana").rest("POST", "activity/", {"lead": self.lead.id, "text": "Met\nat the fair"})
        self._add_notice("comment", self.lead)
        self._add_notice("task_due", self.task)
        self.shared_ticket = make.ticket("sam", task={})
        self._add_account_and_assignee()
        self._add_channel()
        crm.session.commit()

    def _add_account_and_assignee(self) -> None:
        """The customer gets an account, the second ticket a second assignee."""
        session, people = self.crm.session, self.crm.people
        account = CustomerAccount(client_id="CL100", customer_id=self.customer.id)
        account.stamp(Stamp(None, NOW))
        session.add(account)
        assignment.add_assignee(session, self.shared_ticket, people["cleo"].id, Stamp(people["sam"].id, NOW))

    def _add_channel(self) -> None:
        """What messages need: an account that sends nothing, a template, a support page."""
        session, settings = self.crm.session, AccountSettings("Desk")
        session.add(BusinessSetting(key="promotional_hours", value="00:00-00:00"))
        session.get_one(User, self.crm.people["ana"].id).telephony_number = "+919811100001"
        account = channel_accounts.create(session, KINDS["console"], settings, Stamp(None, NOW), self.crm.vault)
        said: dict[str, Any] = {
            "channel": "whatsapp",
            "peer": "+919820054321",
            "body": "Thank you",
            "provider_id": "in-1",
        }
        said |= {"account_id": account.id, "lead_id": self.lead.id}
        self.message = messages.receive(session, said, Stamp(None, NOW))
        session.add(MessageTemplate(channel="whatsapp", label="Hello", body="Hello {{name}}", approval="local"))
        session.add(SupportPage(label="Login help", url="https://example.com/login", is_active=True, position=1))

    def bind_to(self, crm: Crm) -> SampleRecords:
        """The same records, loaded in another CRM with the same database."""
        bound = copy.copy(self)
        bound.crm = crm
        for name, row in vars(self).items():
            if isinstance(row, Model):
                setattr(bound, name, crm.session.get_one(type(row), row.id))
        crm.session.commit()
        return bound

    def _add_notice(self, kind: str, about: Any) -> None:
        session, ana = self.crm.session, self.crm.people["ana"].id
        notices.notify(
            session,
            notices.NoticeEvent(kind, f"sample:{kind}", (ana,), {"title": "Call", "number": "X", "minutes": 5}, about),
            NOW,
        )
        session.commit()

    @property
    def notice(self) -> int:
        """The id of Ana's newest notice."""
        query = select(Notification.id).where(Notification.user_id == self.crm.people["ana"].id)
        return int(max(self.crm.rows(query)))

    def call(self, who: str | None, method: str, body: Any = None, **arguments: Any) -> Any:
        """Call a method by POST."""
        headers = self.crm.client(who).headers if who else {}
        return self.crm.app.test_client().post(f"/api/method/{method}", json=body or {}, headers=headers, **arguments)

    def result(self, who: str, method: str, **body: Any) -> Any:
        """The message of a call, which must be 200."""
        response = self.call(who, method, body)
        assert response.status_code == 200, response.text
        return response.get_json()["message"]

    def call_counting_statements(self, who: str | None, method: str, body: Any) -> tuple[Any, list[str]]:
        """The response, and the SQL statements of the call."""
        statements: list[str] = []
        token = STATEMENTS.set(statements)
        try:
            return self.call(who, method, body), statements
        finally:
            STATEMENTS.reset(token)

    def all_rows(self) -> dict[str, list[Any]]:
        """All rows of all tables, except those that every request changes."""
        names = [name for name in Model.metadata.tables if name not in VOLATILE_TABLES - {"number_series"}]
        with self.crm.engine.connect() as connection:
            read = connection.exec_driver_sql  # a text(…) of its own for each table takes longer than most tables
            return {name: list(map(tuple, read(f"SELECT * FROM {name}"))) for name in names}  # noqa: S608


def _naming(name: str, /, **arguments: Any) -> BuildBody:
    """A body whose arguments with the value ... name this record: by its number, or else by its id."""

    def build(sample: SampleRecords) -> dict[str, Any]:
        row = getattr(sample, name)
        return {key: getattr(row, "number", str(row.id)) if value is ... else value for key, value in arguments.items()}

    return build


def _constant(**body: Any) -> BuildBody:
    return lambda sample: body


_CLIENT, _MOBILE_SYNC, _API, _DESK_FORM = "frappe.client.", "crm.api.mobile_sync.", "crm.api.", "frappe.desk.form."
_CUSTOMERS = "crm.api.customers."
_LEAD_OPERATIONS, _ROLE_ASSIGNMENT, _ASSIGNMENT_REQUESTS = (
    "crm.api.lead_operations.",
    "crm.api.role_assignment.",
    "crm.api.assignment_requests.",
)
_CALL_LOG, _INTEGRATIONS = "crm.fcrm.doctype.crm_call_log.crm_call_log.", "crm.integrations.api."
_LEAD: dict[str, Any] = {"doctype": "CRM Lead"}
_NEW_LEAD = {"doctype": "CRM Lead", "first_name": "Kavita", "mobile_no": "9820099999"}
_LEAD_REFERENCE = {"reference_doctype": "CRM Lead"}
#: Method -> (user, function that builds the body).
SAMPLE_CALLS: dict[str, tuple[str, BuildBody]] = {
    "login": ("ana", _constant(usr="ana", pwd="correct horse 9")),
    "logout": ("ana", _constant()),
    "ping": ("ana", _constant()),
    "frappe.auth.get_logged_user": ("ana", _constant()),
    _CLIENT + "get_list": (
        "ana",
        _constant(**_LEAD, fields=["*"], filters=[["status", "=", "New"]], order_by="name desc"),
    ),
    _CLIENT + "get_count": ("ana", _constant(**_LEAD, filters={"status": "New"})),
    _CLIENT + "get": ("ana", _naming("lead", **_LEAD, name=...)),
    _CLIENT + "get_value": ("ana", _naming("lead", **_LEAD, filters=..., fieldname=["first_name", "status"])),
    _CLIENT + "insert": ("ana", _constant(doc={"doctype": "FCRM Note", "content": "Hello", "reference_docname": "1"})),
    _CLIENT + "insert_many": ("ana", _constant(docs=[_NEW_LEAD])),
    _CLIENT + "save": ("ana", lambda g: {"doc": {"doctype": "CRM Lead", "name": g.lead.number, "description": "x"}}),
    _CLIENT + "set_value": ("ana", _naming("lead", **_LEAD, name=..., fieldname="description", value="x")),
    _CLIENT + "bulk_update": ("ana", lambda g: {"docs": [_LEAD | {"docname": g.lead.number, "description": "x"}]}),
    _CLIENT + "delete": ("mia", _naming("lead", **_LEAD, name=...)),
    _MOBILE_SYNC + "sync_call_logs": ("ana", _constant(call_logs_data=[])),
    _MOBILE_SYNC + "get_user_call_logs": (
        "ana",
        _constant(limit=5, offset=0, from_date="2026-01-01", to_date="2026-12-31"),
    ),
    _MOBILE_SYNC + "get_sync_stats": ("ana", _constant()),
    _MOBILE_SYNC + "get_user_profile": ("ana", _constant()),
    _API + "app_update.get_app_version": ("ana", _constant()),
    _API + "app_update.get_update_settings": ("ana", _constant()),
    _API + "app_update.log_update_check": ("ana", _constant()),
    "frappe.desk.form.load.getdoc": ("ana", _naming("lead", **_LEAD, name=...)),
    "frappe.desk.search.search_link": ("ana", _constant(**_LEAD, txt="Rav", page_length=5)),
    _DESK_FORM + "assign_to.add": ("sam", _naming("ticket", doctype="CRM Ticket", name=..., assign_to=["sam"])),
    _DESK_FORM + "assign_to.add_multiple": (
        "sam",
        lambda g: {"doctype": "CRM Ticket", "name": [g.ticket.number], "assign_to": ["sam"]},
    ),
    _DESK_FORM + "assign_to.remove_multiple": (
        "sam",
        lambda g: {"doctype": "CRM Ticket", "names": [g.shared_ticket.number], "assign_to": ["cleo"]},
    ),
    _DESK_FORM + "utils.add_comment": (
        "ana",
        _naming("lead", **_LEAD_REFERENCE, reference_name=..., content="<p>Yes</p>"),
    ),
    "crm.fcrm.doctype.crm_lead.api.get_lead": ("ana", _naming("lead", name=...)),
    _LEAD_OPERATIONS + "update_lead_status_with_client_id": ("ana", _naming("lead", lead_name=..., client_id="AB1")),
    _LEAD_OPERATIONS + "update_lead_status_with_rejection_reason": (
        "ana",
        _naming("lead", lead_name=..., rejection_reason="No"),
    ),
    _LEAD_OPERATIONS + "update_lead_status_with_pod_id": (
        "ana",
        _naming("lead", lead_name=..., pod_id="POD-1", status="Sent to HO"),
    ),
    _LEAD_OPERATIONS + "save_client_id_without_validation": ("ana", _naming("lead", lead_name=..., client_id="ab2")),
    _LEAD_OPERATIONS + "save_rejection_reason_without_validation": (
        "ana",
        _naming("lead", lead_name=..., rejection_reason="No"),
    ),
    _LEAD_OPERATIONS + "save_pod_id_without_validation": ("ana", _naming("lead", lead_name=..., pod_id="POD-2")),
    _LEAD_OPERATIONS + "update_customer_with_client_id": (
        "ana",
        _naming("customer", customer_name=..., client_id="CL100", accounts_json=[{"client_id": "cl100"}]),
    ),
    _LEAD_OPERATIONS + "validate_lead_for_status_change": (
        "ana",
        _naming("lead", lead_name=..., target_status="Sent to HO"),
    ),
    _LEAD_OPERATIONS + "bulk_insert_pod_id": (
        "ana",
        lambda g: _LEAD | {"docnames": [g.lead.number], "pod_id": "POD-1"},
    ),
    "crm.fcrm.doctype.crm_ticket.api.get_ticket": ("cleo", _naming("ticket", name=...)),
    _API + "ticket.create_ticket": (
        "cleo",
        _constant(doc={"ticket_subjects": [{"subject": "Re-KYC"}], "priority": "High"}),
    ),
    _API + "ticket.update_ticket_status": (
        "cleo",
        _naming("ticket", ticket=..., status="Resolved", comment="It is done"),
    ),
    _API + "ticket.bulk_update_tickets": (
        "cleo",
        lambda g: {"names": [g.ticket.number], "updates": {"priority": "Low"}},
    ),
    _API + "ticket.bulk_set_priority": ("cleo", lambda g: {"names": [g.ticket.number], "priority": "High"}),
    _API + "ticket.bulk_close_tickets": ("cleo", lambda g: {"names": [g.ticket.number], "resolution": "Done"}),
    _API + "ticket.bulk_assign_tickets": ("sam", lambda g: {"names": [g.ticket.number], "assigned_to": "sam"}),
    _API + "ticket.escalate_ticket": ("cleo", _naming("ticket", ticket_name=...)),
    _API + "ticket.get_customer_history": ("cleo", _naming("customer", customer_id=...)),
    _API + "ticket.assign_ticket_to_role": ("sam", _naming("ticket", ticket_name=..., role_name="Support Manager")),
    _API + "ticket.assign_ticket_to_user": ("sam", _naming("ticket", ticket_name=..., user_name="sam")),
    _ROLE_ASSIGNMENT + "get_assignable_roles": ("ana", _constant()),
    _ROLE_ASSIGNMENT + "get_assignable_users": ("mia", _constant()),
    _ROLE_ASSIGNMENT + "get_current_assignments": ("ana", _naming("lead", doc_name=..., **_LEAD)),
    _ROLE_ASSIGNMENT + "assign_to_role": ("mia", _naming("lead", lead_name=..., role_name="Sales User")),
    _ROLE_ASSIGNMENT + "assign_to_user": ("mia", _naming("lead", lead_name=..., user_name="mia")),
    _ROLE_ASSIGNMENT + "bulk_assign_leads": ("mia", lambda g: {"lead_names": [g.lead.number], "users": ["mia"]}),
    _ROLE_ASSIGNMENT + "preview_next_assignment": ("mia", _constant(role_name="Sales User")),
    _ROLE_ASSIGNMENT + "get_role_assignment_status": ("mia", _constant(role_name="Sales User")),
    _ROLE_ASSIGNMENT + "get_roles_all_assigned_status": (
        "ana",
        _naming("lead", **_LEAD, doc_name=..., roles=["Sales User"]),
    ),
    _ROLE_ASSIGNMENT + "check_all_role_users_assigned": (
        "ana",
        _naming("lead", **_LEAD, doc_name=..., role_name="Sales User"),
    ),
    _ROLE_ASSIGNMENT + "get_assignment_history": ("mia", _constant(role_name="Sales User", limit=5)),
    _ROLE_ASSIGNMENT + "reset_role_assignment": ("root", _constant(role_name="Sales User")),
    _ASSIGNMENT_REQUESTS + "create_assignment_request": (
        "ana",
        _naming("lead", **_LEAD_REFERENCE, reference_name=..., requested_user="ben", reason="r"),
    ),
    _ASSIGNMENT_REQUESTS + "approve_assignment_request": ("mia", _naming("request", name=...)),
    _ASSIGNMENT_REQUESTS + "reject_assignment_request": ("mia", _naming("request", name=..., reason="He has too many")),
    _ASSIGNMENT_REQUESTS + "get_assignment_requests": ("mia", _constant(status="Pending", mine=0)),
    _ASSIGNMENT_REQUESTS + "get_assignable_users_public": ("ana", _constant()),
    _ASSIGNMENT_REQUESTS + "get_reference_summary": ("ana", _naming("lead", **_LEAD_REFERENCE, reference_name=...)),
    _API + "customers.get_customer_by_mobile": ("ana", _constant(mobile_no="098200-12345")),
    _API + "customers.get_customer_by_id": ("ana", _naming("customer", customer_id=...)),
    _API + "customers.get_customer_list": ("ana", _constant(limit=5, start=0, search_term="Asha")),
    _API + "customers.get_customer_interactions": ("ana", _naming("customer", customer_id=...)),
    _API + "customers.get_customer_stats": ("ana", _constant()),
    _CUSTOMERS + "create_or_update_customer": ("ana", _constant(mobile_no="98200-12345", customer_name="Asha Rao")),
    _CUSTOMERS + "create_or_find_customer": (
        "root",
        _naming("lead", lead_name=..., mobile_no="9820088888", customer_name="Uma", email="uma@example.com"),
    ),
    _CUSTOMERS + "auto_fill_customer_data": ("ana", _constant(mobile_no="9820012345")),
    _CUSTOMERS + "get_customer_data_for_lead": ("ana", _naming("lead", lead_name=...)),
    _CUSTOMERS + "get_customer_data_for_ticket": ("cleo", _naming("ticket", ticket_name=...)),
    _CUSTOMERS + "get_lead_with_customer_data": ("ana", _naming("lead", lead_name=...)),
    _CUSTOMERS + "get_ticket_with_customer_data": ("cleo", _naming("ticket", ticket_name=...)),
    _CUSTOMERS + "update_lead_customer_data": ("ana", _naming("lead", lead_name=..., email="ravi@example.com")),
    _CUSTOMERS + "update_ticket_customer_data": (
        "cleo",
        _naming("ticket", ticket_name=..., customer_data={"last_name": "Rao"}),
    ),
    "crm.fcrm.doctype.crm_customer.crm_customer.get_customer_update_history": (
        "ana",
        _naming("customer", customer_name=...),
    ),
    _API + "customer_search.search_customer_by_mobile": ("ana", _constant(mobile_no="9820012345")),
    _CALL_LOG + "get_call_log": ("ana", _naming("linked_call", name=...)),
    _CALL_LOG + "link_call_log": (
        "ana",
        lambda g: _LEAD | {"call_log": str(g.unlinked_call.id), "docname": g.lead.number},
    ),
    _CALL_LOG + "delink_call_log": ("ana", _naming("linked_call", call_log=...)),
    _CALL_LOG + "create_lead_from_call_log": ("ana", _naming("unlinked_call", call_log=...)),
    _API + "call_log.link_call_log": (
        "ana",
        lambda g: _LEAD | {"call_log": str(g.unlinked_call.id), "docname": g.lead.number},
    ),
    _API + "call_log.delink_call_log": ("ana", _naming("linked_call", call_log=...)),
    _API + "call_log.export_call_log_monthly_summary": ("mia", _constant(file_format_type="CSV")),
    _API + "call_log.set_cold_call": ("ana", _constant(call_log="device_1", is_cold_call=1)),
    _INTEGRATIONS + "add_note_to_call_log": (
        "ana",
        _naming("linked_call", call_sid=..., note={"content": "<p>Asked</p>"}),
    ),
    _INTEGRATIONS + "add_task_to_call_log": ("ana", _naming("linked_call", call_sid=..., task={"title": "Call back"})),
    _INTEGRATIONS + "get_contact_by_phone_number": ("ana", _constant(phone_number="+91 98200 12345")),
    _INTEGRATIONS + "is_call_integration_enabled": ("ana", _constant()),
    _INTEGRATIONS + "set_default_calling_medium": ("ana", _constant(medium="")),
    "crm.integrations.twilio.api.is_enabled": ("ana", _constant()),
    "crm.integrations.twilio.api.generate_access_token": ("ana", _constant()),
    "crm.integrations.exotel.handler.is_integration_enabled": ("ana", _constant()),
    "crm.integrations.exotel.handler.make_a_call": ("ana", _constant(to_number="98200 54321")),
    _API + "task_notifications.get_task_notifications": ("ana", _constant(limit=5)),
    _API + "task_notifications.mark_notification_read": ("ana", lambda g: {"notification_name": str(g.notice)}),
    _API + "task_notifications.mark_all_notifications_read": ("ana", _constant()),
    _API + "task_notifications.get_eligible_followup_tasks": (
        "ana",
        _naming("lead", **_LEAD_REFERENCE, reference_docname=...),
    ),
    _API + "notifications.get_notifications": ("ana", _constant(limit=5)),
    _API + "notifications.mark_as_read": ("ana", _naming("lead", user="ana", doc=...)),
    _API + "comment_notifications.get_comment_notifications": ("ana", _constant(limit=5, cursor=0, filter_type="all")),
    _API + "comment_notifications.mark_comment_notification_read": (
        "ana",
        lambda g: {"notification_name": str(g.notice)},
    ),
    _API + "comment_notifications.mark_all_comment_notifications_read": ("ana", _constant()),
    _API + "comment_notifications.quick_reply": (
        "ana",
        _naming("lead", **_LEAD_REFERENCE, reference_docname=..., content="Yes"),
    ),
    _API + "activities.get_activities": ("ana", _naming("lead", name=..., limit=5, offset=0)),
    _API + "doc.get_data": (
        "ana",
        _constant(**_LEAD, filters={"assign_to": "@me"}, order_by="name desc", page_length=5),
    ),
    _API + "doc.get_filterable_fields": ("ana", _constant(**_LEAD)),
    _API + "doc.sort_options": ("ana", _constant(**_LEAD)),
    _API + "doc.get_group_by_fields": ("ana", _constant(**_LEAD)),
    _API + "doc.get_quick_filters": ("ana", _constant(**_LEAD)),
    _API + "doc.get_fields": ("ana", _constant(**_LEAD)),
    _API + "doc.get_fields_meta": ("ana", _constant(**_LEAD, as_array=0)),
    _API + "doc.remove_assignments": (
        "sam",
        _naming("shared_ticket", doctype="CRM Ticket", name=..., assignees=["cleo"]),
    ),
    _API + "doc.get_assigned_users": ("ana", _naming("lead", **_LEAD, name=...)),
    _API + "search.universal_search": ("ana", _constant(query="98200 54321", limit=20)),
    _API + "session.get_users": ("ana", _constant()),
    _API + "dashboard.get_dashboard_data": ("mia", _constant(view="monthly")),
    _API + "dashboard.get_user_dashboard_data": ("mia", _constant(view="weekly", target_user_id="ana")),
    _API + "dashboard.get_available_users": ("mia", _constant()),
    _API + "dashboard.get_user_roles": ("mia", _constant(target_user_id="ana")),
    _API + "permissions.get_current_user_module_permissions": ("ana", _constant()),
    _API + "office_hours.get_office_hours": ("ana", _constant()),
    _API + "office_hours.get_holidays": ("ana", _constant()),
    _API + "office_hours.get_office_status": ("ana", _constant()),
}
SAMPLE_CALLS[_CLIENT + "insert"] = (
    "ana",
    lambda g: {
        "doc": _LEAD_REFERENCE | {"doctype": "FCRM Note", "content": "Hello", "reference_docname": g.lead.number}
    },
)
SAMPLE_CALLS |= {
    _CLIENT + "has_permission": ("ana", _naming("lead", **_LEAD, docname=..., perm_type="read")),
    _CLIENT + "validate_link": ("ana", _naming("lead", **_LEAD, docname=..., fields=["status"])),
    _CLIENT + "get_single_value": ("ana", _constant(doctype="System Settings", field="time_zone")),
    _CLIENT + "rename_doc": ("ana", _naming("lead", **_LEAD, old_name=..., new_name="X")),
    _CLIENT + "submit": ("ana", _naming("lead", doc=...)),
    _CLIENT + "cancel": ("ana", _naming("lead", **_LEAD, name=...)),
    "frappe.desk.reportview.get": ("ana", _constant(**_LEAD, fields=["`tabCRM Lead`.`name`"], page_length=5, start=0)),
    "frappe.desk.reportview.get_list": ("ana", _constant(**_LEAD, order_by="modified desc", page_length=5)),
    "frappe.desk.reportview.get_count": ("ana", _constant(**_LEAD, filters=[["status", "=", "New"]], distinct="false")),
}
#: Methods that exist to say in words why they do nothing.
REFUSING = {_CLIENT + "rename_doc", _CLIENT + "submit", _CLIENT + "cancel"}
REFUSING |= {"crm.integrations.twilio.api.generate_access_token"}

_WHATSAPP, _SUPPORT, _PAGES = "crm.api.whatsapp.", "crm.api.whatsapp_support.", {"support_pages": ["Login help"]}
SAMPLE_CALLS |= {
    **{_WHATSAPP + name: ("ana", _constant()) for name in ("is_whatsapp_enabled", "is_whatsapp_installed")},
    **{_SUPPORT + name: ("ana", _constant()) for name in ("get_status", "is_whatsapp_support_enabled")},
    _API + "whatsapp_setup.get_local_whatsapp_status": ("ana", _constant()),
    _API + "whatsapp_setup.send_local_whatsapp_message": ("ana", _constant(phone="9820054321", message="Hello")),
    _WHATSAPP + "get_whatsapp_messages": ("ana", _naming("lead", **_LEAD_REFERENCE, reference_name=...)),
    _WHATSAPP + "create_whatsapp_message": (
        "ana",
        _naming("lead", **_LEAD_REFERENCE, reference_name=..., message="Hello"),
    ),
    _WHATSAPP + "react_on_whatsapp_message": ("ana", _naming("message", reply_to_name=..., emoji="👍")),
    "upload_file": ("ana", _constant(filename="a.pdf", filedata="JVBERi0xLjcK")),
    _WHATSAPP + "send_whatsapp_template": (
        "ana",
        _naming("lead", **_LEAD_REFERENCE, reference_name=..., template="Hello", variables={"name": "Ravi"}),
    ),
    **{
        _SUPPORT + name: ("cleo", _naming("ticket", ticket_name=..., **_PAGES))
        for name in ("send_support_page_whatsapp", "send_support_pages")
    },
    _SUPPORT + "send_support_pages_without_ticket": ("ana", _constant(customer_mobile="9820054321", **_PAGES)),
    _SUPPORT + "log_support_activity": ("cleo", _naming("ticket", doctype="CRM Ticket", docname=..., **_PAGES)),
}
