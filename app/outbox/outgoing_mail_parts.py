"""The parts of an email besides its text: Message-ID, thread, HTML, copies and files."""

from __future__ import annotations

from dataclasses import replace
from email.utils import parseaddr
from urllib.parse import urlsplit

from flask import current_app
from sqlalchemy.orm import Session

from app.channels.base import ChannelError
from app.channels.provider import OutgoingMessage
from app.domain.messaging import mail_sending, mails
from app.lib.field_encryption import Vault
from app.models import ChannelAccount, Message
from app.ops.storage.file_store import PREFIX, FileStore

#: Emails that a reply lists in its References.
MAX_REFERENCES = 10
FILE_GONE = "A file of this email no longer exists. Nothing was sent."


def complete(session: Session, row: Message, account: ChannelAccount, message: OutgoingMessage) -> OutgoingMessage:
    """The message in the form for a mail server; one of another channel stays unchanged."""
    if row.channel != "email":
        return message
    vault: Vault = current_app.extensions["vault"]
    domain = _domain(account)
    thread = _thread(session, row, vault, domain)
    headers = {"Message-ID": f"<{mails.header_id_of(vault, row.id, domain)}>"}
    if thread:
        headers["References"] = " ".join(f"<{each}>" for each in reversed(thread))
    if row.created_by_id is None:
        headers["Auto-Submitted"] = "auto-generated"  # prevents automatic replies
    beside = mail_sending.of_message(session, row.id)
    quoted = beside.quoted if beside is not None else ""
    return replace(
        message,
        text=f"{message.text}\n\n{quoted}" if quoted else message.text,
        subject=row.subject or _subject(session, row),
        in_reply_to=thread[0] if thread else "",
        html=(beside.html or "") if beside is not None else "",
        also_to=tuple(beside.also_to or ()) if beside is not None else (),
        cc=tuple(beside.cc) if beside is not None else (),
        headers=headers,
        attachments=tuple(_files(row)),
        media=(),
    )


def _domain(account: ChannelAccount) -> str:
    """The domain of the sender's address; if the account has none, of the CRM itself."""
    address = parseaddr(account.settings.get("from", ""))[1]
    return address.rpartition("@")[2].lower() or urlsplit(current_app.config["CRM"].public_url).hostname or "localhost"


def _thread(session: Session, row: Message, vault: Vault, domain: str) -> list[str]:
    """The Message-IDs of the emails that it replies to, the nearest first."""
    found: list[str] = []
    answered = session.get(Message, row.reply_to_id) if row.reply_to_id else None
    while answered is not None and len(found) < MAX_REFERENCES:
        if answered.direction == "out":
            found.append(mails.header_id_of(vault, answered.id, domain))
        else:
            found += mail_sending.references_of(session, answered)
        answered = session.get(Message, answered.reply_to_id) if answered.reply_to_id else None
    return found


def _subject(session: Session, row: Message) -> str:
    """The subject; for a reply without one, that of the email that it answers."""
    answered = session.get(Message, row.reply_to_id) if row.reply_to_id else None
    subject = (answered.subject or "") if answered is not None else ""
    return subject if subject.lower().startswith("re:") or not subject else f"Re: {subject}"


def _files(row: Message) -> list[tuple[str, str, bytes]]:
    store: FileStore = current_app.extensions["crm_files"]
    found = []
    for each in row.media or ():
        try:
            with store.open(each["address"].removeprefix(PREFIX)) as file:
                found.append((each.get("name") or "file", each["mime_type"], file.read()))
        except FileNotFoundError as missing:
            raise ChannelError(FILE_GONE, permanent=True) from missing
    return found
