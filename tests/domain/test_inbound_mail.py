"""Incoming emails: stored once, in the right thread or none, and never on another's record."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.channels.imap_provider import KIND
from app.channels.smtp_provider import KIND as SMTP
from app.domain import customers, tickets
from app.domain.base import Stamp
from app.domain.change_context import ChangeContext
from app.domain.inbound import inbound_mail, mail_record_rules
from app.domain.inbound.inbound_mail import ArrivedMail
from app.domain.inbound.inbound_mail_context import InboundMailContext
from app.domain.messaging import channel_accounts, consents, mail_sending, mails, messages
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.messaging.mail_sending import MailParts
from app.domain.messaging.message_sending import OutgoingRequest
from app.lib.field_encryption import Vault
from app.models import Conversation, Lead, Mail, Message, Ticket
from app.ops.storage.file_store import FolderStore
from tests.factories import NOW, user
from tests.factories import lead as lead_of

ASHA, EVE = "asha@example.in", "eve@evil.in"


def raw(sender: str = ASHA, subject: str = "Pay-in", body: str = "It failed.", **headers: str) -> bytes:
    lines = [f"From: {sender}", "To: support@eshin.in", f"Subject: {subject}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Desk:
    """An account that receives, one that sends, and the session."""

    def __init__(self, session: Session, folder: Path, **values: str) -> None:
        self.session, self.vault = session, Vault(b"k" * 32)
        settings = {"host": "mail.eshin.in", "user": "u", "password": "p", "address": "support@eshin.in", **values}
        stamp = Stamp(None, NOW)
        self.account = channel_accounts.create(session, KIND, AccountSettings("in", settings), stamp, self.vault)
        sending = {"host": "mail.eshin.in", "from": "Support <support@eshin.in>"}
        self.sender = channel_accounts.create(session, SMTP, AccountSettings("out", sending), stamp, self.vault)
        self.intake = InboundMailContext(
            account=self.account,
            values=channel_accounts.values_of(self.account, self.vault),
            answering=self.sender,
            own_addresses=frozenset({"support@eshin.in"}),
            store=FolderStore(folder),
            vault=self.vault,
            now=NOW,
            zone="Asia/Kolkata",
        )

    def take(self, mail: bytes, **options: Any) -> str:
        state = inbound_mail.process(self.session, self.intake, ArrivedMail(mail, **options))
        self.session.commit()
        return state

    def send(self, to: str = ASHA, cc: tuple[str, ...] = (), records: dict[str, Any] | None = None) -> str:
        """Write to somebody; the Message-ID of the mail."""
        wish = OutgoingRequest("email", to, "Please try again.", account_id=self.sender.id, records=records or {})
        message = mail_sending.send(self.session, wish, MailParts(cc=cc), Stamp(None, NOW))
        message.state = "sent"
        self.session.commit()
        return mails.header_id_of(self.vault, message.id, "eshin.in")

    def newest(self) -> Message:
        return self.session.scalars(select(Message).order_by(Message.id.desc())).first()  # type: ignore[return-value]

    def count(self, model: Any) -> int:
        return self.session.scalar(select(func.count()).select_from(model)) or 0


@pytest.fixture
def cleo(db: Session) -> Any:
    return user(db, "cleo", "Support User")


@pytest.fixture
def desk(db: Session, tmp_path: Path) -> Desk:
    return Desk(db, tmp_path)


@pytest.fixture
def ticket(db: Session, cleo: Any) -> Ticket:
    values = {"subject_ids": [1], "email": ASHA, "first_name": "Asha"}
    made = tickets.create(db, values, ChangeContext(cleo.id, NOW))
    db.commit()
    return made


def test_a_mail_is_taken_once(desk: Desk) -> None:
    mail = raw(Message_ID="<1@example.in>", Date="Thu, 1 Jan 2026 10:00:00 +0530")
    assert (desk.take(mail), desk.take(mail), desk.take(raw(Message_ID="<2@example.in>"))) == ("kept", "known", "kept")
    assert (desk.take(raw(body="x")), desk.take(raw(body="x")), desk.take(raw(body="y"))) == ("kept", "known", "kept")
    assert desk.count(Message) == desk.count(Mail) == 4 and desk.count(Conversation) == 1
    # Some programs give all their mails one Message-ID: they are different mails all the same.
    assert desk.take(raw(Message_ID="<1@example.in>", Date="Thu, 1 Jan 2026 11:00:00 +0530")) == "kept"


def test_a_reply_joins_the_thread_of_what_we_sent(desk: Desk, ticket: Ticket) -> None:
    header_id = desk.send(records={"ticket_id": ticket.id})
    assert desk.take(raw(In_Reply_To=f"<{header_id}>")) == "kept"
    message = desk.newest()
    assert (message.ticket_id, message.direction, message.peer) == (ticket.id, "in", ASHA)
    assert message.reply_to_id is not None


def test_a_reply_joins_the_thread_of_what_we_received(desk: Desk, ticket: Ticket) -> None:
    desk.take(raw(subject=f"About {ticket.number}", Message_ID="<Ab@example.in>", Cc="lawyer@example.in"))
    desk.take(raw("lawyer@example.in", References="<Ab@example.in>"))
    assert desk.newest().ticket_id == ticket.id
    desk.take(raw(References="<ab@example.in>", body="other letters: another mail"))
    assert desk.newest().ticket_id is None


def test_the_number_in_the_subject_opens_the_record_only_to_its_customer(desk: Desk, ticket: Ticket) -> None:
    desk.take(raw(subject=f"Re: [{ticket.number.lower()}] Pay-in"))
    assert desk.newest().ticket_id == ticket.id
    desk.take(raw(EVE, subject=f"Re: [{ticket.number}] Pay-in"))
    message = desk.newest()
    assert (message.ticket_id, message.peer, message.native["refers_to"]) == (None, EVE, ticket.number)


@pytest.mark.parametrize(
    "attack",
    [
        lambda key, ticket: raw(EVE, In_Reply_To=f"<{key}>"),
        lambda key, ticket: raw(EVE, References=f"<m1.{'0' * 32}@eshin.in> <m1@eshin.in>"),
        lambda key, ticket: raw(EVE, subject=f"{ticket.number}", Reply_To=ASHA),
        lambda key, ticket: raw(f'"{ASHA}" <{EVE}>', subject=ticket.number),
        lambda key, ticket: raw(f"{EVE}, {ASHA}", subject=ticket.number),
        lambda key, ticket: raw(EVE, subject=ticket.number, Sender=ASHA, Cc=ASHA),
        lambda key, ticket: raw(EVE, References="<x@example.in>", Cc=ASHA, Message_ID="<x@example.in>"),
        lambda key, ticket: raw(EVE, Auto_Submitted="auto-replied", In_Reply_To=f"<{key}>"),
    ],
)
def test_a_stranger_does_not_get_into_the_thread_or_the_conversation_of_another(
    desk: Desk, ticket: Ticket, attack: Any
) -> None:
    key = desk.send(records={"ticket_id": ticket.id})
    desk.take(raw(subject=ticket.number, Message_ID="<x@example.in>", body="first"))
    desk.take(attack(key, ticket))
    message = desk.newest()
    assert (message.ticket_id, message.customer_id, message.peer) == (None, None, EVE)
    conversation = desk.session.get(Conversation, message.conversation_id)
    assert conversation is not None and (conversation.peer, conversation.ticket_id) == (EVE, None)


def test_who_answers_a_copy_keeps_their_own_conversation(desk: Desk, ticket: Ticket, db: Session) -> None:
    ben = user(db, "ben", "Sales User")
    desk.take(raw(EVE, body="For Ben alone"))
    talk = db.scalars(select(Conversation).where(Conversation.peer == EVE)).one()
    talk.claimed_by_id = ben.id
    db.commit()
    sent = desk.send(cc=(EVE,), records={"ticket_id": ticket.id})
    desk.take(raw(EVE, body="I agree", References=f"<{sent}>"))
    assert (desk.newest().ticket_id, talk.ticket_id, talk.claimed_by_id) == (ticket.id, None, ben.id)


def test_a_record_with_a_customers_address_does_not_get_their_conversation(desk: Desk, db: Session) -> None:
    owner, other = user(db, "ana", "Sales User"), user(db, "ben", "Sales User")
    customer = customers.create(
        db, {"first_name": "Asha", "email": ASHA}, ChangeContext(owner.id, NOW, vault=desk.vault)
    )
    desk.take(raw(body="For Ana alone"))
    talk = db.scalars(select(Conversation)).one()
    talk.customer_id, talk.claimed_by_id = customer.id, owner.id
    lead = lead_of(db, other, email=ASHA)
    sent = desk.send(records={"lead_id": lead.id})
    talk.lead_id = None  # the system sent it
    db.commit()
    desk.take(raw(body="An answer", References=f"<{sent}>"))
    assert (desk.newest().lead_id, talk.lead_id, talk.customer_id) == (lead.id, None, customer.id)


def test_a_forged_sender_gets_in_nowhere_when_the_mail_server_checks(
    db: Session, tmp_path: Path, ticket: Ticket
) -> None:
    desk = Desk(db, tmp_path, authserv_id="mx.eshin.in")
    results = "mx.eshin.in; dmarc={}"
    desk.take(raw(subject=ticket.number, Message_ID="<x@e.in>", Authentication_Results=results.format("pass")))
    assert desk.newest().ticket_id == ticket.id
    for number, headers in enumerate(
        ({"subject": ticket.number}, {"References": "<x@e.in>"}, {"subject": ticket.number, "Message_ID": "<y@e.in>"})
    ):
        desk.take(raw(body=f"forged {number}", Authentication_Results=results.format("fail"), **headers))
        assert (desk.newest().ticket_id, desk.newest().body) == (None, f"forged {number}")
        assert desk.newest().native["unverified"]
    sealed = desk.send(records={"ticket_id": ticket.id})
    desk.take(raw(References=f"<{sealed}>", Authentication_Results=results.format("fail")))
    assert desk.newest().ticket_id == ticket.id  # who knows this reference has got our mail


@pytest.mark.parametrize(
    "results",
    [
        "mx.eshin.in; spf=pass smtp.mailfrom=dmarc=pass@evil.in; dmarc=fail header.from=example.in",
        "mx.eshin.in; dmarc=none; spf=pass smtp.mailfrom=x@evil.in; dkim=pass header.d=evil.in",
        "mx.eshin.in; dmarc=pass header.from=evil.in",
    ],
)
def test_who_passes_the_checks_for_a_domain_of_their_own_is_nobody_elses_sender(
    db: Session, tmp_path: Path, ticket: Ticket, results: str
) -> None:
    desk = Desk(db, tmp_path, authserv_id="mx.eshin.in")
    desk.take(raw(subject=ticket.number, body="forged", Authentication_Results=results))
    assert (desk.newest().ticket_id, desk.newest().native["unverified"]) == (None, True)


# --- what opens


def test_a_new_mail_opens_a_ticket_by_the_rule_of_the_account(db: Session, tmp_path: Path, cleo: Any) -> None:
    desk = Desk(db, tmp_path, opens="ticket", owner="cleo")
    desk.take(raw("Asha Rao <asha@example.in>", subject="RE: Fwd: Pay-in", Message_ID="<1@example.in>"))
    made = desk.session.scalars(select(Ticket)).one()
    assert (made.title, made.summary, made.subject_labels) == ("Pay-in", "Pay-in", "DP charges")
    assert (made.email, made.first_name, made.last_name, made.source) == (ASHA, "Asha", "Rao", "E-mail")
    assert (made.owner_id, made.assignee_id, made.description) == (cleo.id, cleo.id, "RE: Fwd: Pay-in\n\nIt failed.")
    assert desk.newest().ticket_id == made.id
    desk.take(raw(In_Reply_To="<1@example.in>"))
    assert desk.count(Ticket) == 1 and desk.newest().ticket_id == made.id


def test_a_ticket_of_a_known_customer_is_theirs(db: Session, tmp_path: Path, cleo: Any) -> None:
    values = {"first_name": "Asha", "mobile": "9820012345", "email": ASHA}
    customer = customers.create(db, values, ChangeContext(None, NOW, vault=Vault(b"k" * 32)))
    db.commit()
    desk = Desk(db, tmp_path, opens="ticket", owner="cleo", authserv_id="mx")
    desk.take(raw(Authentication_Results="mx; dmarc=pass"))
    assert desk.newest().customer_id == customer.id
    desk.take(raw(body="forged", Authentication_Results="mx; dmarc=fail"))
    assert desk.newest().customer_id is None and desk.newest().ticket_id is not None


def test_a_new_mail_opens_a_lead_and_the_next_one_takes_it_up(db: Session, tmp_path: Path) -> None:
    user(db, "sam", "Sales User")
    desk = Desk(db, tmp_path, opens="lead", owner="nobody")
    desk.take(raw(f'"{ASHA}" <{ASHA}>'))  # the address isn't their name: masks of the field wouldn't hide it
    desk.take(raw(body="Another question"))
    made = desk.session.scalars(select(Lead)).one()
    assert (made.email, made.first_name, desk.newest().lead_id) == (ASHA, "asha", made.id)


def test_mail_through_a_group_of_the_account_opens_a_ticket(db: Session, tmp_path: Path, cleo: Any) -> None:
    through = {"List_Id": "<help.eshin.in>", "Precedence": "list"}
    desk = Desk(db, tmp_path, opens="ticket", owner="cleo", groups="sales@eshin.in, Help@eshin.in")
    desk.take(raw(**through))
    assert (desk.count(Ticket), desk.newest().ticket_id is not None) == (1, True)


@pytest.mark.parametrize(
    "headers",
    [{"Auto_Submitted": "auto-replied"}, {"Precedence": "bulk"}, {"subject": "Out of office"}, {"List_Id": "<x.in>"}],
)
def test_what_no_person_has_sent_is_kept_and_opens_nothing(
    db: Session, tmp_path: Path, cleo: Any, headers: dict[str, str]
) -> None:
    desk = Desk(db, tmp_path, opens="ticket", owner="cleo")
    assert desk.take(raw(**headers)) == "kept"
    assert (desk.count(Ticket), desk.count(Message)) == (0, 1)


def test_whoever_writes_without_end_opens_no_more(
    db: Session, tmp_path: Path, cleo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_record_rules, "MAX_PER_HOUR", 3)
    desk = Desk(db, tmp_path, opens="ticket", owner="cleo")
    for number in range(3 + 5):
        desk.take(raw(body=f"{number}"))
    assert (desk.count(Ticket), desk.count(Message)) == (3, 3 + 5)


@pytest.mark.parametrize(
    ("mail", "state"),
    [
        (raw("support@eshin.in"), "dropped"),
        (raw(X_Loop="support@eshin.in"), "dropped"),
        (b"Received: x\r\n" * 50 + raw(), "dropped"),
        (b"Received: x\r\n" * 5 + raw(X_Loop="other@list.in"), "kept"),
    ],
)
def test_our_own_mail_that_comes_back_is_not_taken_in(desk: Desk, mail: bytes, state: str) -> None:
    assert desk.take(mail) == state
    assert desk.count(Message) == (state == "kept")


# --- what did not arrive

REPORT = (
    "From: MAILER-DAEMON@mx.in\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
    "Final-Recipient: rfc822; {peer}\r\nAction: {action}\r\nStatus: {status}\r\n\r\n"
    "--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{key}>\r\n--b--"
)


@pytest.mark.parametrize(
    ("peer", "action", "status", "state"),
    [
        (ASHA, "failed", "5.1.1", "failed"),
        (ASHA, "delayed", "4.4.1", "sent"),
        (EVE, "failed", "5.1.1", "sent"),
    ],
)
def test_a_report_marks_the_mail_that_did_not_arrive(
    desk: Desk, peer: str, action: str, status: str, state: str
) -> None:
    key = desk.send()
    desk.take(REPORT.format(peer=peer, action=action, status=status, key=key).encode())
    assert (desk.newest().state, desk.count(Message)) == (state, 1)


def test_a_copy_that_did_not_arrive_is_told_and_a_guessed_report_changes_nothing(desk: Desk) -> None:
    key = desk.send(cc=("lawyer@example.in",))
    desk.take(REPORT.format(peer="lawyer@example.in", action="failed", status="5.1.1", key=key).encode())
    assert (desk.newest().state, desk.newest().reason) == ("sent", "It did not reach cc address 1 (5.1.1).")
    guess = key.replace(key[4:8], "0000")
    desk.take(REPORT.format(peer=ASHA, action="failed", status="5.1.1", key=guess).encode())
    sent = desk.session.scalars(select(Message).where(Message.direction == "out")).one()
    assert sent.state == "sent" and desk.newest().direction == "in"


# --- the rest


def test_files_are_kept_by_content_and_long_texts_with_their_original(desk: Desk) -> None:
    body = (
        "--b\r\nContent-Type: text/plain\r\n\r\n" + "word " * 5_000 + "\r\n--b\r\n"
        'Content-Type: image/jpeg; name="../a.jpg"\r\n\r\n\x00\x00\x00\x18ftypheic\r\n--b--'
    )
    desk.take(raw(body=body, Content_Type="multipart/mixed; boundary=b"))
    message, mail = desk.newest(), desk.session.scalars(select(Mail)).one()
    assert len(message.body) < messages.MAX_BODY + 10 and mail.original and mail.sentence == inbound_mail.IS_CUT
    (file,) = message.media or []
    assert (file["name"], file["mime_type"]) == ("a.jpg", "image/heic")
    with desk.intake.store.open(file["address"].removeprefix("file:")) as stored:
        assert stored.read().endswith(b"ftypheic")
    with pytest.raises(FileNotFoundError):
        desk.intake.store.open("../../etc/passwd")


def test_a_file_that_unpacks_without_end_is_not_kept(desk: Desk) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(3_000_000))
    zipped = base64.b64encode(made.getvalue()).decode()
    headers = 'Content-Type: application/zip; name="a.zip"\r\nContent-Transfer-Encoding: base64'
    body = f"--b\r\n{headers}\r\n\r\n{zipped}\r\n--b--"
    desk.take(raw(body=body, Content_Type="multipart/mixed; boundary=b"))
    message, mail = desk.newest(), desk.session.scalars(select(Mail)).one()
    assert (message.media, message.body, mail.sentence) == (None, inbound_mail.NO_TEXT, inbound_mail.HAS_BOMB)
    assert mail.original is None


def test_a_mail_that_cannot_be_read_waits_with_its_original(desk: Desk) -> None:
    assert desk.take(b"Subject: x\r\n\r\nno sender", uid_validity=1, uid=7) == "failed"
    assert desk.take(b"Subject: x\r\n\r\nno sender") == "known"
    row = desk.session.scalars(select(Mail)).one()
    assert (row.uid, row.message_id) == (7, None) and "who sent it" in (row.sentence or "")
    assert inbound_mail.retry_failed(desk.session, desk.intake, row) == "failed" and desk.count(Mail) == 1


def test_a_mail_left_in_the_mailbox_says_so(desk: Desk) -> None:
    assert desk.take(raw(), refusal="The email is larger than 25 MB.") == "refused"
    row = desk.session.scalars(select(Mail)).one()
    assert (row.peer, row.sentence, desk.count(Message)) == (ASHA, "The email is larger than 25 MB.", 0)


@pytest.mark.parametrize(("text", "said"), [("STOP", "withdrawn"), ("बंद करो", "withdrawn"), ("Stop it now", None)])
def test_stop_goes_into_the_ledger(desk: Desk, text: str, said: str | None) -> None:
    desk.take(raw(body=text, Content_Type="text/plain; charset=utf-8"))
    entry = consents.latest(desk.session, "email", ASHA)
    assert (entry.action if entry else None) == said
