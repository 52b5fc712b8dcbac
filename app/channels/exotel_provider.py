"""Exotel: SMS to India with the fields of DLT, and calls that connect a person with a customer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from urllib.parse import quote, urlencode

from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.exotel_inbound import FILE_HOSTS, SMS_STATES, ExotelInbound, failure_of, sms_status
from app.channels.failure_reasons import refusal
from app.channels.http_client import (
    NO_ANSWER,
    HttpClient,
    HttpRequest,
    HttpResponse,
    basic_auth,
    is_allowed,
    is_of_host,
    mime_type,
)
from app.channels.inbound_fields import mapping, one_line, with_query
from app.channels.provider import (
    Abilities,
    AccountSetting,
    ListedTemplate,
    Media,
    OutgoingCall,
    OutgoingMessage,
    ProviderAcceptance,
    ProviderKind,
    StatusUnavailable,
    StatusUpdate,
)
from app.channels.setting_checks import RECORD_OUTGOING, check_settings, form_problem, numbers_problem, secret_problem
from app.lib.sms_parts import is_gsm

#: The cluster in Mumbai; api.exotel.com is the one in Singapore.
BASE_URL = "https://api.in.exotel.com"
#: Characters that Exotel accepts.
MAX_TEXT = 2000
RING_SECONDS = 30
_DIGITS = partial(form_problem, re.compile(r"[0-9]{5,30}"), "It consists of digits.")
_SID = partial(form_problem, re.compile(r"[A-Za-z0-9_-]{1,64}"), "It has letters and digits only.")
_HEADER = partial(form_problem, re.compile(r"[A-Za-z0-9]{3,11}"), "A header has 3 to 11 letters or digits.")

SETTINGS = (
    AccountSetting("account_sid", "Account SID", "In Exotel's dashboard under API settings.", check=_SID),
    AccountSetting("api_key", "API key", "In the same place.", True, check=secret_problem),
    AccountSetting("api_token", "API token", "In the same place.", True, check=secret_problem),
    AccountSetting(
        "header", "SMS header", "The sender registered on DLT, such as ESHINB.", False, False, check=_HEADER
    ),
    AccountSetting("dlt_entity_id", "DLT entity ID", "Of the principal entity.", False, False, check=_DIGITS),
    AccountSetting(
        "from",
        "ExoPhones",
        "The account's phone numbers, comma-separated. The first one is the caller ID where none is chosen.",
        is_required=False,
        check=numbers_problem,
    ),
    RECORD_OUTGOING,
    AccountSetting(
        "host",
        "Cluster",
        "api.in.exotel.com (Mumbai) or api.exotel.com (Singapore).",
        is_required=False,
        default="api.in.exotel.com",
        check=partial(form_problem, re.compile(r"api(?:\.in)?\.exotel\.com"), "Please enter one of the two."),
        is_destination=True,
    ),
)


class Exotel(ExotelInbound):
    """One account of Exotel."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """`settings` as in SETTINGS. Raises ValueError."""
        found = check_settings(SETTINGS, settings)
        if not found["from"] and not found["header"]:
            raise ValueError("Please enter an SMS header, an ExoPhone, or both.")
        if found["header"] and not found["dlt_entity_id"]:
            raise ValueError("Please enter the DLT entity ID, too: no SMS is delivered in India without it.")
        base_url = settings.get("base_url") or f"https://{found['host']}"
        super().__init__(found["account_sid"], found["from"], base_url)
        self.sms_header, self.entity_id = found["header"], found["dlt_entity_id"]
        self._auth = basic_auth(found["api_key"], found["api_token"])
        self.http = HttpClient(base_url, float(settings.get("seconds") or 15))

    # --- messages

    def send(self, message: OutgoingMessage) -> ProviderAcceptance:
        """Send an SMS."""
        response = self._ask("POST", "Sms/send.json", self._sms(message))
        sent = mapping(mapping(response.json()).get("SMSMessage"))
        sid, status = sent.get("Sid"), one_line(sent.get("Status"))
        if not isinstance(sid, str) or not sid:
            raise DeliveryUnknown(NO_ANSWER)
        if SMS_STATES.get(status) == "failed":
            reason, code = failure_of(status, sent.get("DetailedStatusCode"))
            raise refusal(reason, code)
        return ProviderAcceptance(sid)

    def _sms(self, message: OutgoingMessage) -> dict[str, str]:
        """The form of an SMS. Outside India there is no DLT."""
        if message.channel != "sms" or not self.sms_header:
            raise refusal("wrong_channel")
        if message.media or message.attachments:
            raise refusal("bad_media")
        if not message.text:
            raise refusal("empty")
        if len(message.text) > MAX_TEXT:
            raise refusal("too_long")
        return {
            "From": self.sms_header,
            "To": message.to,
            "Body": message.text,
            "EncodingType": "plain" if is_gsm(message.text) else "unicode",
            "SmsType": "promotional" if message.purpose == "promotional" else "transactional",
            "CustomField": message.key,
            **self._dlt(message),
            **_callback(message.status_url, message.key),
        }

    def _dlt(self, message: OutgoingMessage) -> dict[str, str]:
        template_id = message.template.provider_id if message.template is not None else ""
        if not message.to.startswith("+91"):
            return {}
        if not template_id:
            raise refusal("no_dlt_template")
        return {"DltEntityId": self.entity_id, "DltTemplateId": template_id}

    def find(self, message: OutgoingMessage, provider_id: str, since: datetime) -> StatusUpdate | None:
        """The state of an SMS. Exotel can only be asked by its own id."""
        if not provider_id:
            raise StatusUnavailable("Exotel can't be asked by number or text.")
        response = self._get(f"SMS/Messages/{quote(provider_id, safe='')}.json")
        if response is None:
            return None
        found = mapping(mapping(response.json()).get("SMSMessage"))
        status = one_line(found.get("Status"))
        if status not in SMS_STATES:
            raise ChannelError(NO_ANSWER)
        return sms_status(provider_id, status, found, message.key)

    # --- calls

    def call(self, call: OutgoingCall) -> ProviderAcceptance:
        """Ring the person; when they answer, ring the customer and connect both."""
        if not self.exophones:
            raise StatusUnavailable("This account has no phone.")
        form = {
            "From": call.person,
            "To": call.customer,
            "CallerId": call.caller_id or self.exophones[0],
            "CallType": "trans",
            "TimeOut": str(RING_SECONDS),
            "Record": "true" if call.is_recorded else "false",
            "CustomField": call.key,
            **_call_callback(call.status_url, call.key),
        }
        response = self._ask("POST", "Calls/connect.json", form)
        sid = mapping(mapping(response.json()).get("Call")).get("Sid")
        if not isinstance(sid, str) or not sid:
            raise DeliveryUnknown(NO_ANSWER)
        return ProviderAcceptance(sid)

    # --- files, account

    def fetch(self, media: Media, max_bytes: int) -> tuple[str, bytes]:
        """MIME type and content of a recording. Raises ChannelError."""
        headers = {}
        if is_allowed(media.address, FILE_HOSTS) or is_of_host(media.address, self.http.base_url):
            headers["Authorization"] = self._auth
        response = self.http.fetch(HttpRequest("GET", media.address, headers, max_bytes=max_bytes), FILE_HOSTS)
        return mime_type(response), response.body

    def templates(self) -> list[ListedTemplate]:
        """None: Exotel's templates are registered on a DLT platform."""
        raise StatusUnavailable("Exotel has no list of templates. Please enter those of the DLT platform.")

    def check(self) -> str:
        """Check the account by reading one call."""
        if self._get("Calls.json?PageSize=1") is None:
            raise refusal("wrong_address")
        return "Exotel accepts the account's keys."

    def _get(self, path: str) -> HttpResponse | None:
        """The response to a GET; None for 404."""
        try:
            return self._ask("GET", path)
        except DeliveryUnknown as unknown:
            raise ChannelError(NO_ANSWER) from unknown
        except ChannelError as error:
            if getattr(error, "code", "") == "404":
                return None
            raise

    def _ask(self, method: str, path: str, form: Mapping[str, str] | None = None) -> HttpResponse:
        url = f"{self.http.base_url}/v1/Accounts/{self.account_sid}/{path}"
        headers, body = (
            {"Authorization": self._auth, "Accept": "application/json"},
            urlencode(form or {}, errors="replace").encode(),
        )
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        response = self.http.request(HttpRequest(method, url, headers, body))
        if response.status >= 300:
            raise _error_of(response)
        return response


