"""CONTENTS: the kinds of accounts that can be added, by name."""

from __future__ import annotations

from app.channels.console_provider import CONSOLE
from app.channels.provider import ProviderKind

KINDS: dict[str, ProviderKind] = {kind.name: kind for kind in (CONSOLE,)}
#: Kind -> the setting of the installation that names another host, where a double of the provider listens. Its value
#: goes to `ProviderKind.make` as "base_url".
BASE_URL_SETTINGS = {"twilio": "TWILIO_BASE_URL", "meta": "META_BASE_URL", "exotel": "EXOTEL_BASE_URL"}
