"""CONTENTS: every method of the predecessor that is still answered. What is not in this table does not exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.web.compat import (
    assignment,
    assignment_requests,
    authentication,
    calls,
    client,
    contacts,
    customers,
    dashboard,
    field_lists,
    leads,
    lists,
    notices,
    office,
    round_robin,
    telephone,
    tickets,
    timeline,
)
from app.web.compat.arguments import Arguments


@dataclass(frozen=True)
class Method:
    """A function behind a name."""

    function: Callable[[Arguments], Any]
    #: Changes something: refuses GET, commits at the end.
    writes: bool = False
    #: Also for who is not signed in.
    guest: bool = False
    #: What a rule of the trade refuses is answered 200 {"success": false, "error": …}; its own clients look there.
    soft: bool = False


_CLIENT = "frappe.client."
_SYNC = "crm.api.mobile_sync."
_API = "crm.api."
_OPS = "crm.api.lead_operations."
_CALLS = "crm.fcrm.doctype.crm_call_log.crm_call_log."
_GIVE = "crm.api.role_assignment."
_ASKS = "crm.api.assignment_requests."
_PHONE = "crm.integrations.api."
METHODS: dict[str, Method] = {
    "login": Method(authentication.login, writes=True, guest=True),
    "logout": Method(authentication.logout, guest=True),
    "ping": Method(authentication.ping, guest=True),
    "frappe.auth.get_logged_user": Method(authentication.logged_user),
    _CLIENT + "get_list": Method(client.get_list),
    _CLIENT + "get_count": Method(client.get_count),
    _CLIENT + "get": Method(client.get),
    _CLIENT + "get_value": Method(client.get_value),
    _CLIENT + "insert": Method(client.insert, writes=True),
    _CLIENT + "insert_many": Method(client.insert_many, writes=True),
    _CLIENT + "save": Method(client.save, writes=True),
    _CLIENT + "set_value": Method(client.set_value, writes=True),
    _CLIENT + "bulk_update": Method(client.bulk_update, writes=True),
    _CLIENT + "delete": Method(client.delete, writes=True),
    _SYNC + "sync_call_logs": Method(telephone.sync_call_logs, writes=True),
    _SYNC + "get_user_call_logs": Method(telephone.user_call_logs),
    _SYNC + "get_sync_stats": Method(telephone.sync_stats),
    _SYNC + "get_user_profile": Method(telephone.user_profile),
    "crm.api.app_update.get_app_version": Method(telephone.app_version, guest=True),
    "crm.api.app_update.get_update_settings": Method(telephone.update_settings, guest=True),
    "frappe.desk.form.load.getdoc": Method(client.load),
    "frappe.desk.search.search_link": Method(lists.pick),
    "frappe.desk.form.assign_to.add": Method(assignment.add, writes=True),
    "frappe.desk.form.assign_to.add_multiple": Method(assignment.add_many, writes=True),
    "frappe.desk.form.assign_to.remove_multiple": Method(assignment.take_away_many, writes=True),
    "frappe.desk.form.utils.add_comment": Method(notices.comment, writes=True),
    "crm.fcrm.doctype.crm_lead.api.get_lead": Method(leads.get_lead),
    _OPS + "update_lead_status_with_client_id": Method(leads.with_client_id, writes=True),
    _OPS + "update_lead_status_with_rejection_reason": Method(leads.with_rejection_reason, writes=True),
    _OPS + "update_lead_status_with_pod_id": Method(leads.with_pod_id, writes=True),
    _OPS + "save_client_id_without_validation": Method(leads.keep_client_id, writes=True),
    _OPS + "save_rejection_reason_without_validation": Method(leads.keep_rejection_reason, writes=True),
    _OPS + "save_pod_id_without_validation": Method(leads.keep_pod_id, writes=True),
    _OPS + "update_customer_with_client_id": Method(contacts.accounts, writes=True),
    _OPS + "validate_lead_for_status_change": Method(leads.check_status),
    _OPS + "bulk_insert_pod_id": Method(leads.give_pod_id, writes=True),
    "crm.fcrm.doctype.crm_ticket.api.get_ticket": Method(tickets.get_ticket),
    _API + "ticket.create_ticket": Method(tickets.create, writes=True),
    _API + "ticket.update_ticket_status": Method(tickets.move, writes=True),
    _API + "ticket.bulk_update_tickets": Method(tickets.change_many, writes=True),
    _API + "ticket.bulk_set_priority": Method(tickets.set_priority, writes=True),
    _API + "ticket.bulk_close_tickets": Method(tickets.close_many, writes=True),
    _API + "ticket.bulk_assign_tickets": Method(assignment.give_tickets, writes=True),
    _API + "ticket.get_customer_history": Method(tickets.history),
    _API + "ticket.assign_ticket_to_role": Method(assignment.to_role, writes=True, soft=True),
    _API + "ticket.assign_ticket_to_user": Method(assignment.to_user, writes=True, soft=True),
    _GIVE + "get_assignable_roles": Method(assignment.roles),
    _GIVE + "get_assignable_users": Method(assignment.users),
    _GIVE + "get_current_assignments": Method(assignment.present),
    _GIVE + "assign_to_role": Method(assignment.to_role, writes=True, soft=True),
    _GIVE + "assign_to_user": Method(assignment.to_user, writes=True, soft=True),
    _GIVE + "bulk_assign_leads": Method(assignment.give_leads, writes=True),
    _GIVE + "preview_next_assignment": Method(round_robin.preview),
    _GIVE + "get_role_assignment_status": Method(round_robin.standing),
    _GIVE + "get_roles_all_assigned_status": Method(round_robin.all_have_it_by_role),
    _GIVE + "check_all_role_users_assigned": Method(round_robin.all_have_it),
    _GIVE + "get_assignment_history": Method(round_robin.history),
    _GIVE + "reset_role_assignment": Method(round_robin.begin_anew, writes=True),
    _ASKS + "create_assignment_request": Method(assignment_requests.create, writes=True, soft=True),
    _ASKS + "approve_assignment_request": Method(assignment_requests.approve, writes=True, soft=True),
    _ASKS + "reject_assignment_request": Method(assignment_requests.reject, writes=True, soft=True),
    _ASKS + "get_assignment_requests": Method(assignment_requests.listed),
    _ASKS + "get_assignable_users_public": Method(assignment_requests.people),
    _ASKS + "get_reference_summary": Method(assignment_requests.summary),
    _API + "customers.get_customer_by_mobile": Method(customers.by_mobile),
    _API + "customers.get_customer_by_id": Method(customers.by_name),
    _API + "customers.get_customer_list": Method(customers.listed),
    _API + "customers.get_customer_interactions": Method(customers.interactions),
    _API + "customers.get_customer_stats": Method(customers.figures),
    _API + "customers.create_or_update_customer": Method(contacts.make_or_change, writes=True),
    _API + "customers.create_or_find_customer": Method(contacts.find_or_make, writes=True),
    _API + "customers.auto_fill_customer_data": Method(contacts.fill_in),
    _API + "customers.get_customer_data_for_lead": Method(contacts.of_lead),
    _API + "customers.get_customer_data_for_ticket": Method(contacts.of_ticket),
    _API + "customers.get_lead_with_customer_data": Method(contacts.lead_with_person),
    _API + "customers.get_ticket_with_customer_data": Method(contacts.ticket_with_person),
    _API + "customers.update_lead_customer_data": Method(contacts.change_for_lead, writes=True),
    _API + "customers.update_ticket_customer_data": Method(contacts.change_for_ticket, writes=True),
    "crm.fcrm.doctype.crm_customer.crm_customer.get_customer_update_history": Method(contacts.changes),
    _API + "customer_search.search_customer_by_mobile": Method(customers.found),
    _CALLS + "get_call_log": Method(calls.get),
    _CALLS + "link_call_log": Method(calls.link, writes=True),
    _CALLS + "delink_call_log": Method(calls.unlink, writes=True),
    _CALLS + "create_lead_from_call_log": Method(calls.make_lead, writes=True),
    _API + "call_log.link_call_log": Method(calls.link, writes=True),
    _API + "call_log.delink_call_log": Method(calls.unlink, writes=True),
    _API + "call_log.set_cold_call": Method(calls.set_cold, writes=True),
    _PHONE + "add_note_to_call_log": Method(calls.note, writes=True),
    _PHONE + "add_task_to_call_log": Method(calls.task, writes=True),
    _PHONE + "get_contact_by_phone_number": Method(calls.contact),
    _PHONE + "is_call_integration_enabled": Method(calls.integration),
    _API + "task_notifications.get_task_notifications": Method(notices.reminders),
    _API + "task_notifications.mark_notification_read": Method(notices.read_one, writes=True),
    _API + "task_notifications.mark_all_notifications_read": Method(notices.read_all, writes=True),
    _API + "task_notifications.get_eligible_followup_tasks": Method(notices.follow_ups),
    _API + "notifications.get_notifications": Method(notices.bell),
    _API + "notifications.mark_as_read": Method(notices.read_about, writes=True),
    _API + "comment_notifications.get_comment_notifications": Method(notices.talk),
    _API + "comment_notifications.mark_comment_notification_read": Method(notices.read_one, writes=True),
    _API + "comment_notifications.mark_all_comment_notifications_read": Method(notices.read_talk, writes=True),
    _API + "comment_notifications.quick_reply": Method(notices.reply, writes=True),
    _API + "activities.get_activities": Method(timeline.get),
    _API + "doc.get_data": Method(lists.page),
    _API + "doc.get_filterable_fields": Method(lists.filterable),
    _API + "doc.sort_options": Method(field_lists.sorts),
    _API + "doc.get_group_by_fields": Method(field_lists.groups),
    _API + "doc.get_quick_filters": Method(field_lists.quick),
    _API + "doc.get_fields": Method(field_lists.fields),
    _API + "doc.get_fields_meta": Method(field_lists.fields_by_name),
    _API + "doc.remove_assignments": Method(assignment.take_away, writes=True),
    _API + "doc.get_assigned_users": Method(lists.assigned_users),
    _API + "search.universal_search": Method(lists.search),
    _API + "session.get_users": Method(office.users),
    _API + "dashboard.get_dashboard_data": Method(dashboard.house),
    _API + "dashboard.get_user_dashboard_data": Method(dashboard.of_person),
    _API + "dashboard.get_available_users": Method(dashboard.watched),
    _API + "dashboard.get_user_roles": Method(dashboard.roles_of),
    _API + "permissions.get_current_user_module_permissions": Method(office.rights),
    _API + "office_hours.get_office_hours": Method(office.hours),
    _API + "office_hours.get_holidays": Method(office.holidays),
    _API + "office_hours.get_office_status": Method(office.status),
}
