"""The fields of records to merge: which columns belong together, and whose value is proposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain import custom_values
from app.domain.base import RuleBroken, translatable
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.tickets import Ticket
from app.domain.working_time import sla

#: Columns of the SLA clock and of what follows from a status: they are merged together with the status.
_CLOCK = sla.CLOCK_COLUMNS


@dataclass(frozen=True)
class MergeField:
    """A field for which one record's value is kept."""

    #: Its name on screens.
    name: str
    #: Its columns; the first one says whether it has a value.
    columns: tuple[str, ...]
    #: The column by which two values are compared, if not the first.
    compared_by: str = ""
    #: Whether the remaining record's own value takes precedence over the newest one.
    is_own_first: bool = False
    #: Whether it is a contact field, which a linked record leaves to its customer.
    is_contact: bool = False

    def value_of(self, row: Any) -> Any:
        """The value to compare; None if the record has none."""
        found = getattr(row, self.compared_by or self.columns[0])
        if found in (None, ""):
            found = getattr(row, self.columns[0])
        return None if found == "" else found


def _person(name: str, *columns: str, by: str = "") -> MergeField:
    return MergeField(name, columns or (name,), by, is_contact=True)


_CONTACT = (
    _person("first_name"),
    _person("last_name"),
    _person("mobile", "mobile", "mobile_e164", by="mobile_e164"),
    _person("alternative_mobile", "alternative_mobile", "alternative_e164", by="alternative_e164"),
    _person("email"),
    _person("pan", "pan_sealed", "pan_blind", by="pan_blind"),
    _person("aadhaar", "aadhaar_sealed", "aadhaar_blind", by="aadhaar_blind"),
    _person("address"),
)


def _own(name: str, *columns: str) -> MergeField:
    return MergeField(name, columns or (name,), is_own_first=True)


def _newest(name: str, *columns: str) -> MergeField:
    return MergeField(name, columns or (name,))


_LEAD = (
    *_CONTACT,
    _newest("date_of_birth"),
    _own("status", "status_id", "status_on", "opened_on", "activated_on", "converted_on", *_CLOCK),
    _own("assignee", "assignee_id", "assigned_role"),
    _own("owner", "owner_id"),
    _newest("source", "source_id"),
    _own("category"),
    _newest("account_type", "account_type_id"),
    _newest("referral"),
    _newest("client_id"),
    _newest("pod_id"),
    _newest("rejection_reason"),
    _newest("next_follow_up_on"),
    _newest("description"),
)
_TICKET = (
    *_CONTACT,
    _own("status", "status_id", "status_on", "resolution", "resolved_on", *_CLOCK),
    _own("assignee", "assignee_id", "assigned_role"),
    _own("owner", "owner_id"),
    _own("priority"),
    _own("source"),
    _newest("description"),
)
_CUSTOMER = (
    *_CONTACT,
    _own("status"),
    _own("owner", "owner_id"),
    _own("source"),
    _own("referral_code"),
    _newest("referred_by"),
    _newest("kyc_status", "kyc_status", "rekyc_on"),
)
#: Record -> its fields, in the order of the page.
FIELDS: dict[Any, tuple[MergeField, ...]] = {Lead: _LEAD, Ticket: _TICKET, Customer: _CUSTOMER}
#: Opt-outs: one in any of the records is kept.
OPT_OUTS = ("no_calls", "no_whatsapp", "no_sms", "no_email")
#: An alternative number may come from the main number of another record.
SECOND = {"alternative_mobile": "mobile"}


@dataclass(frozen=True)
class MergeChoice:
    """The record whose value is kept, and which of its fields: an alternative number may be another's main one."""

    record_id: int
    name: str


def offered(record: Any, rows: Sequence[Any]) -> tuple[MergeField, ...]:
    """The fields to choose from; contact fields only if none of the records is linked to a customer."""
    is_linked = any(getattr(row, "customer_id", None) is not None for row in rows)
    return tuple(each for each in FIELDS[record] if not (is_linked and each.is_contact))


