"""Demo data: an invented broking house with people, leads, customers, tickets and a month of history.

Everything is made up and comes out the same for the same `now`: addresses lie in domains that nobody owns, PANs
have the right shape only. The rows are written in bulk, and agree with what the domain would have written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder.security.sqla.models import assoc_user_group, assoc_user_role
from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.orm import Session

from app import access, models
from app.domain import tickets as desk
from app.domain.base import PREFIX, RuleBroken
from app.domain.tickets import ticket_subjects
from app.lib import phone
from app.lib.vault import Vault

SEED = 2026
ZONE = ZoneInfo("Asia/Kolkata")
#: How much is made for this many leads; other numbers of leads scale all of it.
FULL = {"leads": 400, "customers": 150, "tickets": 120, "tasks": 600, "calls": 2000, "messages": 260, "notes": 450}
DAYS = 30
Row = dict[str, Any]

#: Given names and family names in Latin, Devanagari and Gujarati script; their combinations are invented.
FIRST = (
    ("Aarav", "आरव", "આરવ"), ("Aditi", "अदिति", "અદિતિ"), ("Bhavesh", "भावेश", "ભાવેશ"), ("Chetan", "चेतन", "ચેતન"),
    ("Darshana", "दर्शना", "દર્શના"), ("Esha", "एषा", "એષા"), ("Falguni", "फाल्गुनी", "ફાલ્ગુની"), ("Gaurav", "गौरव", "ગૌરવ"),
    ("Harshad", "हर्षद", "હર્ષદ"), ("Ishita", "इशिता", "ઇશિતા"), ("Jignesh", "जिग्नेश", "જીગ્નેશ"),
    ("Kavita", "कविता", "કવિતા"),
    ("Lalit", "ललित", "લલિત"), ("Meera", "मीरा", "મીરા"), ("Nilesh", "नीलेश", "નીલેશ"), ("Ojas", "ओजस", "ઓજસ"),
    ("Pooja", "पूजा", "પૂજા"), ("Rakesh", "राकेश", "રાકેશ"), ("Sneha", "स्नेहा", "સ્નેહા"), ("Tushar", "तुषार", "તુષાર"),
    ("Urvashi", "उर्वशी", "ઉર્વશી"), ("Vivek", "विवेक", "વિવેક"), ("Yamini", "यामिनी", "યામિની"), ("Zubin", "ज़ुबिन", "ઝુબિન"),
)  # fmt: skip
LAST = (
    ("Agarwal", "अग्रवाल", "અગ્રવાલ"), ("Bhatt", "भट्ट", "ભટ્ટ"), ("Chauhan", "चौहान", "ચૌહાણ"), ("Desai", "देसाई", "દેસાઈ"),
    ("Gandhi", "गांधी", "ગાંધી"), ("Iyer", "अय्यर", "ઐયર"), ("Joshi", "जोशी", "જોશી"), ("Kulkarni", "कुलकर्णी", "કુલકર્ણી"),
    ("Mehta", "मेहता", "મહેતા"), ("Nair", "नायर", "નાયર"), ("Oza", "ओझा", "ઓઝા"), ("Patel", "पटेल", "પટેલ"),
    ("Rana", "राणा", "રાણા"), ("Shah", "शाह", "શાહ"), ("Trivedi", "त्रिवेदी", "ત્રિવેદી"), ("Vyas", "व्यास", "વ્યાસ"),
)  # fmt: skip
#: Team, role, first name, last name; whoever leads a team stands first in it, and the first of all leads Sales.
PEOPLE = (
    ("Sales West", "Sales Manager", "Asha", "Deshmukh"), ("Sales West", "Sales User", "Rohan", "Parikh"),
    ("Sales West", "Sales User", "Neha", "Solanki"), ("Sales West", "Sales User", "Manoj", "Thakkar"),
    ("Sales North", "Sales Manager", "Vikram", "Bhatia"), ("Sales North", "Sales User", "Priya", "Khanna"),
    ("Sales North", "Sales User", "Arjun", "Malhotra"), ("Sales North", "Sales User", "Sunita", "Rawat"),
    ("Support", "Support Manager", "Leena", "Fernandes"), ("Support", "Support User", "Kiran", "Gokhale"),
    ("Support", "Support User", "Dev", "Barot"), ("Support", "Support User", "Farah", "Sheikh"),
)  # fmt: skip
CITIES = ("Ahmedabad", "Surat", "Rajkot", "Vadodara", "Mumbai", "Pune", "Nashik", "Delhi", "Jaipur", "Lucknow")
STREETS = ("Station Road", "M G Road", "Ring Road", "Gandhi Chowk", "Lake View Society", "Market Yard", "Temple Street")
#: How a lead came to the status it has: the labels it went through, and how many of 100 leads end so.
PATHS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (14, ("New",)), (13, ("New", "Contacted")), (12, ("New", "Contacted", "Follow-up Scheduled")),
    (7, ("New", "Contacted", "Follow-up Scheduled", "Follow-up Complete")), (6, ("New", "Contacted", "Nurture")),
    (7, ("New", "Contacted", "Qualified")), (6, ("New", "Contacted", "Qualified", "Documents Collected")),
    (5, ("New", "Contacted", "Documents Collected", "Sent to HO")),
    (4, ("New", "Contacted", "Documents Collected", "Sent to HO", "Documents Verified")),
    (4, ("New", "Contacted", "Sent to HO", "Rejected - Follow-up Required")),
    (6, ("New", "Contacted", "Sent to HO", "Documents Verified", "Account Opened")),
    (7, ("New", "Contacted", "Sent to HO", "Documents Verified", "Account Opened", "Account Activated")),
    (4, ("New", "Contacted", "Unqualified")), (2, ("New", "Junk")), (2, ("New", "Contacted", "Lead Expired")),
    (1, ("New", "Contacted", "Account Opened", "Lead Expired (Account Opened)")),
)  # fmt: skip
REJECTIONS = (
    "Signature on the form differs from the PAN card", "Bank proof is older than three months",
    "Photograph missing on page 4", "Address proof does not match the form",
)  # fmt: skip
NOTES = (
    "Asked about brokerage for intraday; wants a comparison.", "Prefers calls after 5 pm.", "Speaks Gujarati at home.",
    "Will send the cancelled cheque tomorrow.", "Compares us with a discount broker.", "Trades futures and options.",
    "Wife wants a second account too.", "Documents are with the branch.", "Asked for a demo of the mobile app.",
    "कल शाम को फिर से बात करेंगे।", "શનિવારે ઓફિસ આવશે.", "Referred by his neighbour, trades since 2019.",
)  # fmt: skip
TASKS = (
    "Call back", "Collect the documents", "Send the account opening link", "Explain the brokerage plan",
    "Check the KYC status", "Visit the customer", "Confirm the first pay-in", "Demo of the mobile app",
)  # fmt: skip
OUTCOMES = (None, None, "Interested", "Call later", "Wrong person", "Asked for charges", "Will visit the branch")
SAYINGS = {
    "out": ("Namaste, this is Eshin Broking. Your account opening link: https://example.com/open",
            "Your documents have reached our head office.", "Reminder: please complete your re-KYC this week.",
            "नमस्ते, आपका खाता सक्रिय हो गया है।", "Your contract note for today has been sent."),
    "in": ("Please call me after 6.", "What are the charges for options?", "મારું એકાઉન્ટ ક્યારે ચાલુ થશે?",
           "I have sent the documents.", "Cannot log in since morning.", "धन्यवाद!"),
}  # fmt: skip
WISHES = ("He speaks the customer's language.", "The customer is in his area.", "I am away next week.")
FAILURES = ("The number is not on WhatsApp.", "The provider refused the template.", "Mailbox full.")
RESOLUTIONS = (
    "Explained on the phone; the customer confirmed.", "Corrected in the back office, ledger checked.",
    "Password reset link sent and used.", "Document re-uploaded and approved by the exchange.",
)  # fmt: skip
#: Month and day of what is the same each year, and the moveable days of 2026 on which the exchanges rest.
FIXED_HOLIDAYS = (
    (1, 26, "Republic Day"), (4, 14, "Dr Ambedkar Jayanti"), (5, 1, "Maharashtra Day"), (8, 15, "Independence Day"),
    (10, 2, "Gandhi Jayanti"), (12, 25, "Christmas"),
)  # fmt: skip
HOLIDAYS_2026 = (
    (3, 3, "Holi"), (3, 26, "Ram Navami"), (3, 31, "Mahavir Jayanti"), (4, 3, "Good Friday"), (5, 28, "Bakri Id"),
    (6, 26, "Muharram"), (9, 14, "Ganesh Chaturthi"), (10, 20, "Dussehra"), (11, 10, "Diwali"),
    (11, 24, "Guru Nanak Jayanti"),
)  # fmt: skip


def load(
    session: Session,
    now: datetime,
    leads: int = 400,
    vault: Vault | None = None,
    password_for: Callable[[str], str] | None = None,
) -> dict[str, int]:
    """Write the demo data into the caller's transaction; answers how many rows of each table were made.

    `password_for` gives the password *hash* of a user name; without it nobody of the demo can sign in.
    Without a vault no PAN is kept. Raises RuleBroken when the demo data is there, or masters are missing.
    """
    with access.as_system(session):
        _refuse_twice(session)
        house = _House(session, now.astimezone(UTC), leads, vault)
        _people(house, password_for or (lambda name: "!"))
        for step in (_direct_customers, _leads, _tickets, _tasks, _calls, _messages, _requests, _notices, _holidays):
            step(house)
        counts = house.write()
        access.touch(session)
    return counts


def _refuse_twice(session: Session) -> None:
    names = [_username(first, last) for _, _, first, last in PEOPLE]
    if session.execute(select(models.User.id).where(models.User.username.in_(names)).limit(1)).first():
        raise RuleBroken("The demo data is there already. Load it into an empty database to get it anew.")


# --- what the steps share ----------------------------------------------------------------------------------------

#: In the order in which foreign keys allow them to be written.
TABLES: tuple[Table, ...] = (
    models.User.__table__, assoc_user_role, models.Group.__table__, assoc_user_group, models.Customer.__table__,
    models.Lead.__table__, models.CustomerAccount.__table__, models.Ticket.__table__, ticket_subjects,
    models.Task.__table__, models.CallLog.__table__, models.Message.__table__, models.Assignment.__table__,
    models.AssignmentRequest.__table__, models.StatusChange.__table__, models.Activity.__table__,
    models.Notification.__table__, models.Holiday.__table__,
)  # fmt: skip


@dataclass
class _House:
    """The invented house while it is being made: rows by table, and who and what is there."""

    session: Session
    now: datetime
    size: int
    vault: Vault | None
    rng: Random = field(default_factory=lambda: Random(SEED))  # noqa: S311  # invented data
    rows: dict[str, list[Row]] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    #: Role name -> user ids; user id -> manager's id.
    staff: dict[str, list[int]] = field(default_factory=dict)
    boss: dict[int, int] = field(default_factory=dict)
    mobiles: set[str] = field(default_factory=set)
    turn: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> int:
        """How many of these for the wished number of leads."""
        return max(1, round(FULL[what] * self.size / FULL["leads"]))

    def add(self, record: Any, **values: Any) -> Row:
        """Keep a row with the next id of its table."""
        table = getattr(record, "__table__", record)
        if "id" in table.columns:
            if table.name not in self.ids:
                self.ids[table.name] = self.session.execute(select(func.max(table.c.id))).scalar() or 0
            self.ids[table.name] += 1
            values["id"] = self.ids[table.name]
        self.rows.setdefault(table.name, []).append(values)
        return values

    def of(self, record: Any) -> list[Row]:
        """The rows made so far."""
        return self.rows.setdefault(getattr(record, "__table__", record).name, [])

    def number(self, kind: str, at: datetime) -> str:
        """The next people-facing number of the series of that year."""
        key = (kind, at.year)
        if key not in self.numbers:
            series = models.NumberSeries
            query = select(series.last).where(series.kind == kind, series.year == at.year)
            self.numbers[key] = self.session.execute(query).scalar() or 0
        self.numbers[key] += 1
        return f"{PREFIX[kind]}-{at.year}-{self.numbers[key]:05d}"

    def some(self, values: Iterable[Any]) -> Any:
        """Any one of them."""
        return self.rng.choice(list(values))

    def often(self, share: float) -> bool:
        """True in that share of the cases."""
        return self.rng.random() < share

    def moment(self, start: datetime, end: datetime) -> datetime:
        """A moment of office hours (Monday to Saturday, 9:30 to 18:30 in India) between the two, if there is one."""
        span = max((end - start).total_seconds(), 1.0)
        for _ in range(60):
            at = start + timedelta(seconds=int(self.rng.random() * span))
            local = at.astimezone(ZONE)
            if local.weekday() < 6 and time(9, 30) <= local.time() < time(18, 30):
                return at
        return start + timedelta(seconds=int(self.rng.random() * span))

    def mobile(self) -> tuple[str, str]:
        """An invented Indian mobile, as somebody types it, and in E.164; none comes twice."""
        while (digits := str(self.rng.randint(9_000_000_000, 9_999_999_999))) in self.mobiles:
            pass
        self.mobiles.add(digits)
        typed = self.some((digits, f"{digits[:5]} {digits[5:]}", f"+91 {digits[:5]} {digits[5:]}", f"0{digits}"))
        return typed, phone.normal(typed) or f"+91{digits}"

    def pan(self) -> tuple[str | None, str | None]:
        """A sealed PAN of the right shape, and its blind index."""
        if self.vault is None:
            return None, None
        letters = "".join(self.rng.choices("ABCDEFGHJKLMNPRSTUVW", k=5))
        pan = f"{letters[:3]}P{letters[3]}{self.rng.randint(0, 9999):04d}{letters[4]}"
        return self.vault.seal(pan), self.vault.blind(pan, "pan")

    def contact(self) -> Row:
        """The contact fields of an invented person; three of four write in Latin script."""
        script = self.rng.choices((0, 1, 2), (75, 15, 10))[0]
        first, last = self.some(FIRST), self.some(LAST)
        mobile, e164 = self.mobile()
        other = self.mobile() if self.often(0.15) else (None, None)
        pan = self.pan() if self.often(0.3) else (None, None)
        email = f"{first[0]}.{last[0]}{self.rng.randint(1, 99)}@mail.example".lower()
        return {
            "first_name": first[script], "last_name": last[script], "mobile": mobile, "mobile_e164": e164,
            "alternative_mobile": other[0], "alternative_e164": other[1],
            "email": email if self.often(0.8) else None, "pan_sealed": pan[0], "pan_blind": pan[1],
            "address": self.address() if self.often(0.7) else None,
        }  # fmt: skip

    def address(self) -> str:
        """Somewhere in a city."""
        return f"{self.rng.randint(1, 240)}, {self.some(STREETS)}, {self.some(CITIES)}"

    def happened(self, kind: str, at: datetime, by: int | None, place: Row, **payload: Any) -> None:
        """A line of the timeline."""
        self.add(models.Activity, kind=kind, at=at, actor_id=by, payload=payload, **place)

    def in_turn(self, role: str) -> tuple[int, Row]:
        """Whose turn it is by round robin, and the decision as the Assignment row keeps it."""
        people = self.staff[role]
        chosen = people[self.turn.get(role, 0) % len(people)]
        self.turn[role] = self.turn.get(role, 0) + 1
        return chosen, {"role": role, "candidates": people, "skipped": []}

    def write(self) -> dict[str, int]:
        """Insert everything in bulk, advance the number series and the round robin."""
        for table in TABLES:
            rows = self.rows.get(table.name, [])
            if table.name == "activity":
                _in_order_of_time(rows)
            if rows:
                names = dict.fromkeys(name for row in rows for name in row)
                self.session.execute(insert(table), [dict.fromkeys(names) | row for row in rows])
        self._advance()
        return {name: len(rows) for name, rows in self.rows.items() if rows}

    def _advance(self) -> None:
        series = models.NumberSeries
        for (kind, year), last in self.numbers.items():
            step = update(series).where(series.kind == kind, series.year == year).values(last=last)
            if not self.session.execute(step).rowcount:  # type: ignore[attr-defined]
                self.session.execute(insert(series).values(kind=kind, year=year, last=last))
        for role, turns in self.turn.items():
            people = self.staff[role]
            where = models.RoundRobin.role_id == _role_id(self, role)
            values = {"last_user_id": people[(turns - 1) % len(people)], "turns": turns}
            if not self.session.execute(update(models.RoundRobin).where(where).values(values)).rowcount:  # type: ignore[attr-defined]
                self.session.execute(insert(models.RoundRobin).values(role_id=_role_id(self, role), **values))


def _in_order_of_time(rows: list[Row]) -> None:
    """A record page reads the timeline by id: give the ids out in order of time."""
    ids = [row["id"] for row in rows]
    rows.sort(key=lambda row: row["at"])
    for row, key in zip(rows, ids, strict=True):
        row["id"] = key


def _stamps(by: int | None, made: datetime, changed: datetime | None = None, changed_by: int | None = None) -> Row:
    return {"created_on": made, "created_by_id": by, "changed_on": changed or made,
            "changed_by_id": changed_by if changed else by}  # fmt: skip


def _role_id(house: _House, name: str) -> int:
    found = house.session.execute(select(models.Role.id).where(models.Role.name == name)).scalar()
    if found is None:
        raise RuleBroken(f"There is no role named “{name}”. Bring the database up to date first.")
    return int(found)


def _labels(house: _House, master: Any) -> dict[str, int]:
    """Label -> id of the active rows of a master, in their order."""
    query = select(master.label, master.id).where(master.is_active).order_by(master.position, master.id)
    return dict(house.session.execute(query).all())


def _username(first: str, last: str) -> str:
    return f"{first}.{last}".lower()


# --- the steps, in order -----------------------------------------------------------------------------------------


def _people(house: _House, password_for: Callable[[str], str]) -> None:
    joined = house.now - timedelta(days=200)
    leader: dict[str, int] = {}
    for team, role, first, last in PEOPLE:
        name = _username(first, last)
        mobile, e164 = house.mobile()
        user = house.add(
            models.User, first_name=first, last_name=last, username=name, email=f"{name}@eshin.example", active=True,
            password=password_for(name), login_count=0, fail_login_count=0, available=True,
            created_on=joined, changed_on=joined, created_by_fk=None, changed_by_fk=None, mobile=mobile,
            mobile_e164=e164, manager_id=leader.get(team), time_zone=str(ZONE), locale="en",
        )  # fmt: skip
        if team not in leader:
            house.add(models.Group, name=team, label=team, description=f"The team of {first} {last}")
            leader[team] = user["id"]
        house.add(assoc_user_role, user_id=user["id"], role_id=_role_id(house, role))
        house.add(assoc_user_group, user_id=user["id"], group_id=house.of(models.Group)[-1]["id"])
        house.staff.setdefault(role, []).append(user["id"])
        house.boss[user["id"]] = leader[team]
    _leave(house)


def _leave(house: _House) -> None:
    """One sales user goes on leave the day after tomorrow; a colleague stands in."""
    away, stand_in = house.of(models.User)[2], house.of(models.User)[1]
    starts = datetime.combine(house.now.astimezone(ZONE).date() + timedelta(days=2), time(0), ZONE).astimezone(UTC)
    away |= {"leave_from": starts, "leave_to": starts + timedelta(days=5), "delegate_id": stand_in["id"]}


def _new_customer(house: _House, person: Row, source: str, owner: int, at: datetime, text: str) -> Row:
    kyc = house.rng.choices(("Verified", "Pending", "Re-KYC due", "Rejected"), (70, 18, 9, 3))[0]
    customer = house.add(
        models.Customer, number=house.number("CUST", at), version=1, source=source, owner_id=owner, kyc_status=kyc,
        status="Inactive" if house.often(0.06) else "Active", referral_code=None, referred_by=None,
        rekyc_on=house.now.date() + timedelta(days=house.rng.randint(5, 700)) if kyc == "Verified" else None,
        no_calls=house.often(0.05), no_whatsapp=house.often(0.04), no_sms=house.often(0.05), no_email=house.often(0.05),
        **person, **_stamps(owner, at),
    )  # fmt: skip
    house.happened("system", at, owner, {"customer_id": customer["id"]}, text=text)
    return customer


def _direct_customers(house: _House) -> None:
    """Those who never were leads: about two of three."""
    kinds = list(_labels(house, models.AccountType).values())
    owners = house.staff["Sales User"] + house.staff["Support User"]
    for n in range(max(1, house.count("customers") - round(house.size * 0.14))):
        at = house.moment(house.now - timedelta(days=180), house.now - timedelta(days=2))
        owner = house.some(owners)
        source = house.rng.choices(("Direct", "Ticket", "Other"), (60, 30, 10))[0]
        customer = _new_customer(house, house.contact(), source, owner, at, "Customer created")
        if house.often(0.8):
            _account(house, customer, f"ESH{10_000 + n}", None, house.some(kinds) if kinds else None, owner, at, at)


def _account(house: _House, customer: Row, client_id: str, lead: int | None, kind: int | None, by: int | None,
             opened: datetime, activated: datetime | None) -> None:  # fmt: skip
    house.add(
        models.CustomerAccount, customer_id=customer["id"], client_id=client_id, account_type_id=kind, lead_id=lead,
        opened_on=opened, activated_on=activated, **_stamps(by, opened),
    )  # fmt: skip
    customer["referral_code"] = customer["referral_code"] or client_id


def _leads(house: _House) -> None:
    statuses = _labels(house, models.LeadStatus)
    if not statuses:
        raise RuleBroken("The list of lead statuses is empty. Bring the database up to date first.")
    sources = list(_labels(house, models.LeadSource).values())
    kinds = list(_labels(house, models.AccountType).values())
    direct = list(house.of(models.Customer))
    # Every path at least once, the rest by their shares; then in order of time, as the numbers demand.
    chosen = [path for _, path in PATHS][: house.size]
    shares = [share for share, _ in PATHS]
    chosen += house.rng.choices([path for _, path in PATHS], shares, k=max(0, house.size - len(chosen)))
    plans = sorted(((_created(house, path), n, path) for n, path in enumerate(chosen)), key=lambda plan: plan[:2])
    for at, n, path in plans:
        lead = _lead(house, at, n, statuses, {"source_id": house.some(sources) if sources else None,
                                              "account_type_id": house.some(kinds) if kinds else None})  # fmt: skip
        if house.often(0.05) and len(path) < 6:
            _known_person(lead, house.some(direct))
        _walk(house, lead, path, statuses)
        _hand_on(house, lead)


def _created(house: _House, path: tuple[str, ...]) -> datetime:
    days = DAYS
    if path[-1].startswith("Lead Expired"):  # it lay untouched for 60 (opened: 30) days first
        days = 95
        return house.moment(house.now - timedelta(days=days), house.now - timedelta(days=days - 15))
    latest = house.now - timedelta(hours=max(0.1, 30 * (len(path) - 1)))
    return house.moment(house.now - timedelta(days=days), latest)


def _lead(house: _House, at: datetime, n: int, statuses: dict[str, int], rest: Row) -> Row:
    assignee, decision = house.in_turn("Sales User")
    by = house.rng.choices((house.boss[assignee], assignee), (55, 45))[0]
    reason = "created" if by == assignee else house.some(("round robin", "round robin", "direct"))
    person = house.contact()
    lead = house.add(
        models.Lead, number=house.number("LEAD", at), version=1, status_id=_first(statuses, "New"), status_on=at,
        category=house.rng.choices(("Direct", "Indirect"), (80, 20))[0], assignee_id=assignee, owner_id=by,
        assigned_role="Sales User" if reason == "round robin" else None, **person, **rest, **_stamps(by, at),
        next_follow_up_on=None, customer_id=None, client_id=None, pod_id=None, rejection_reason=None, replied_on=None,
        referral=f"ESH{10_000 + house.rng.randint(0, 60)}" if house.often(0.2) else None, opened_on=None,
        activated_on=None, converted_on=None, description=house.some(NOTES) if house.often(0.3) else None,
        reply_due_on=None, date_of_birth=date(house.rng.randint(1955, 2004), house.rng.randint(1, 12), 1 + n % 28),
        called=_name(person),
    )  # fmt: skip
    place = {"lead_id": lead["id"]}
    house.happened("system", at, by, place, text="Lead created")
    house.add(models.StatusChange, **place, from_id=None, to_id=lead["status_id"], at=at, by_id=by, seconds=None)
    _give(house, place, assignee, None, reason, by, at, decision if reason == "round robin" else {})
    return lead


def _name(person: Row) -> str:
    return f"{person['first_name']} {person['last_name']}"


def _first(found: dict[str, int], label: str) -> int:
    """The id of a label; of the first row where a manager has renamed it."""
    return found.get(label) or next(iter(found.values()))


def _give(house: _House, place: Row, to: int, old: int | None, reason: str, by: int | None, at: datetime,
          decision: Row) -> None:  # fmt: skip
    house.add(models.Assignment, **place, user_id=to, started_on=at, ended_on=None, reason=reason, by_id=by,
              decision=decision)  # fmt: skip
    house.happened("assignment", at, by, place, to=to, old=old, reason=reason)


def _known_person(lead: Row, customer: Row) -> None:
    """The mobile was a known customer's: linked, and the lead's own contact is empty."""
    lead |= {"customer_id": customer["id"], "called": _name(customer)}
    for name in ("first_name", "last_name", "mobile", "mobile_e164", "alternative_mobile", "alternative_e164", "email",
                 "address", "pan_sealed", "pan_blind"):  # fmt: skip
        lead[name] = None


def _walk(house: _House, lead: Row, path: tuple[str, ...], statuses: dict[str, int]) -> None:
    """Move the lead through the labels of its path, with what each gate demands."""
    marks = _marks(house, lead["created_on"], path)
    for label, at in zip(path[1:], marks, strict=True):
        if label not in statuses:
            continue
        by = None if label.startswith("Lead Expired") else lead["assignee_id"]
        note = _gate(house, lead, label, by, at)
        change = {"from": lead["status_id"], "to": statuses[label]}
        seconds = int((at - lead["status_on"]).total_seconds())
        house.add(models.StatusChange, lead_id=lead["id"], from_id=change["from"], to_id=change["to"], at=at, by_id=by,
                  seconds=seconds)  # fmt: skip
        place = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
        house.happened("status_change", at, by, place, **change, note=note)
        lead |= {"status_id": change["to"], "status_on": at, "changed_on": at, "changed_by_id": by}
        lead["replied_on"] = lead["replied_on"] or at
    lead["label"] = path[-1] if path[-1] in statuses else "New"
    if len(path) == 1 and house.now - lead["created_on"] < timedelta(hours=20):
        lead["reply_due_on"] = house.now + timedelta(minutes=house.rng.randint(20, 400))


def _marks(house: _House, start: datetime, path: tuple[str, ...]) -> list[datetime]:
    if path[-1].startswith("Lead Expired"):
        rest = timedelta(days=31 if "Account" in path[-1] else 61)
        marks = sorted(house.moment(start + timedelta(hours=1), start + timedelta(days=10)) for _ in path[2:])
        return [*marks, datetime.combine((marks[-1] + rest).date(), time(4, 30), UTC)]
    return sorted(house.moment(start + timedelta(minutes=20), house.now) for _ in path[1:])


def _gate(house: _House, lead: Row, label: str, by: int | None, at: datetime) -> str | None:
    if label == "Sent to HO":
        lead["pod_id"] = f"POD{at:%y%m}{house.rng.randint(1, 60):03d}"
        return str(lead["pod_id"])
    if label.startswith("Rejected"):
        lead["rejection_reason"] = house.some(REJECTIONS)
        return str(lead["rejection_reason"])
    if label == "Account Opened":
        _open(house, lead, by, at)
    if label == "Account Activated":
        lead["activated_on"] = at
        account = house.of(models.CustomerAccount)[-1]
        account |= {"activated_on": at}
        if house.often(0.6):
            _convert(house, lead, by, at)
    return lead["client_id"] if label in ("Account Opened", "Account Activated") else None


def _open(house: _House, lead: Row, by: int | None, at: datetime) -> None:
    """The lead becomes a customer with an account; its contact fields move over."""
    lead |= {"client_id": f"ESH{20_000 + lead['id']}", "opened_on": at}
    names = ("first_name", "last_name", "mobile", "mobile_e164", "alternative_mobile", "alternative_e164", "email",
             "address", "pan_sealed", "pan_blind")  # fmt: skip
    if lead["customer_id"] is None:
        person = {name: lead[name] for name in names}
        text = f"Customer created from {lead['number']}"
        customer = _new_customer(house, person, "Lead", lead["owner_id"], at, text)
        _known_person(lead, customer)
    else:
        customer = next(row for row in house.of(models.Customer) if row["id"] == lead["customer_id"])
    _account(house, customer, lead["client_id"], lead["id"], lead["account_type_id"], by, at, None)


def _convert(house: _House, lead: Row, by: int | None, at: datetime) -> None:
    lead["converted_on"] = min(at + timedelta(minutes=30), house.now)
    number = next(row["number"] for row in house.of(models.Customer) if row["id"] == lead["customer_id"])
    place = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
    house.happened("system", lead["converted_on"], by, place, text=f"Converted to {number}", what="converted")


def _hand_on(house: _House, record: Row) -> None:
    """Now and then somebody else got the record after a while."""
    is_lead = "pod_id" in record
    if not house.often(0.15) or house.now - record["created_on"] < timedelta(days=2):
        return
    old = record["assignee_id"]
    colleagues = house.staff["Sales User" if is_lead else "Support User"]
    new = house.some(user for user in colleagues if user != old)
    at = house.moment(record["created_on"] + timedelta(hours=2), house.now)
    reason, by = house.some((("overdue", None), ("direct", house.boss[old]), ("bulk", house.boss[old])))
    own = {"lead_id" if is_lead else "ticket_id": record["id"]}
    house.of(models.Assignment)[-1]["ended_on"] = at
    _give(house, own, new, old, reason, by, at, {})
    record["assignee_id"] = new
    record["changed_on"] = max(record["changed_on"], at)


def _tickets(house: _House) -> None:
    statuses = _labels(house, models.TicketStatus)
    subjects = list(_labels(house, models.TicketSubject).items())
    if not statuses or not subjects:
        raise RuleBroken("The lists of ticket statuses and subjects are empty. Bring the database up to date first.")
    customers = house.of(models.Customer)
    moments = sorted(
        house.moment(house.now - timedelta(days=DAYS), house.now - timedelta(minutes=15))
        for _ in range(house.count("tickets"))
    )
    for n, at in enumerate(moments):
        chosen = house.rng.sample(subjects, k=min(len(subjects), house.rng.choices((1, 2, 3), (70, 22, 8))[0]))
        ticket = _ticket(house, at, house.some(customers), [label for label, _ in chosen], statuses)
        for _, subject in chosen:
            house.add(ticket_subjects, ticket_id=ticket["id"], subject_id=subject)
        _settle(house, ticket, statuses, n)
        _hand_on(house, ticket)


def _ticket(house: _House, at: datetime, customer: Row, subjects: list[str], statuses: dict[str, int]) -> Row:
    assignee, decision = house.in_turn("Support User")
    by = house.rng.choices((assignee, house.boss[assignee]), (60, 40))[0]
    reason = "created" if by == assignee else "round robin"
    ticket = house.add(
        models.Ticket, number=house.number("TICKET", at), title=", ".join(subjects)[:500], version=1, status_on=at,
        priority=house.rng.choices(desk.PRIORITIES, (20, 50, 22, 8))[0], status_id=_first(statuses, "New"),
        source=house.rng.choices(desk.SOURCES, (40, 15, 20, 20, 5))[0], customer_id=customer["id"], lead_id=None,
        description=f"Customer asks about: {subjects[0].lower()}.", assignee_id=assignee, owner_id=by,
        assigned_role="Support User" if reason == "round robin" else None, reply_due_on=None, replied_on=None,
        resolve_due_on=None, paused_on=None, resolution=None, resolved_on=None, **_stamps(by, at),
    )  # fmt: skip
    place = {"ticket_id": ticket["id"], "customer_id": customer["id"]}
    house.happened("system", at, by, place, text="Ticket created")
    house.add(models.StatusChange, ticket_id=ticket["id"], from_id=None, to_id=ticket["status_id"], at=at, by_id=by,
              seconds=None)  # fmt: skip
    _give(house, {"ticket_id": ticket["id"]}, assignee, None, reason, by, at,
          decision if reason == "round robin" else {})  # fmt: skip
    return ticket


def _settle(house: _House, ticket: Row, statuses: dict[str, int], n: int) -> None:
    """Bring the ticket to a status; the older it is, the likelier it has ended."""
    age = (house.now - ticket["created_on"]).days
    going = ("New", "Open", "In Progress", "Follow-up Scheduled", "Waiting for Customer")
    ended = ("Resolved", "Closed", "Closed")
    label = house.some(ended) if n >= len(statuses) and house.often(0.2 + age / 40) else house.some(going)
    if n < len(statuses):
        label = list(statuses)[n]
    path = [step for step in ("Open", label) if step in statuses] if label != "New" else []
    marks = sorted(house.moment(ticket["created_on"] + timedelta(minutes=5), house.now) for _ in dict.fromkeys(path))
    for step, at in zip(dict.fromkeys(path), marks, strict=True):
        _move_ticket(house, ticket, step, statuses[step], at)
    ticket["label"] = label
    if label not in ended:
        _owe(house, ticket)


def _move_ticket(house: _House, ticket: Row, label: str, status: int, at: datetime) -> None:
    by = ticket["assignee_id"]
    if label in ("Resolved", "Closed"):
        ticket |= {"resolution": house.some(RESOLUTIONS), "resolved_on": at}
    if label == "Waiting for Customer":
        ticket["paused_on"] = at
    house.add(models.StatusChange, ticket_id=ticket["id"], from_id=ticket["status_id"], to_id=status, at=at, by_id=by,
              seconds=int((at - ticket["status_on"]).total_seconds()))  # fmt: skip
    place = {"ticket_id": ticket["id"], "customer_id": ticket["customer_id"]}
    house.happened("status_change", at, by, place, **{"from": ticket["status_id"], "to": status},
                   note=ticket["resolution"])  # fmt: skip
    ticket |= {"status_id": status, "status_on": at, "changed_on": at, "changed_by_id": by}
    ticket["replied_on"] = ticket["replied_on"] or at


def _owe(house: _House, ticket: Row) -> None:
    """The clock of an open ticket: nearly all within their time, so that the minute job finds a few only."""
    late = ticket["id"] % 25 == 0
    ahead = timedelta(minutes=-house.rng.randint(10, 90) if late else house.rng.randint(90, 2_880))
    ticket["resolve_due_on"] = house.now + ahead
    if ticket["replied_on"] is None:
        ticket["reply_due_on"] = house.now + timedelta(minutes=house.rng.randint(15, 240))


# --- what hangs on leads and tickets -----------------------------------------------------------------------------

OVER = ("Account Opened", "Account Activated", "Unqualified", "Junk", "Lead Expired", "Lead Expired (Account Opened)",
        "Resolved", "Closed")  # fmt: skip


def _tasks(house: _House) -> None:
    records = [*house.of(models.Lead), *house.of(models.Ticket)]
    extra = max(0, house.count("tasks") - len(records))
    weighted = [*records, *(house.some(house.of(models.Lead)) for _ in range(extra))]
    late = iter(_lateness(house))
    for n, record in enumerate(weighted):
        is_first, is_over = n < len(records), record["label"] in OVER
        fresh = timedelta(days=4) > house.now - record["created_on"]
        is_open = not is_over and (record["label"].endswith("Scheduled") or fresh or house.often(0.35))
        due = None
        if is_open and not record["label"].endswith("Scheduled"):
            due = next(late, None)
        _task(house, record, is_first, is_open, due)
    for record in records:
        record.pop("label")
        record.pop("called", None)


def _lateness(house: _House) -> list[tuple[str, datetime]]:
    """A handful is overdue: some for the minute job to hand on, some in their grace, some that nobody watches."""
    handed_on = [("Todo", house.now - timedelta(minutes=minutes)) for minutes in (45, 50, 70, 95, 130)]
    in_grace = [("In Progress", house.now - timedelta(minutes=minutes)) for minutes in (4, 9, 15, 22)]
    unwatched = [("Backlog", house.now - timedelta(days=days)) for days in (1, 2, 2, 4, 6)]
    return handed_on + in_grace + unwatched


def _task(house: _House, record: Row, is_first: bool, is_open: bool, late: tuple[str, datetime] | None) -> None:
    is_lead = "pod_id" in record
    latest = late[1] if late else house.now
    made = record["created_on"] if is_first else house.moment(record["created_on"], latest)
    made = min(made, latest - timedelta(minutes=1)) if late and made > latest else made
    by = record["created_by_id"]
    status, due, done = late[0] if late else house.some(("Todo", "Todo", "In Progress", "Backlog")), None, None
    if late:
        due = late[1]
    elif is_open:
        due = _ahead(house)
    else:
        status = house.rng.choices(("Done", "Canceled"), (90, 10))[0]
        due = made + timedelta(hours=house.rng.randint(1, 48))
        done = house.moment(made, min(due + timedelta(hours=6), house.now)) if status == "Done" else None
    own = {"lead_id" if is_lead else "ticket_id": record["id"]}
    text = _title(house, record, is_first, is_lead)
    task = house.add(
        models.Task, title=text, status=status, version=1, due_on=due, done_on=done, owner_id=by, exhausted=False,
        priority=house.rng.choices(("Low", "Medium", "High"), (20, 55, 25))[0], assignee_id=record["assignee_id"],
        tried=[], remind_on=_remind(house, due) if is_open else None, **own, **_stamps(by, made, done, by),
    )  # fmt: skip
    place = {"task_id": task["id"], "customer_id": record["customer_id"], **own}
    told = {"text": text, "what": "created", "due": due.isoformat(), "assignee": task["assignee_id"]}
    house.happened("task", made, by, place, **told)
    if done:
        house.happened("task", done, record["assignee_id"], place, text=text, what="done",
                       changes=[["status", "Todo", "Done"]])  # fmt: skip
    if is_lead and is_open:
        record["next_follow_up_on"] = due


def _title(house: _House, record: Row, is_first: bool, is_lead: bool) -> str:
    if not is_first:
        return str(house.some(TASKS))
    if not is_lead:
        return f"Handle ticket: {record['title']}"[:200]
    return f"Follow up: {record['called']}"


def _ahead(house: _House) -> datetime:
    """Later today for one in five, else within the next ten days, in office hours."""
    close = datetime.combine(house.now.astimezone(ZONE).date(), time(18, 30), ZONE).astimezone(UTC)
    soon = house.now + timedelta(minutes=20)
    if soon < close and house.often(0.2):
        return house.moment(soon, close)
    return house.moment(max(soon, house.now + timedelta(hours=12)), house.now + timedelta(days=10))


def _remind(house: _House, due: datetime) -> datetime | None:
    """What tasks.arm would say; moments that have passed were served."""
    moments = (due - timedelta(minutes=60), due - timedelta(minutes=5), due + timedelta(hours=1))
    return next((moment for moment in moments if moment >= house.now), None)


def _calls(house: _House) -> None:
    leads, customers = house.of(models.Lead), house.of(models.Customer)
    by_id = {row["id"]: row for row in customers}
    plans: list[tuple[datetime, int, Row | None, Row | None]] = []
    for _ in range(house.count("calls")):
        lead = house.some(leads) if house.often(0.6) else None
        customer = by_id.get(lead["customer_id"]) if lead else (house.some(customers) if house.often(0.6) else None)
        start = max(lead["created_on"] if lead else house.now - timedelta(days=DAYS), house.now - timedelta(days=DAYS))
        plans.append((house.moment(start, house.now - timedelta(minutes=10)), len(plans), lead, customer))
    for at, n, lead, customer in sorted(plans, key=lambda plan: plan[:2]):
        _call(house, at, n, lead, customer)


def _call(house: _House, at: datetime, n: int, lead: Row | None, customer: Row | None) -> None:
    worker = lead["assignee_id"] if lead else house.some(house.staff["Sales User"] + house.staff["Support User"])
    peer = (customer or lead or {}).get("mobile_e164") or house.mobile()[1]
    direction = house.rng.choices(("Outgoing", "Incoming"), (70, 30))[0]
    missed = "Missed Call" if direction == "Incoming" else house.some(("No Answer", "Did Not Picked", "Busy"))
    status = "Completed" if house.often(0.68) else missed
    seconds = min(3600, int(house.rng.expovariate(1 / 140)) + 4) if status == "Completed" else 0
    own = house.of(models.User)[worker - house.of(models.User)[0]["id"]]["mobile_e164"]
    medium = house.rng.choices(("mobile", "manual"), (88, 12))[0]
    place = {"lead_id": lead["id"] if lead else None, "customer_id": customer["id"] if customer else None}
    call = house.add(
        models.CallLog, device_call_id=f"demo-{n}" if medium == "mobile" else None, direction=direction, status=status,
        from_number=own if direction == "Outgoing" else peer, to_number=peer if direction == "Outgoing" else own,
        other_e164=peer, started_on=at, ended_on=at + timedelta(seconds=seconds), duration_seconds=seconds,
        native={"type": direction.upper(), "duration": seconds} if medium == "mobile" else {}, employee_id=worker,
        cold=not any(place.values()) and direction == "Outgoing", medium=medium, outcome=house.some(OUTCOMES),
        ticket_id=None, recording=None, **place, **_stamps(worker, at + timedelta(seconds=seconds + 60)),
    )  # fmt: skip
    if any(place.values()):
        text = f"{direction} call, {status}"
        house.happened("call", call["created_on"], worker, place, text=text, call=call["id"], seconds=seconds)


def _messages(house: _House) -> None:
    by_id = {row["id"]: row for row in house.of(models.Customer)}
    plans = []
    for n in range(house.count("messages")):
        lead = house.some(house.of(models.Lead))
        plans.append((house.moment(lead["created_on"], house.now), n, lead, by_id.get(lead["customer_id"])))
    for at, n, lead, customer in sorted(plans, key=lambda plan: plan[:2]):
        _message(house, at, n, lead, customer)
    for _ in range(house.count("notes")):
        lead = house.some(house.of(models.Lead))
        place = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
        kind = house.some(("note", "note", "comment"))
        at = house.moment(lead["created_on"], house.now)
        house.happened(kind, at, lead["assignee_id"], place, text=house.some(NOTES))


def _message(house: _House, at: datetime, n: int, lead: Row, customer: Row | None) -> None:
    person = customer or lead
    channel = house.rng.choices(("whatsapp", "sms", "email"), (65, 20, 15))[0]
    channel = "whatsapp" if channel == "email" and not person["email"] else channel
    direction = "in" if channel == "whatsapp" and house.often(0.35) else "out"
    failed = direction == "out" and house.often(0.06)
    state = house.rng.choices(("read", "delivered", "sent"), (55, 35, 10))[0] if direction == "out" else "delivered"
    by = lead["assignee_id"] if direction == "out" else None
    place = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
    message = house.add(
        models.Message, channel=channel, direction=direction, body=house.some(SAYINGS[direction]), native={},
        peer=person["email"] if channel == "email" else person["mobile_e164"], state="failed" if failed else state,
        subject="Your account with Eshin Broking" if channel == "email" else None, ticket_id=None, cause=None,
        reason=house.some(FAILURES) if failed else None, tries=5 if failed else int(direction == "out"),
        due_on=at if direction == "out" else None, provider_id=None if failed else f"demo-{n}", **place,
        **_stamps(by, at),
    )  # fmt: skip
    house.happened("message", at, by, place, message=message["id"], channel=channel)


def _requests(house: _House) -> None:
    """A few wait for a decision, two were decided."""
    leads = [row for row in house.of(models.Lead) if house.now - row["created_on"] > timedelta(days=1)]
    for n, lead in enumerate(house.rng.sample(leads, k=min(6, len(leads)))):
        by = lead["assignee_id"]
        wanted = house.some(user for user in house.staff["Sales User"] if user != by)
        at = house.now - timedelta(minutes=90 * (6 - n))
        status = {0: "Approved", 1: "Rejected"}.get(n, "Pending")
        decided = status != "Pending"
        reason = house.some(WISHES)
        house.add(
            models.AssignmentRequest, number=house.number("CAR", at), lead_id=lead["id"], ticket_id=None, status=status,
            requested_user_id=wanted, reason=reason, decided_by_id=house.boss[wanted] if decided else None,
            pending_key=None if decided else f"leads:{lead['id']}:{wanted}",
            decided_on=at + timedelta(minutes=40) if decided else None,
            decision_note="Please finish the documents first." if status == "Rejected" else None, **_stamps(by, at),
        )  # fmt: skip
        house.happened("assignment", at, by, {"lead_id": lead["id"]}, what="requested", to=wanted, text=reason)
        if status == "Approved":
            _approve(house, lead, wanted, at + timedelta(minutes=40))


def _approve(house: _House, lead: Row, to: int, at: datetime) -> None:
    old = lead["assignee_id"]
    stretch = [row for row in house.of(models.Assignment) if row.get("lead_id") == lead["id"]][-1]
    stretch["ended_on"] = at
    _give(house, {"lead_id": lead["id"]}, to, old, "request", house.boss[to], at, {})
    lead |= {"assignee_id": to, "changed_on": at, "changed_by_id": house.boss[to]}


def _notices(house: _House) -> None:
    """The bell of each person: the latest assignments, pending requests, and what falls due."""
    told: dict[int, list[Row]] = {}
    for record, column, table in ((models.Lead, "lead_id", "leads"), (models.Ticket, "ticket_id", "ticket")):
        for row in house.of(record):
            key = f"assigned:{table}:{row['id']}:{row['created_on'].isoformat()}"
            told.setdefault(row["assignee_id"], []).append(
                {"kind": "assigned", "event_key": key, "at": row["created_on"], column: row["id"],
                 "actor_id": row["created_by_id"], "payload": {"number": row["number"]}}
            )  # fmt: skip
    for row in house.of(models.AssignmentRequest):
        key = f"request:{row['id']}"
        told.setdefault(house.boss[row["requested_user_id"]], []).append(
            {"kind": "request", "event_key": key, "at": row["created_on"], "lead_id": row["lead_id"],
             "actor_id": row["created_by_id"], "payload": {"number": row["number"]}}
        )  # fmt: skip
    records = house.of(models.Lead) + house.of(models.Ticket)
    for leader in dict.fromkeys(house.boss.values()):
        mine = [row for row in records if house.boss[row["assignee_id"]] == leader]
        for row in mine[-4:]:
            told.setdefault(leader, []).append(_moved(row))
    for user, events in told.items():
        for event in sorted((e for e in events if e["actor_id"] != user), key=lambda e: e["at"])[-8:]:
            read = event["at"] + timedelta(hours=2) if house.now - event["at"] > timedelta(hours=26) else None
            event |= {"event_key": f"{event['event_key']}:{user}", "user_id": user, "read_on": read}
            house.add(models.Notification, **event)


def _moved(row: Row) -> Row:
    kind = "lead" if "pod_id" in row else "ticket"
    key = f"status:{kind}:{row['id']}:{row['status_on'].isoformat()}"
    return {"kind": "status", "event_key": key, "at": row["status_on"], f"{kind}_id": row["id"],
            "actor_id": row["assignee_id"],
            "payload": {"number": row["number"], "status": row["status_id"]}}  # fmt: skip


def _holidays(house: _House) -> None:
    year = house.now.astimezone(ZONE).year
    known = set(house.session.scalars(select(models.Holiday.day)))
    for month, day, label in (*FIXED_HOLIDAYS, *(HOLIDAYS_2026 if year == 2026 else ())):
        if date(year, month, day) not in known:
            house.add(models.Holiday, day=date(year, month, day), label=label, starts=None, ends=None)
