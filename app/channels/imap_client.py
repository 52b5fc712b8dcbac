"""The client of a mailbox on an IMAP server.

Emails are read and left in place, unread: the mailbox may have other readers. New ones are recognized by their UID,
which only grows as long as UIDVALIDITY stays the same (RFC 3501, 2.3.1.1).
"""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from app.channels.base import ChannelError
from app.channels.tls import trusted_by_this_machine
from app.lib import deadline
from app.lib.deadline import DeadlineWatchdog

#: Seconds that the server may take for each reply; TOTAL_SECONDS for a whole fetch, less than a job may take.
TIMEOUT = 15.0
TOTAL_SECONDS = 40.0
#: Larger emails are left on the server; only their headers are read.
MAX_MAIL_BYTES = 25_000_000
MAX_HEADER_BYTES = 64_000
#: Bytes that the server may send besides the emails, for each command.
MAX_CHATTER = 2_000_000
#: UIDs requested at once: their list must stay shorter than the longest line that imaplib reads.
WINDOW = 50_000
MAX_WINDOWS = 200
NOT_HANDED_OVER = "The mail server didn't hand this email over. Please open it in the mailbox."
TOO_LARGE = "The email is larger than 25 MB. It was left in the mailbox; please open it there."
#: What imaplib raises if a server violates the protocol.
_FAULTS = (imaplib.IMAP4.error, OSError, ValueError, TypeError, LookupError, AttributeError, EOFError)
_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,12})")
_NUMBER = re.compile(rb"\d{1,10}")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class MailboxPosition:
    """The position up to which a mailbox has been read."""

    uid_validity: int
    last_uid: int


@dataclass(frozen=True)
class FetchedMail:
    """An email in the mailbox."""

    uid_validity: int
    uid: int
    #: Size of the whole email, in bytes, according to the server.
    size: int
    #: The email; only its headers if `refusal` says why it was left on the server.
    raw: bytes
    refusal: str = ""


@dataclass(frozen=True)
class Mailbox:
    """A mailbox on a server and how to sign in."""

    host: str
    port: int
    #: tls, starttls or none.
    security: str
    user: str
    password: str
    folder: str = "INBOX"


