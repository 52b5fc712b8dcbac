"""State shared by the rows of a move: records by their former names, people, picklists; and drafts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import String, func, inspect, select
from sqlalchemy.orm import Session

from app.domain import predecessor_names
from app.domain.base import RuleBroken, translatable
from app.domain.predecessor_names import PredecessorName
from app.lib import label_matching
from app.lib.digit_grouping import grouped
from app.models import AccountType, Activity, LeadSource, LeadStatus, TicketStatus, TicketSubject, User
from app.web.transfer.predecessor import doctypes, values
from app.web.transfer.predecessor.row_documents import SourceRow

#: Addresses that stand for nobody in the predecessor.
NOBODY = frozenset({"", "administrator", "guest", "__default"})
_PICKLISTS = {
    "lead_status": LeadStatus,
    "ticket_status": TicketStatus,
    "lead_source": LeadSource,
    "account_type": AccountType,
    "ticket_subject": TicketSubject,
}
#: Former labels of statuses -> ours.
_RENAMED = {"sent to bangalore": "sent to ho", "account active": "account activated"}


class RowSkipped(Exception):
    """The row needs nothing; the text says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass
class RowDraft:
    """One row, and its conversion."""

    row: SourceRow
    #: As stored by predecessor_names.
    name: str
    #: The main object; None for history of an existing object.
    record: Any = None
    #: The id of an existing record that the row is about.
    there: int | None = None
    #: Remarks on values that were not imported unchanged, as sentences.
    warnings: list[str] = field(default_factory=list)
    #: Objects of its history, with a function that links them to the record.
    lines: list[Any] = field(default_factory=list)
    #: (object, column, address) of people who aren't users here.
    people: list[tuple[Any, str, str]] = field(default_factory=list)
    #: Called with the stored record.
    after: list[Callable[[Any], None]] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Add a remark on a value that was not imported."""
        self.warnings.append(sentence)


@dataclass
class ImportContext:
    """One transaction of a move."""

    session: Session
    now: datetime
    #: The office's zone, in which the predecessor's times are.
    zone: tzinfo
    vault: Any
    is_trial: bool
    #: (table, name) of rows that a dry run has read: they would exist.
    seen: set[tuple[str, str]]
    #: Number series -> the ranges (above, up to] reserved for moves.
    floors: dict[str, list[list[int]]]
    #: Addresses without a user -> number of places.
    strangers: dict[str, int] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    _found: dict[tuple[str, str], int | None] = field(default_factory=dict)
    _picklists: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.users = {
            str(email).lower(): key for key, email in self.session.execute(select(User.id, User.email)) if email
        }
        former = select(PredecessorName.name, PredecessorName.record_id).where(PredecessorName.doctype == "User")
        self.users |= {name: int(key) for name, key in self.session.execute(former) if key is not None}

    # --- records by their former names

    def prefetch(self, rows: Iterable[SourceRow]) -> None:
        """Look up everything that these rows refer to, at once."""
        wanted: dict[str, set[str]] = {}
        for row in rows:
            for doctype, name in _references(row):
                wanted.setdefault(doctype, set()).add(predecessor_names.stored_form(doctypes.RECORDS[doctype], name))
        for doctype, names in wanted.items():
            new = {each for each in names if (doctype, each) not in self._found}
            there = predecessor_names.find_moved(self.session, doctype, new)
            self._found |= {(doctype, each): there.get(each) for each in new}

    def find(self, doctype: Any, name: Any) -> int | None:
        """The id of the record with this former name; 0 in a dry run for one that would exist."""
        kind = doctypes.doctype_of(values.line_of(doctype))
        if kind not in doctypes.RECORDS or not values.name_of(name):
            return None
        kept = predecessor_names.stored_form(doctypes.RECORDS[kind], values.name_of(name))
        if (kind, kept) not in self._found:
            self._found[kind, kept] = predecessor_names.find_moved(self.session, kind, [kept]).get(kept)
        found = self._found[kind, kept]
        return 0 if found is None and (kind, kept) in self.seen else found

    def about(self, doctype: Any, name: Any) -> tuple[str, int]:
        """(table, id) of the record that history belongs to. Raises RuleBroken."""
        kind = doctypes.doctype_of(values.line_of(doctype))
        key = self.find(kind, name)
        if kind not in doctypes.RECORDS:
            text = "It belongs to a kind of record that isn't taken over (%(kind)s)."
            raise RuleBroken(translatable(text, kind=values.line_of(doctype)[:60] or "–"))
        if key is None:
            text = "Its record %(name)s wasn't taken over: no file has it, or its row has an error."
            raise RuleBroken(translatable(text, name=f"{kind} {values.name_of(name)}"[:80]))
        return doctypes.RECORDS[kind], key

    # --- people

    def person(self, draft: RowDraft, owner: Any, column: str, address: Any) -> int | None:
        """Set the user with this address in a column of an object of the draft; without one it waits."""
        email = values.line_of(address).lower()[:140]
        if email in NOBODY:
            return None
        user_id = self.users.get(email)
        if user_id is None:
            draft.people.append((owner, column, email))
            self.strangers[email] = self.strangers.get(email, 0) + 1
        setattr(owner, column, user_id)
        return user_id

    def stamp(self, draft: RowDraft, record: Any, at: datetime | None = None) -> None:
        """Set when and by whom a record was created and changed."""
        given = draft.row.values
        created = self.moment(draft, "creation") or at or self.now
        record.created_on, record.changed_on = created, max(created, self.moment(draft, "modified") or created)
        record.created_by_id = record.changed_by_id = None
        self.person(draft, record, "created_by_id", given.get("owner"))
        self.person(draft, record, "changed_by_id", given.get("modified_by") or given.get("owner"))

    def line(self, draft: RowDraft, kind: str, at: datetime, who: Any, **payload: Any) -> Activity:
        """A timeline entry; its record is set when that is stored."""
        made = Activity(kind=kind, at=at, payload=payload)
        self.person(draft, made, "actor_id", who)
        draft.lines.append(made)
        return made

    # --- values

    def moment(self, draft: RowDraft, name: str) -> datetime | None:
        """A time in the row; an unreadable one is left out, with a remark."""
        try:
            return values.moment(draft.row.values.get(name), self.zone)
        except RuleBroken as broken:
            draft.warn(translatable("%(name)s: %(why)s", name=name, why=broken.message))
            return None

    def put(self, draft: RowDraft, owner: Any, column: str, text: str) -> None:
        """Set a text; one that is too long is cut, with a remark."""
        kind = inspect(type(owner)).columns[column].type
        most = kind.length if isinstance(kind, String) and kind.length else 60_000
        if len(text) > most:
            draft.warn(
                translatable("%(name)s had %(count)s characters and was cut.", name=column, count=grouped(len(text)))
            )
        setattr(owner, column, text[:most] or None)

    def entry_id(self, table: str, label: Any) -> int | None:
        """The id of an entry of a picklist by its label; a missing one is added. None for an empty label."""
        text = values.line_of(label)[:140]
        if not text:
            return None
        model: Any = _PICKLISTS[table]
        known = self._picklists.get(table)
        if known is None:
            known = self._picklists[table] = {
                str(each).casefold(): key for key, each in self.session.execute(select(model.id, model.label))
            }
        wanted = _RENAMED.get(text.casefold(), text.casefold())
        if wanted not in known:
            same = label_matching.same_labels(wanted, known)
            known[wanted] = known[same[0]] if same else self._added(model, text)
        return known[wanted]

    def _added(self, model: Any, label: str) -> int:
        if self.is_trial:
            return 0
        last = self.session.scalar(select(func.max(model.position))) or 0
        row = model(label=label, position=last + 1, is_active=True)
        self.session.add(row)
        self.session.flush()
        return int(row.id)

    def meaning(self, table: str, key: int | None) -> str:
        """The meaning of a status."""
        model: Any = _PICKLISTS[table]
        if not hasattr(self, "_meanings"):
            self._meanings: dict[tuple[str, int], str] = {}
        if (table, key or 0) not in self._meanings:
            found = self.session.scalar(select(model.meaning).where(model.id == key)) if key else None
            self._meanings[table, key or 0] = found or "working"
        return self._meanings[table, key or 0]


def _references(row: SourceRow) -> Iterable[tuple[str, str]]:
    """(DocType, name) of the records that a row refers to."""
    given = row.values
    pairs = [
        ("CRM Customer", given.get("customer_id")),
        (given.get("reference_doctype"), given.get("reference_docname")),
        (given.get("ref_doctype"), given.get("docname")),
        (given.get("parenttype"), given.get("parent")),
        *((each.get("link_doctype"), each.get("link_name")) for each in values.listed(given.get("links")) if each),
    ]
    for doctype, name in pairs:
        kind = doctypes.doctype_of(values.line_of(doctype)) if doctype else ""
        if kind in doctypes.RECORDS and values.name_of(name):
            yield kind, values.name_of(name)
