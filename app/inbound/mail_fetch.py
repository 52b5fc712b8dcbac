"""Fetching email: one process reads a mailbox at a time, and each email is processed in a transaction of its own."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import parseaddr

from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from app import access
from app.channels.base import ChannelError
from app.channels.imap_client import FetchedMail, ImapClient, MailboxPosition
from app.channels.imap_provider import ImapProvider
from app.domain.base import RuleBroken
from app.domain.inbound import inbound_mail
from app.domain.inbound.inbound_mail import ArrivedMail
from app.domain.inbound.inbound_mail_context import InboundMailContext
from app.domain.messaging import channel_accounts, mails
from app.inbound import inbound_virus_scans
from app.lib import mime_parts
from app.models import ChannelAccount, Mail, MailboxState
from app.ops.queues import queue
from app.ops.storage.virus_scanner import FileNotScanned, ScannerUnavailable
from app.outbox import provider_clients
from app.outbox.delivery_engine import SKIPPED
from app.outbox.provider_clients import NoProvider, impersonal

QUEUE = "long"
#: Emails per pass, and the seconds after which it takes no more of them: a connection to the mailbox lasts 40, and a
#: slow scanner or storage uses them up. The next pass continues after them.
MAX_MAILS, PASS_SECONDS = 200, 25.0
#: If a server has renumbered a mailbox, emails from this long before the last pass are read again.
OVERLAP = timedelta(days=2)
A_FAULT = "Internal error; see the server log."
NOT_SCANNED = "The virus scanner can't be reached. The emails stay in the mailbox until it can."
INFECTED = "The virus scanner found something in this email. It was left in the mailbox; nothing of it was stored."
UNSCANNED = "The virus scanner doesn't look at this email, mostly because it is too large. It was left in the mailbox."
NO_ROOM = "A file could not be stored on the CRM's server. The email stays in the mailbox until it can."

log = logging.getLogger("crm.mail")


def find_due(session: Session) -> list[int]:
    """The accounts whose mailboxes are read."""
    query = select(ChannelAccount.id).where(ChannelAccount.kind == "imap", ChannelAccount.is_active.is_(True))
    return list(session.scalars(query.order_by(ChannelAccount.id)))


def enqueue(account_id: int) -> str:
    """Have a mailbox read soon, by the queue, so that no transaction waits for the server."""
    return "queued" if queue.enqueue(QUEUE, fetch, account_id) else SKIPPED


def fetch(account_id: int) -> None:
    """Process the new emails of an account, unless another process does. The function's path is stored in queues."""
    with access.system_transaction() as session:
        account = session.get(ChannelAccount, account_id)
        if account is None or account.kind != "imap" or not account.is_active:
            return
        state = mails.lease(session, account_id, datetime.now(UTC))
        if state is None:
            return
        try:
            client = _client(account)
            error = ""
        except NoProvider as unusable:
            error = str(unusable)
        since = ((state.read_on or account.created_on) - OVERLAP).date()
    is_read = False
    try:
        if not error:
            is_read, error = _try_to_read(client, state, since)
    finally:
        with access.system_transaction() as session:
            now = datetime.now(UTC)
            mails.release(session, account_id, now, is_read)
            if error:
                channel_accounts.record_error(session, account_id, error, now)


def _client(account: ChannelAccount) -> ImapClient:
    provider = provider_clients.provider_of(account)
    if not isinstance(provider, ImapProvider):
        raise NoProvider("This account receives no email.")
    return provider.client


def _try_to_read(client: ImapClient, state: MailboxState, since: date) -> tuple[bool, str]:
    """Read the mailbox. Returns whether the end was reached, and what went wrong; "" = nothing."""
    try:
        return _read(client, state, since), ""
    except ChannelError as trouble:
        return False, impersonal(trouble)
    except ScannerUnavailable:
        return False, NOT_SCANNED
    except OSError as trouble:
        log.error("mail of account %s could not be stored: %s", state.account_id, trouble)
        return False, NO_ROOM


