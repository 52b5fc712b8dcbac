"""Quotes the email that a new one answers or forwards."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from app.lib import html_cleaning
from app.web.channels.mail_context import MailContext
from app.web.core.fields import Viewer

#: Longer quotations are cut; longer HTML is quoted as text.
MAX_TEXT, MAX_HTML = 50_000, 120_000
#: Pictures are left out of quotations: remote ones reveal the reader, those of the email itself would be missing.
_PICTURE = re.compile(r"<img\b[^<>]*>")


def subject_of(about: MailContext) -> str:
    """The subject of a reply or forwarded email; "" for a new one."""
    if about.message is None:
        return ""
    sign = "Fwd: " if about.how == "forward" else "Re: "
    subject = (about.message.subject or "").strip()
    return (subject if subject.lower().startswith(sign.strip().lower()) else f"{sign}{subject}".strip())[:200]


def quote_of(about: MailContext, viewer: Viewer) -> tuple[str, str]:
    """(HTML, text) of the email, with its author and time; ("", "") for a new one."""
    if about.message is None:
        return "", ""
    head = _forwarded(about, viewer) if about.how == "forward" else [_wrote(about, viewer)]
    body = _text(about)
    if about.how == "forward":
        text = "\n".join([*head, "", body])
    else:
        text = "\n".join([*head, *(f"> {line}".rstrip() for line in body.split("\n"))])
    above = "<br>".join(escape(line) for line in head)
    return f"<br><div>{above}</div><blockquote>{_html(about, body)}</blockquote>", text


def _text(about: MailContext) -> str:
    quoted = about.mail.quoted if about.mail is not None else None
    body = "\n\n".join(filter(None, ((about.message.body or "").strip(), (quoted or "").strip())))
    return body if len(body) <= MAX_TEXT else body[:MAX_TEXT] + " …"


def _html(about: MailContext, body: str) -> str:
    """The email's HTML; "" if it has none, or is too long or too deep to be quoted again."""
    html = (about.mail.html or "") if about.mail is not None else ""
    if not html or len(html) > MAX_HTML or html_cleaning.is_excessive(f"<div><blockquote>{html}"):
        return escape(body).replace("\n", "<br>\n")
    return _PICTURE.sub("", html)


def _who(about: MailContext, viewer: Viewer) -> str:
    """The author of the email; an address only as the viewer sees it."""
    message = about.message
    if message.direction == "out":
        card = viewer.lookups.person(message.created_by_id)
        return card["full_name"] if card else ""
    name = about.conversation.peer_name if about.conversation is not None else ""
    return name or viewer.person.mask_value("email", message.peer) or ""


def _moment(message: Any, viewer: Viewer) -> str:
    at = (message.happened_on or message.created_on).astimezone(viewer.zone)
    return f"{at:%a, %-d %b %Y at %H:%M}"


def _wrote(about: MailContext, viewer: Viewer) -> str:
    """The line above a quotation, in English, by which recipients' programs recognise it."""
    return f"On {_moment(about.message, viewer)}, {_who(about, viewer) or 'somebody'} wrote:"


def _forwarded(about: MailContext, viewer: Viewer) -> list[str]:
    return [
        "---------- Forwarded message ----------",
        f"From: {_who(about, viewer)}",
        f"Date: {_moment(about.message, viewer)}",
        f"Subject: {about.message.subject or ''}",
    ]