def _by_name(record: Any) -> dict[str, MergeField]:
    return {each.name: each for each in FIELDS[record]}


def is_conflict(field: MergeField, rows: Sequence[Any]) -> bool:
    """Whether the records have different values."""
    return len({value for row in rows if (value := field.value_of(row)) is not None}) > 1


def defaults(record: Any, rows: Sequence[Any]) -> dict[str, MergeChoice]:
    """The proposed choice per field: the newest value, or for some fields the remaining record's own.

    `rows`: the remaining record comes first.
    """
    newest = sorted(rows, key=lambda row: (row.changed_on, row.id), reverse=True)
    chosen = {}
    for field in offered(record, rows):
        order = [rows[0], *newest] if field.is_own_first else newest
        found = next((row for row in order if field.value_of(row) is not None), rows[0])
        chosen[field.name] = MergeChoice(found.id, field.name)
    _propose_one_name(newest, chosen)
    _propose_second_number(record, newest, chosen)
    return chosen


def newest_own(record: Any, rows: Sequence[Any], name: str) -> MergeChoice | None:
    """The choice of the newest value of one field, not using other fields; None if it can't be chosen."""
    field = next((each for each in offered(record, rows) if each.name == name), None)
    if field is None:
        return None
    newest = sorted(rows, key=lambda row: (row.changed_on, row.id), reverse=True)
    return MergeChoice(next((row for row in newest if field.value_of(row) is not None), rows[0]).id, name)


def _propose_one_name(newest: Sequence[Any], choices: dict[str, MergeChoice]) -> None:
    """Take first and last name from the same record, if one has both."""
    whole = next((row for row in newest if row.first_name and row.last_name), None)
    if "first_name" in choices and whole is not None:
        choices |= {name: MergeChoice(whole.id, name) for name in ("first_name", "last_name")}


def _propose_second_number(record: Any, newest: Sequence[Any], choices: dict[str, MergeChoice]) -> None:
    """Keep a second number if the remaining record has room for it."""
    if "mobile" not in choices:
        return
    named = _by_name(record)
    by_id = {row.id: row for row in newest}
    main = named["mobile"].value_of(by_id[choices["mobile"].record_id])
    second = named["alternative_mobile"].value_of(by_id[choices["alternative_mobile"].record_id])
    others = [row for row in newest if named["mobile"].value_of(row) not in (None, main)]
    if second in (None, main) and others:
        choices["alternative_mobile"] = MergeChoice(others[0].id, "mobile")


def checked(record: Any, rows: Sequence[Any], wanted: Mapping[str, MergeChoice]) -> dict[str, MergeChoice]:
    """The proposed choices, with the wanted ones in their place. Raises RuleBroken for an impossible one."""
    named, ids = {each.name: each for each in offered(record, rows)}, {row.id for row in rows}
    for name, choice in wanted.items():
        if name not in named:
            raise RuleBroken(translatable("“%(name)s” can't be chosen in this merge.", name=name[:40]), name[:40])
        if choice.record_id not in ids or choice.name not in (name, SECOND.get(name)):
            raise RuleBroken(translatable("Please choose one of these records for “%(name)s”.", name=name), name)
    return defaults(record, rows) | dict(wanted)


def values(record: Any, rows: Sequence[Any], choices: Mapping[str, MergeChoice]) -> dict[str, tuple[Any, int]]:
    """{column of the remaining record: (value, id of the record that it comes from)}."""
    by_id, named = {row.id: row for row in rows}, _by_name(record)
    found: dict[str, tuple[Any, int]] = {}
    for name, choice in choices.items():
        source = by_id[choice.record_id]
        for column, theirs in zip(named[name].columns, named[choice.name].columns, strict=True):
            found[column] = getattr(source, theirs), source.id
    newest = sorted(rows, key=lambda row: (row.changed_on, row.id), reverse=True)
    found["custom"] = custom_values.merged(newest), newest[0].id
    if record is Customer:
        for column in OPT_OUTS:
            opted_out = next((row for row in rows if getattr(row, column)), rows[0])
            found[column] = getattr(opted_out, column), opted_out.id
    return found
