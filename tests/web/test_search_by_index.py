"""Searches by index find the same as a row-by-row condition, on random data, however common a text is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select

from app import access
from app.access.search.word_search import searchable_words
from app.extensions import db
from app.lib import phone
from app.models import Customer, Lead, Task, Ticket
from app.web.core.fields.lookups import load_lookups
from app.web.core.queries.text_search import TextSearch, matching_all
from app.web.core.viewer import Viewer
from app.web.records.customers import CustomerScreen
from app.web.records.leads import LeadScreen
from app.web.records.tasks import TaskScreen
from app.web.records.tickets import TicketScreen
from tests.app_fixtures import Crm
from tests.factories import NOW

FIRST = (
    *("Aarav", "aarav", "Aarav Kumar", "Aaravi", "Ravi", "आरव", "Meera", "D'Souza", "Patel", None),
    *("Meera Kumari", "आरव कुमार", "Ravi O’Neil", "Aarav Patel Rao"),
)
LAST = ("Patel", "Patel Rao", "Shah", "Pat", "पटेल", "De Sa", "D’Silva", "Aarav", "Kumar Shah", None)
TITLES = ("Call back", "Send the ledger", "शिकायत के बारे में", "ફરિયાદ વિશે વાત", "KYC documents", "Call about KYC")
TEXTS = (
    *("Aarav", "aarav", "Aarav Patel", "patel aarav", "Aarav Kumar Pat", "rav", "आरव", "आरव पटेल", "D'S", "D’Silva"),
    *(
        "12345",
        "9820012345",
        "+91 98200 12345",
        "99999",
        "2345",
        "E10234",
        "0234",
        "e102",
        "E1",
        "a.rao@x",
        "100%",
        "_",
    ),
    *("CRM-LEAD-2026-00007", "7", "00007", "ledger", "शिकायत", "ફરિયાદ વિશે", "Call", "KY", "nobody"),
    "Call about",
    *("Kumar", "kumar pat", "patel kumar", "kum pat", "pat kum", "kumar aarav", "rao aar", "sa meera", "rao patel"),
    *("कुमार", "कुमार पटेल", "कुमार आरव", "O'N", "pat o'neil", "patel rao", "kumar patel rao", "shah ravi"),
)
SCREENS = {Lead: LeadScreen, Ticket: TicketScreen, Customer: CustomerScreen, Task: TaskScreen}


@dataclass
class Dataset:
    """The application with random rows."""

    crm: Crm
    rows: dict[Any, dict[int, dict[str, Any]]]


def _person(rng: Random) -> dict[str, Any]:
    digits = f"98200{rng.choice(('12345', '99999', '54321', '11111'))}"
    other = f"97{rng.randrange(10**8):08d}" if rng.random() < 0.2 else None
    email = rng.choice((None, "a.rao@x.in", "meera@x.in", "a.rao1@x.in"))
    return {
        "first_name": rng.choice(FIRST),
        "last_name": rng.choice(LAST),
        "mobile_e164": f"+91{digits}" if rng.random() < 0.7 else None,
        "alternative_e164": f"+91{other}" if other else None,
        "email": email,
    }


def fill(crm: Crm) -> Dataset:
    rng = Random(5)
    users = [crm.people[name].id for name in ("ana", "ben", "mia", "cleo", "root")]
    nobody = dict.fromkeys(("first_name", "last_name", "mobile_e164", "alternative_e164", "email"))
    rows: dict[Any, dict[int, dict[str, Any]]] = {record: {} for record in SCREENS}

    def add(record: Any, key: int, **values: Any) -> None:
        rows[record][key] = {"id": key, "version": 1, "created_on": NOW, "changed_on": NOW, **values}

    def held(key: int) -> dict[str, Any]:
        customer = rng.randrange(1, 60) if rng.random() < 0.4 else None
        own = {"assignee_id": rng.choice(users), "owner_id": rng.choice(users), "customer_id": customer}
        return own | {"status_id": 1, "status_on": NOW} | (_person(rng) if customer is None else nobody)

    for key in range(1, 60):
        code = rng.choice((None, "E10234", f"E1{key}"))
        own = {"referral_code": code, "owner_id": rng.choice(users), "status": "Active", "source": "Direct"}
        consent = dict.fromkeys(("no_calls", "no_whatsapp", "no_sms", "no_email"), False)
        add(Customer, key, number=f"CRM-CUST-2026-{key:05d}", kyc_status="Pending", **own, **consent, **_person(rng))
    for key in range(1, 160):
        codes = {"client_id": rng.choice((None, None, "E10234", f"E{key}")), "pod_id": rng.choice((None, "POD0234"))}
        add(Lead, key, number=f"CRM-LEAD-2026-{key:05d}", category="Direct", **codes, **held(key))
        title = {"title": rng.choice(TITLES), "opens_customer": rng.random() < 0.7, "priority": "Low", "source": "Web"}
        add(Ticket, key, number=f"CRM-TICKET-2026-{key:05d}", **title, **held(key))
        own = {"title": rng.choice(TITLES), "assignee_id": rng.choice(users), "lead_id": key, "tried": []}
        add(Task, key, status="Todo", priority="Low", exhausted=False, **own)
    for record, made in sorted(rows.items(), key=lambda each: each[0] is not Customer):
        crm.session.execute(insert(record.__table__), list(made.values()))
    crm.session.commit()
    return Dataset(crm, rows)


@pytest.fixture(params=["crm", "maria"])
def dataset(request: pytest.FixtureRequest) -> Iterator[Dataset]:
    made = fill(request.getfixturevalue(request.param))
    with made.crm.app.app_context():
        yield made
        db.session.remove()


def _names_fit(person: dict[str, Any], text: str) -> bool:
    first, last = ((person[name] or "").lower().replace("’", "'") for name in ("first_name", "last_name"))
    words = text.lower().replace("’", "'").split()
    cuts = [(" ".join(words[:n]), " ".join(words[n:])) for n in range(1, len(words))]
    together = [(first, last)]
    alone = [(name, words) for name in (first, last, _rest(first), _rest(last))]
    if len(words) <= 3:
        together += [(_rest(first), last), (_rest(last), first)]
        alone += [(name, [*words[1:], words[0]]) for name in (first, last)]
    pairs = [pair for head, tail in cuts for pair in ((head, tail), (tail, head))]
    return any(name.startswith(" ".join(each)) for name, each in alone) or any(
        one.startswith(head) and other.startswith(tail) for head, tail in pairs for one, other in together
    )


def _rest(name: str) -> str:
    return name.partition(" ")[2]


def _person_fits(person: dict[str, Any], text: str) -> bool:
    numbers = [person[name] for name in ("mobile_e164", "alternative_e164") if person[name]]
    digits = text.replace(" ", "")
    is_end = digits.isascii() and digits.isdigit() and len(digits) >= 5
    by_number = any(phone.normalize(text) == each or (is_end and each.endswith(digits)) for each in numbers)
    is_address = " " not in text and len(text) >= 3 and not text.isalpha()
    return _names_fit(person, text) or by_number or (is_address and (person["email"] or "").startswith(text.lower()))


def _codes_fit(row: dict[str, Any], text: str) -> bool:
    code, is_part = text.upper(), len(text) >= 3 and text.isascii() and any(char.isdigit() for char in text)
    codes = [row[name] for name in ("client_id", "pod_id", "referral_code") if row.get(name)]
    return any(each == code or (is_part and (each.startswith(code) or each.endswith(code))) for each in codes)


def _title_fits(title: str, text: str, by_words: bool) -> bool:
    """Anywhere in the title; by words from where one begins, unless no word of the text is in the index of words."""
    at = title.lower().find(text.lower())
    return at == 0 or (at > 0 and (not by_words or not searchable_words(text) or title[at - 1] == " "))


def fits(dataset: Dataset, record: Any, row: dict[str, Any], text: str, customers: set[int]) -> bool:
    """The plain rule."""
    if record is Task:
        return _title_fits(row["title"], text, dataset.crm.engine.dialect.name != "sqlite")
    by_words = dataset.crm.engine.dialect.name != "sqlite"
    if record is Ticket and _title_fits(row["title"], text, by_words):
        return True
    is_serial = text.isdigit() and len(text) <= 8 and row["number"].endswith(f"-{int(text):05d}")
    if row["number"] == text.upper() or is_serial or _codes_fit(row, text):
        return True
    if _person_fits(row, text):
        return True
    customer = row.get("customer_id")
    return customer in customers and _person_fits(dataset.rows[Customer][customer], text)


#: Rows looked up at most, and enough of a person's customers: with few look-ups everything is common.
LIMITS = ((1000, None), (3, None), (3, 2))
#: Those who search. Each text is looked for by two of them on SQLite and by another on MariaDB, with all of LIMITS.
SEARCHERS = ("ana", "mia", "cleo", "root")


def test_what_is_found(dataset: Dataset) -> None:
    for who in SEARCHERS:
        assert_finds(dataset, who)


def assert_finds(dataset: Dataset, who: str) -> None:
    session = db.session()
    with access.as_system(session):
        person = access.load_person(session, dataset.crm.people[who].id, NOW)
    access.act_as(session, person)
    viewer = Viewer(person, load_lookups(session, 0, "Asia/Kolkata"), ZoneInfo("Asia/Kolkata"), NOW)
    seen = {record: set(session.scalars(select(record.id))) for record in SCREENS}
    place = SEARCHERS.index(who)
    first, step = ((place + 1) % 2, 2) if dataset.crm.engine.dialect.name == "sqlite" else (place, len(SEARCHERS))
    for n, text in [*enumerate(TEXTS)][first::step]:
        limits = LIMITS[(n + place) % len(LIMITS)]
        tables = tuple(each.record_table for each in SCREENS.values())
        found = matching_all(TextSearch(tables, text, viewer, limits[0]), limits[1])
        for record, asked in zip(SCREENS, found, strict=True):
            rows = dataset.rows[record]
            wanted = {key for key in seen[record] if fits(dataset, record, rows[key], text, seen[Customer])}
            ids = set(session.scalars(select(record.id).where(asked.rule())))
            if limits[1] and record is not Task and asked.ids is not None:  # enough of those whose customer fits
                assert ids <= wanted and len(ids) >= min(limits[1], len(wanted)), (who, text, limits)
            else:
                assert ids == wanted, (who, text, limits, record.__name__, ids ^ wanted)
