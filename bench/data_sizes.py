"""The numbers of rows of the benchmark data, and their shares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from bench.loader import Row

SEED = 7
#: The users that the benchmarks act as.
SALES, MANAGER, SUPPORT = "bench_sales", "bench_manager", "bench_support"
#: One lead in this many is assigned to bench_sales: 5,000 of 200,000.
SHARE = 40
#: The share of open tasks that are overdue; the others are due in the future.
OVERDUE_SHARE = 1 / 30
DAYS = 360


@dataclass(frozen=True)
class Sizes:
    """The number of rows of each table."""

    leads: int = 200_000
    customers: int = 50_000
    tickets: int = 50_000
    tasks: int = 300_000
    calls: int = 500_000
    activities: int = 1_000_000
    users: int = 40

    @classmethod
    def of(cls, leads: int) -> Self:
        """The sizes for another number of leads, in the same proportions."""
        full = cls()
        scaled = {name: max(1, getattr(full, name) * leads // full.leads) for name in cls.__annotations__}
        return cls(**scaled | {"users": full.users})

    @classmethod
    def large(cls, share: float = 1.0) -> Self:
        """An installation with years of data, or this share of it: more calls and history for each lead."""
        full = {"leads": 1_000_000, "customers": 500_000, "tickets": 500_000, "tasks": 2_000_000}
        full |= {"calls": 5_000_000, "activities": 20_000_000}
        return cls(**{name: max(1, int(number * share)) for name, number in full.items()})

    @classmethod
    def named(cls, scale: str) -> Self:
        """The sizes of one of SCALES."""
        if scale == MILLION:
            return replace(cls.large(), calls=2_500_000, activities=5_000_000)
        return cls.large(SCALES[scale])

    @property
    def disk(self) -> int:
        """The bytes of a filled data folder, with indexes and logs; measured, see bench/README.md."""
        rows = sum(int(getattr(self, name)) * size for name, size in BYTES_OF_A_ROW.items())
        return _EMPTY_FOLDER + rows


#: --scale NAME -> the share of an installation with years of data.
SCALES = {"full": 1.0, "tenth": 0.1, "million": 1.0}
#: The full scale with half of its calls and a quarter of its timeline entries: a third of the time to fill.
MILLION = "million"
#: Bytes of a row with its dependent rows (assignments, status changes, subjects) and index entries.
BYTES_OF_A_ROW = {"leads": 1400, "customers": 900, "tickets": 1300, "tasks": 550, "calls": 900, "activities": 330}
_EMPTY_FOLDER = 750_000_000


@dataclass(frozen=True)
class Picklists:
    """The ids of the lists and roles that the migrations add, by label where it matters."""

    lead_status: dict[str, int]
    ticket_status: dict[str, int]
    subjects: list[int]
    sources: list[int]
    kinds: list[int]
    roles: dict[str, int]
    first_user: int


#: Label of a lead's status -> share of all leads, in percent.
LEAD_SHARES = {
    "New": 12,
    "Contacted": 18,
    "Follow-up Scheduled": 10,
    "Follow-up Complete": 8,
    "Documents Collected": 5,
    "Sent to HO": 5,
    "Documents Verified": 3,
    "Nurture": 8,
    "Qualified": 7,
    "Account Opened": 4,
    "Rejected - Follow-up Required": 3,
    "Account Activated": 8,
    "Unqualified": 5,
    "Junk": 2,
    "Lead Expired": 2,
}
TICKET_SHARES = {
    "New": 4,
    "Open": 10,
    "In Progress": 8,
    "Follow-up Scheduled": 5,
    "Waiting for Customer": 5,
    "Resolved": 28,
    "Closed": 40,
}
WITH_CUSTOMER = ("Account Opened", "Account Activated")
ENDED = ("Resolved", "Closed")

#: The columns of a person that a lead with a customer leaves empty.
NOBODY: Row = (None,) * 6


def moment(at: datetime) -> str:
    """The time as both databases and SQLAlchemy's SQLite type store it."""
    return at.isoformat(" ", "microseconds")


def mobile(person: int) -> str:
    """A unique mobile number for each person, by multiplication with a prime."""
    return str(9_000_000_000 + person * 7_919_333 % 999_999_937)
