"""The context of a change: its author, its time, and the settings in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.base import Stamp
from app.domain.customer_rights import ALL_RIGHTS, NO_RIGHTS, CustomerRights
from app.domain.notifications import reminder_preferences
from app.domain.working_time import sla
from app.lib.field_encryption import Vault


@dataclass(frozen=True)
class ChangeContext(Stamp):
    """The author and time of a change, and the settings that apply to it."""

    #: Encrypts PAN and Aadhaar numbers; needed only if one is given.
    vault: Vault | None = None
    #: What SLA due times are computed from.
    sla_terms: sla.SlaTerms = sla.NO_TERMS
    #: Minutes until the first task of a new record is due, by priority; None = as shipped.
    first_task_minutes: Mapping[str, int] | None = None
    #: Minutes before its due time at which a task's assignee is reminded.
    reminder_minutes: tuple[int, ...] = reminder_preferences.REMINDER_MINUTES
    #: Whether the user may reopen a lead that has ended.
    may_reopen: bool = False
    #: What the person may do with customers; None = everything for the system, nothing for a person.
    customer_rights: CustomerRights | None = None

    #: Numbers (E.164) that no customer has. Looked up for many records at once, so that they aren't looked up again.
    free_numbers: frozenset[str] = frozenset()

    @property
    def rights(self) -> CustomerRights:
        """What the author of the change may do with customers."""
        return self.customer_rights or (ALL_RIGHTS if self.by is None else NO_RIGHTS)
