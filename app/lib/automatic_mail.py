"""Recognizes emails that no person has written: bounces, automatic replies, mail loops."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from app.lib.mail_addresses import is_email, message_ids
from app.lib.mime_parts import SplitMail, decoded_header, split_headers

#: An email that passed more servers than this is in a loop.
MAX_HOPS = 40
MAX_REPORTED = 50
_ROBOTS = frozenset({"mailer-daemon", "postmaster", "mail-daemon", "maildaemon"})
_NOBODY = re.compile(r"^(?:no|do|donot|do-not|not)[-_.]?(?:not[-_.]?)?reply", re.IGNORECASE)
_AUTOMATIC_SUBJECT = re.compile(
    r"^\s*(?:auto(?:matic)?[- ]?(?:reply|response|antwort)\b|autoreply\b|out of (?:the )?office\b|ooo\s*:"
    r"|on (?:annual |sick )?leave\s*[:\-]|vacation (?:reply|notice)\b)",
    re.IGNORECASE,
)
_FAILED_SUBJECT = re.compile(
    r"undeliver|delivery (?:status notification|failure|has failed|incomplete)|returned mail|failure notice"
    r"|mail delivery (?:failed|subsystem)|delivery to the following",
    re.IGNORECASE,
)
_STATUS = re.compile(r"\b([245])\.\d{1,3}\.\d{1,3}\b")
_ADDRESS = re.compile(r"[^\s<>:;,()\"']{1,64}@[^\s<>:;,()\"']{1,190}")
_ORIGINAL_ID = re.compile(
    r"^[ \t]{0,40}>?[ \t]{0,40}message-id:\s{0,40}(<[^<>\s]{3,250}>)", re.IGNORECASE | re.MULTILINE
)
#: Characters of a plain-text report that are read.
_MOST_TEXT = 100_000


@dataclass(frozen=True)
class FailedRecipient:
    """A recipient that an email did not reach."""

    address: str
    #: Whether the failure is permanent (5.x.x).
    is_permanent: bool
    #: The enhanced status code, such as 5.1.1; "" if there is none.
    code: str = ""


@dataclass(frozen=True)
class Bounce:
    """The contents of a delivery failure report."""

    failures: tuple[FailedRecipient, ...] = ()
    #: Message-ID of the failed email; "" if the report doesn't say.
    message_id: str = ""


def bounce_of(mail: SplitMail, sender: str, text: str) -> Bounce | None:
    """The delivery failure report in an email; None for any other email."""
    reports = [part for part in mail.parts if part.mime_type == "message/delivery-status"]
    if not reports and not _is_bounce_in_words(mail, sender):
        return None
    if reports:
        failures = [each for part in reports[:5] for each in _failures(part.content()[:_MOST_TEXT])]
        return Bounce(tuple(failures[:MAX_REPORTED]), _original_id(mail) or _id_in_words(text))
    found = _STATUS.search(text[:_MOST_TEXT])
    is_permanent = found is None or found[1] == "5"
    addresses = dict.fromkeys(each.strip(".").lower() for each in _ADDRESS.findall(text[:10_000]))
    failures = [FailedRecipient(each, is_permanent, found[0] if found else "") for each in addresses if is_email(each)]
    return Bounce(tuple(failures[:MAX_REPORTED]), _original_id(mail) or _id_in_words(text))


def is_automatic(mail: SplitMail, sender: str, subject: str, groups: Collection[str] = ()) -> bool:
    """Whether a program sent it: such an email creates nothing and is never replied to.

    `groups`: addresses of groups that pass mail on to us, in lower case. What comes through one of them is judged
    without the headers that the group has added.
    """
    is_of_group = _list_address(mail) in groups
    submitted = mail.header("auto-submitted").lower().partition(";")[0].strip()
    masses = ("bulk", "junk", "auto_reply", *(() if is_of_group else ("list",)))
    if submitted not in ("", "no") or mail.header("precedence").lower() in masses:
        return True
    names = {"x-auto-response-suppress", "x-autoreply", "x-autorespond", "x-auto-reply-from", "feedback-id"}
    names |= set() if is_of_group else {"list-id"}
    if any(name in mail.headers for name in names) or mail.mime_type == "multipart/report":
        return mail.header("x-auto-response-suppress").lower() != "none" or len(mail.headers.keys() & names) > 1
    return sender.partition("@")[0] in _ROBOTS or _AUTOMATIC_SUBJECT.match(subject) is not None


def _list_address(mail: SplitMail) -> str:
    """The address of the list or group that has passed it on, by List-Post or List-Id; "" if none has."""
    posted = re.search(r"<mailto:([^>?\s]{3,254})", mail.header("list-post"), re.IGNORECASE)
    if posted is not None:
        return posted[1].lower()
    named = re.search(r"<([^<>@\s.]{1,64})\.([^<>@\s]{1,190})>", mail.header("list-id"))
    return f"{named[1]}@{named[2]}".lower() if named is not None else ""


def takes_answers(address: str) -> bool:
    """Whether somebody reads email sent to the address."""
    name = address.partition("@")[0]
    return name not in _ROBOTS and _NOBODY.match(name) is None


def is_circular(mail: SplitMail) -> bool:
    """Whether it has passed so many servers that it must be in a loop."""
    return len(mail.headers.get("received", ())) > MAX_HOPS


def _is_bounce_in_words(mail: SplitMail, sender: str) -> bool:
    is_from_robot = sender.partition("@")[0] in _ROBOTS or mail.header("return-path") == "<>"
    return is_from_robot and _FAILED_SUBJECT.search(mail.header("subject")) is not None


def _failures(report: bytes) -> list[FailedRecipient]:
    """The failed recipients in a message/delivery-status (RFC 3464): groups of fields, one for each recipient."""
    found = []
    for group in report.replace(b"\r\n", b"\n").split(b"\n\n")[: 4 * MAX_REPORTED]:
        fields = {name: decoded_header(values[0]) for name, values in split_headers(group.strip() + b"\n\n")[0].items()}
        recipient = fields.get("original-recipient") or fields.get("final-recipient") or ""
        address = recipient.rpartition(";")[2].strip().strip("<>").lower()
        code = _STATUS.search(fields.get("status", ""))
        action = fields.get("action", "").lower()
        if is_email(address) and action in ("failed", "delayed"):
            is_permanent = action == "failed" and (code is None or code[1] != "4")
            found.append(FailedRecipient(address, is_permanent, code[0] if code else ""))
    return found


def _original_id(mail: SplitMail) -> str:
    """The Message-ID of the email that a report encloses."""
    for part in mail.parts:
        if part.mime_type in ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global"):
            ids = message_ids(decoded_header(split_headers(part.content())[0].get("message-id", [b""])[0]))
            if ids:
                return ids[0]
    return ""


def _id_in_words(text: str) -> str:
    found = _ORIGINAL_ID.search(text[-_MOST_TEXT:])
    return message_ids(found[1])[0] if found else ""
