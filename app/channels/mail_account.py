"""What accounts with mail servers share: their settings, and the methods that don't apply to them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import datetime
from email.utils import parseaddr
from pathlib import Path

from app.channels.base import ChannelError
from app.channels.provider import (
    AccountSetting,
    BadSignature,
    Event,
    Inbound,
    ListedTemplate,
    Media,
    OutgoingCall,
    OutgoingMessage,
    ProviderAcceptance,
    StatusUnavailable,
    StatusUpdate,
)
from app.lib.mail_addresses import is_email
from app.lib.mail_headers import ENCODED_WORD

#: How the connection is protected.
SECURITY = ("tls", "starttls", "none")
#: Names of this machine; a password may be sent unencrypted only there.
_LOCAL = ("localhost", "127.0.0.1", "::1")


def server_settings(ports: Mapping[str, int]) -> tuple[AccountSetting, ...]:
    """The settings of a server; `ports` maps each security option to its usual port."""
    usual = ", ".join(f"{port} ({security})" for security, port in ports.items())
    return (
        AccountSetting("host", "Server", "For example mail.example.in.", check=_check_host, is_destination=True),
        AccountSetting("port", "Port", f"Usually {usual}.", is_required=False, check=_check_port, is_destination=True),
        AccountSetting(
            "security",
            "Encryption",
            "tls, starttls or none; none only for a server on this machine.",
            is_required=False,
            default="tls",
            check=lambda value: None if value in SECURITY else "Please enter tls, starttls or none.",
            options=SECURITY,
            is_destination=True,
        ),
        AccountSetting("user", "User", "Often the email address.", is_required=False, check=check_line),
        AccountSetting(
            "password", "Password", "Often an app password.", is_secret=True, is_required=False, check=check_line
        ),
    )


def security_of(values: Mapping[str, str]) -> str:
    """How the connection is protected. Raises ValueError if a password would be sent unencrypted."""
    security = values.get("security") or "tls"
    if security == "none" and values.get("password") and values.get("host", "").lower() not in _LOCAL:
        raise ValueError("Without encryption, the password could be read on the way. Please choose tls or starttls.")
    return security


def trusted(values: Mapping[str, str]) -> ssl.SSLContext:
    """A TLS context that trusts the system's certificates, or those of the file `ca_file`. Raises ValueError."""
    path = values.get("ca_file") or None
    try:
        if path is not None and not Path(path).is_file():  # reading a pipe would never end
            raise FileNotFoundError(path)
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        raise ValueError("The file of trusted certificates can't be read.") from error


#: Optional; for servers with a certificate of their own.
CA_FILE = AccountSetting(
    "ca_file",
    "File of trusted certificates",
    "Only for a server whose certificate no public authority has signed: a PEM file on the CRM's server.",
    is_required=False,
)


def check_line(value: str) -> str | None:
    """An error text for several lines or control characters, else None."""
    return None if value.isprintable() else "Please enter one line of text."


def check_address(value: str) -> str | None:
    """An error text for anything but one ASCII address or `Name <address>`, else None."""
    address = parseaddr(value)[1]
    is_one = address.isascii() and value.count("@") == 1 and ENCODED_WORD not in value
    is_valid = value.isprintable() and is_email(address) and is_one
    return None if is_valid else "Please enter an address such as support@example.in or Support <support@example.in>."


def check_addresses(value: str) -> str | None:
    """An error text for anything but ASCII addresses separated by commas, else None."""
    is_valid = value.isprintable() and value.isascii() and all(is_email(each.strip()) for each in value.split(","))
    return None if is_valid else "Please enter addresses such as help@example.in, with commas between them."


def _check_host(value: str) -> str | None:
    is_name = value.isascii() and value.isprintable() and not set(value) & set(" /@?#\\") and 0 < len(value) < 254
    return None if is_name else "Please enter the name of a server, such as mail.example.in."


def _check_port(value: str) -> str | None:
    is_port = value.isascii() and value.isdecimal() and 0 < int(value[:6]) < 65_536
    return None if is_port else "Please enter a number from 1 to 65535."


class MailAccount:
    """The methods of a provider that don't apply to mail servers."""

    def find(self, message: OutgoingMessage, provider_id: str, since: datetime) -> StatusUpdate | None:
        """Raises StatusUnavailable: a mail server can't be asked."""
        raise StatusUnavailable("A mail server can't say what became of an email.")

    def verify(self, request: Inbound) -> None:
        """Mail servers make no requests."""
        raise BadSignature("A mail server makes no requests.")

    def parse(self, request: Inbound) -> list[Event]:
        """Mail servers make no requests."""
        return []

    def answer(self, request: Inbound) -> tuple[int, str, str]:
        """Mail servers make no requests."""
        return 403, "text/plain", ""

    def fetch(self, media: Media, max_bytes: int) -> tuple[str, bytes]:
        """Raises ChannelError: files come in the email itself."""
        raise ChannelError("Files of emails are stored when they arrive.", permanent=True)

    def call(self, call: OutgoingCall) -> ProviderAcceptance:
        """Raises StatusUnavailable: a mail server has no telephone."""
        raise StatusUnavailable("An email account can't make calls.")

    def templates(self) -> list[ListedTemplate]:
        """Raises StatusUnavailable: mail servers have no templates."""
        raise StatusUnavailable("A mail server has no list of templates.")
