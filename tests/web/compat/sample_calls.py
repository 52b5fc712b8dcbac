"""An office for the predecessor's methods: what each of them is gladly sent, and by whom."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import select, text

from app.domain import assignment, notices
from app.models import CustomerAccount, Notification
from app.ops.database import STATEMENTS
from tests.app_fixtures import World
from tests.makers import NOW
from tests.web.hostile import RESTLESS

Sent = Callable[["Ground"], dict[str, Any]]


class Ground:
    """One record of each kind, of Ana's and Cleo's, and who may do everything with them."""

    def __init__(self, world: World) -> None:
        self.world, make = world, world.make
        self.customer = make.customer("ana", first_name="Asha", mobile="98200 12345", email="asha@example.com")
        self.lead = make.lead("ana", first_name="Ravi", mobile="98200 54321")
        self.ticket = make.ticket("cleo", customer_id=self.customer.id)
        self.task = make.task(self.lead)
        self.call = make.call("ana", lead_id=self.lead.id, device_call_id="device_1")
        self.bare = make.call("ana", to_number="98200 77777")
        self.request = make.request(make.lead("max", first_name="Meena", task={}), "ana", who="max")
        self.note = world.door("ana").rest("POST", "activity/", {"lead": self.lead.id, "text": "Met\nat the fair"})
        self._notice("comment", self.lead)
        self._notice("task_due", self.task)
        self.shared = make.ticket("sam", task={})
        self._more()
        world.session.commit()

    def _more(self) -> None:
        """The customer has an account, and two people have the second ticket."""
        session, people = self.world.session, self.world.people
        account = CustomerAccount(client_id="CL100", customer_id=self.customer.id)
        account.stamp(None, NOW)
        session.add(account)
        assignment.add_assignee(session, self.shared, people["cleo"].id, people["sam"].id, NOW)

    def seen_from(self, world: World) -> Ground:
        """The same records in another world, that looks at the same database."""
        made = copy.copy(self)
        made.world = world
        for name, row in vars(self).items():
            if isinstance(row, Model):
                setattr(made, name, world.session.get_one(type(row), row.id))
        world.session.commit()
        return made

    def _notice(self, kind: str, about: Any) -> None:
        session, ana = self.world.session, self.world.people["ana"].id
        notices.notify(session, [ana], kind, f"ground:{kind}", about, None, NOW, title="Call", number="X", minutes=5)
        session.commit()

    @property
    def notice(self) -> int:
        """The newest notice of Ana's."""
        query = select(Notification.id).where(Notification.user_id == self.world.people["ana"].id)
        return int(max(self.world.rows(query)))

    def ask(self, who: str | None, method: str, sent: Any = None, **more: Any) -> Any:
        """Call a method by POST."""
        headers = self.world.door(who).headers if who else {}
        return self.world.app.test_client().post(f"/api/method/{method}", json=sent or {}, headers=headers, **more)

    def told(self, who: str, method: str, **sent: Any) -> Any:
        """What the method answers; it must be 200."""
        answer = self.ask(who, method, sent)
        assert answer.status_code == 200, answer.text
        return answer.get_json()["message"]

    def cost(self, who: str | None, method: str, sent: Any) -> tuple[Any, list[str]]:
        """The answer, and the statements it took."""
        counted: list[str] = []
        token = STATEMENTS.set(counted)
        try:
            return self.ask(who, method, sent), counted
        finally:
            STATEMENTS.reset(token)

    def everything(self) -> dict[str, list[Any]]:
        """All rows of all tables, but of those that the mere asking changes."""
        names = [name for name in Model.metadata.tables if name not in RESTLESS - {"number_series"}]
        with self.world.engine.connect() as line:
            return {name: list(map(tuple, line.execute(text(f"SELECT * FROM {name}")))) for name in names}  # noqa: S608


def _of(name: str, /, **more: Any) -> Sent:
    """{argument: attribute of the ground}; a record is named by its number, others by their id."""

    def sent(ground: Ground) -> dict[str, Any]:
        row = getattr(ground, name)
        return {key: getattr(row, "number", str(row.id)) if given is ... else given for key, given in more.items()}

    return sent


def _plain(**sent: Any) -> Sent:
    return lambda ground: sent


