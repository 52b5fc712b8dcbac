"""Meta's error codes, and which responses mean that a message was not accepted.

Source: developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes.
"""

from __future__ import annotations

from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.failure_reasons import reason_of_status, refusal
from app.channels.http_client import NO_ANSWER, HttpResponse
from app.channels.inbound_fields import mapping

_CODES = {
    "bad_number": (131021,),
    "not_on_whatsapp": (131026,),
    "opted_out": (131050,),
    "window_closed": (131047,),
    "too_fast": (4, 80007, 130429, 131056, 133016),
    "daily_limit": (131048,),
    "sign_in": (0, 3, 10, 190, 131005, *range(200, 300)),
    "suspended": (368, 131031, 131042),
    "bad_sender": (33, 131037, 131045, 133010),
    "country": (130497,),
    "trial": (131030,),
    "marketing": (130472, 131049),
    "bad_media": (131052, 131053),
    "bad_template": (132001, 132007, 132015, 132016, 132068, 132069),
    "bad_variables": (132000, 132005, 132012, 132018),
    "provider_fault": (2, 131000, 131016, 131057, 133004),
}
#: Meta's code -> a reason of `reasons`.
REASONS = {str(code): reason for reason, codes in _CODES.items() for code in codes}
#: Code -> minimum seconds to wait: a business may write to one customer every six seconds.
_WAITS = {"131056": 6.0}


def error_of(response: HttpResponse) -> ChannelError:
    """The error for a response of 300 or more.

    With a code documented as "failed to send", or a 503, nothing was sent. Any other 5xx leaves it open.
    """
    error = mapping(mapping(response.json()).get("error"))
    code = str(error["code"]) if isinstance(error.get("code"), int) else ""
    reason = REASONS.get(code)
    if response.status >= 500 and response.status != 503 and reason is None:
        return DeliveryUnknown(NO_ANSWER)
    wait = max(response.retry_after, _WAITS.get(code, 0.0))
    return refusal(reason or reason_of_status(response), code, wait)