def _read(client: ImapClient, state: MailboxState, since: date) -> bool:
    """Read the mailbox. Returns whether the end was reached. The first time, it begins at the end."""
    account_id = state.account_id
    if state.uid_validity is None:
        _advance(account_id, client.position())
        return True
    count, ends = 0, time.monotonic() + PASS_SECONDS
    position = MailboxPosition(state.uid_validity, state.last_uid)
    for found in client.fetch(position, since, MAX_MAILS, lambda validity: _known(account_id, validity)):
        if isinstance(found, MailboxPosition):
            _advance(account_id, found)
            continue
        count += 1
        _take(account_id, found, state.uid_validity)
        if time.monotonic() > ends:
            return False
    return count < MAX_MAILS


def _advance(account_id: int, position: MailboxPosition) -> None:
    with access.system_transaction() as session:
        mails.save_position(session, account_id, (position.uid_validity, position.last_uid), datetime.now(UTC))


def _known(account_id: int, uid_validity: int) -> frozenset[int]:
    """UIDs of known emails under this numbering."""
    mine = (Mail.account_id == account_id, Mail.uid_validity == uid_validity)
    with access.system_transaction() as session:
        return frozenset(uid for uid in session.scalars(select(Mail.uid).where(*mine)) if uid is not None)


def _take(account_id: int, found: FetchedMail, uid_validity: int) -> None:
    """Process an email, and move the position past it in the same transaction. A failing one is set aside.

    Raises errors of the database or the disk: then the email is fetched again.
    """
    arrived = _scanned(ArrivedMail(found.raw, found.uid_validity, found.uid, found.refusal), account_id)
    try:
        _take_or_keep(account_id, arrived, uid_validity, None)
    except (OperationalError, InterfaceError, OSError):
        raise
    except Exception:
        log.exception("mail %s of account %s could not be taken in", found.uid, account_id)
        _take_or_keep(account_id, arrived, uid_validity, A_FAULT)


def _scanned(arrived: ArrivedMail, account_id: int) -> ArrivedMail:
    """The email; of one that is infected or can't be scanned only the headers, with the reason.

    Scanners read emails with their files. Raises ScannerUnavailable while the scanner looks at nothing.
    """
    try:
        threat = inbound_virus_scans.threat_in(arrived.raw, f"email {arrived.uid} of account {account_id}")
    except FileNotScanned:
        refusal = UNSCANNED  # the emails after it must not wait for it
    else:
        if threat is None:
            return arrived
        refusal = INFECTED
    return replace(arrived, raw=mime_parts.header_block(arrived.raw), refusal=refusal)


def _take_or_keep(account_id: int, arrived: ArrivedMail, uid_validity: int, fault: str | None) -> None:
    now = datetime.now(UTC)
    with access.system_transaction() as session:
        intake = intake_of(session, account_id, now)
        if fault:
            inbound_mail.store_unreadable(session, intake, arrived, fault)
        else:
            inbound_mail.process(session, intake, arrived)
        if arrived.uid_validity == uid_validity:
            mails.save_position(session, account_id, (uid_validity, arrived.uid or 0), now)


def take_again(session: Session, mail_id: int, now: datetime) -> str:
    """Process an email again that was set aside, from its original. Raises RuleBroken."""
    row = session.get(Mail, mail_id)
    if row is None or row.state != "failed" or row.account_id is None:
        raise RuleBroken("There is no such email that waits to be taken in.")
    try:
        return inbound_mail.retry_failed(session, intake_of(session, row.account_id, now), row)
    except FileNotFoundError as missing:
        text = "The original of this email no longer exists. Please look for it in the mailbox."
        raise RuleBroken(text) from missing


def intake_of(session: Session, account_id: int, now: datetime) -> InboundMailContext:
    """The context for processing an email of this account."""
    account = session.get_one(ChannelAccount, account_id)
    vault = current_app.extensions["vault"]
    values = channel_accounts.values_of(account, vault)
    sending = channel_accounts.active(session, "email")
    named = [each for each in sending if each.name == values.get("answer_account")]
    everyone = session.scalars(select(ChannelAccount).where(ChannelAccount.kind.in_(("imap", "smtp"))))
    own = (parseaddr(each.settings.get("address") or each.settings.get("from") or "")[1] for each in everyone)
    return InboundMailContext(
        account=account,
        values=values,
        answering=next(iter([*named, *sending]), account),
        own_addresses=frozenset(each.lower() for each in own if each),
        store=current_app.extensions["crm_files"],
        vault=vault,
        now=now,
        zone=current_app.config["CRM"].time_zone,
    )
