"""CONTENTS: the kinds of accounts that can be added."""

from __future__ import annotations

from app.channels import console_provider, exotel, imap_provider, meta, smtp_provider, twilio_provider
from app.channels.provider import ProviderKind

#: Name, as in `flask channel add KIND`, -> the kind.
KINDS: dict[str, ProviderKind] = {
    kind.name: kind
    for kind in (
        console_provider.KIND,
        twilio_provider.KIND,
        meta.KIND,
        exotel.KIND,
        smtp_provider.KIND,
        imap_provider.KIND,
    )
}
#: Kind -> the setting of the installation that names another host, such as a test double's. Its value is passed to
#: `ProviderKind.make` as "base_url".
BASE_URL_SETTINGS = {"twilio": "TWILIO_BASE_URL", "meta": "META_BASE_URL", "exotel": "EXOTEL_BASE_URL"}
