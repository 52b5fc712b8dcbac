"""Incoming email, from the mailbox of an account (kind "imap")."""

from __future__ import annotations

from collections.abc import Mapping

from app.channels.imap_client import TIMEOUT, ImapClient, Mailbox
from app.channels.mail_account import (
    CA_FILE,
    MailAccount,
    check_address,
    check_addresses,
    check_line,
    security_of,
    server_settings,
    trusted,
)
from app.channels.provider import AccountSetting, OutgoingMessage, ProviderAcceptance, ProviderKind, ProviderRefusal

PORTS = {"tls": 993, "starttls": 143, "none": 143}
#: What a new email may create.
OPENS = ("ticket", "lead", "nothing")


class ImapProvider(MailAccount):
    """A receive-only account, whose emails a job fetches."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Raises ValueError for settings that contradict each other."""
        security = security_of(values)
        if not values.get("user") or not values.get("password"):
            raise ValueError("A mailbox needs a user and a password.")
        if values.get("opens", "nothing") != "nothing" and not values.get("owner"):
            raise ValueError("Please enter who owns the tickets or leads that emails open.")
        port = int(values.get("port") or PORTS[security])
        folder = values.get("folder") or "INBOX"
        mailbox = Mailbox(values["host"], port, security, values["user"], values["password"], folder)
        self.client = ImapClient(mailbox, TIMEOUT, trusted(values) if security != "none" else None)

    def send(self, message: OutgoingMessage) -> ProviderAcceptance:
        """Raises ProviderRefusal: this kind only receives."""
        raise ProviderRefusal("This account only receives email. Please choose one that sends.", permanent=True)

    def check(self) -> str:
        """Sign in and open the folder."""
        return self.client.check()


def _check_opens(value: str) -> str | None:
    return None if value in OPENS else "Please enter ticket, lead or nothing."


KIND = ProviderKind(
    name="imap",
    label="Email in (IMAP)",
    # Nothing is sent through it.
    channels=(),
    has_hooks=False,
    settings=(
        *server_settings(PORTS),
        AccountSetting(
            "folder", "Folder", "Which folder is read.", is_required=False, default="INBOX", check=check_line
        ),
        AccountSetting("address", "Address", "The address whose mail arrives here.", check=check_address),
        AccountSetting(
            "opens",
            "A new email opens",
            "ticket, lead or nothing. Automatic emails and answers never open anything.",
            is_required=False,
            default="nothing",
            check=_check_opens,
            options=OPENS,
        ),
        AccountSetting(
            "owner", "Owner", "Username: who is responsible for what emails open.", is_required=False, check=check_line
        ),
        AccountSetting(
            "assign_to_role",
            "Assigned to",
            "Role whose round robin serves it; without it, Support User for tickets and Sales User for leads.",
            is_required=False,
            check=check_line,
        ),
        AccountSetting(
            "ticket_subject",
            "Ticket subject",
            "Which of the ticket subjects they get; without it, the last one.",
            is_required=False,
            check=check_line,
        ),
        AccountSetting(
            "answer_account", "Answers are sent by", "Name of an smtp account.", is_required=False, check=check_line
        ),
        AccountSetting(
            "authserv_id",
            "Trusted mail check",
            "The name by which your mail server signs Authentication-Results. Forged senders are recognized by it.",
            is_required=False,
            check=check_line,
        ),
        AccountSetting(
            "groups",
            "Groups that forward here",
            "Addresses of groups or lists that pass mail on to this mailbox, separated by commas: what comes through "
            "them is treated like mail that was sent here.",
            is_required=False,
            check=check_addresses,
        ),
        CA_FILE,
    ),
    make=ImapProvider,
)
