"""The picklists over REST, read-only: the possible values for status, subject, source and so on."""

from __future__ import annotations

from flask_appbuilder.models.sqla.interface import SQLAInterface

from app.models import (
    AccountType,
    ComplaintCategory,
    LeadSource,
    LeadStatus,
    MessageTemplate,
    SupportPage,
    TicketStatus,
    TicketSubject,
)
from app.web.api.resource import Resource
from app.web.settings.picklists import PICKLIST_LABELS

_SHARED = ["label", "position", "is_active"]


class PicklistResource(Resource):
    """A picklist, in order; for everybody who reads the records that use it."""

    exclude_route_methods = {"post", "put", "delete"}
    base_order = ("position", "asc")
    page_size = 100
    label_columns = PICKLIST_LABELS


class LeadStatusResource(PicklistResource):
    """/api/v1/lead_status/"""

    resource_name = "lead_status"
    datamodel = SQLAInterface(LeadStatus)
    module = "Leads"
    show_columns = ["label", "color", "meaning", *_SHARED[1:]]


class LeadSourceResource(PicklistResource):
    """/api/v1/lead_source/"""

    resource_name = "lead_source"
    datamodel = SQLAInterface(LeadSource)
    module = "Leads"
    show_columns = _SHARED


class AccountTypeResource(PicklistResource):
    """/api/v1/account_type/"""

    resource_name = "account_type"
    datamodel = SQLAInterface(AccountType)
    module = "Leads"
    show_columns = _SHARED


class TicketStatusResource(PicklistResource):
    """/api/v1/ticket_status/"""

    resource_name = "ticket_status"
    datamodel = SQLAInterface(TicketStatus)
    module = "Tickets"
    show_columns = ["label", "color", "meaning", *_SHARED[1:]]


class TicketSubjectResource(PicklistResource):
    """/api/v1/ticket_subject/"""

    resource_name = "ticket_subject"
    datamodel = SQLAInterface(TicketSubject)
    module = "Tickets"
    show_columns = ["label", "description", *_SHARED[1:]]


class ComplaintCategoryResource(PicklistResource):
    """/api/v1/complaint_category/"""

    resource_name = "complaint_category"
    datamodel = SQLAInterface(ComplaintCategory)
    module = "Complaints"
    show_columns = ["label", "parent_id", *_SHARED[1:]]
    order_columns = ["label", *_SHARED[1:]]


class SupportPageResource(PicklistResource):
    """/api/v1/support_page/"""

    resource_name = "support_page"
    datamodel = SQLAInterface(SupportPage)
    module = "Support Pages"
    show_columns = ["label", "url", "description", *_SHARED[1:]]


class MessageTemplateResource(PicklistResource):
    """/api/v1/message_template/"""

    resource_name = "message_template"
    datamodel = SQLAInterface(MessageTemplate)
    module = "Messages"
    show_columns = ["label", "channel", "header", "body", *_SHARED[1:]]


PICKLIST_RESOURCES = (
    LeadStatusResource,
    LeadSourceResource,
    AccountTypeResource,
    TicketStatusResource,
    TicketSubjectResource,
    ComplaintCategoryResource,
    SupportPageResource,
    MessageTemplateResource,
)
