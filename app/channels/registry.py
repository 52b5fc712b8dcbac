"""CONTENTS: the kinds of accounts that can be added, by name."""

from __future__ import annotations

from app.channels.console_provider import CONSOLE
from app.channels.provider import ProviderKind

KINDS: dict[str, ProviderKind] = {kind.name: kind for kind in (CONSOLE,)}
