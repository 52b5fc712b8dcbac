"""CONTENTS: the kinds of accounts that can be added."""

from __future__ import annotations

from app.channels import console_provider, exotel_provider, imap_provider, meta_provider, smtp_provider, twilio_provider
from app.channels.provider import ProviderKind

#: Name, as in `flask channel add KIND`, -> the kind.
KINDS: dict[str, ProviderKind] = {
    kind.name: kind
    for kind in (
        console_provider.KIND,
        twilio_provider.KIND,
        meta_provider.KIND,
        exotel_provider.KIND,
        smtp_provider.KIND,
        imap_provider.KIND,
    )
}
