"""Requests of providers that could not be read, which wait until somebody tries them again."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_plus

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain.audit_log import audit_keys
from app.domain.base import Stamp
from app.domain.erasure.erasure_scope import Scope
from app.domain.erasure.other_parts import address_pattern
from app.domain.erasure.table_parts import ScannedPart
from app.lib.batches import batched
from app.lib.field_encryption import Vault, VaultError

#: Requests that are opened at once; one may have 3 MB.
_AT_ONCE = 20


class InboundPart(ScannedPart):
    """They are dismissed, so that nothing stores the message; their digests stay, so that none is taken again."""

    def found(self, session: Session, scope: Scope) -> list[int]:
        """Ids of failed requests with one of the person's numbers or addresses."""
        vault = audit_keys.keys_of(session).vault
        if vault is None or not scope.addresses:
            return []
        rules = [self.table.c.state == "failed"]
        if scope.cutoff is not None:
            rules.append(self.table.c.received_on <= scope.cutoff)
        ids = session.execute(select(self.table.c.id).where(*rules).order_by(self.table.c.id)).scalars().all()
        pattern, columns = address_pattern(scope.addresses), (self.table.c.id, self.table.c.request_sealed)
        found = []
        for part in batched(ids, _AT_ONCE):
            rows = session.execute(select(*columns).where(self.table.c.id.in_(part))).all()
            found += [key for key, sealed in rows if pattern.search(_text(vault, sealed))]
        return sorted(found)

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Dismiss these requests without their content."""
        vault = audit_keys.keys_of(session).vault
        empty = vault.seal("{}") if vault is not None else ""
        chosen = (self.table.c.id.in_(list(ids)), self.table.c.state == "failed")
        values = {"state": "dismissed", "done_on": stamp.now, "request_sealed": empty}
        session.connection().execute(update(self.table).where(*chosen).values(values))


def _text(vault: Vault, sealed: str) -> str:
    """What a request says; empty if it can't be opened, as it can't be tried again either."""
    try:
        stored: dict[str, Any] = json.loads(vault.open(sealed))
    except VaultError:
        return ""
    body = base64.b64decode(stored.get("body") or "").decode(errors="replace")
    return unquote_plus(f"{json.dumps(stored.get('query'))} {body}")
