"""DocType: a record under the predecessor's name, with its field names; and fields shared by several of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.domain.custom_fields import PREFIX
from app.lib.cached_property import cached_property
from app.web.api.resource import Resource
from app.web.compat.references import ReferenceDocTypeField, ReferenceNameField, ReferenceTarget
from app.web.core import request_custom_fields
from app.web.core.fab_access import refuse_unreached
from app.web.core.fields.base import Field
from app.web.core.fields.reference_fields import PersonField
from app.web.core.queries.record_table import RecordTable
from app.web.core.viewer import Viewer

#: Predecessor's field -> our field, for nearly every document.
STAMPS = {"creation": "created_on", "modified": "changed_on", "modified_by": "changed_by"}
#: The same for the fields of a person.
PERSONAL_FIELDS = {
    "first_name": "first_name",
    "last_name": "last_name",
    "mobile_no": "mobile",
    "email": "email",
    "alternative_mobile_no": "alternative_mobile",
    "pan_card_number": "pan",
    "aadhaar_card_number": "aadhaar",
}
#: Prefix of the names of custom fields, as in the predecessor.
CUSTOM_PREFIX = "custom_"
#: The same for the record that a document is about.
REFERENCE = {"reference_doctype": "about_kind", "reference_docname": "about_number"}
#: Rarely used fields: read as null; responses to writes report them as not stored.
IGNORED_FIELDS = frozenset(
    [
        "salutation",
        "middle_name",
        "gender",
        "marital_status",
        "anniversary",
        "phone",
        "website",
        "organization",
        "job_title",
        "image",
        "industry",
        "territory",
        "naming_series",
        "docstatus",
        "idx",
        "_assign",
        "_user_tags",
        "_comments",
        "_liked_by",
        "sla",
        "sla_status",
        "sla_creation",
        "communication_status",
        "issue_type",
        "department",
        "no_of_employees",
        "annual_revenue",
        "converted",
        "products",
        "total",
        "net_total",
        "lead_type",
        "branch",
        "assigned_role",
        "resolved",
        "resolution_time",
        "first_response_time",
        "start_date",
        "notification_time",
        "notification_status",
        "reassignment_processed",
        "telephony_medium",
        "method",
        "caller",
        "receiver",
        "links",
        "native_call_type",
        "native_call_status",
        "native_duration",
        "recording_url",
        "customer_source",
        "city",
        "state",
        "country",
        "pincode",
        "address_line_2",
        "referral_count",
        "created_from_lead",
        "created_from_ticket",
        "account_open_date",
        "date_of_birth",
        "approved_by",
        "first_responded_on",
        "final_overdue_task",
        "customer_name",
        "lead_name",
        "source",
        "escalated",
        "call_log",
        "assignment_notes",
        "id",
        "retry_count",
        "last_retry_at",
    ]
)


@dataclass(frozen=True)
class DocType:
    """A record under the predecessor's name."""

    name: str
    resource: type[Resource]
    #: Predecessor's field -> our field; custom ones are added by `fields`.
    own_fields: dict[str, str]
    #: Our field with a document's name; None = the id is the name.
    name_field: str | None = "number"
    #: Fields that only this API has.
    extra_fields: tuple[Field, ...] = ()
    #: Predecessor's field -> our field, if an insert writes to another field than `fields` reads.
    insert_fields: dict[str, str] = field(default_factory=dict)
    #: SQL conditions that select this DocType's rows among the record's.
    conditions: tuple[Any, ...] = ()
    #: (session, record id, viewer) -> the child tables of one document.
    children: Callable[..., dict[str, Any]] | None = None
    #: Raises Denied when the person may see the row but not change it; None = the module's own check.
    refuse_change: Callable[[Any, Viewer], None] | None = None
    #: The same for deleting, if only this API deletes such rows; None = as our own REST API.
    refuse_delete: Callable[[Any, Viewer], None] | None = None

    @cached_property
    def ignored_fields(self) -> frozenset[str]:
        """Fields that read as null and are not stored."""
        return IGNORED_FIELDS - set(self.own_fields)

    @property
    def fields(self) -> dict[str, str]:
        """Predecessor's field -> our field, as of this request; custom_risk is the custom field x_risk."""
        return self._current[0]

    @property
    def record_table(self) -> RecordTable:
        """The record service's columns, custom ones as of this request, and the fields that only this API has."""
        return self._current[1]

    @property
    def _current(self) -> tuple[dict[str, str], RecordTable]:
        catalog = request_custom_fields.current()
        custom = catalog.of(self._table_name)
        if not custom:
            return self._without_custom
        key = ("doctype", self.name)
        if key not in catalog.tables:
            named = {f"{CUSTOM_PREFIX}{each.name.removeprefix(PREFIX)}": each.name for each in custom}
            catalog.tables[key] = ({**named, **self.own_fields}, self._table())
        found: tuple[dict[str, str], RecordTable] = catalog.tables[key]
        return found

    @cached_property
    def _without_custom(self) -> tuple[dict[str, str], RecordTable]:
        return self.own_fields, self._table()

    def _table(self) -> RecordTable:
        table = self.resource.service.record_table
        return RecordTable(table.record, [*table.input_fields, *self.extra_fields], joins=table.joins)

    @cached_property
    def _table_name(self) -> str:
        return str(self.resource.service.record.__tablename__)

    @cached_property
    def tables(self) -> frozenset[str]:
        """Tables that a document with all fields reads; the access rules must filter them."""
        joined = (table.__tablename__ for table, _on in self.record_table.joins)
        return frozenset({self.record_table.record.__tablename__, *joined})

    @property
    def module(self) -> str:
        """The module of the record in the permission matrix."""
        return self.resource.module

    def allows(self, verb: str) -> bool:
        """Whether our own REST API has this HTTP verb (post, put, delete) for the record."""
        if verb == "delete" and self.refuse_delete is not None:
            return True
        return verb not in (self.resource.exclude_route_methods or ())

    def refuse_unreached(self, row: Any, verb: str, viewer: Viewer) -> None:
        """Raise Denied when the person may see the row but not apply this verb to it."""
        if verb == "delete" and self.refuse_delete is not None:
            self.refuse_delete(row, viewer)
        elif self.refuse_change is not None:
            if verb != "read":
                self.refuse_change(row, viewer)
        else:
            refuse_unreached(self.module, row, verb)


def changed_by(record: Any) -> Field:
    """The field behind modified_by."""
    return PersonField("changed_by", "Changed by", (record.changed_by_id,), filter=True)


def reference_fields(record: Any, *targets: ReferenceTarget) -> tuple[Field, Field]:
    """The fields behind reference_doctype and reference_docname, for a record that can be about these targets."""
    return ReferenceDocTypeField("about_kind", record, targets), ReferenceNameField("about_number", record, targets)
