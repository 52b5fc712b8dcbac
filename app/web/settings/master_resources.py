"""The pick-lists over REST, read only: what may be sent as a status, subject, source and so on."""

from __future__ import annotations

from flask_appbuilder.models.sqla.interface import SQLAInterface

from app.models import AccountType, LeadSource, LeadStatus, MessageTemplate, SupportPage, TicketStatus, TicketSubject
from app.web.api.resource import Resource


class MasterResource(Resource):
    """A pick-list, in its order; for everybody who reads the records that use it."""

    exclude_route_methods = {"post", "put", "delete"}
    base_order = ("position", "asc")
    page_size = 100


class LeadStatusResource(MasterResource):
    """/api/v1/lead_status/"""

    resource_name = "lead_status"
    datamodel = SQLAInterface(LeadStatus)
    module = "Leads"


class LeadSourceResource(MasterResource):
    """/api/v1/lead_source/"""

    resource_name = "lead_source"
    datamodel = SQLAInterface(LeadSource)
    module = "Leads"


class AccountTypeResource(MasterResource):
    """/api/v1/account_type/"""

    resource_name = "account_type"
    datamodel = SQLAInterface(AccountType)
    module = "Leads"


class TicketStatusResource(MasterResource):
    """/api/v1/ticket_status/"""

    resource_name = "ticket_status"
    datamodel = SQLAInterface(TicketStatus)
    module = "Tickets"


class TicketSubjectResource(MasterResource):
    """/api/v1/ticket_subject/"""

    resource_name = "ticket_subject"
    datamodel = SQLAInterface(TicketSubject)
    module = "Tickets"


class SupportPageResource(MasterResource):
    """/api/v1/support_page/"""

    resource_name = "support_page"
    datamodel = SQLAInterface(SupportPage)
    module = "Support Pages"


class MessageTemplateResource(MasterResource):
    """/api/v1/message_template/"""

    resource_name = "message_template"
    datamodel = SQLAInterface(MessageTemplate)
    module = "Messages"


MASTER_RESOURCES = (
    LeadStatusResource,
    LeadSourceResource,
    AccountTypeResource,
    TicketStatusResource,
    TicketSubjectResource,
    SupportPageResource,
    MessageTemplateResource,
)
