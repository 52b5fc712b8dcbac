"""Twilio's error codes, and which responses mean that a message was not accepted.

Source: Twilio's error dictionary, twilio.com/docs/api/errors.
"""

from __future__ import annotations

from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.failure_reasons import reason_of_status, refusal
from app.channels.http_client import NO_ANSWER, HttpResponse
from app.channels.inbound_fields import mapping

_CODES = {
    "bad_number": (21211, 21214, 21217, 21265, 21266, 21268, 21604, 13224, 63024),
    "not_mobile": (21614, 21635, 30006),
    "not_on_whatsapp": (63003, 63036),
    "unreachable": (30003, 30005, 30008, 30036, 30410),
    "opted_out": (21610, 63033),
    "window_closed": (63016,),
    "too_fast": (20429, 21611, 30001, 63018),
    "daily_limit": (63038,),
    "sign_in": (20003, 20006, 63001),
    "suspended": (20005, 30002, 63051),
    "bad_sender": (
        *(21210, 21212, 21267, 21601, 21603, 21606, 21612, 21659, 21660, 21661),
        *(30034, 63007, 63020),
    ),
    "country": (21215, 21408, 13227),
    "trial": (21219, 21608, 63015),
    "blocked": (21216, 30004, 30007, 63005, 63013),
    "marketing": (63032, 63049),
    "too_long": (21617, 30039),
    "empty": (21602, 21619),
    "bad_media": (21620, 21623, 30011, 30019, 63019, 63021),
    "bad_template": (21655, 63027, 63040, 63041, 63042),
    "bad_variables": (21656, 63028),
    "provider_fault": (20500, 20503, 63012),
}
#: Twilio's code -> a reason of `reasons`.
REASONS = {str(code): reason for reason, codes in _CODES.items() for code in codes}
#: Gateways send these themselves: the server behind them may have accepted the message.
_GATEWAY = (502, 504)


def error_of(response: HttpResponse) -> ChannelError:
    """The error for a response of 300 or more.

    A body with a Twilio error code comes from Twilio's application, which has refused. A bare 5xx may come from
    anything in front of it: DeliveryUnknown, except for 503, which means that nothing was processed.
    """
    body = mapping(response.json())
    code = str(body["code"]) if isinstance(body.get("code"), int) else ""
    if response.status in _GATEWAY or (response.status >= 500 and response.status != 503 and not code):
        return DeliveryUnknown(NO_ANSWER)
    return refusal(REASONS.get(code) or reason_of_status(response), code, response.retry_after)
