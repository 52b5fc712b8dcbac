"""What a change of a record goes by: who, when, and the settings in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain import sla, team
from app.domain.base import Stamp
from app.lib.vault import Vault


@dataclass(frozen=True)
class ChangeContext(Stamp):
    """Who changes a record, when, and by which settings."""

    #: Encrypts PAN and Aadhaar numbers; needed only where one is given.
    vault: Vault | None = None
    #: What SLA due times are computed from.
    sla_terms: sla.SlaTerms = sla.NO_TERMS
    #: Minutes until the first task of a new record is due, by priority; None = as shipped.
    first_task_minutes: Mapping[str, int] | None = None
    #: Minutes before its due time at which a task's assignee is reminded.
    reminder_minutes: tuple[int, ...] = team.REMINDER_MINUTES
    #: Whether the user may reopen a lead that has ended.
    may_reopen: bool = False
