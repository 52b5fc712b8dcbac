"""Table of contents of the whitelisted methods. A method that is not in this table does not exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.web.compat import (
    assignment,
    assignment_requests,
    authentication,
    call_export,
    calling,
    calls,
    client,
    contacts,
    customers,
    dashboard,
    desk,
    escalation,
    field_lists,
    files,
    leads,
    lists,
    notices,
    office,
    phone_apps,
    round_robin,
    tickets,
    timeline,
    whatsapp,
)
from app.web.compat.arguments import Arguments


@dataclass(frozen=True)
class Method:
    """A whitelisted method."""

    function: Callable[[Arguments], Any]
    #: Whether it changes data: GET is refused, and the transaction is committed.
    writes: bool = False
    #: Whether it may be called without authentication.
    allow_guest: bool = False
    #: Whether a broken business rule is returned as 200 {"success": false, "error": …}, which the predecessor's clients
    #: expect.
    errors_in_body: bool = False


_CLIENT = "frappe.client."
_REPORTS = "frappe.desk.reportview."
_SYNC = "crm.api.mobile_sync."
_API = "crm.api."
_LEAD_OPERATIONS = "crm.api.lead_operations."
_CALL_LOG = "crm.fcrm.doctype.crm_call_log.crm_call_log."
_ROLE_ASSIGNMENT = "crm.api.role_assignment."
_ASSIGNMENT_REQUESTS = "crm.api.assignment_requests."
_INTEGRATIONS = "crm.integrations.api."
_PAGES_SENT = Method(whatsapp.send_support_pages, writes=True, errors_in_body=True)
_WHATSAPP = "crm.api.whatsapp."
_SUPPORT = "crm.api.whatsapp_support."
#: Method name -> method.
METHODS: dict[str, Method] = {
    "login": Method(authentication.login, writes=True, allow_guest=True),
    "logout": Method(authentication.logout, allow_guest=True),
    "ping": Method(authentication.ping, allow_guest=True),
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
    _CLIENT + "has_permission": Method(desk.has_permission),
    _CLIENT + "validate_link": Method(desk.validate_link),
    _CLIENT + "get_single_value": Method(desk.get_single_value),
    _CLIENT + "rename_doc": Method(desk.rename_doc, writes=True),
    _CLIENT + "submit": Method(desk.submit_or_cancel, writes=True),
    _CLIENT + "cancel": Method(desk.submit_or_cancel, writes=True),
    _REPORTS + "get": Method(desk.list_in_columns),
    _REPORTS + "get_list": Method(desk.list_documents),
    _REPORTS + "get_count": Method(client.get_count),
    _SYNC + "sync_call_logs": Method(phone_apps.sync_call_logs, writes=True),
    _SYNC + "get_user_call_logs": Method(phone_apps.list_user_calls),
    _SYNC + "get_sync_stats": Method(phone_apps.sync_stats),
    _SYNC + "get_user_profile": Method(phone_apps.user_profile),
    "crm.api.app_update.get_app_version": Method(phone_apps.app_version, allow_guest=True),
    "crm.api.app_update.get_update_settings": Method(phone_apps.update_settings, allow_guest=True),
    "crm.api.app_update.log_update_check": Method(phone_apps.log_update_check, allow_guest=True),
    "frappe.desk.form.load.getdoc": Method(client.get_for_form),
    "frappe.desk.search.search_link": Method(lists.search_link),
    "frappe.desk.form.assign_to.add": Method(assignment.add_assignees, writes=True),
    "frappe.desk.form.assign_to.add_multiple": Method(assignment.bulk_add_assignees, writes=True),
    "frappe.desk.form.assign_to.remove_multiple": Method(assignment.bulk_remove_assignees, writes=True),
    "frappe.desk.form.utils.add_comment": Method(notices.add_comment, writes=True),
    "crm.fcrm.doctype.crm_lead.api.get_lead": Method(leads.get_lead),
    _LEAD_OPERATIONS + "update_lead_status_with_client_id": Method(leads.set_status_with_client_id, writes=True),
    _LEAD_OPERATIONS + "update_lead_status_with_rejection_reason": Method(
        leads.set_status_with_rejection_reason, writes=True
    ),
    _LEAD_OPERATIONS + "update_lead_status_with_pod_id": Method(leads.set_status_with_pod_id, writes=True),
    _LEAD_OPERATIONS + "save_client_id_without_validation": Method(leads.save_client_id, writes=True),
    _LEAD_OPERATIONS + "save_rejection_reason_without_validation": Method(leads.save_rejection_reason, writes=True),
    _LEAD_OPERATIONS + "save_pod_id_without_validation": Method(leads.save_pod_id, writes=True),
    _LEAD_OPERATIONS + "update_customer_with_client_id": Method(contacts.check_accounts, writes=True),
    _LEAD_OPERATIONS + "validate_lead_for_status_change": Method(leads.validate_status_change),
    _LEAD_OPERATIONS + "bulk_insert_pod_id": Method(leads.bulk_set_pod_id, writes=True),
    "crm.fcrm.doctype.crm_ticket.api.get_ticket": Method(tickets.get_ticket),
    _API + "ticket.create_ticket": Method(tickets.create_ticket, writes=True),
    _API + "ticket.update_ticket_status": Method(tickets.update_status, writes=True),
    _API + "ticket.bulk_update_tickets": Method(tickets.bulk_update_tickets, writes=True),
    _API + "ticket.bulk_set_priority": Method(tickets.bulk_set_priority, writes=True),
    _API + "ticket.bulk_close_tickets": Method(tickets.bulk_close_tickets, writes=True),
    _API + "ticket.bulk_assign_tickets": Method(assignment.bulk_assign_tickets, writes=True),
    _API + "ticket.escalate_ticket": Method(escalation.escalate, writes=True),
    _API + "ticket.get_customer_history": Method(tickets.customer_history),
    _API + "ticket.assign_ticket_to_role": Method(assignment.assign_to_role, writes=True, errors_in_body=True),
    _API + "ticket.assign_ticket_to_user": Method(assignment.assign_to_user, writes=True, errors_in_body=True),
    _WHATSAPP + "is_whatsapp_enabled": Method(whatsapp.is_enabled),
    _WHATSAPP + "is_whatsapp_installed": Method(whatsapp.is_enabled),
    _WHATSAPP + "get_whatsapp_messages": Method(whatsapp.list_messages),
    _WHATSAPP + "create_whatsapp_message": Method(whatsapp.create_message, writes=True),
    _WHATSAPP + "react_on_whatsapp_message": Method(whatsapp.react, writes=True),
    "upload_file": Method(files.upload, writes=True),
    _WHATSAPP + "send_whatsapp_template": Method(whatsapp.send_template, writes=True),
    _API + "whatsapp_setup.get_local_whatsapp_status": Method(whatsapp.status),
    _API + "whatsapp_setup.send_local_whatsapp_message": Method(
        whatsapp.send_local_message, writes=True, errors_in_body=True
    ),
    _SUPPORT + "get_status": Method(whatsapp.status),
    _SUPPORT + "is_whatsapp_support_enabled": Method(whatsapp.is_enabled),
    _SUPPORT + "send_support_page_whatsapp": _PAGES_SENT,
    _SUPPORT + "send_support_pages": _PAGES_SENT,
    _SUPPORT + "send_support_pages_without_ticket": Method(
        whatsapp.send_support_pages, writes=True, errors_in_body=True
    ),
    _SUPPORT + "log_support_activity": Method(whatsapp.log_support_activity, writes=True),
    _ROLE_ASSIGNMENT + "get_assignable_roles": Method(assignment.assignable_roles),
    _ROLE_ASSIGNMENT + "get_assignable_users": Method(assignment.assignable_users),
    _ROLE_ASSIGNMENT + "get_current_assignments": Method(assignment.current_assignments),
    _ROLE_ASSIGNMENT + "assign_to_role": Method(assignment.assign_to_role, writes=True, errors_in_body=True),
    _ROLE_ASSIGNMENT + "assign_to_user": Method(assignment.assign_to_user, writes=True, errors_in_body=True),
    _ROLE_ASSIGNMENT + "bulk_assign_leads": Method(assignment.bulk_assign_leads, writes=True),
    _ROLE_ASSIGNMENT + "preview_next_assignment": Method(round_robin.preview_next_assignment),
    _ROLE_ASSIGNMENT + "get_role_assignment_status": Method(round_robin.role_status),
    _ROLE_ASSIGNMENT + "get_roles_all_assigned_status": Method(round_robin.all_assigned_by_role),
    _ROLE_ASSIGNMENT + "check_all_role_users_assigned": Method(round_robin.all_assigned),
    _ROLE_ASSIGNMENT + "get_assignment_history": Method(round_robin.assignment_history),
    _ROLE_ASSIGNMENT + "reset_role_assignment": Method(round_robin.reset_role, writes=True),
    _ASSIGNMENT_REQUESTS + "create_assignment_request": Method(
        assignment_requests.create_request, writes=True, errors_in_body=True
    ),
    _ASSIGNMENT_REQUESTS + "approve_assignment_request": Method(
        assignment_requests.approve_request, writes=True, errors_in_body=True
    ),
    _ASSIGNMENT_REQUESTS + "reject_assignment_request": Method(
        assignment_requests.reject_request, writes=True, errors_in_body=True
    ),
    _ASSIGNMENT_REQUESTS + "get_assignment_requests": Method(assignment_requests.list_requests),
    _ASSIGNMENT_REQUESTS + "get_assignable_users_public": Method(assignment_requests.assignable_users),
    _ASSIGNMENT_REQUESTS + "get_reference_summary": Method(assignment_requests.reference_summary),
    _API + "customers.get_customer_by_mobile": Method(customers.find_by_mobile),
    _API + "customers.get_customer_by_id": Method(customers.get_customer),
    _API + "customers.get_customer_list": Method(customers.list_customers),
    _API + "customers.get_customer_interactions": Method(customers.interactions),
    _API + "customers.get_customer_stats": Method(customers.statistics),
    _API + "customers.create_or_update_customer": Method(contacts.create_or_update, writes=True),
    _API + "customers.create_or_find_customer": Method(contacts.find_or_create, writes=True),
    _API + "customers.auto_fill_customer_data": Method(contacts.autofill),
    _API + "customers.get_customer_data_for_lead": Method(contacts.lead_customer),
    _API + "customers.get_customer_data_for_ticket": Method(contacts.ticket_customer),
    _API + "customers.get_lead_with_customer_data": Method(contacts.lead_with_customer),
    _API + "customers.get_ticket_with_customer_data": Method(contacts.ticket_with_customer),
    _API + "customers.update_lead_customer_data": Method(contacts.update_lead_customer, writes=True),
    _API + "customers.update_ticket_customer_data": Method(contacts.update_ticket_customer, writes=True),
    "crm.fcrm.doctype.crm_customer.crm_customer.get_customer_update_history": Method(contacts.change_history),
    _API + "customer_search.search_customer_by_mobile": Method(customers.search_by_mobile),
    _CALL_LOG + "get_call_log": Method(calls.get_call),
    _CALL_LOG + "link_call_log": Method(calls.link_call, writes=True),
    _CALL_LOG + "delink_call_log": Method(calls.unlink_call, writes=True),
    _CALL_LOG + "create_lead_from_call_log": Method(calls.create_lead, writes=True),
    _API + "call_log.link_call_log": Method(calls.link_call, writes=True),
    _API + "call_log.delink_call_log": Method(calls.unlink_call, writes=True),
    _API + "call_log.export_call_log_monthly_summary": Method(call_export.export_monthly_summary),
    _API + "call_log.set_cold_call": Method(calls.set_cold_call, writes=True),
    _INTEGRATIONS + "add_note_to_call_log": Method(calls.add_note, writes=True),
    _INTEGRATIONS + "add_task_to_call_log": Method(calls.add_task, writes=True),
    _INTEGRATIONS + "get_contact_by_phone_number": Method(calls.find_contact),
    _INTEGRATIONS + "is_call_integration_enabled": Method(calling.integration_status),
    _INTEGRATIONS + "set_default_calling_medium": Method(calling.set_medium),
    "crm.integrations.twilio.api.is_enabled": Method(calling.is_twilio_enabled),
    "crm.integrations.twilio.api.generate_access_token": Method(calling.refuse_browser),
    "crm.integrations.exotel.handler.is_integration_enabled": Method(calling.is_exotel_enabled),
    "crm.integrations.exotel.handler.make_a_call": Method(calling.make_call, writes=True),
    _API + "task_notifications.get_task_notifications": Method(notices.list_task_notifications),
    _API + "task_notifications.mark_notification_read": Method(notices.mark_read, writes=True),
    _API + "task_notifications.mark_all_notifications_read": Method(notices.mark_all_read, writes=True),
    _API + "task_notifications.get_eligible_followup_tasks": Method(notices.list_follow_up_tasks),
    _API + "notifications.get_notifications": Method(notices.list_notifications),
    _API + "notifications.mark_as_read": Method(notices.mark_read_by_document, writes=True),
    _API + "comment_notifications.get_comment_notifications": Method(notices.list_comment_notifications),
    _API + "comment_notifications.mark_comment_notification_read": Method(notices.mark_read, writes=True),
    _API + "comment_notifications.mark_all_comment_notifications_read": Method(notices.mark_comments_read, writes=True),
    _API + "comment_notifications.quick_reply": Method(notices.quick_reply, writes=True),
    _API + "activities.get_activities": Method(timeline.get_activities),
    _API + "doc.get_data": Method(lists.list_page),
    _API + "doc.get_filterable_fields": Method(field_lists.filterable_fields),
    _API + "doc.sort_options": Method(field_lists.sort_options),
    _API + "doc.get_group_by_fields": Method(field_lists.group_by_fields),
    _API + "doc.get_quick_filters": Method(field_lists.quick_filters),
    _API + "doc.get_fields": Method(field_lists.list_fields),
    _API + "doc.get_fields_meta": Method(field_lists.fields_meta),
    _API + "doc.remove_assignments": Method(assignment.remove_assignees, writes=True),
    _API + "doc.get_assigned_users": Method(lists.assigned_users),
    _API + "search.universal_search": Method(lists.universal_search),
    _API + "session.get_users": Method(office.list_users),
    _API + "dashboard.get_dashboard_data": Method(dashboard.get_dashboard),
    _API + "dashboard.get_user_dashboard_data": Method(dashboard.get_user_dashboard),
    _API + "dashboard.get_available_users": Method(dashboard.available_users),
    _API + "dashboard.get_user_roles": Method(dashboard.user_roles),
    _API + "permissions.get_current_user_module_permissions": Method(office.module_permissions),
    _API + "office_hours.get_office_hours": Method(office.list_office_hours),
    _API + "office_hours.get_holidays": Method(office.list_holidays),
    _API + "office_hours.get_office_status": Method(office.office_status),
}
