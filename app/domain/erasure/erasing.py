"""The work of an erasure: what would go and stay, its beginning, and its steps, each a transaction of its own.

Each step locks the erasure, so that two processes at once erase a row and count it once; one that is killed leaves
nothing but the rest. What is left is found in the rows themselves, so a row that arrives meanwhile is found, too.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.domain import address_hashes, data_requests
from app.domain.audit_log import audit, audit_keys
from app.domain.base import Conflict, RuleBroken, Stamp, translatable
from app.domain.customers import Customer
from app.domain.data_requests import DataRequest
from app.domain.erasure import account_ends, duties, same_contacts
from app.domain.erasure import erasure_scope as scopes
from app.domain.erasure.erased_tables import KINDS, PARTS
from app.domain.erasure.erasure_scope import Scope
from app.domain.erasure.erasures import DataErasure, has_contact
from app.domain.erasure.same_contacts import SameContact
from app.domain.leads import Lead
from app.domain.messaging import consents
from app.domain.messaging.consents import OPT_OUTS, Consent, MessageAddress
from app.lib.field_encryption import VaultError

#: Rows per transaction.
CHUNK = 200
#: Rows are looked for until this long after the confirmation: whoever was saving then has finished by now.
SETTLES_AFTER = timedelta(minutes=10)
#: When it is looked again whether a legal hold or an open complaint has ended.
_LOOK_AGAIN = timedelta(days=1)
HELD = (
    "This person, or a lead or ticket of theirs, is under a legal hold, so nothing of it can be erased. "
    "Ask the compliance officer, who can see why and release it."
)


@dataclass
class ErasurePlan:
    """What would go, and what would stay."""

    #: Kind -> rows that go.
    goes: dict[str, int] = field(default_factory=dict)
    #: What stays: [{"kind", "rows", "duty", "until"}].
    stays: list[dict[str, Any]] = field(default_factory=list)
    is_held: bool = False
    #: Whether it is known by now what stays.
    is_stay_known: bool = True
    #: Numbers (E.164) and addresses of the person, and the leads and customers that are erased as theirs.
    addresses: list[str] = field(default_factory=list)
    erased: dict[type[Any], list[int]] = field(default_factory=dict)


def number_of(request: DataRequest) -> str:
    """The number of a request, by which people name it."""
    return data_requests.number_of(request.id)


def of_request(session: Session, request: DataRequest) -> DataErasure | None:
    """The erasure that was begun for a request."""
    found: DataErasure | None = session.scalars(
        select(DataErasure).where(DataErasure.request_id == request.id), execution_options={"populate_existing": True}
    ).first()
    return found


# --- before


def subject_of(session: Session, request: DataRequest) -> Any:
    """The customer or lead whom a request is about. Raises RuleBroken unless they can be erased for it."""
    if request.kind != "erasure":
        raise RuleBroken("Only a request for erasure is answered by erasing data.")
    if request.state not in ("open", "answered"):
        raise RuleBroken("This request was refused or withdrawn, so nothing is erased for it.")
    if request.identity_checked_on is None:
        raise RuleBroken("Please check the person's identity first, and say how.", "identity_how")
    if request.customer_id is not None:
        return session.get(Customer, request.customer_id)
    lead = session.get(Lead, request.lead_id) if request.lead_id is not None else None
    if lead is None:
        raise RuleBroken("Please choose the customer or lead first: what belongs to them is erased.")
    if lead.customer_id is not None:
        raise RuleBroken("This lead belongs to a customer. Please choose the customer in the request instead.")
    return lead


def refuse_day(session: Session, request: DataRequest, ended_on: date | None, today: date) -> None:
    """Raise RuleBroken unless the accounts of the request's customer can have ended on this day."""
    row = subject_of(session, request)
    account_ends.refuse_implausible(session, row.__tablename__, row.id, ended_on, today)


def plan(session: Session, request: DataRequest, accounts_ended_on: date | None, now: datetime) -> ErasurePlan:
    """What an erasure would do now; nothing is changed. Raises RuleBroken. The session acts for the system."""
    row = subject_of(session, request)
    found = scopes.of(session, _new(request, row, accounts_ended_on, now), now)
    goes = Counter[str]()
    for part in PARTS:
        goes[part.kind] += part.count(session, found)
    return ErasurePlan(
        {kind: goes[kind] for kind in KINDS if goes[kind]},
        kept_rows(session, found),
        found.is_held,
        addresses=found.addresses,
        erased=found.contacts,
    )