class ImapClient:
    """Reads one mailbox, over a connection of its own for each pass."""

    def __init__(self, mailbox: Mailbox, timeout: float = TIMEOUT, tls: ssl.SSLContext | None = None) -> None:
        """`tls` says which certificates are trusted."""
        self.mailbox, self.timeout = mailbox, timeout
        self.tls = tls or trusted_by_this_machine()

    def position(self) -> MailboxPosition:
        """The current end of the mailbox: reading from there skips what is in it. Raises ChannelError."""
        with self._selected() as (_connection, uid_validity, next_uid):
            return MailboxPosition(uid_validity, next_uid - 1)

    def check(self) -> str:
        """Sign in and open the folder. Returns a sentence for the settings page. Raises ChannelError."""
        self.position()
        return f"Signed in to {self.mailbox.host} and opened the folder {self.mailbox.folder}."

    def fetch(
        self,
        position: MailboxPosition,
        since: date,
        limit: int,
        known: Callable[[int], Container[int]] = lambda _validity: (),
    ) -> Iterator[FetchedMail | MailboxPosition]:
        """The emails after a position, oldest first, interleaved with new positions. Raises ChannelError.

        If the server has renumbered the mailbox, emails since the day `since` are read again, except the UIDs that are
        `known` under the new UIDVALIDITY: whoever stores them recognizes duplicates. Each email is fetched when the
        caller asks for it, within TOTAL_SECONDS for all.
        """
        with self._selected() as (connection, uid_validity, next_uid):
            if uid_validity == position.uid_validity:
                yield from self._fetch_behind(connection, position, next_uid, limit)
            else:
                day = f"{since.day}-{_MONTHS[since.month - 1]}-{since.year}"
                seen = known(uid_validity)
                uids = [uid for uid in _search(connection, f"SINCE {day}") if uid not in seen]
                for uid in uids[:limit]:
                    yield from _fetch(connection, uid_validity, uid)
                if len(uids) <= limit:
                    yield MailboxPosition(uid_validity, next_uid - 1)

    def _fetch_behind(
        self, connection: _Connection, position: MailboxPosition, next_uid: int, limit: int
    ) -> Iterator[FetchedMail | MailboxPosition]:
        last = position.last_uid
        for _window in range(MAX_WINDOWS):
            end = min(last + WINDOW, next_uid - 1)
            if end <= last or limit <= 0:
                return
            uids = [uid for uid in _search(connection, f"UID {last + 1}:{end}") if last < uid <= end]
            for uid in uids[:limit]:
                yield from _fetch(connection, position.uid_validity, uid)
            if len(uids) > limit:
                return
            limit, last = limit - len(uids), end
            yield MailboxPosition(position.uid_validity, last)

    @contextmanager
    def _selected(self) -> Iterator[tuple[_Connection, int, int]]:
        """(connection, UIDVALIDITY, UIDNEXT) of the folder, opened read-only. Raises ChannelError."""
        with DeadlineWatchdog(TOTAL_SECONDS) as cutter:
            connection = self._open(cutter)
            try:
                yield connection, *_ask(lambda: self._select(connection))
            except _Fault as fault:
                late = " in time" if cutter.is_late else ""
                raise ChannelError(f"The mail server didn't answer as expected{late} ({fault}).") from fault
            finally:
                with suppress(*_FAULTS):
                    connection.shutdown()

    def _open(self, cutter: DeadlineWatchdog) -> _Connection:
        """A connection, encrypted and signed in.

        The server's own text is left out, because it may contain the user's name.
        """
        box = self.mailbox
        try:
            connection = _Connection(box, self.timeout, cutter, self.tls)
        except _FAULTS as error:
            raise ChannelError(f"The mail server can't be reached ({type(error).__name__}).") from error
        try:
            if box.security == "starttls":
                connection.begin_exchange()
                connection.starttls(self.tls)
            connection.begin_exchange()
        except _FAULTS as error:
            connection.abandon()
            raise ChannelError(f"The connection can't be encrypted ({type(error).__name__}).") from error
        try:
            connection.sign_in(box.user, box.password)
        except imaplib.IMAP4.abort as error:
            connection.abandon()
            raise ChannelError("The mail server disconnected at the sign-in.") from error
        except imaplib.IMAP4.error as error:
            connection.abandon()
            raise ChannelError("The mail server refused the user or password.", permanent=True) from error
        except _FAULTS as error:
            connection.abandon()
            raise ChannelError(f"The mail server can't be reached ({type(error).__name__}).") from error
        return connection

    def _select(self, connection: _Connection) -> tuple[int, int]:
        connection.begin_exchange()
        folder = '"' + _utf7(self.mailbox.folder).replace("\\", "\\\\").replace('"', '\\"') + '"'
        answer, _ = connection.select(folder, readonly=True)
        if answer != "OK":
            raise ChannelError("The mailbox has no such folder, or it can't be opened.", permanent=True)
        uid_validity, next_uid = (_number(connection.response(name)[1]) for name in ("UIDVALIDITY", "UIDNEXT"))
        if not next_uid:  # older servers send it only on request
            connection.begin_exchange()
            next_uid = _number(connection.status(folder, "(UIDNEXT)")[1])
        if not uid_validity or not next_uid:
            raise ValueError("no UIDs")
        return uid_validity, next_uid


class _Fault(Exception):
    """The server broke off or violated the protocol."""


