"""The form of an email: recipients, text, signature, files, quotation; and sending it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from html import escape
from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken
from app.domain.messaging import channel_accounts, conversations, mail_sending, message_sending, message_templates
from app.domain.messaging.mail_sending import MAX_CC, MAX_HTML, MailParts
from app.domain.messaging.message_sending import OutgoingRequest
from app.lib import html_cleaning, mail_reply_text
from app.lib.ids import parse_id
from app.web.core.fields import contact_guesses
from app.web.core.fields.base import clean_text
from app.web.core.viewer import Viewer
from app.web.messaging import mail_context, mail_files, mail_quotes, mail_signatures, ticket_status_with_reply
from app.web.messaging.mail_context import MailContext
from app.web.messaging.mail_files import File
from app.web.records.messages import seen_by

#: An email is sent after this delay, so that its author can undo it; the button is offered slightly shorter.
UNDO = timedelta(seconds=10)
UNDO_SHOWN_SECONDS = 8
MAX_SUBJECT = 200


@dataclass(frozen=True)
class ComposerInput:
    """The contents of a form. It is shown again unchanged if sending is refused."""

    #: A key of MailContext.recipients, or addresses separated by commas; the first determines the conversation.
    to: str = ""
    to_other: str = ""
    cc: tuple[str, ...] = ()
    cc_other: str = ""
    subject: str = ""
    #: From the editor, or as typed if there is no editor.
    html: str = ""
    body: str = ""
    with_quote: bool = False
    account: str = ""
    status: str = ""
    key: str = ""
    files: list[File] = field(default_factory=list)
    #: Why the form is shown again; None = it wasn't sent yet.
    refused: ComposerRefusal | None = None


#: The inputs that show their errors.
_WITH_ERRORS = {"to", "cc", "subject", "body", "html", "files", "media", "peer", "status"}


@dataclass(frozen=True)
class ComposerRefusal:
    """Why the form is shown again."""

    sentence: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_at_fields(self) -> bool:
        """Whether all of it stands beside inputs."""
        return bool(self.errors) and self.errors.keys() <= _WITH_ERRORS


def begin(session: Session, mail_context: MailContext, viewer: Viewer) -> ComposerInput:
    """The initial form."""
    text, html = _first_text(session, mail_context, viewer)
    files = mail_files.of_message(mail_context.message, viewer) if mail_context.how == "forward" else []
    return ComposerInput(
        to=mail_context.to,
        cc=mail_context.cc,
        subject=mail_quotes.subject_of(mail_context),
        html=html,
        body=text,
        with_quote=mail_context.message is not None,
        files=files,
    )


def _first_text(session: Session, mail_context: MailContext, viewer: Viewer) -> tuple[str, str]:
    """(text, HTML) with the signature, below empty lines."""
    offered = mail_signatures.offered(session, _account_id(session, mail_context), viewer)
    if not offered:
        return "", ""
    first = offered[0]
    return f"\n\n-- \n{first['text']}", f"<div><br></div><div><br></div><div data-signature>{first['html']}</div>"


def of_conversation(session: Session, conversation: Any, viewer: Viewer) -> Any:
    """The form to reply in a conversation by email; None in any other, and for people who may not send."""
    if conversation.channel != "email" or not viewer.person.may("Messages", "create"):
        return None
    about = mail_context.find(session, {"conversation": str(conversation.id)})
    return context(session, about, begin(session, about, viewer), viewer)


def posted(form: Any, uploads: list[Any], viewer: Viewer) -> ComposerInput:
    """The posted form, with its files stored. Raises RuleBroken for a file that can't be sent."""
    files = mail_files.files_of(form.getlist("file")[:100], viewer)
    # One more than an email accepts, so that too many are refused and none is dropped silently.
    files += [mail_files.store(each, viewer) for each in uploads[: message_sending.MAX_MEDIA + 1] if each.filename]
    return from_form(form, files)


