"""Parses a raw email. Accepts any input, in linear time, and raises nothing but UnreadableMail."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import escape

from app.lib import automatic_mail, html_cleaning
from app.lib.automatic_mail import Bounce
from app.lib.mail_addresses import Address, message_ids, plain, read_addresses
from app.lib.mail_authentication import SenderCheck, sender_checks
from app.lib.mail_quoting import separate
from app.lib.mime_parts import MimePart, SplitMail, split
from app.lib.text_normalization import without_shapeless

#: Characters read of an email's text; of its HTML, what `html_cleaning` allows.
MAX_TEXT = 500_000
MAX_SUBJECT = 200
MAX_FILE_NAME = 120
MAX_ATTACHMENTS = 100
_MOST_MARKS = 30
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")
_NO_NAME = re.compile(r'[\\/:*?"<>|]+')


NO_SENDER = "The email doesn't say who sent it: it has no valid From address."


class UnreadableMail(Exception):
    """The email can't be read. The text is a sentence for users."""


@dataclass(frozen=True)
class MailAttachment:
    """A file in an email. Nothing that the sender says about it is trusted."""

    name: str
    mime_type: str
    content: bytes = field(repr=False)
    #: The id by which the HTML refers to it (`data-cid`); "" if it doesn't.
    content_id: str = ""


@dataclass(frozen=True)
class ReadMail:
    """The contents of an email. All texts can be stored as they are."""

    sender: Address
    subject: str
    #: What the person has written, and what their program has quoted below it.
    text: str
    quoted: str = ""
    #: Cleaned; "" if the email has only text.
    html: str = ""
    has_remote_pictures: bool = False
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    #: Without angle brackets; "" if there is none.
    message_id: str = ""
    #: Ids of the emails that it replies to, the nearest first.
    references: tuple[str, ...] = ()
    #: When it was written according to its sender, UTC; None if they don't say.
    written_on: datetime | None = None
    attachments: tuple[MailAttachment, ...] = ()
    bounce: Bounce | None = None
    #: Whether a program sent it.
    is_automatic: bool = False
    #: Addresses whose server has marked it as its own (X-Loop); also records whether it is in a mail loop.
    loop_marks: tuple[str, ...] = ()
    is_circular: bool = False
    #: What the receiving server has found out about the sender; nothing of a mail with several senders.
    checks: tuple[SenderCheck, ...] = ()
    #: Whether parts of it were left out because it is too large.
    is_cut: bool = False
    #: Hash of its content, without what servers add on the way: 64 hex digits.
    digest: str = ""

    @property
    def answer_to(self) -> str:
        """The address for replies; "" if nobody reads it or a program sent the email."""
        address = (self.reply_to or (self.sender,))[0].address
        return address if automatic_mail.takes_answers(address) and not self.is_automatic else ""

    @property
    def participants(self) -> frozenset[str]:
        """All addresses in its headers."""
        return frozenset(each.address for each in (self.sender, *self.to, *self.cc, *self.reply_to))


def read(raw: bytes, authserv_id: str = "", groups: Collection[str] = ()) -> ReadMail:
    """Parse an email. `authserv_id` names the server whose Authentication-Results are trusted; "" = none.

    `groups`: addresses, in lower case, of the groups that pass mail on to us: it counts as sent by a person.
    Raises UnreadableMail if it doesn't say who sent it.
    """
    mail = split(raw)
    written_by = read_addresses(_raw(mail, "from")) or read_addresses(_raw(mail, "sender"))
    senders = _behind_group(mail, written_by, groups)
    if not senders:
        raise UnreadableMail(NO_SENDER)
    text, html, is_cut = _bodies(mail)
    new, quoted = separate(text)
    cleaned = html_cleaning.clean(html) if html else html_cleaning.CleanHtml("")
    subject = plain(mail.header("subject"))
    attachments = _attachments(mail)
    return ReadMail(
        sender=senders[0],
        subject=without_shapeless(storable(subject))[:MAX_SUBJECT].strip(),
        text=new,
        quoted=quoted,
        html=storable(cleaned.html),
        has_remote_pictures=cleaned.has_remote_pictures,
        to=_without(read_addresses(_raw(mail, "to")), groups),
        cc=_without(read_addresses(_raw(mail, "cc")), groups),
        reply_to=_without(read_addresses(_raw(mail, "reply-to")), groups),
        message_id=next(iter(message_ids(_raw(mail, "message-id"))), ""),
        references=_references(mail),
        written_on=_date(mail.header("date")),
        attachments=tuple(attachments[:MAX_ATTACHMENTS]),
        bounce=automatic_mail.bounce_of(mail, senders[0].address, text),
        is_automatic=automatic_mail.is_automatic(mail, senders[0].address, subject, groups),
        loop_marks=_loop_marks(mail),
        is_circular=automatic_mail.is_circular(mail),
        # They are of From: nobody has checked whom a group names.
        checks=_checks(mail, authserv_id) if len(senders) == 1 and senders == written_by else (),
        is_cut=mail.is_cut or is_cut or cleaned.is_reduced or len(attachments) > MAX_ATTACHMENTS,
        digest=_digest(mail),
    )


