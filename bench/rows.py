"""The rows of the benchmark data, table by table. The same for the same sizes and time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import count
from random import Random

from app.demo.sample_text import FIRST, LAST, NOTES
from app.domain.base import NUMBER_PREFIXES
from app.domain.tickets import PRIORITIES, SOURCES
from bench.columns import COLUMNS
from bench.data_sizes import (
    DAYS,
    ENDED,
    LEAD_SHARES,
    MANAGER,
    NOBODY,
    OVERDUE_SHARE,
    SALES,
    SEED,
    SHARE,
    SUPPORT,
    TICKET_SHARES,
    WITH_CUSTOMER,
    Picklists,
    Sizes,
    mobile,
    moment,
)
from bench.loader import Row

#: The time over which records were created.
_SPAN = timedelta(days=DAYS - 0.05)
_NOTES = [json.dumps({"text": note}, ensure_ascii=False) for note in NOTES]


class RowGenerator:
    """Generates one table after the other, and keeps only the values that later tables refer to."""

    def __init__(self, sizes: Sizes, now: datetime, picklists: Picklists) -> None:
        self.sizes, self.now, self.picklists = sizes, now, picklists
        self.rng = Random(SEED)
        self.people = self._make_people()
        by_role: dict[str, list[int]] = {}
        for key, _, role in self.people:
            by_role.setdefault(role, []).append(key)
        self.manager = by_role["Sales Manager"][0]
        self.mine, self.sales_users = by_role["Sales User"][0], by_role["Sales User"][1:]
        self.support_users = by_role["Support User"]
        self.lead_status = self._choose_statuses(LEAD_SHARES, picklists.lead_status, sizes.leads)
        self.ticket_status = self._choose_statuses(TICKET_SHARES, picklists.ticket_status, sizes.tickets)
        #: By index (id - 1): assignee and customer of each lead, and of each ticket.
        self.lead_assignee = [self.mine if n % SHARE == 0 else self._any(self.sales_users) for n in range(sizes.leads)]
        self.lead_customer = self._assign_customers()
        self.ticket_assignee = [self._any(self.support_users) for _ in range(sizes.tickets)]
        self.ticket_customer = [self.rng.randrange(sizes.customers) + 1 for _ in range(sizes.tickets)]
        #: Four of five tasks belong to a lead, the fifth to a ticket; this is its index.
        self.task_place = [self.rng.randrange(sizes.leads if n % 5 else sizes.tickets) for n in range(sizes.tasks)]
        self.years: dict[tuple[str, int], int] = {}
        self._first_day = now - timedelta(days=DAYS)

    def _make_people(self) -> list[tuple[int, str, str]]:
        """(id, user name, role): two managers, a third of the rest in support."""
        support = max(1, (self.sizes.users - 2) // 3)
        names = [
            (MANAGER, "Sales Manager"),
            ("bench_support_manager", "Support Manager"),
            (SALES, "Sales User"),
            (SUPPORT, "Support User"),
        ]
        names += [(f"support_{n}", "Support User") for n in range(1, support)]
        names += [(f"sales_{n}", "Sales User") for n in range(1, max(2, self.sizes.users - len(names) + 1))]
        return [(self.picklists.first_user + n, name, role) for n, (name, role) in enumerate(names)]

    def _any(self, values: list[int]) -> int:
        return values[int(self.rng.random() * len(values))]

    def _choose_statuses(self, shares: dict[str, int], ids: dict[str, int], n: int) -> list[tuple[str, int]]:
        available = {label: share for label, share in shares.items() if label in ids}
        labels = self.rng.choices(list(available), list(available.values()), k=n)
        return [(label, ids[label]) for label in labels]

    def _assign_customers(self) -> list[int | None]:
        """Customers 1, 2, 3 … belong to the leads that opened an account, as long as there are any."""
        free = count(1)
        found: list[int | None] = []
        for label, _ in self.lead_status:
            key = next(free) if label in WITH_CUSTOMER else None
            found.append(key if key is not None and key <= self.sizes.customers else None)
        return found

    # times: increasing with the id, spread over a year

    def _created_on(self, n: int, of: int) -> datetime:
        return self._first_day + _SPAN * ((n + self.rng.random()) / of)

    def _later(self, at: datetime, days: float) -> datetime:
        return min(at + timedelta(days=days * self.rng.random()), self.now)

    def _number(self, kind: str, at: datetime) -> str:
        key = (kind, at.year)
        self.years[key] = self.years.get(key, 0) + 1
        return f"{NUMBER_PREFIXES[kind]}-{at.year}-{self.years[key]:05d}"

    def _contact(self, person: int) -> Row:
        first, last = FIRST[person * 7 % len(FIRST)], LAST[person * 11 % len(LAST)]
        script = 0 if person % 4 else person // 4 % 3
        digits = mobile(person)
        return (
            first[script],
            last[script],
            digits,
            f"+91{digits}",
            f"{first[0]}.{last[0]}{person}@bench.example".lower() if person % 5 else None,
            f"{person % 240}, Station Road, Ahmedabad",
        )

    # tables

    def tables(self) -> Iterator[tuple[str, tuple[str, ...], Iterable[Row]]]:
        """Name, columns and rows of each table."""
        rows = {
            "customer": self._customers,
            "leads": self._leads,
            "customer_account": self._accounts,
            "ticket": self._tickets,
            "ticket_subjects": self._subjects,
            "task": self._tasks,
            "call_log": self._calls,
            "assignment": self._assignments,
            "status_change": self._status_changes,
            "activity": self._activities,
            "notification": self._notices,
        }
        for table, made in rows.items():
            yield table, COLUMNS[table], made()

    def _customers(self) -> Iterator[Row]:
        owners = [*self.sales_users, *self.support_users]
        for n in range(self.sizes.customers):
            made = self._created_on(n, self.sizes.customers)
            owner, at = self._any(owners), moment(made)
            source = "Lead" if n % 2 else "Direct"
            kyc = ("Verified", "Verified", "Pending", "Re-KYC due")[n % 4]
            yield (
                n + 1,
                self._number("CUST", made),
                1,
                "Active",
                source,
                kyc,
                0,
                0,
                0,
                0,
                owner,
                *self._contact(n + 1),
                at,
                at,
                owner,
                owner,
            )

    def _owner(self, n: int) -> int:
        """The owner: of one lead in five the manager, of the others the assignee."""
        return self.manager if n // SHARE % 5 == 0 else self.lead_assignee[n]

    def _leads(self) -> Iterator[Row]:
        for n, (label, status) in enumerate(self.lead_status):
            made, customer = self._created_on(n, self.sizes.leads), self.lead_customer[n]
            changed = made if label == "New" else self._later(made, 20)
            owner, who = self._owner(n), self.lead_assignee[n]
            done = moment(changed) if label in WITH_CUSTOMER else None
            yield (
                n + 1,
                self._number("LEAD", made),
                1,
                status,
                moment(changed),
                self._any(self.picklists.sources),
                "Indirect" if n % 5 == 0 else "Direct",
                self._any(self.picklists.kinds),
                f"B{n + 1:07d}" if done else None,
                f"POD{n % 997:04d}" if label == "Sent to HO" else None,
                "Signature differs" if label.startswith("Rejected") else None,
                who,
                owner,
                "Sales User",
                customer,
                moment(self._later(changed, 10)) if label == "Follow-up Scheduled" else None,
                None if label == "New" else moment(changed),
                done,
                done if label == "Account Activated" else None,
                *(NOBODY if customer else self._contact(self.sizes.customers + n + 1)),
                moment(made),
                moment(changed),
                owner,
                who,
            )

    def _accounts(self) -> Iterator[Row]:
        for n, customer in enumerate(self.lead_customer):
            if customer:
                at, who = moment(self._created_on(n, self.sizes.leads)), self.lead_assignee[n]
                yield customer, f"B{n + 1:07d}", self._any(self.picklists.kinds), n + 1, at, at, at, at, who, who

    def _tickets(self) -> Iterator[Row]:
        for n, (label, status) in enumerate(self.ticket_status):
            made, who = self._created_on(n, self.sizes.tickets), self.ticket_assignee[n]
            changed = self._later(made, 6)
            done = moment(changed) if label in ENDED else None
            yield (
                n + 1,
                self._number("TICKET", made),
                "Ledger statement",
                1,
                PRIORITIES[n % 4],
                status,
                moment(changed),
                SOURCES[n % 5],
                "Asks for the statement of the last year.",
                "Sent by e-mail." if done else None,
                done,
                self.ticket_customer[n],
                who,
                who,
                moment(changed),
                None if done else moment(self.now + timedelta(hours=1 + n % 72)),
                moment(made),
                moment(changed),
                who,
                who,
            )

    def _subjects(self) -> Iterator[Row]:
        for n in range(self.sizes.tickets):
            yield n + 1, self._any(self.picklists.subjects)

    def _tasks(self) -> Iterator[Row]:
        for n in range(self.sizes.tasks):
            lead, ticket, who = self._parent(n)
            made = self._created_on(n, self.sizes.tasks)
            status, due, done = self._status_and_due(n, made)
            remind = moment(due - timedelta(hours=1)) if due > self.now and not done else None
            yield (
                n + 1,
                "Follow up" if lead else "Handle ticket",
                status,
                1,
                ("Low", "Medium", "High")[n % 3],
                moment(due),
                who,
                who,
                lead,
                ticket,
                0,
                "[]",
                remind,
                done,
                moment(made),
                done or moment(made),
                who,
                who,
            )

    def _parent(self, n: int) -> tuple[int | None, int | None, int]:
        """Lead or ticket of task n, and its assignee."""
        place = self.task_place[n]
        if n % 5:
            return place + 1, None, self.lead_assignee[place]
        return None, place + 1, self.ticket_assignee[place]

    def _status_and_due(self, n: int, made: datetime) -> tuple[str, datetime, str | None]:
        """Status, due and done: some overdue, a fifth due in the future, the rest done."""
        chance = self.rng.random()
        if chance < OVERDUE_SHARE:
            return "Todo", self.now - timedelta(hours=2 + n % 40), None
        if chance < 0.22:
            return ("Todo", "In Progress", "Backlog")[n % 3], self.now + timedelta(hours=3 + n % 480), None
        due = self._later(made, 4)
        return ("Canceled", due, None) if n % 20 == 0 else ("Done", due, moment(due))

    def _calls(self) -> Iterator[Row]:
        workers = [self.mine, *self.sales_users, *self.support_users]
        for n in range(self.sizes.calls):
            lead, customer, who, peer = self._call_parties(n, workers)
            made = self._created_on(n, self.sizes.calls)
            talked = self.rng.random() < 0.65
            seconds = int(self.rng.expovariate(1 / 150)) + 3 if talked else 0
            outgoing = n % 10 < 7
            status = "Completed" if talked else ("No Answer" if outgoing else "Missed Call")
            at, end, own = moment(made), moment(made + timedelta(seconds=seconds)), f"+91{mobile(999_000_000 + who)}"
            yield (
                n + 1,
                f"d{n}",
                "Outgoing" if outgoing else "Incoming",
                status,
                own if outgoing else peer,
                peer if outgoing else own,
                peer,
                at,
                end,
                seconds,
                "{}",
                who,
                customer,
                lead,
                int(not lead and not customer),
                "mobile",
                end,
                end,
                who,
                who,
            )

    def _call_parties(self, n: int, workers: list[int]) -> tuple[int | None, int | None, int, str]:
        """Lead, customer, employee and number of call n: seven of ten to leads, two to customers."""
        if n % 10 < 7:
            place = self.rng.randrange(self.sizes.leads)
            customer = self.lead_customer[place]
            person = customer or self.sizes.customers + place + 1
            return place + 1, customer, self.lead_assignee[place], f"+91{mobile(person)}"
        if n % 10 < 9:
            customer = self.rng.randrange(self.sizes.customers) + 1
            return None, customer, self._any(workers), f"+91{mobile(customer)}"
        return None, None, self._any(workers), f"+91{mobile(500_000_000 + n)}"

    def _assignments(self) -> Iterator[Row]:
        why = json.dumps({"role": "Sales User", "candidates": [self.mine, *self.sales_users[:3]], "skipped": []})
        for n, who in enumerate(self.lead_assignee):
            at = moment(self._created_on(n, self.sizes.leads))
            yield n + 1, None, who, at, "round robin", self.manager, why, "Sales User", f"leads:{n + 1}:{who}"
        for n, who in enumerate(self.ticket_assignee):
            at = moment(self._created_on(n, self.sizes.tickets))
            yield None, n + 1, who, at, "direct", who, "{}", None, f"ticket:{n + 1}:{who}"

    def _status_changes(self) -> Iterator[Row]:
        new, fresh = self.picklists.lead_status["New"], self.picklists.ticket_status["New"]
        for n, (_, status) in enumerate(self.lead_status):
            made, who = self._created_on(n, self.sizes.leads), self.lead_assignee[n]
            yield n + 1, None, None, new, moment(made), who, None
            if status != new:
                yield n + 1, None, new, status, moment(self._later(made, 20)), who, 86_400
        for n, (_, status) in enumerate(self.ticket_status):
            made, who = self._created_on(n, self.sizes.tickets), self.ticket_assignee[n]
            yield None, n + 1, None, fresh, moment(made), who, None
            if status != fresh:
                yield None, n + 1, fresh, status, moment(self._later(made, 6)), who, 7_200

    def _activities(self) -> Iterator[Row]:
        """The creation of all records, then random entries until there are enough."""
        yield from self._creation_entries()
        sizes = self.sizes
        rest = sizes.activities - 2 * sizes.leads - sizes.tickets - sizes.customers - sizes.tasks
        for n in range(max(0, rest)):
            place = self.rng.randrange(sizes.leads)
            who, at = self.lead_assignee[place], moment(self._created_on(n, rest))
            kind, payload = self._random_entry(n)
            yield kind, at, who, place + 1, None, self.lead_customer[place], None, payload

    def _random_entry(self, n: int) -> tuple[str, str]:
        if n % 3 == 0:
            return "note", _NOTES[n % len(_NOTES)]
        if n % 3 == 1:
            return "call", f'{{"text": "Outgoing call, Completed", "call": {n + 1}, "seconds": 120}}'
        return "status_change", f'{{"from": 1, "to": {self.picklists.lead_status["Contacted"]}, "note": null}}'

    def _creation_entries(self) -> Iterator[Row]:
        for n, who in enumerate(self.lead_assignee):
            at = moment(self._created_on(n, self.sizes.leads))
            yield "system", at, who, n + 1, None, self.lead_customer[n], None, '{"text": "Lead created"}'
            payload = f'{{"to": {who}, "old": null, "reason": "round robin"}}'
            yield "assignment", at, self.manager, n + 1, None, None, None, payload
        for n, who in enumerate(self.ticket_assignee):
            at = moment(self._created_on(n, self.sizes.tickets))
            yield "system", at, who, None, n + 1, self.ticket_customer[n], None, '{"text": "Ticket created"}'
        for n in range(self.sizes.customers):
            at = moment(self._created_on(n, self.sizes.customers))
            yield "system", at, None, None, None, n + 1, None, '{"text": "Customer created"}'
        for n in range(self.sizes.tasks):
            lead, ticket, who = self._parent(n)
            at = moment(self._created_on(n, self.sizes.tasks))
            yield "task", at, who, lead, ticket, None, n + 1, '{"text": "Follow up", "what": "created"}'

    def _notices(self) -> Iterator[Row]:
        """Two hundred notifications for each user, a dozen of them unread."""
        for key, _, _ in self.people:
            for n in range(min(200, self.sizes.leads)):
                made = self.now - timedelta(hours=n)
                lead = self.rng.randrange(self.sizes.leads) + 1
                read = None if n < 12 else moment(made + timedelta(minutes=5))
                payload = f'{{"number": "CRM-LEAD-2026-{lead:05d}"}}'
                yield f"assigned:bench:{n}:{key}", "assigned", key, self.manager, moment(made), lead, payload, read
