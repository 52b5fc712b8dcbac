"""WhatsApp by Meta's Cloud API: texts, templates, files, replies. No telephone, and no status requests."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from app.channels import template_lists
from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.failure_reasons import refusal
from app.channels.http_client import (
    NO_ANSWER,
    NO_FILE,
    HttpClient,
    HttpRequest,
    HttpResponse,
    mime_type,
    safe_mime_type,
)
from app.channels.inbound_fields import mapping, objects, one_line, with_query
from app.channels.meta_errors import error_of
from app.channels.meta_inbound import MetaInbound
from app.channels.provider import (
    Abilities,
    AccountSetting,
    ListedTemplate,
    Media,
    OutgoingCall,
    OutgoingMessage,
    OutgoingReaction,
    ProviderAcceptance,
    ProviderKind,
    StatusUnavailable,
    StatusUpdate,
)
from app.channels.provider_file_limits import META_FILES
from app.channels.setting_checks import check_settings, form_problem, secret_problem, yes_no_problem

BASE_URL = "https://graph.facebook.com"
VERSION = "v23.0"
#: Where Meta keeps files that customers send.
FILE_HOSTS = ("lookaside.fbsbx.com", "*.fbcdn.net", "*.whatsapp.net")
#: MIME type -> kind of message; all others are sent as documents.
_KINDS = {
    **dict.fromkeys(("image/jpeg", "image/png"), "image"),
    **dict.fromkeys(("video/mp4", "video/3gpp"), "video"),
    **dict.fromkeys(("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), "audio"),
}
#: Bytes that Meta accepts, by kind.
_MOST_BYTES = {"image": 5_000_000, "video": 16_000_000, "audio": 16_000_000, "document": 100_000_000}
#: Characters that Meta accepts.
MAX_TEXT = 4096
_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_DIGITS = partial(form_problem, re.compile(r"[0-9]{5,30}"), "It consists of digits.")

SETTINGS = (
    AccountSetting("phone_number_id", "Phone number ID", "In the Meta app under WhatsApp, API setup.", check=_DIGITS),
    AccountSetting(
        "access_token", "Access token", "Of a system user with whatsapp_business_messaging.", True, check=secret_problem
    ),
    AccountSetting(
        "business_account_id",
        "WhatsApp Business account ID",
        "Beside the phone number ID. Needed for the list of templates only.",
        is_required=False,
        check=_DIGITS,
    ),
    AccountSetting("app_secret", "App secret", "In the Meta app under Settings, Basic.", True, check=secret_problem),
    AccountSetting(
        "verify_token",
        "Verify token",
        "Any text of yours. Enter it in the Meta app, too, where the webhook is set up.",
        True,
        check=secret_problem,
    ),
    AccountSetting(
        "return_key",
        "Return our key",
        "yes or no. With yes, Meta's reports name our message, which resolves one whose fate was unknown. Meta's "
        "published API description lacks the field (biz_opaque_callback_data), so a strict gateway may refuse it.",
        is_required=False,
        default="no",
        check=yes_no_problem,
    ),
)


class Meta(MetaInbound):
    """One phone number of a WhatsApp Business account."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """`settings` as in SETTINGS. Raises ValueError."""
        found = check_settings(SETTINGS, settings)
        super().__init__(found["phone_number_id"], found["app_secret"], found["verify_token"])
        self._token, self._returns_key = found["access_token"], found["return_key"] == "yes"
        self._business_account_id = found["business_account_id"]
        self.http = HttpClient(settings.get("base_url") or BASE_URL, float(settings.get("seconds") or 15))

    # --- messages

    def send(self, message: OutgoingMessage) -> ProviderAcceptance:
        """Send one message. A file without a public address is uploaded first."""
        if message.channel != "whatsapp":
            raise refusal("wrong_channel")
        content = self._content(message)
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": message.to.removeprefix("+"),
            **content,
        }
        if self._returns_key:
            body["biz_opaque_callback_data"] = message.key
        if message.in_reply_to:
            body["context"] = {"message_id": message.in_reply_to}
        response = self._ask("POST", f"{self.phone_number_id}/messages", json.dumps(body).encode())
        sent = objects(mapping(response.json()).get("messages"))
        provider_id = sent[0].get("id") if sent else None
        if not isinstance(provider_id, str) or not provider_id:
            raise DeliveryUnknown(NO_ANSWER)
        return ProviderAcceptance(provider_id)

    def react(self, reaction: OutgoingReaction) -> None:
        """Send a reaction, or withdraw it."""
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": reaction.to.removeprefix("+"),
            "type": "reaction",
            "reaction": {"message_id": reaction.provider_id, "emoji": reaction.emoji},
        }
        self._ask("POST", f"{self.phone_number_id}/messages", json.dumps(body).encode())

    def _content(self, message: OutgoingMessage) -> dict[str, Any]:
        if len(message.media) + len(message.attachments) > 1:
            raise refusal("one_file")
        if message.template is not None:
            return {"type": "template", "template": self._template(message)}
        if message.media or message.attachments:
            return self._file(message)
        if not message.text:
            raise refusal("empty")
        if len(message.text) > MAX_TEXT:
            raise refusal("too_long")
        is_link = "https://" in message.text
        return {"type": "text", "text": {"body": message.text, "preview_url": is_link}}

    def _template(self, message: OutgoingMessage) -> dict[str, Any]:
        """A template with its variables, and a file for its header if there is one."""
        template, components = message.template, []
        if template is None or not template.name or not template.language:
            raise refusal("bad_template")
        if message.media or message.attachments:
            components.append({"type": "header", "parameters": [self._file(message, is_header=True)]})
        if template.variables:
            values = [{"type": "text", "text": value} for value in template.variables]
            components.append({"type": "body", "parameters": values})
        return {
            "name": template.name,
            "language": {"policy": "deterministic", "code": template.language},
            **({"components": components} if components else {}),
        }

    def _file(self, message: OutgoingMessage, is_header: bool = False) -> dict[str, Any]:
        """The only file of a message, by its address or uploaded now."""
        if message.media:
            media = message.media[0]
            kind, name, place = _KINDS.get(media.mime_type, "document"), media.name, {"link": media.address}
            caption = media.caption or message.text
        else:
            name, mime, content = message.attachments[0]
            kind, caption = _KINDS.get(mime, "document"), message.text
            place = {"id": self._hand_over(name, mime, content)}
        if is_header:
            caption = ""
        if caption and kind == "audio":
            raise refusal("no_caption")
        described = {**place, **({"caption": caption} if caption else {})}
        if kind == "document" and name:
            described["filename"] = name
        return {"type": kind, kind: described}

    def _hand_over(self, name: str, mime: str, content: bytes) -> str:
        """Upload a file and return its id. If that fails, no message was sent."""
        if not content or len(content) > _MOST_BYTES[_KINDS.get(mime, "document")]:
            raise refusal("bad_media")
        body, content_type = _multipart(name, mime, content)
        try:
            response = self._ask("POST", f"{self.phone_number_id}/media", body, content_type)
        except DeliveryUnknown as unknown:
            raise refusal("provider_fault") from unknown
        found = mapping(response.json()).get("id")
        if not isinstance(found, str) or not found:
            raise refusal("provider_fault")
        return found

    def _ask(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> HttpResponse:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if body:
            headers["Content-Type"] = content_type
        response = self.http.request(HttpRequest(method, f"{self.http.base_url}/{VERSION}/{path}", headers, body))
        if response.status >= 300:
            raise error_of(response)
        return response

    def find(self, message: OutgoingMessage, provider_id: str, since: datetime) -> StatusUpdate | None:
        """Raises StatusUnavailable: only Meta's reports say what became of a message."""
        raise StatusUnavailable("Meta has no way to ask for a message.")

    def call(self, call: OutgoingCall) -> ProviderAcceptance:
        """Meta has no telephone: raises StatusUnavailable."""
        raise StatusUnavailable("This account has no phone.")

    # --- files, account

    def fetch(self, media: Media, max_bytes: int) -> tuple[str, bytes]:
        """A file that a customer sent. Its address is Meta's id, which gives an address that is valid for minutes."""
        if not _MEDIA_ID.fullmatch(media.address):
            raise ChannelError(NO_FILE, permanent=True)
        found = self._get(with_query(media.address, phone_number_id=self.phone_number_id))
        url = found.get("url")
        headers = {"Authorization": f"Bearer {self._token}"}
        response = self.http.fetch(HttpRequest("GET", str(url), headers, max_bytes=max_bytes), FILE_HOSTS)
        declared = one_line(found.get("mime_type"), 100).partition(";")[0]
        return safe_mime_type(declared) if declared else mime_type(response), response.body

    def templates(self) -> list[ListedTemplate]:
        """The templates of the WhatsApp Business account; they serve all its numbers."""
        if not self._business_account_id:
            raise StatusUnavailable("The account has no WhatsApp Business account ID.")
        path = f"{self._business_account_id}/message_templates"
        fields, after, found = "id,name,language,status,category,components", "", list[ListedTemplate]()
        for _ in range(template_lists.MAX_PAGES):
            page = self._get(with_query(path, fields=fields, limit=str(template_lists.PAGE_SIZE), after=after))
            found += [template_lists.of_meta(each) for each in objects(page.get("data"))]
            paging = mapping(page.get("paging"))
            after = one_line(mapping(paging.get("cursors")).get("after"), 1000)
            if not after or not paging.get("next"):
                break
        return found

    def check(self) -> str:
        """Check the account by reading its number."""
        found = self._get(f"{self.phone_number_id}?fields=display_phone_number,verified_name")
        name = one_line(found.get("verified_name"), 80)
        return f"Meta knows the number as “{name}”." if name else "Meta knows the number."

    def _get(self, path: str) -> dict[str, Any]:
        try:
            return mapping(self._ask("GET", path).json())
        except DeliveryUnknown as unknown:
            raise ChannelError(NO_ANSWER) from unknown


def _multipart(name: str, mime: str, content: bytes) -> tuple[bytes, str]:
    """A form with the file (RFC 7578), and its content type."""
    boundary = secrets.token_hex(16)
    safe = re.sub(r"[^\w. -]", "_", name, flags=re.ASCII)[:200] or "file"
    kind = safe_mime_type(mime)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="messaging_product"\r\n\r\nwhatsapp\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="type"\r\n\r\n{kind}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{safe}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


KIND = ProviderKind(
    *("meta", "WhatsApp (Meta)", ("whatsapp",), SETTINGS, Meta),
    abilities={"whatsapp": Abilities(META_FILES, replies=True, reactions=True)},
)
