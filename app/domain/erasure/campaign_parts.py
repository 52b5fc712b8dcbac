"""What campaigns hold of a person: as a recipient, and in the file that the recipients come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from app.domain.base import Stamp
from app.domain.erasure.erasure_scope import Scope
from app.domain.erasure.other_parts import has_address
from app.domain.erasure.table_parts import ScannedPart, TablePart
from app.domain.messaging import messages


class RecipientPart(TablePart):
    """Recipients: who waits is left out, so that nothing is sent to them."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase these recipients."""
        state = self.table.c.state
        # MariaDB assigns one after the other, so what asks for the state comes before it.
        values = {"code": case((state == "waiting", "no_address"), else_=self.table.c.code), **self.values(scope)}
        values["state"] = case((state == "waiting", "left_out"), else_=state)
        chosen = update(self.table).where(self.table.c.id.in_(list(ids)))
        session.connection().execute(chosen.ordered_values(*values.items()))


class CampaignPart(ScannedPart):
    """Rows of the files of campaigns: their places stay, since they are counted by them."""

    def found(self, session: Session, scope: Scope) -> list[int]:
        """Ids of campaigns whose file has a row of the person."""
        if not scope.addresses:
            return []
        of_file = (self.table.c.kind == "numbers", has_address(self.table.c.source, scope))
        query = select(self.table.c.id, self.table.c.channel, self.table.c.source).where(*of_file)
        rows = session.execute(query.order_by(self.table.c.id)).all()
        return [key for key, channel, source in rows if any(_is_of(scope, channel, each) for each in source)]

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Empty the person's rows."""
        query = select(self.table).where(self.table.c.id.in_(list(ids))).with_for_update()
        for row in session.execute(query).all():
            source = [_empty(each) if _is_of(scope, row.channel, each) else each for each in row.source]
            session.connection().execute(update(self.table).where(self.table.c.id == row.id).values(source=source))


def _is_of(scope: Scope, channel: str, item: Any) -> bool:
    return messages.clean_peer(channel, item[0]) in scope.addresses


def _empty(item: Any) -> list[Any]:
    """Without the number; the columns stay, since a draft asks the first row for them."""
    return ["", dict.fromkeys(item[1], "")]