def from_form(form: Any, files: list[File]) -> ComposerInput:
    """The posted form."""
    return ComposerInput(
        to=form.get("to", "")[:300],
        to_other=form.get("to_other", "")[:10_000],
        cc=tuple(form.getlist("cc")[:MAX_CC]),
        cc_other=form.get("cc_other", "")[:10_000],
        subject=form.get("subject", "")[:2_000],
        html=form.get("html", "")[: MAX_HTML + 1],
        body=form.get("body", "")[: MAX_HTML + 1],
        with_quote="quote" in form,
        account=form.get("account", "")[:12],
        status=form.get("status", "")[:12],
        key=form.get("key", "")[:64],
        files=files,
    )


# --- sending


def send(session: Session, mail_context: MailContext, typed: ComposerInput, viewer: Viewer) -> Any:
    """Put the email into the outbox, and set the ticket's status if one was chosen. Raises RuleBroken."""
    mail_files.refuse_too_many(typed.files)
    to, *also_to = _to(mail_context, typed, viewer)
    subject = clean_text(typed.subject, "subject", MAX_SUBJECT)
    if not subject:
        raise RuleBroken(_("Please enter a subject, so that the recipient knows what it is about."), "subject")
    html, body = _content(typed)
    _refuse_placeholder(html)
    quote = mail_quotes.quote_of(mail_context, viewer) if typed.with_quote else ("", "")
    account_id = _chosen_account(typed) or _account_id(session, mail_context)
    with access.as_system(session):  # an opt-out counts whoever may see the customer
        outgoing = OutgoingRequest(
            channel="email",
            peer=to,
            body=body,
            account_id=account_id,
            media=mail_files.media_of(typed.files),
            reply_to_id=_answered(mail_context, to, account_id),
            subject=subject,
            purpose="service",
            cause=f"form:{viewer.person.id}:{typed.key}" if typed.key else None,
            records=mail_context.records,
            due_on=viewer.now + UNDO,
            sees=seen_by(session, viewer),
        )
        message = mail_sending.send(
            session,
            outgoing,
            MailParts(html, _cc(mail_context, typed, viewer), *quote, to=tuple(also_to)),
            viewer.stamp,
        )
    if typed.status:
        text = mail_reply_text.of_text(body) if body else mail_reply_text.of_html(html)
        ticket_status_with_reply.set_status(mail_context.ticket_id, typed.status, text, viewer)
    is_nobodys = mail_context.conversation is not None and mail_context.conversation.claimed_by_id is None
    if is_nobodys and viewer.person.may("Messages", "write"):
        conversations.claim(session, mail_context.conversation, viewer.stamp)
    return message


def _content(typed: ComposerInput) -> tuple[str, str]:
    """(HTML, text): of the editor, or only the text without one; both are empty if nothing was written."""
    if html_cleaning.stripped(typed.html[:MAX_HTML]):
        return typed.html, ""
    body = clean_text(typed.body, "body", message_sending.MAX_LENGTH["email"], has_lines=True) or ""
    return (f"<div>{escape(body)}</div>".replace("\n", "<br>\n") if body else ""), body


def _refuse_placeholder(html: str) -> None:
    """Raise RuleBroken for a template variable that was not filled in."""
    if left := message_templates.placeholders(html_cleaning.stripped(html)):
        text = _("The text still has {{%(name)s}} in it. Please write there what it stands for.", name=left[0])
        raise RuleBroken(text, "body")


def _to(mail_context: MailContext, typed: ComposerInput, viewer: Viewer) -> tuple[str, ...]:
    """The recipients. The first determines the conversation."""
    is_key = typed.to.startswith("@")
    chosen = (mail_context.address_of(typed.to),) if is_key else ()
    found = chosen + _typed(typed.to_other if is_key else typed.to_other or typed.to, "to", viewer)
    if not found:
        raise RuleBroken(_("Please choose or enter who gets the email."), "to")
    return found


def _cc(mail_context: MailContext, typed: ComposerInput, viewer: Viewer) -> tuple[str, ...]:
    return (*(mail_context.address_of(key) for key in typed.cc), *_typed(typed.cc_other, "cc", viewer))