def _ask(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except _FAULTS as error:
        raise _Fault(type(error).__name__) from error


def _search(connection: _Connection, criteria: str) -> list[int]:
    def search() -> list[int]:
        connection.begin_exchange()
        answer, data = connection.uid("SEARCH", criteria)
        if answer != "OK":
            raise ValueError("no search")
        return sorted({int(number) for line in data if line for number in _NUMBER.findall(line)})

    return list(_ask(search))


def _fetch(connection: _Connection, uid_validity: int, uid: int) -> list[FetchedMail]:
    """One email; only the headers if it is too large, nothing if it is gone meanwhile."""

    def fetch() -> list[FetchedMail]:
        connection.begin_exchange()
        _answer, data = connection.uid("FETCH", str(uid), "(RFC822.SIZE)")
        found = _SIZE.search(b" ".join(_lines(data)))
        if found is None:
            return []
        size = int(found[1])
        is_large = size > MAX_MAIL_BYTES
        connection.begin_exchange(MAX_HEADER_BYTES if is_large else size)
        what = f"BODY.PEEK[HEADER]<0.{MAX_HEADER_BYTES}>" if is_large else "BODY.PEEK[]"
        _answer, data = connection.uid("FETCH", str(uid), f"({what})")
        raw = next((each[1] for each in data if isinstance(each, tuple)), b"")
        refusal = TOO_LARGE if is_large else ("" if raw else NOT_HANDED_OVER)
        return [FetchedMail(uid_validity, uid, size, raw, refusal)]

    mails: list[FetchedMail] = _ask(fetch)
    return mails


def _lines(data: list[Any]) -> Iterator[bytes]:
    for each in data:
        yield from each if isinstance(each, tuple) else (each or b"",)


def _number(data: list[Any] | None) -> int:
    found = _NUMBER.findall(b" ".join(_lines(data or [])))
    return int(found[-1]) if found else 0


def _utf7(name: str) -> str:
    """The name of a folder in IMAP's modified UTF-7 (RFC 3501, 5.1.3)."""
    done, foreign = "", ""
    for char in f"{name}\0":
        if " " <= char <= "~" or char == "\0":
            if foreign:
                done += "&" + foreign.encode("utf-7").decode().strip("+-").replace("/", ",") + "-"
            done, foreign = done + ("&-" if char == "&" else char), ""
        else:
            foreign += char
    return done.rstrip("\0")


class _Connection(imaplib.IMAP4):
    """A connection that is cut at a deadline, or if the server sends more than was requested."""

    def __init__(self, box: Mailbox, timeout: float, cutter: DeadlineWatchdog, tls: ssl.SSLContext) -> None:
        self._cutter, self._seconds = cutter, timeout
        self._tls = tls if box.security == "tls" else None
        self.begin_exchange()
        super().__init__(box.host, box.port, timeout)

    def sign_in(self, user: str, password: str) -> None:
        """Sign in, by AUTHENTICATE if the server supports it, because LOGIN accepts only ASCII."""
        if "AUTH=PLAIN" in self.capabilities:
            self.authenticate("PLAIN", lambda _challenge: f"\0{user}\0{password}".encode())
        else:
            self.login(self._quote(user), password)

    def begin_exchange(self, size: int = 0) -> None:
        """Let the server send this many bytes, plus the allowance for other replies."""
        self._left = size + MAX_CHATTER

    def _create_socket(self, timeout: float | None) -> Any:
        made = deadline.connect(self.host, self.port, min(self._seconds, self._cutter.remaining))
        self._cutter.guard(made)
        made.settimeout(self._seconds)
        try:
            return self._tls.wrap_socket(made, server_hostname=self.host) if self._tls is not None else made
        except BaseException:
            made.close()
            raise

    def read(self, size: int) -> bytes:
        """A literal. Raises abort if it is longer than allowed."""
        self._count(size)
        return super().read(size)

    def readline(self) -> bytes:
        """A line. Raises abort if the server sends too much."""
        line = super().readline()
        self._count(len(line))
        return line

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self.abort("the server says too much")

    def abandon(self) -> None:
        """Close without logging out."""
        with suppress(*_FAULTS):
            self.shutdown()