_C, _S, _A, _F = "frappe.client.", "crm.api.mobile_sync.", "crm.api.", "frappe.desk.form."
_B = "crm.api.customers."
_O, _G, _R = "crm.api.lead_operations.", "crm.api.role_assignment.", "crm.api.assignment_requests."
_L, _P = "crm.fcrm.doctype.crm_call_log.crm_call_log.", "crm.integrations.api."
_LEAD: dict[str, Any] = {"doctype": "CRM Lead"}
_NEW = {"doctype": "CRM Lead", "first_name": "Kavita", "mobile_no": "9820099999"}
_ABOUT = {"reference_doctype": "CRM Lead"}
#: Method -> (who calls it, what is sent).
GLADLY: dict[str, tuple[str, Sent]] = {
    "login": ("ana", _plain(usr="ana", pwd="correct horse 9")),
    "logout": ("ana", _plain()),
    "ping": ("ana", _plain()),
    "frappe.auth.get_logged_user": ("ana", _plain()),
    _C + "get_list": ("ana", _plain(**_LEAD, fields=["*"], filters=[["status", "=", "New"]], order_by="name desc")),
    _C + "get_count": ("ana", _plain(**_LEAD, filters={"status": "New"})),
    _C + "get": ("ana", _of("lead", **_LEAD, name=...)),
    _C + "get_value": ("ana", _of("lead", **_LEAD, filters=..., fieldname=["first_name", "status"])),
    _C + "insert": ("ana", _plain(doc={"doctype": "FCRM Note", "content": "Hello", "reference_docname": "1"})),
    _C + "insert_many": ("ana", _plain(docs=[_NEW])),
    _C + "save": ("ana", lambda g: {"doc": {"doctype": "CRM Lead", "name": g.lead.number, "description": "x"}}),
    _C + "set_value": ("ana", _of("lead", **_LEAD, name=..., fieldname="description", value="x")),
    _C + "bulk_update": ("ana", lambda g: {"docs": [_LEAD | {"docname": g.lead.number, "description": "x"}]}),
    _C + "delete": ("mia", _of("lead", **_LEAD, name=...)),
    _S + "sync_call_logs": ("ana", _plain(call_logs_data=[])),
    _S + "get_user_call_logs": ("ana", _plain(limit=5, offset=0, from_date="2026-01-01", to_date="2026-12-31")),
    _S + "get_sync_stats": ("ana", _plain()),
    _S + "get_user_profile": ("ana", _plain()),
    _A + "app_update.get_app_version": ("ana", _plain()),
    _A + "app_update.get_update_settings": ("ana", _plain()),
    "frappe.desk.form.load.getdoc": ("ana", _of("lead", **_LEAD, name=...)),
    "frappe.desk.search.search_link": ("ana", _plain(**_LEAD, txt="Rav", page_length=5)),
    _F + "assign_to.add": ("sam", _of("ticket", doctype="CRM Ticket", name=..., assign_to=["sam"])),
    _F + "assign_to.add_multiple": (
        "sam",
        lambda g: {"doctype": "CRM Ticket", "name": [g.ticket.number], "assign_to": ["sam"]},
    ),
    _F + "assign_to.remove_multiple": (
        "sam",
        lambda g: {"doctype": "CRM Ticket", "names": [g.shared.number], "assign_to": ["cleo"]},
    ),
    _F + "utils.add_comment": ("ana", _of("lead", **_ABOUT, reference_name=..., content="<p>Yes</p>")),
    "crm.fcrm.doctype.crm_lead.api.get_lead": ("ana", _of("lead", name=...)),
    _O + "update_lead_status_with_client_id": ("ana", _of("lead", lead_name=..., client_id="AB1")),
    _O + "update_lead_status_with_rejection_reason": ("ana", _of("lead", lead_name=..., rejection_reason="No")),
    _O + "update_lead_status_with_pod_id": ("ana", _of("lead", lead_name=..., pod_id="POD-1", status="Sent to HO")),
    _O + "save_client_id_without_validation": ("ana", _of("lead", lead_name=..., client_id="ab2")),
    _O + "save_rejection_reason_without_validation": ("ana", _of("lead", lead_name=..., rejection_reason="No")),
    _O + "save_pod_id_without_validation": ("ana", _of("lead", lead_name=..., pod_id="POD-2")),
    _O + "update_customer_with_client_id": (
        "ana",
        _of("customer", customer_name=..., client_id="CL100", accounts_json=[{"client_id": "cl100"}]),
    ),
    _O + "validate_lead_for_status_change": ("ana", _of("lead", lead_name=..., target_status="Sent to HO")),
    _O + "bulk_insert_pod_id": ("ana", lambda g: _LEAD | {"docnames": [g.lead.number], "pod_id": "POD-1"}),
    "crm.fcrm.doctype.crm_ticket.api.get_ticket": ("cleo", _of("ticket", name=...)),
    _A + "ticket.create_ticket": ("cleo", _plain(doc={"ticket_subjects": [{"subject": "Re-KYC"}], "priority": "High"})),
    _A + "ticket.update_ticket_status": ("cleo", _of("ticket", ticket=..., status="Resolved", comment="It is done")),
    _A + "ticket.bulk_update_tickets": ("cleo", lambda g: {"names": [g.ticket.number], "updates": {"priority": "Low"}}),
    _A + "ticket.bulk_set_priority": ("cleo", lambda g: {"names": [g.ticket.number], "priority": "High"}),
    _A + "ticket.bulk_close_tickets": ("cleo", lambda g: {"names": [g.ticket.number], "resolution": "Done"}),
    _A + "ticket.bulk_assign_tickets": ("sam", lambda g: {"names": [g.ticket.number], "assigned_to": "sam"}),
    _A + "ticket.get_customer_history": ("cleo", _of("customer", customer_id=...)),
    _A + "ticket.assign_ticket_to_role": ("sam", _of("ticket", ticket_name=..., role_name="Support Manager")),
    _A + "ticket.assign_ticket_to_user": ("sam", _of("ticket", ticket_name=..., user_name="sam")),
    _G + "get_assignable_roles": ("ana", _plain()),
    _G + "get_assignable_users": ("mia", _plain()),
    _G + "get_current_assignments": ("ana", _of("lead", doc_name=..., **_LEAD)),
    _G + "assign_to_role": ("mia", _of("lead", lead_name=..., role_name="Sales User")),
    _G + "assign_to_user": ("mia", _of("lead", lead_name=..., user_name="mia")),
    _G + "bulk_assign_leads": ("mia", lambda g: {"lead_names": [g.lead.number], "users": ["mia"]}),
    _G + "preview_next_assignment": ("mia", _plain(role_name="Sales User")),
    _G + "get_role_assignment_status": ("mia", _plain(role_name="Sales User")),
    _G + "get_roles_all_assigned_status": ("ana", _of("lead", **_LEAD, doc_name=..., roles=["Sales User"])),
    _G + "check_all_role_users_assigned": ("ana", _of("lead", **_LEAD, doc_name=..., role_name="Sales User")),
    _G + "get_assignment_history": ("mia", _plain(role_name="Sales User", limit=5)),
    _G + "reset_role_assignment": ("root", _plain(role_name="Sales User")),
    _R + "create_assignment_request": (
        "ana",
        _of("lead", **_ABOUT, reference_name=..., requested_user="ben", reason="r"),
    ),
    _R + "approve_assignment_request": ("mia", _of("request", name=...)),
    _R + "reject_assignment_request": ("mia", _of("request", name=..., reason="He has too many")),
    _R + "get_assignment_requests": ("mia", _plain(status="Pending", mine=0)),
    _R + "get_assignable_users_public": ("ana", _plain()),
    _R + "get_reference_summary": ("ana", _of("lead", **_ABOUT, reference_name=...)),
    _A + "customers.get_customer_by_mobile": ("ana", _plain(mobile_no="098200-12345")),
    _A + "customers.get_customer_by_id": ("ana", _of("customer", customer_id=...)),
    _A + "customers.get_customer_list": ("ana", _plain(limit=5, start=0, search_term="Asha")),
    _A + "customers.get_customer_interactions": ("ana", _of("customer", customer_id=...)),
    _A + "customers.get_customer_stats": ("ana", _plain()),
    _B + "create_or_update_customer": ("ana", _plain(mobile_no="98200-12345", customer_name="Asha Rao")),
    _B + "create_or_find_customer": (
        "root",
        _of("lead", lead_name=..., mobile_no="9820088888", customer_name="Uma", email="uma@example.com"),
    ),
    _B + "auto_fill_customer_data": ("ana", _plain(mobile_no="9820012345")),
    _B + "get_customer_data_for_lead": ("ana", _of("lead", lead_name=...)),
    _B + "get_customer_data_for_ticket": ("cleo", _of("ticket", ticket_name=...)),
    _B + "get_lead_with_customer_data": ("ana", _of("lead", lead_name=...)),
    _B + "get_ticket_with_customer_data": ("cleo", _of("ticket", ticket_name=...)),
    _B + "update_lead_customer_data": ("ana", _of("lead", lead_name=..., email="ravi@example.com")),
    _B + "update_ticket_customer_data": ("cleo", _of("ticket", ticket_name=..., customer_data={"last_name": "Rao"})),
    "crm.fcrm.doctype.crm_customer.crm_customer.get_customer_update_history": (
        "ana",
        _of("customer", customer_name=...),
    ),
    _A + "customer_search.search_customer_by_mobile": ("ana", _plain(mobile_no="9820012345")),
    _L + "get_call_log": ("ana", _of("call", name=...)),
    _L + "link_call_log": ("ana", lambda g: _LEAD | {"call_log": str(g.bare.id), "docname": g.lead.number}),
    _L + "delink_call_log": ("ana", _of("call", call_log=...)),
    _L + "create_lead_from_call_log": ("ana", _of("bare", call_log=...)),
    _A + "call_log.link_call_log": ("ana", lambda g: _LEAD | {"call_log": str(g.bare.id), "docname": g.lead.number}),
    _A + "call_log.delink_call_log": ("ana", _of("call", call_log=...)),
    _A + "call_log.set_cold_call": ("ana", _plain(call_log="device_1", is_cold_call=1)),
    _P + "add_note_to_call_log": ("ana", _of("call", call_sid=..., note={"content": "<p>Asked</p>"})),
    _P + "add_task_to_call_log": ("ana", _of("call", call_sid=..., task={"title": "Call back"})),
    _P + "get_contact_by_phone_number": ("ana", _plain(phone_number="+91 98200 12345")),
    _P + "is_call_integration_enabled": ("ana", _plain()),
    _A + "task_notifications.get_task_notifications": ("ana", _plain(limit=5)),
    _A + "task_notifications.mark_notification_read": ("ana", lambda g: {"notification_name": str(g.notice)}),
    _A + "task_notifications.mark_all_notifications_read": ("ana", _plain()),
    _A + "task_notifications.get_eligible_followup_tasks": ("ana", _of("lead", **_ABOUT, reference_docname=...)),
    _A + "notifications.get_notifications": ("ana", _plain(limit=5)),
    _A + "notifications.mark_as_read": ("ana", _of("lead", user="ana", doc=...)),
    _A + "comment_notifications.get_comment_notifications": ("ana", _plain(limit=5, cursor=0, filter_type="all")),
    _A + "comment_notifications.mark_comment_notification_read": (
        "ana",
        lambda g: {"notification_name": str(g.notice)},
    ),
    _A + "comment_notifications.mark_all_comment_notifications_read": ("ana", _plain()),
    _A + "comment_notifications.quick_reply": ("ana", _of("lead", **_ABOUT, reference_docname=..., content="Yes")),
    _A + "activities.get_activities": ("ana", _of("lead", name=..., limit=5, offset=0)),
    _A + "doc.get_data": ("ana", _plain(**_LEAD, filters={"assign_to": "@me"}, order_by="name desc", page_length=5)),
    _A + "doc.get_filterable_fields": ("ana", _plain(**_LEAD)),
    _A + "doc.sort_options": ("ana", _plain(**_LEAD)),
    _A + "doc.get_group_by_fields": ("ana", _plain(**_LEAD)),
    _A + "doc.get_quick_filters": ("ana", _plain(**_LEAD)),
    _A + "doc.get_fields": ("ana", _plain(**_LEAD)),
    _A + "doc.get_fields_meta": ("ana", _plain(**_LEAD, as_array=0)),
    _A + "doc.remove_assignments": ("sam", _of("shared", doctype="CRM Ticket", name=..., assignees=["cleo"])),
    _A + "doc.get_assigned_users": ("ana", _of("lead", **_LEAD, name=...)),
    _A + "search.universal_search": ("ana", _plain(query="98200 54321", limit=20)),
    _A + "session.get_users": ("ana", _plain()),
    _A + "dashboard.get_dashboard_data": ("mia", _plain(view="monthly")),
    _A + "dashboard.get_user_dashboard_data": ("mia", _plain(view="weekly", target_user_id="ana")),
    _A + "dashboard.get_available_users": ("mia", _plain()),
    _A + "dashboard.get_user_roles": ("mia", _plain(target_user_id="ana")),
    _A + "permissions.get_current_user_module_permissions": ("ana", _plain()),
    _A + "office_hours.get_office_hours": ("ana", _plain()),
    _A + "office_hours.get_holidays": ("ana", _plain()),
    _A + "office_hours.get_office_status": ("ana", _plain()),
}
GLADLY[_C + "insert"] = (
    "ana",
    lambda g: {"doc": _ABOUT | {"doctype": "FCRM Note", "content": "Hello", "reference_docname": g.lead.number}},
)