def _typed(text: str, field: str, viewer: Viewer) -> tuple[str, ...]:
    """The addresses in a comma-separated text. Raises RuleBroken if the person sees addresses masked."""
    found = tuple(each.strip() for each in text.replace(";", ",").replace("\n", ",").split(",") if each.strip())
    if found and not contact_guesses.sees_unmasked("email", viewer):
        raise RuleBroken(_("You see addresses masked, so please choose one of those that are offered."), field)
    return found


def _answered(mail_context: MailContext, to: str, account_id: int | None) -> int | None:
    """The email that it replies to; with another recipient or account it belongs to another conversation."""
    if mail_context.message is None or mail_context.conversation is None or mail_context.how == "forward":
        return None
    is_same = to.strip().lower() == mail_context.message.peer and account_id == mail_context.conversation.account_id
    return int(mail_context.message.id) if is_same else None


def _chosen_account(typed: ComposerInput) -> int | None:
    """The chosen account; None if none was chosen. Raises RuleBroken for an invalid one."""
    account_id = parse_id(typed.account)
    if typed.account.strip() and account_id is None:
        raise RuleBroken(_("This account can't send on this channel. Please choose another one."), "account")
    return account_id


def _account_id(session: Session, mail_context: MailContext) -> int | None:
    """The account of the conversation, if it can send."""
    if mail_context.conversation is None:
        return None
    with access.as_system(session):
        sending = [each.id for each in channel_accounts.active(session, "email", "service")]
    return mail_context.conversation.account_id if mail_context.conversation.account_id in sending else None


# --- the form


def context(session: Session, mail_context: MailContext, typed: ComposerInput, viewer: Viewer) -> Any:
    """The context of mail/_composer.html."""
    refused = typed.refused
    with access.as_system(session):
        accounts = [(each.id, each.name) for each in channel_accounts.active(session, "email", "service")]
    quote = mail_quotes.quote_of(mail_context, viewer)
    return {
        "title": _title(mail_context),
        "about": list(mail_context.fields.items()),
        # Another person who signs in in the same tab has separate drafts.
        "draft": f"{viewer.person.id}:{mail_context.draft or ':'.join(mail_context.fields.values())}",
        "key": typed.key or uuid.uuid4().hex,
        "recipients": [(each.key, each.label(viewer)) for each in mail_context.recipients],
        "may_type": contact_guesses.sees_unmasked("email", viewer),
        "typed": typed,
        # Posted HTML can come from anybody; the initial HTML of a form is ours.
        "html": html_cleaning.clean(typed.html).html if refused else typed.html,
        "quote": {"html": quote[0], "text": quote[1]} if quote[1] else None,
        "signatures": mail_signatures.offered(session, _account_id(session, mail_context), viewer),
        "accounts": accounts if len(accounts) > 1 else [],
        "account": typed.account or str(_account_id(session, mail_context) or ""),
        "has_account": bool(accounts),
        "statuses": ticket_status_with_reply.offered(session, mail_context.ticket_id, viewer),
        "templates": {"about": _template_about(mail_context), "name": "email"},
        "most": {
            "file": mail_files.MAX_TOTAL,
            "total": mail_files.MAX_TOTAL,
            "body": message_sending.MAX_LENGTH["email"],
        },
        "back_url": mail_context.url,
        "error": refused.sentence if refused and not refused.is_at_fields else "",
        "errors": refused.errors if refused else {},
    }


def _title(mail_context: MailContext) -> str:
    titles = {"new": _("New email"), "reply": _("Reply"), "all": _("Reply to all"), "forward": _("Forward")}
    return titles[mail_context.how]


def _template_about(mail_context: MailContext) -> str:
    """What templates are filled in for: a record, else the conversation."""
    if mail_context.kind:
        return f"{mail_context.kind}:{mail_context.record.id}"
    return f"conversation:{mail_context.conversation.id}" if mail_context.conversation is not None else ""
