"""What the server itself answers to a request that never reaches the application."""

from __future__ import annotations

import json

#: Status -> its reason, and the sentence that says what to do.
REFUSALS = {
    408: ("Request Timeout", "This request took too long to arrive. Please send it again."),
    414: ("URI Too Long", "This address is too long. Please ask for less at once."),
    431: ("Request Header Fields Too Large", "The headers of this request are too long. Please send less."),
    503: ("Service Unavailable", "The server has no room for this request. Please try again soon."),
}


def refusal_response(status: int, target: bytes = b"") -> bytes:
    """The whole response, in the format of the requested endpoint."""
    reason, sentence = REFUSALS[status]
    content: dict[str, object] = {"message": sentence, "errors": {}}
    if target.startswith((b"/api/method/", b"/api/resource/")):
        shown = json.dumps({"message": sentence, "indicator": "red", "title": "Message"})
        exception = f"frappe.exceptions.ValidationError: {sentence}"
        content = {"exc_type": "ValidationError", "exception": exception, "_server_messages": json.dumps([shown])}
    body = json.dumps(content).encode()
    retry = "Retry-After: 10\r\n" if status == 503 else ""
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nConnection: close\r\n{retry}"
    return f"{head}X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