def kept_rows(session: Session, scope: Scope) -> list[dict[str, Any]]:
    """What duties keep now, by kind and duty."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for part in PARTS:
        for duty, until, rows in part.count_kept(session, scope):
            if rows:
                entry = {"kind": part.kind, "rows": 0, "duty": duty, "until": until.isoformat() if until else None}
                found.setdefault((part.kind, duty), entry)["rows"] += rows
    return list(found.values())


def _new(request: DataRequest, row: Any, accounts_ended_on: date | None, now: datetime) -> DataErasure:
    return DataErasure(
        request_id=request.id,
        request_number=number_of(request),
        record_table=row.__tablename__,
        record_id=row.id,
        number=row.number,
        active_number=row.number,
        accounts_ended_on=accounts_ended_on,
        state="running",
        confirmed_on=now,
        next_on=now,
        counts={},
        kept=[],
    )


# --- beginning


@dataclass(frozen=True)
class Confirmation:
    """What somebody enters to begin an erasure."""

    #: The request's number, typed again.
    number: str
    #: The last day of the customer's accounts; None = they have none, or one is open.
    accounts_ended_on: date | None = None
    #: The number of the customer or lead, and the version of the request, that were shown; None skips the check.
    record: str | None = None
    version: str | None = None
    #: The day in the zone of whoever confirms; None = the one in UTC.
    today: date | None = None

    def refuse_other(self, request: DataRequest, number: str) -> None:
        """Raise Conflict if something else was shown than what would be erased, RuleBroken without the number."""
        asked = number_of(request)
        if self.number.strip().upper() != asked:
            text = translatable("Please type the number of the request, %(number)s, to confirm.", number=asked)
            raise RuleBroken(text, "confirm")
        is_same = self.record in (None, number) and self.version in (None, str(request.version))
        if not is_same:
            raise Conflict(translatable(CHANGED, number=asked, record=number))


CHANGED = (
    "Request %(number)s was not shown to you as it is now: it is about %(record)s, or was changed meanwhile. Nothing "
    "was erased. Please look at it again, then confirm."
)


def begin(session: Session, request: DataRequest, confirmed: Confirmation, stamp: Stamp) -> DataErasure:
    """Begin an erasure; jobs do the work. Raises RuleBroken, Conflict if it was begun already.

    The session acts for the system: the caller has checked what the person may do.
    """
    row = subject_of(session, request)
    refuse_day(session, request, confirmed.accounts_ended_on, confirmed.today or stamp.now.date())
    erasure = _new(request, row, confirmed.accounts_ended_on, stamp.now)
    erasure.stamp(stamp)
    if scopes.of(session, erasure, stamp.now, ()).is_held:
        raise RuleBroken(HELD)
    confirmed.refuse_other(request, row.number)
    supersede(session, erasure)  # before the record is locked, as steps lock both
    _lock_subject(session, request, row)
    try:
        with session.begin_nested():
            session.add(erasure)
            session.flush()
    except IntegrityError as error:
        raise Conflict("This person is being erased already.") from error
    prepare(session, erasure, stamp)
    if erasure.record_table == "leads":
        _erase_lead(session, erasure, Stamp(None, stamp.now))
    request.stamp(stamp)  # a new version: a form from before can't turn the request to somebody else
    audit.write(session, "data request", stamp.by, stamp.now, f"data request {request.id}", what="erasure confirmed")
    return erasure


def _lock_subject(session: Session, request: DataRequest, row: Any) -> None:
    """Lock it: whoever merges or converts it has finished, or will find the erasure. Raises RuleBroken."""
    columns: Any = row.__table__.c
    if session.execute(select(columns.id).where(columns.id == row.id).with_for_update()).first() is None:
        raise RuleBroken("This record doesn't exist.")
    session.expire(row)
    subject_of(session, request)  # the lead may have become a customer's


def _erase_lead(session: Session, erasure: DataErasure, stamp: Stamp) -> None:
    """Erase a lead at once: somebody who converts it meanwhile would make a customer of what it holds.

    Raises RuleBroken if a hold was placed before it was locked.
    """
    scope = scopes.of(session, erasure, stamp.now, ())
    if scope.is_held:
        raise RuleBroken(HELD)
    part = next(each for each in PARTS if each.record is Lead)
    if ids := part.find(session, scope, CHUNK):
        part.erase(session, scope, ids, stamp)
        erasure.counts = {part.kind: len(ids)}


def supersede(session: Session, erasure: DataErasure, states: tuple[str, ...] = ("waiting",)) -> None:
    """End an earlier erasure of the record in one of these states: the new one finds all that it left.

    Of two that went on at once, each would write its marker over the other's, without end.
    """
    earlier = (DataErasure.active_number == erasure.number, DataErasure.request_number != erasure.request_number)
    for key in session.scalars(select(DataErasure.id).where(*earlier)).all():  # without a lock on what isn't there
        query = select(DataErasure).where(DataErasure.id == key, DataErasure.state.in_(states)).with_for_update()
        for each in session.scalars(query, execution_options={"populate_existing": True}):
            each.state, each.active_number, each.next_on, each.addresses_sealed = "done", None, None, None
    session.flush()


def set_end(
    session: Session, request: DataRequest, erasure: DataErasure, confirmed: Confirmation, stamp: Stamp
) -> None:
    """Note the last day of the customer's accounts, which says until when they are kept. Raises RuleBroken, Conflict.

    It is confirmed as the erasure was: data goes at once if the day is long ago.
    """
    confirmed.refuse_other(request, erasure.number)
    today, ended_on = confirmed.today or stamp.now.date(), confirmed.accounts_ended_on
    account_ends.refuse_implausible(session, erasure.record_table, erasure.record_id, ended_on, today)
    if erasure.state != "waiting" or erasure.record_table != "customer":
        raise RuleBroken("This erasure doesn't wait for the end of the accounts.", "accounts_ended_on")
    erasure.accounts_ended_on, erasure.next_on = ended_on, stamp.now
    erasure.stamp(stamp)
    request.stamp(stamp)
    about = f"data request {erasure.request_id}"
    audit.write(session, "data request", stamp.by, stamp.now, about, what="end of the accounts", day=str(ended_on))


def prepare(session: Session, erasure: DataErasure, stamp: Stamp) -> None:
    """Note by which numbers rows are found, and which opt-outs have to stay known."""
    addresses = scopes.addresses_of(session, erasure.record_table, erasure.record_id)
    vault = audit_keys.keys_of(session).vault
    if vault is not None:
        erasure.addresses_sealed = vault.seal(json.dumps(addresses))
    for address in addresses:
        for channel in OPT_OUTS:
            if (channel == "email") == ("@" in address):
                _keep_opt_out(session, erasure, channel, address, stamp)


def _keep_opt_out(session: Session, erasure: DataErasure, channel: str, address: str, stamp: Stamp) -> None:
    """Add to the ledger, under the hash, that the person with this address wants nothing on this channel."""
    customer = erasure.record_id if erasure.record_table == "customer" else None
    peer = MessageAddress(channel, address, "promotional", customer_id=customer)
    newest = consents.latest(session, channel, address)
    if (newest is not None and newest.action == "withdrawn") or not consents.has_opted_out(session, peer):
        return
    entry = Consent(channel=channel, address=address_hashes.hashed(session, address), purpose="promotional")
    entry.action, entry.how, entry.happened_on = "withdrawn", "erasure", stamp.now
    entry.stamp(stamp)
    session.add(entry)


# --- steps


def due(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of the erasures that go on now."""
    is_due = (DataErasure.state != "done", or_(DataErasure.next_on.is_(None), DataErasure.next_on <= now))
    return list(session.scalars(select(DataErasure.id).where(*is_due).order_by(DataErasure.id).limit(limit)))


