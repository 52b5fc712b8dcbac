"""Incoming and outgoing email through the whole product: a real mailbox, a real mail server, job, queue and outbox."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email import message_from_string
from email.policy import default
from typing import Any

import pytest
from sqlalchemy import func, select, text

from app import access, jobs
from app.channels import imap_client
from app.channels.provider_registry import KINDS
from app.domain.base import Stamp
from app.domain.inbound import inbound_mail
from app.domain.inbound.inbound_mail import ArrivedMail
from app.domain.messaging import channel_accounts, consents, messages
from app.domain.messaging.channel_accounts import AccountSettings
from app.inbound import mail_fetch
from app.job_runner import run_slot
from app.models import AuditEntry, BusinessSetting, ChannelAccount, Mail, MailboxState, Message, Ticket
from app.ops.queues import queue
from app.ops.storage.virus_scanner import FileNotScanned, ScannerUnavailable
from app.outbox import message_delivery
from tests.app_fixtures import Crm
from tests.channels import imap
from tests.channels.smtp import MailServer, serving

ASHA = "asha@example.in"


@pytest.fixture(scope="module")
def mailbox() -> Iterator[imap.Dovecot]:
    with imap.serving() as server:
        yield server


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with serving() as server:
        yield server


@pytest.fixture
def account(crm: Crm, mailbox: imap.Dovecot, mail_server: MailServer) -> Any:
    """The mailbox as an account that opens tickets, connected: what is in it already is left alone."""
    add(crm, "smtp", port=mail_server.url.rpartition(":")[2], **{"from": "Support <support@eshin.test>"})
    secret = {"user": imap.USER, "password": imap.PASSWORD, "address": imap.USER}
    made = add(crm, "imap", port=str(mailbox.port), opens="ticket", owner="cleo", **secret)
    mailbox.put(raw("before", "old"))
    fetch(crm)
    return made


def add(crm: Crm, kind: str, **values: str) -> Any:
    wanted = AccountSettings(f"mail {kind}", {"host": "127.0.0.1", "security": "none", **values})
    made = channel_accounts.create(crm.session, KINDS[kind], wanted, Stamp(None, now()), crm.vault)
    crm.session.commit()
    return made


def now() -> datetime:
    return datetime.now(UTC)


def raw(key: str, body: str = "It failed.", **headers: str) -> bytes:
    lines = [f"From: Asha <{ASHA}>", "Subject: Pay-in", f"Message-ID: <{key}@example.in>"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def fetch(crm: Crm) -> None:
    """Run the job, and what it has queued."""
    job = next(each for each in jobs.SCHEDULE if each.name == "fetch mail")
    with crm.app.app_context():
        run_slot(crm.app.extensions["crm_jobs"], job, (now().isoformat()[:30], now()), now())
    work(crm)


def work(crm: Crm) -> None:
    crm.session.commit()
    with crm.app.app_context():
        queue._backend.run_waiting()  # type: ignore[union-attr]
    crm.session.commit()
    crm.session.expire_all()


def bodies(crm: Crm) -> list[str]:
    return list(crm.session.scalars(select(Message.body).where(Message.direction == "in").order_by(Message.id)))


def test_a_conversation_by_mail_stays_in_its_ticket(
    crm: Crm, account: Any, mailbox: imap.Dovecot, mail_server: MailServer
) -> None:
    mailbox.put(raw("a1"))
    fetch(crm)
    assert bodies(crm) == ["It failed."]  # not the one that was there before
    ticket = crm.session.scalars(select(Ticket).order_by(Ticket.id.desc())).first()
    question = crm.session.scalars(select(Message).order_by(Message.id.desc())).first()
    assert ticket is not None and question is not None and question.ticket_id == ticket.id
    values = {"channel": "email", "ticket": ticket.id, "subject": "Re: Pay-in", "reply_to": question.id}
    values |= {"html": "<p onclick='x'>Try <b>again</b></p>", "cc": ["b@c.in"]}
    posted = crm.client("cleo").rest("POST", "message/", values)
    assert (posted.status_code, posted.json["result"]["state"]) == (201, "queued"), posted.json
    crm.session.commit()
    answer = crm.session.get_one(Message, posted.json["id"])
    crm.session.commit()
    work(crm)
    assert crm.session.get_one(Message, answer.id).state == "sent"
    ((to, text_),) = mail_server.mail
    sent = message_from_string(text_, policy=default)
    html = sent.get_body(("html",))
    assert (to, sent["In-Reply-To"], sent["References"]) == ([ASHA, "b@c.in"], "<a1@example.in>", "<a1@example.in>")
    assert html is not None and html.get_content().strip() == "<p>Try <b>again</b></p>"
    mailbox.put(raw("a2", "It works now.\n\n> Try again", In_Reply_To=str(sent["Message-ID"])))
    fetch(crm)
    newest = crm.session.scalars(select(Message).order_by(Message.id.desc())).first()
    assert newest is not None
    assert (newest.body, newest.ticket_id, newest.reply_to_id) == ("It works now.", ticket.id, answer.id)
    assert newest.conversation_id == crm.session.get_one(Message, answer.id).conversation_id


MIXED = (
    '--b\r\nContent-Type: text/html\r\n\r\n<p>Hi<script>x</script><img src="https://t.in/p"></p>\r\n'
    '--b\r\nContent-Type: image/png; name="../<b>.svg"\r\n\r\n<svg onload="x"/>\r\n--b--'
)


def test_html_and_files_are_shown_to_who_sees_the_message_and_never_run(
    crm: Crm, account: Any, mailbox: imap.Dovecot
) -> None:
    mailbox.put(raw("f1", MIXED, Content_Type="multipart/mixed; boundary=b", Cc="boss@example.in"))
    fetch(crm)
    message = crm.session.scalars(select(Message).order_by(Message.id.desc())).first()
    assert message is not None
    shown = crm.client("cleo").rest("GET", f"message/{message.id}/mail").json["result"]
    assert (shown["html"], shown["has_remote_pictures"]) == ('<p>Hi<img data-remote="https://t.in/p"></p>', True)
    with_pictures = crm.client("cleo").rest("GET", f"message/{message.id}/mail?pictures=1").json["result"]["html"]
    assert '<img src="https://t.in/p" referrerpolicy="no-referrer"' in with_pictures
    assert (shown["cc"], shown["files"][0]["mime_type"]) == (["boss@example.in"], "application/octet-stream")
    file = crm.client("cleo").rest("GET", f"message/{message.id}/file/0")
    assert (file.data, file.mimetype) == (b'<svg onload="x"/>', "application/octet-stream")
    assert file.headers["Content-Disposition"].startswith("attachment; filename=")
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    for who, path in (("ana", "mail"), ("ana", "file/0"), ("cleo", "file/1"), ("cleo", "file/99999999999999999999")):
        assert crm.client(who).rest("GET", f"message/{message.id}/{path}").status_code == 404


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"cc": ["x"]}, "cc"),
        ({"cc": {"a": 1}}, "cc"),
        ({"cc": "a@b.in\r\nBcc: eve@evil.in"}, "cc"),
        ({"html": "x" * 300_000}, "html"),
        ({"channel": "sms", "peer": "+919820012345", "cc": ["a@b.in"]}, "cc"),
        ({"noted": True, "html": "<p>x</p>"}, "html"),
        ({"peer": "a@b.in\r\nBcc: eve@evil.in"}, "peer"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_nothing_is_stored(
    crm: Crm, account: Any, more: dict[str, Any], field: str
) -> None:
    before = crm.session.scalar(select(func.count()).select_from(Message))
    refused = crm.client("cleo").rest("POST", "message/", {"channel": "email", "peer": ASHA, "body": "x", **more})
    assert (refused.status_code, list(refused.json["errors"])) == (422, [field]), refused.json
    crm.session.commit()
    assert crm.session.scalar(select(func.count()).select_from(Message)) == before


def test_one_bad_mail_holds_up_no_other_and_can_be_taken_again(
    crm: Crm, account: Any, mailbox: imap.Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = "CREATE TRIGGER bad BEFORE INSERT ON message WHEN NEW.body = 'poison' BEGIN SELECT RAISE(ABORT, 'bad'); END"
    crm.session.execute(text(fault))
    crm.session.commit()
    monkeypatch.setattr(imap_client, "MAX_MAIL_BYTES", 3000)
    mailbox.put(
        raw("b1", "one"), raw("b2", "poison"), b"Subject: nobody\r\n\r\nx", raw("b4", "x" * 5000), raw("b5", "five")
    )
    fetch(crm)
    assert bodies(crm) == ["one", "five"]
    kept = crm.session.scalars(select(Mail).where(Mail.state.in_(("failed", "refused"))).order_by(Mail.id)).all()
    assert [each.sentence for each in kept] == [
        mail_fetch.A_FAULT,
        "The email doesn't say who sent it: it has no valid From address.",
        imap_client.TOO_LARGE,
    ]
    crm.session.execute(text("DROP TRIGGER bad"))
    crm.session.commit()
    fetch(crm)
    with crm.app.app_context():
        assert mail_fetch.take_again(crm.session, kept[0].id, now()) == "kept"
    crm.session.commit()
    assert bodies(crm) == ["one", "five", "poison"]


def strange_mails() -> dict[str, tuple[bytes, str]]:
    """What is strange -> (the mail, what its conversation or the list of emails without a place says)."""
    return {
        "UTF-7": (raw("u7", "Hi +AGE-+ADw-script+AD4-", Content_Type="text/plain; charset=utf-7"), "Hi a<script>"),
        "an unknown charset": (raw("u9", "Pay-in", Content_Type="text/plain; charset=klingon"), "Pay-in"),
        "bytes of another charset": (
            raw("u8", "xx", Content_Type="text/plain; charset=utf-8").replace(b"xx", b"Se\xf1or"),
            "Se\ufffdor",
        ),
        "no Message-ID": (raw("none", "Anonymous").replace(b"Message-ID: <none@example.in>\r\n", b""), "Anonymous"),
        "fifty answers": (
            raw("deep", "Last word\r\n" + "".join("> " * n + f"line {n}\r\n" for n in range(1, 51))),
            "Last word",
        ),
        "40 MB": (raw("large", "x\r\n" * 10_000_000), imap_client.TOO_LARGE),
        "no sender": (b"Subject: who\r\n\r\nx", "The email doesn't say who sent it: it has no valid From address."),
    }


def test_a_strange_mail_is_in_its_conversation_or_waits_with_a_sentence(
    crm: Crm, account: Any, mailbox: imap.Dovecot
) -> None:
    strange = strange_mails()
    mailbox.put(*(each for each, _told in strange.values()))
    fetch(crm)
    found = [*bodies(crm), *crm.session.scalars(select(Mail.sentence).where(Mail.message_id.is_(None)))]
    missing = {name: told for name, (_mail, told) in strange.items() if told not in found}
    assert missing == {}, found
    # What waits can be read: of the large one its headers, of the other all
    page = crm.client("root").screen("/mails/").text
    assert ASHA in page and len(re.findall(r'href="/mails/\d+"', page)) == 2
    fetch(crm)
    assert len(bodies(crm)) == len(strange) - 2


def test_an_email_leaves_after_the_time_in_which_it_can_be_taken_back(
    crm: Crm, account: Any, mail_server: MailServer
) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    typed = {
        "record": f"lead:{lead.id}",
        "to": "@record",
        "subject": "Papers",
        "html": "<p>Please sign.</p>",
        "key": "k",
    }
    sent = crm.client("ana").form("/mail/send", typed, headers={"Accept": "application/json"})
    assert sent.status_code == 201, sent.text
    work(crm)
    message = crm.session.get_one(Message, sent.json["id"])
    assert message.state == "queued" and mail_server.mail == []
    message.due_on = now()
    crm.session.commit()
    with crm.app.app_context():
        message_delivery.send(message.id)
    crm.session.commit()
    crm.session.expire_all()
    assert crm.session.get_one(Message, message.id).state == "sent" and len(mail_server.mail) == 1


def test_a_copy_that_nobody_wants_any_more_stops_the_email(crm: Crm, account: Any, mail_server: MailServer) -> None:
    values = {"channel": "email", "peer": ASHA, "subject": "Offer", "body": "x", "cc": ["b@c.in"]}
    posted = crm.client("cleo").rest("POST", "message/", values | {"purpose": "promotional"})
    assert posted.status_code == 201, posted.json
    said = {"channel": "email", "address": "b@c.in", "action": "withdrawn", "how": "letter"}
    consents.record(crm.session, said, Stamp(None, now()))
    crm.session.get_one(Message, posted.json["id"]).due_on = now()
    crm.session.commit()
    with crm.app.app_context():
        message_delivery.send(posted.json["id"])
    crm.session.commit()
    crm.session.expire_all()
    row = crm.session.get_one(Message, posted.json["id"])
    assert row.state == "failed" and "Cc address 1" in (row.reason or "") and mail_server.mail == []


def test_a_mailbox_that_is_numbered_anew_brings_nothing_twice(crm: Crm, account: Any, mailbox: imap.Dovecot) -> None:
    mailbox.put(raw("c1", "first"))
    fetch(crm)
    mailbox.number_anew()
    mailbox.put(raw("c2", "second"))
    fetch(crm)
    fetch(crm)
    assert bodies(crm)[-1] == "second" and bodies(crm).count("first") == 1
    state = crm.session.scalars(select(MailboxState)).one()
    assert state.uid_validity == 4_000_000_000 and state.leased_until is None


def test_two_processes_take_each_mail_once(crm: Crm, account: Any, mailbox: imap.Dovecot) -> None:
    count = crm.session.scalar(select(func.count()).select_from(Message)) or 0
    mailbox.put(*(raw(f"d{n}", f"{n}") for n in range(8)))

    def run() -> None:
        with crm.app.app_context():
            mail_fetch.fetch(account.id)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    fetch(crm)
    assert crm.session.scalar(select(func.count()).select_from(Message)) == count + 8


def test_trouble_is_told_on_the_account(crm: Crm, account: Any, mailbox: imap.Dovecot) -> None:
    row = crm.session.get_one(ChannelAccount, account.id)
    row.settings, row.version = row.settings | {"port": "1"}, row.version + 1
    crm.session.commit()
    fetch(crm)
    crm.session.refresh(row)
    assert "can't be reached" in (row.last_error or "")
    assert messages.MAX_BODY * 4 < 65_536  # what MariaDB's TEXT takes


def test_the_database_takes_a_long_mail_once_whoever_brings_it(crm_on_both: Crm) -> None:
    secret = {"user": imap.USER, "password": imap.PASSWORD, "address": imap.USER}
    account_id = add(crm_on_both, "imap", opens="lead", owner="ana", **secret).id
    quoted = "> " + "𝕬" * 30_000
    body = "\r\n".join(["𝕬" * 20_000, "", "On Monday, x wrote:", quoted])
    mail = raw("g1", body, Content_Type="text/plain; charset=utf-8")
    barrier = threading.Barrier(4)

    def bring(_number: int) -> str:
        with crm_on_both.app.app_context():
            barrier.wait()
            with access.system_transaction() as session:
                return inbound_mail.process(
                    session, mail_fetch.intake_of(session, account_id, now()), ArrivedMail(mail)
                )

    with ThreadPoolExecutor(4) as threads:
        states = sorted(threads.map(bring, range(4)))
    assert states == ["kept", "known", "known", "known"]
    (message,) = crm_on_both.rows(select(Message).where(Message.account_id == account_id))
    (row,) = crm_on_both.rows(select(Mail).where(Mail.account_id == account_id))
    assert message.lead_id is not None and message.body.startswith("𝕬" * 15_000)
    assert row.quoted is not None and row.quoted.endswith("𝕬" * 30_000) and row.original is not None


class FakeScanner:
    """Finds EICAR; None = it is away."""

    def __init__(self, word: bytes | None) -> None:
        self.word = word

    def threat_in(self, file: Any) -> str | None:
        if self.word is None:
            raise ScannerUnavailable("away")
        content = file.read()
        if b"too large" in content:
            raise FileNotScanned("refused")
        return "Eicar-Signature" if self.word in content else None


@pytest.fixture
def scanner(crm: Crm) -> Iterator[FakeScanner]:
    crm.app.extensions["crm_scanner"] = made = FakeScanner(b"EICAR")
    yield made
    crm.app.extensions["crm_scanner"] = None


def test_nothing_of_an_infected_email_is_stored(
    crm: Crm, account: Any, mailbox: imap.Dovecot, scanner: FakeScanner
) -> None:
    mailbox.put(raw("v1", "EICAR"))
    mailbox.put(raw("v2", "harmless"))
    fetch(crm)
    assert bodies(crm) == ["harmless"]
    row = crm.session.scalars(select(Mail).where(Mail.state == "refused")).one()
    assert row.sentence == mail_fetch.INFECTED
    with crm.app.extensions["crm_files"].open(row.original) as kept:
        assert b"Message-ID: <v1@example.in>" in (headers := kept.read()) and b"EICAR" not in headers
    (entry,) = crm.session.scalars(select(AuditEntry).where(AuditEntry.event == "infected file"))
    assert entry.payload["threat"] == "Eicar-Signature"


def test_an_email_that_is_not_scanned_stops_no_other_and_a_slow_pass_goes_on(
    crm: Crm, account: Any, mailbox: imap.Dovecot, scanner: FakeScanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, body in (("l1", "too large"), ("l2", "harmless"), ("l3", "late")):
        mailbox.put(raw(name, body))
    monkeypatch.setattr(mail_fetch, "PASS_SECONDS", 0.0)  # as if each scan took half a minute
    for expected in ([], ["harmless"], ["harmless", "late"]):
        fetch(crm)
        assert bodies(crm) == expected
        assert crm.session.scalar(select(ChannelAccount.last_error).where(ChannelAccount.kind == "imap")) is None
    row = crm.session.scalars(select(Mail).where(Mail.state == "refused")).one()
    assert row.sentence == mail_fetch.UNSCANNED


@pytest.mark.parametrize("rule", ["refuse", "accept"])
def test_while_the_scanner_is_away_emails_wait_in_the_mailbox(
    crm: Crm, account: Any, mailbox: imap.Dovecot, scanner: FakeScanner, rule: str
) -> None:
    crm.session.merge(BusinessSetting(key="file_scan_rule", value=rule))
    crm.session.commit()
    scanner.word = None
    mailbox.put(raw(f"w-{rule}", rule))
    fetch(crm)
    assert bodies(crm) == (["accept"] if rule == "accept" else [])
    if rule == "refuse":
        error = crm.session.scalar(select(ChannelAccount.last_error).where(ChannelAccount.kind == "imap"))
        assert error == mail_fetch.NOT_SCANNED
    scanner.word = b"EICAR"
    fetch(crm)
    assert bodies(crm) == [rule]