def storable(text: str) -> str:
    """Text of several lines that can be stored: composed, without control characters and stacked combining marks."""
    text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text).replace("\t", "    "))
    if text.isascii():
        return text
    kept, marks = [], 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= _MOST_MARKS and not "\ud800" <= char <= "\udfff":
            kept.append(char)
    # Only now: composing takes time quadratic in the number of marks on one letter.
    return unicodedata.normalize("NFC", "".join(kept))


# --- bodies


def _bodies(mail: SplitMail) -> tuple[str, str, bool]:
    """(text, HTML, whether something was left out). Alternatives each give what they have; other parts give both."""
    groups: dict[object, dict[str, str]] = {}
    for number, part in enumerate(mail.parts):
        if _is_body(part):
            group = groups.setdefault(part.alternative or f"part {number}", {})
            group[part.mime_type] = group.get(part.mime_type, "") + part.text()
    has_html = any("text/html" in group for group in groups.values())
    texts, htmls, room, is_cut = [], [], MAX_TEXT, False
    for group in groups.values():
        html = group.get("text/html")
        text = group.get("text/plain") or ""
        if not text.strip() and html is not None:
            text = html_cleaning.stripped(html[: 4 * MAX_TEXT])
        is_cut = is_cut or len(text) > room
        texts.append(storable(text[:room]).strip())
        room = max(0, room - len(text))
        htmls.append(html if html is not None else escape(text).replace("\n", "<br>\n"))
    return "\n\n".join(filter(None, texts)), "\n".join(htmls) if has_html else "", is_cut


def _is_body(part: MimePart) -> bool:
    return part.mime_type in ("text/plain", "text/html") and part.disposition != "attachment" and not part.file_name


def _attachments(mail: SplitMail) -> list[MailAttachment]:
    """All parts that aren't a body; none for an empty email."""
    found: list[MailAttachment] = []
    for part in mail.parts:
        if _is_body(part):
            continue
        content = part.content()
        if content:
            content_id = next(iter(message_ids(part.header("content-id"))), "")
            name = _file_name(part, len(found) + 1)
            found.append(MailAttachment(name, storable(part.mime_type)[:100], content, storable(content_id)))
    return found


def _file_name(part: MimePart, number: int) -> str:
    """The sender's file name without folders and characters that systems refuse; never used as a path."""
    last = _NO_NAME.sub("_", part.file_name.replace("\\", "/").rpartition("/")[2])
    name = without_shapeless(storable(plain(last))).strip(". ")
    if not name:
        name = f"{part.mime_type.rpartition('/')[0]}-{number}"
        name += ".eml" if part.mime_type == "message/rfc822" else ""
    stem, dot, extension = name.rpartition(".")
    if len(name) > MAX_FILE_NAME and dot and len(extension) <= 10:
        return f"{stem[: MAX_FILE_NAME - len(extension) - 1]}.{extension}"
    return name[:MAX_FILE_NAME]


# --- headers


def _raw(mail: SplitMail, name: str) -> str:
    """All values of a header as text, with encoded words as they stand: addresses are found before decoding."""
    return ", ".join(each.decode("utf-8", "replace") for each in mail.headers.get(name, ())[:10])


def _behind_group(mail: SplitMail, senders: tuple[Address, ...], groups: Collection[str]) -> tuple[Address, ...]:
    """Who has sent it; through a group that puts its own address into From, whom it names otherwise."""
    if senders and senders[0].address in groups:
        named = [each for name in ("x-original-from", "reply-to") for each in read_addresses(_raw(mail, name))]
        return _without(named, groups)[:1] or senders
    return senders


def _without(addresses: Iterable[Address], groups: Collection[str]) -> tuple[Address, ...]:
    """These but those of groups, whose mail comes to us: nobody else reads it."""
    return tuple(each for each in addresses if each.address not in groups)


def _references(mail: SplitMail) -> tuple[str, ...]:
    ids = [*message_ids(_raw(mail, "in-reply-to"), 10), *reversed(message_ids(_raw(mail, "references"), 60))]
    return tuple(dict.fromkeys(ids))


def _loop_marks(mail: SplitMail) -> tuple[str, ...]:
    marks = mail.headers.get("x-loop", ())[:20]
    return tuple(each.decode("utf-8", "replace").strip().strip("<>").lower()[:254] for each in marks)


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value[:100])
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if 1990 <= found.year <= 2200 else None


def _checks(mail: SplitMail, authserv_id: str) -> tuple[SenderCheck, ...]:
    values = mail.headers.get("authentication-results", ())
    return sender_checks([each.decode("utf-8", "replace") for each in values], authserv_id)


def _digest(mail: SplitMail) -> str:
    """A hash of sender, date, subject and content, which servers on the way leave unchanged."""
    made = hashlib.sha256()
    for name in ("from", "to", "date", "subject", "message-id"):
        made.update(repr(mail.headers.get(name, ())).encode())
    for part in mail.parts:
        made.update(b"\0" + part.raw.replace(b"\r\n", b"\n").strip())
    return made.hexdigest()