def step(session: Session, key: int, now: datetime, settles_after: timedelta = SETTLES_AFTER) -> int:
    """Erase some rows, or note that nothing is left for now. Returns how many rows; the caller commits.

    The session acts for the system.
    """
    query = select(DataErasure).where(DataErasure.id == key).with_for_update()
    erasure = session.scalars(query, execution_options={"populate_existing": True}).first()
    if erasure is None or erasure.state == "done" or (erasure.next_on is not None and erasure.next_on > now):
        return 0
    if not is_there(session, erasure):
        _close(session, erasure, [], now)
        return 0
    scope = scopes.of(session, erasure, now, _addresses(session, erasure))
    if scope.is_held:
        erasure.next_on = now + _LOOK_AGAIN
        return 0
    for part in PARTS:
        if ids := part.find(session, scope, CHUNK):
            part.erase(session, scope, ids, Stamp(None, now))
            erasure.counts = {**erasure.counts, part.kind: erasure.counts.get(part.kind, 0) + len(ids)}
            return len(ids)
    if erasure.settled_on is None and now < erasure.confirmed_on + settles_after:
        erasure.next_on = erasure.confirmed_on + settles_after
    else:
        if scope.addresses:
            erasure.same_contacts = list(same_contacts.find(session, scope.addresses, scope.contacts))
        _close(session, erasure, kept_rows(session, scope), now)
        _wait_for_first(erasure, scope)
    return 0


