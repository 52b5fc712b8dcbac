"""Quotes the email that a new one answers or forwards."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from app.lib import html_cleaning
from app.web.core.viewer import Viewer
from app.web.messaging.mail_context import MailContext

#: Longer quotations are cut; longer HTML is quoted as text.
MAX_TEXT, MAX_HTML = 50_000, 120_000
#: Pictures are left out of quotations: remote ones reveal the reader, those of the email itself would be missing.
_PICTURE = re.compile(r"<img\b[^<>]*>")


def subject_of(mail_context: MailContext) -> str:
    """The subject of a reply or forwarded email; "" for a new one."""
    if mail_context.message is None:
        return ""
    sign = "Fwd: " if mail_context.how == "forward" else "Re: "
    subject = (mail_context.message.subject or "").strip()
    return (subject if subject.lower().startswith(sign.strip().lower()) else f"{sign}{subject}".strip())[:200]


def quote_of(mail_context: MailContext, viewer: Viewer) -> tuple[str, str]:
    """(HTML, text) of the email, with its author and time; ("", "") for a new one."""
    if mail_context.message is None:
        return "", ""
    head = _forwarded(mail_context, viewer) if mail_context.how == "forward" else [_wrote(mail_context, viewer)]
    body = _text(mail_context)
    if mail_context.how == "forward":
        text = "\n".join([*head, "", body])
    else:
        text = "\n".join([*head, *(f"> {line}".rstrip() for line in body.split("\n"))])
    above = "<br>".join(escape(line) for line in head)
    return f"<br><div>{above}</div><blockquote>{_html(mail_context, body)}</blockquote>", text


def _text(mail_context: MailContext) -> str:
    quoted = mail_context.mail.quoted if mail_context.mail is not None else None
    body = "\n\n".join(filter(None, ((mail_context.message.body or "").strip(), (quoted or "").strip())))
    return body if len(body) <= MAX_TEXT else body[:MAX_TEXT] + " …"


def _html(mail_context: MailContext, body: str) -> str:
    """The email's HTML; "" if it has none, or is too long or too deep to be quoted again."""
    html = (mail_context.mail.html or "") if mail_context.mail is not None else ""
    if not html or len(html) > MAX_HTML or html_cleaning.is_excessive(f"<div><blockquote>{html}"):
        return escape(body).replace("\n", "<br>\n")
    return _PICTURE.sub("", html)


def _who(mail_context: MailContext, viewer: Viewer) -> str:
    """The author of the email; an address only as the viewer sees it."""
    message = mail_context.message
    if message.direction == "out":
        card = viewer.lookups.person(message.created_by_id)
        return card["full_name"] if card else ""
    name = mail_context.conversation.peer_name if mail_context.conversation is not None else ""
    return name or viewer.person.mask_value("email", message.peer) or ""


def _moment(message: Any, viewer: Viewer) -> str:
    at = (message.happened_on or message.created_on).astimezone(viewer.zone)
    return f"{at:%a, %-d %b %Y at %H:%M}"


def _wrote(mail_context: MailContext, viewer: Viewer) -> str:
    """The line above a quotation, in English, by which recipients' programs recognize it."""
    return f"On {_moment(mail_context.message, viewer)}, {_who(mail_context, viewer) or 'somebody'} wrote:"


def _forwarded(mail_context: MailContext, viewer: Viewer) -> list[str]:
    return [
        "---------- Forwarded message ----------",
        f"From: {_who(mail_context, viewer)}",
        f"Date: {_moment(mail_context.message, viewer)}",
        f"Subject: {mail_context.message.subject or ''}",
    ]
