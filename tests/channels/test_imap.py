"""Reading a real mailbox: by position, within limits, encrypted, with messages for what can't be read."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from app.channels import imap_client
from app.channels.base import ChannelError
from app.channels.imap_client import FetchedMail, ImapClient, Mailbox, MailboxPosition
from app.ops.storage import file_store
from tests.channels import imap
from tests.channels.certificates import make_certificate

TODAY = date(2026, 1, 1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module")
def server(certificate: Path) -> Iterator[imap.Dovecot]:
    with imap.serving(certificate) as server:
        yield server


def mailbox(server: imap.Dovecot, security: str = "none") -> Mailbox:
    port = server.tls_port if security == "tls" else server.port
    return Mailbox("127.0.0.1", port, security, imap.USER, imap.PASSWORD)


def fetched(
    client: ImapClient, position: MailboxPosition, limit: int = 50
) -> tuple[list[FetchedMail], MailboxPosition]:
    mails = []
    for each in client.fetch(position, TODAY, limit):
        if isinstance(each, MailboxPosition):
            position = each
        else:
            mails.append(each)
            if each.uid_validity == position.uid_validity:
                position = MailboxPosition(each.uid_validity, each.uid)
    return mails, position


def test_what_is_new_is_read_once_and_stays_unread(server: imap.Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    server.put(b"Subject: old\r\n\r\n")
    client = ImapClient(mailbox(server))
    start = client.position()
    assert fetched(client, start) == ([], start)
    server.put(*(f"Subject: {n}\r\n\r\n{n}".encode() for n in range(5)))
    first, position = fetched(client, start, limit=3)
    rest, end = fetched(client, position)
    assert [each.raw[-1:] for each in first + rest] == [b"0", b"1", b"2", b"3", b"4"]
    assert fetched(client, end) == ([], end)
    with server.session() as other:
        assert len(other.uid("SEARCH", "UNSEEN")[1][0].split()) == 6
    monkeypatch.setattr(imap_client, "WINDOW", 2)
    assert len(fetched(client, start)[0]) == 5


def test_a_large_mail_is_left_with_its_reason(server: imap.Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    client = ImapClient(mailbox(server))
    start = client.position()
    server.put(b"From: a@b.in\r\n\r\n" + b"x" * 5000, b"From: a@b.in\r\n\r\nsmall")
    monkeypatch.setattr(imap_client, "MAX_MAIL_BYTES", 4000)
    (large, small), _end = fetched(client, start)
    assert (large.raw, large.refusal, large.size > 5000) == (b"From: a@b.in\r\n\r\n", imap_client.TOO_LARGE, True)
    assert (small.raw[-5:], small.refusal) == (b"small", "")


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_an_encrypted_mailbox_needs_a_trusted_certificate(
    server: imap.Dovecot, certificate: Path, security: str
) -> None:
    trusting = ImapClient(mailbox(server, security), tls=ssl.create_default_context(cafile=certificate))
    assert "opened the folder INBOX" in trusting.check()
    with pytest.raises(ChannelError, match="SSLCertVerificationError"):
        ImapClient(mailbox(server, security)).check()


@pytest.mark.parametrize(
    ("change", "sentence", "permanent"),
    [
        ({"password": "wrong"}, "refused the user or password", True),
        ({"folder": 'Ablage "ü" & x'}, "no such folder", True),
        ({"port": 1}, "can't be reached", False),
        ({"host": "nowhere.invalid"}, "can't be reached", False),
    ],
)
def test_what_is_wrong_is_said(server: imap.Dovecot, change: dict, sentence: str, permanent: bool) -> None:
    with pytest.raises(ChannelError, match=sentence) as refused:
        ImapClient(replace(mailbox(server), **change)).check()
    assert refused.value.permanent == permanent and imap.USER not in str(refused.value)


# --- servers that don't keep to the protocol

HELLO = b"* OK [CAPABILITY IMAP4rev1] hi\r\n"
SCRIPTS = {
    "a mail without end": [b"* 1 FETCH (UID 1 RFC822.SIZE 10)\r\n@ OK\r\n", b"* 1 FETCH (BODY[] {99999999}\r\n"],
    "a list without end": [b"* 1 FETCH (UID 1 RFC822.SIZE 10)\r\n@ OK\r\n", b"* 1 FETCH (BODY[] {3}\r\n" * 10],
    "nonsense": [b"\xff\xfe\r\n@ OK\r\n"],
    "no size": [b"* 1 FETCH (UID 1)\r\n@ OK\r\n"],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_strange_server_is_given_up_in_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap_client, "TOTAL_SECONDS", 3.0)
    answers = [
        b"* CAPABILITY IMAP4rev1\r\n@ OK\r\n",
        b"@ OK\r\n",
        b"* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 2] x\r\n@ OK\r\n",
        b"* SEARCH 1\r\n@ OK\r\n",
        *SCRIPTS[name],
    ]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_play, args=(listener, answers), daemon=True).start()
        client = ImapClient(Mailbox("127.0.0.1", listener.getsockname()[1], "none", "u", "p"), timeout=1)
        try:
            assert fetched(client, MailboxPosition(1, 0))[0] == []
        except ChannelError as error:
            assert str(error).startswith("The mail server")


def _play(listener: socket.socket, answers: list[bytes]) -> None:
    connection, _address = listener.accept()
    with connection, suppress(OSError):  # the client has gone
        connection.sendall(HELLO)
        for answer in answers:
            tag = connection.recv(1000).split(b" ")[0]
            connection.sendall(answer.replace(b"@", tag))
        connection.settimeout(5)
        connection.recv(1000)


def test_a_mail_that_is_fetched_has_files_that_can_be_kept() -> None:
    assert imap_client.MAX_MAIL_BYTES <= file_store.MAX_BYTES
