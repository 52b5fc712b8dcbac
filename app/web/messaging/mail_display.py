"""An email on pages: sender, time, its formatted text in a frame, its files, and its actions."""

from __future__ import annotations

import re
from typing import Any

from flask_babel import gettext as _

from app.lib.file_kinds import SHOWN
from app.ops.storage.file_store import PREFIX
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.records import conversation_list

#: A picture that came with the email, in cleaned HTML.
_OWN_PICTURE = re.compile(r'<img((?: [a-z]+="[^"]*")*?) data-cid="([^"]*)"')


def context(message: Any, mail: Any, conversation: Any, viewer: Viewer) -> dict[str, Any]:
    """The context of mail/message.html."""
    mask = viewer.person.mask_value
    card = viewer.lookups.person(message.created_by_id) if message.direction == "out" else None
    peer = mask("email", message.peer) or "••••••"
    name = (conversation.peer_name if conversation is not None else "") or ""
    return {
        "id": message.id,
        "subject": message.subject or _("(no subject)"),
        "is_out": message.direction == "out",
        "author": card["full_name"] if card else "",
        "peer": f"{name} · {peer}" if name else peer,
        "also_to": [mask("email", each) or "••••••" for each in ((mail.also_to or ()) if mail is not None else ())],
        "cc": [mask("email", each) or "••••••" for each in (mail.cc if mail is not None else ())],
        "at": moment_cell(message.happened_on or message.created_on, viewer),
        "state": conversation_list.sign_of(message),
        "reason": translate_text(message.reason or ""),
        "text": message.body,
        "quoted": mail.quoted if mail is not None else "",
        "has_html": bool(mail is not None and mail.html),
        "has_remote_pictures": bool(mail is not None and mail.has_remote_pictures),
        "is_unverified": bool(mail is not None and mail.is_unverified),
        "is_automatic": bool((message.native or {}).get("automatic")),
        "note": translate_text(mail.sentence or "") if mail is not None else "",
        "files": [_file(message, n, each) for n, each in enumerate(message.media or [])],
        "actions": actions(message, viewer),
        "conversation_url": f"/inbox/{conversation.id}#message-{message.id}" if conversation is not None else "",
    }


def actions(message: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """Reply, reply to all, forward, and read it with its formatting; also for an email in a conversation."""
    if message.channel != "email":
        return []
    made = [{"url": f"/mail/{message.id}", "label": _("Open email"), "icon": "mail"}]
    if viewer.person.may("Messages", "create"):
        made += [_write(message, "reply", _("Reply"), "arrow-back-up")]
        made += [_write(message, "all", _("Reply to all"), "arrow-back-up-double")]
        made += [_write(message, "forward", _("Forward"), "arrow-forward-up")]
    return made


def _write(message: Any, how: str, label: str, icon: str) -> dict[str, Any]:
    return {"url": f"/mail/compose?message={message.id}&how={how}", "label": label, "icon": icon, "opens": True}


def _file(message: Any, number: int, file: dict[str, str]) -> dict[str, Any]:
    is_ours = str(file.get("address") or "").startswith(PREFIX)
    url = f"/api/v1/message/{message.id}/file/{number}" if is_ours else ""
    is_picture = file.get("mime_type") in SHOWN
    name = file.get("name") or file.get("mime_type") or _("File")
    return {"url": url, "name": name, "picture": url if is_picture else "", "icon": "photo" if is_picture else "file"}


def with_own_pictures(html: str, message: Any) -> str:
    """The HTML with pictures of the email itself, from our own store; others stay out."""
    inline = (message.native or {}).get("inline", {})
    shown = {
        content_id: number
        for content_id, number in inline.items()
        if number < len(message.media or ()) and message.media[number].get("mime_type") in SHOWN
    }

    def source(found: re.Match[str]) -> str:
        number = shown.get(found[2])
        return found[0] if number is None else f'<img{found[1]} src="/api/v1/message/{message.id}/file/{number}"'

    return _OWN_PICTURE.sub(source, html)