def others_of(session: Session, erasure: DataErasure) -> dict[str, SameContact]:
    """Number -> other leads and customers that have the number or address of somebody whose erasure was confirmed.

    They stay. They are looked for as long as the number is known, until the erasure is settled, or the customer's own
    data isn't kept any more; of later, or where the number was sealed by a key that is gone, it is known which there
    were then. The session acts for the system.
    """
    scope = scopes.records_of(session, erasure.record_table, erasure.record_id)
    try:
        addresses = _addresses(session, erasure) or []
    except VaultError:
        addresses = []
    found = same_contacts.find(session, addresses, scope.contacts)
    return same_contacts.of_numbers(session, [*(erasure.same_contacts or ()), *found])


def is_there(session: Session, erasure: DataErasure) -> bool:
    """Whether the record exists and still is the one that was meant: a restored database may have given its id anew."""
    table = (Customer if erasure.record_table == "customer" else Lead).__table__
    return session.execute(select(table.c.number).where(table.c.id == erasure.record_id)).scalar() == erasure.number


def _addresses(session: Session, erasure: DataErasure) -> list[str] | None:
    """The numbers and addresses of before; None = those that are left in the records."""
    if erasure.settled_on is not None and not erasure.keeps_contact:
        return []  # those that the record may have by now are of somebody who is known anew
    vault = audit_keys.keys_of(session).vault
    if erasure.addresses_sealed is None or vault is None:
        return None
    found: list[str] = json.loads(vault.open(erasure.addresses_sealed))
    return found


def _close(session: Session, erasure: DataErasure, left: list[dict[str, Any]], now: datetime) -> None:
    """Note what is left, and when it goes on; audit it by kinds and numbers of rows."""
    is_first, was_kept = erasure.settled_on is None, erasure.keeps_contact
    erasure.kept, erasure.addresses_sealed = left, erasure.addresses_sealed if has_contact(left) else None
    if is_first or (was_kept and not has_contact(left)):
        erasure.settled_on = now
    erasure.state, erasure.next_on = ("waiting", _next_on(left, now)) if left else ("done", None)
    erasure.active_number = erasure.number if left else None
    if is_first or not left:
        about = f"data request {erasure.request_id}"
        what = "erasure done" if not left else "erased what no duty keeps"
        audit.write(session, "data request", None, now, about, what=what, rows=dict(erasure.counts))


def _wait_for_first(erasure: DataErasure, scope: Scope) -> None:
    """Go on when the first of several complaints or orders is no longer kept; `kept` has the day of the last."""
    for day in (scope.kept_tickets.first, scope.kept_calls.first):
        if erasure.next_on is not None and day is not None:
            erasure.next_on = min(erasure.next_on, duties.begin_of(day))


def _next_on(left: list[dict[str, Any]], now: datetime) -> datetime:
    days = [date.fromisoformat(each["until"]) for each in left if each["until"]]
    ahead = [duties.begin_of(day) for day in days if duties.begin_of(day) > now]
    if len(days) < len(left):  # the end of something isn't known yet
        return min([now + _LOOK_AGAIN, *ahead])
    return min(ahead, default=now + _LOOK_AGAIN)
