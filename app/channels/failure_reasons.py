"""Why a provider refused a message or could not deliver it: one sentence per reason, for all providers.

A provider's own text is never shown, because it may contain the number that a mask hides. Its code is shown.
"""

from __future__ import annotations

from app.channels.http_client import HttpResponse
from app.channels.provider import OnDoNotDisturb, OptedOut, ProviderRefusal

#: Reason -> text for people. Each provider's codes map to these.
SENTENCES = {
    "bad_number": "The number isn't valid for this channel. Please correct it.",
    "not_mobile": "The number can't receive text messages; it may be a landline.",
    "not_on_whatsapp": "The number can't be reached on WhatsApp. Please try a call or an SMS.",
    "unreachable": "The phone could not be reached. Please try again later or call.",
    "opted_out": "The recipient has asked not to get messages from us.",
    "do_not_disturb": "The number is on the do-not-disturb list. Promotional messages to it are not allowed.",
    "window_closed": "The customer's last message is older than 24 hours. Please send a template instead.",
    "too_fast": "The provider limits how fast this account may send. The message is tried again later.",
    "daily_limit": "The account has reached its limit of messages for now. The message is tried again later.",
    "sign_in": "The provider refuses the account's sign-in. Please ask an admin to check its keys.",
    "suspended": "The account at the provider is suspended or without balance. Please tell an admin.",
    "bad_sender": "The account's own number can't be used for this. Please ask an admin to check it.",
    "country": "The account may not send or call to this country. Please tell an admin.",
    "trial": "A trial account reaches verified numbers only. Please tell an admin.",
    "blocked": "The provider or the operator blocked the message because of its content or sender.",
    "marketing": "WhatsApp chose not to deliver this marketing message to the recipient.",
    "too_long": "The text is too long for this channel. Please shorten it.",
    "empty": "The message is empty. Please enter a text.",
    "bad_media": "The provider can't use the file because of its address, type or size.",
    "one_file": "A message can carry one file only. Please send the others separately.",
    "no_caption": "A voice message carries no text. Please send the text separately.",
    "no_upload": "This provider takes files by address only. Please send a link instead.",
    "bad_template": "The template doesn't exist at the provider in this language, or isn't approved any more.",
    "bad_variables": "The template's variables don't fit. Please check their number and values.",
    "no_dlt_template": "An SMS to India needs the ID of its registered DLT template. Please choose a template.",
    "dlt": "The SMS doesn't match its DLT registration: entity, header or template. Please tell an admin.",
    "wrong_channel": "This account doesn't serve the channel of the message. Please choose another account.",
    "provider_fault": "The provider has a fault at the moment. The message is tried again later.",
    "wrong_address": "The provider isn't found at the configured address. Please ask an admin to check it.",
    "not_delivered": "The message was not delivered. The code says why.",
    "refused": "The provider refused it. The code says why.",
}
#: Reasons for which further attempts are pointless. For the others, time or an admin may help.
LASTING = frozenset(
    {
        *("bad_number", "not_mobile", "not_on_whatsapp", "opted_out", "do_not_disturb", "window_closed", "country"),
        *(
            "trial",
            "blocked",
            "marketing",
            "too_long",
            "empty",
            "bad_media",
            "one_file",
            "no_caption",
            "no_upload",
            "bad_template",
        ),
        *("bad_variables", "no_dlt_template", "dlt", "wrong_channel", "refused"),
    }
)
#: Reason -> the error that tells it: the recipient must get no more promotional messages.
_UNWANTED: dict[str, type[ProviderRefusal]] = {"opted_out": OptedOut, "do_not_disturb": OnDoNotDisturb}


def refusal(reason: str, code: str = "", retry_after: float = 0.0) -> ProviderRefusal:
    """The error for a reason."""
    kind = _UNWANTED.get(reason, ProviderRefusal)
    return kind(SENTENCES[reason], permanent=reason in LASTING, code=code, retry_after=retry_after)


def unwanted_kind(reason: str) -> str:
    """The reason if the recipient must get no more promotional messages: opted_out or do_not_disturb; else ""."""
    return reason if reason in _UNWANTED else ""


def reason_of_status(response: HttpResponse) -> str:
    """The reason for an HTTP status of 300 or more whose body tells us nothing."""
    by_status = {401: "sign_in", 403: "sign_in", 404: "wrong_address", 408: "provider_fault", 429: "too_fast"}
    if response.status < 400:
        return "wrong_address"
    return by_status.get(response.status, "refused" if response.status < 500 else "provider_fault")