#: HTTP status -> reason. Exotel's documentation says to rely on the status only.
_REASONS = {400: "refused", 401: "sign_in", 402: "suspended", 403: "suspended", 404: "wrong_address", 429: "too_fast"}


def _error_of(response: HttpResponse) -> ChannelError:
    """The error for a response of 300 or more. Of the 5xx, only 503 means that nothing was handled."""
    if response.status >= 500 and response.status != 503:
        return DeliveryUnknown(NO_ANSWER)
    reason = _REASONS.get(response.status) or ("wrong_address" if response.status < 400 else "refused")
    if response.status == 503:
        reason = "provider_fault"
    return refusal(reason, str(response.status), response.retry_after)


def _callback(status_url: str, key: str) -> dict[str, str]:
    return {"StatusCallback": with_query(status_url, key=key)} if status_url else {}


def _call_callback(status_url: str, key: str) -> dict[str, str]:
    if not status_url:
        return {}
    return {
        **_callback(status_url, key),  # the custom field comes back only with the last event
        "StatusCallbackEvents[0]": "terminal",
        "StatusCallbackEvents[1]": "answered",
        "StatusCallbackContentType": "application/json",
    }


KIND = ProviderKind(
    *("exotel", "Exotel", ("sms", "voice"), SETTINGS, Exotel), abilities={"sms": Abilities(replies=False)}
)
