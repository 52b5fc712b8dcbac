"""The permission matrix of one role: levels by module and verb, masks by field; how it is loaded and saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access.person import ADMIN, Denied
from app.domain.base import translatable
from app.domain.people import permissions
from app.models import FieldMask, ModulePermission

#: FAB's role of people who aren't signed in; no user gets it.
PUBLIC = "Public"
#: FAB's own roles: Admin may do everything, Public is for visitors who have not signed in.
FIXED_ROLES = (ADMIN, PUBLIC)


@dataclass
class Matrix:
    """What a role may do: levels by (module, verb), masks by field."""

    cells: dict[tuple[str, str], str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)

    def level(self, module: str, verb: str) -> str:
        """The level of a verb: none, own, team or all."""
        return self.cells.get((module, verb), "none")

    def mask(self, name: str) -> str:
        """The mask of a field: hidden, last4 or full."""
        return self.masks.get(name, "hidden")


def load_matrix(session: Session, role: Any) -> Matrix:
    """The role's matrix as it is stored; Admin's contains everything."""
    if role.name == ADMIN:
        cells = {(module, verb): "all" for module, verbs in permissions.VERBS_OF.items() for verb in verbs}
        return Matrix(cells, dict.fromkeys(permissions.MASKED, "full"))
    stored_cells = session.scalars(select(ModulePermission).where(ModulePermission.role_id == role.id))
    stored_masks = session.scalars(select(FieldMask).where(FieldMask.role_id == role.id))
    cells = {(c.module, c.verb): c.level for c in stored_cells if permissions.is_offered(c.module, c.verb)}
    return Matrix(cells, {m.field: m.level for m in stored_masks})


def save_matrix(session: Session, role: Any, matrix: Matrix) -> None:
    """Change the role's rows to those of the matrix; the flush audits it and may raise Denied (see role_rules)."""
    rows = session.scalars(select(ModulePermission).where(ModulePermission.role_id == role.id))
    cells: dict[Any, Any] = {(row.module, row.verb): row for row in rows}
    for (module, verb), level in matrix.cells.items():
        cell = cells.get((module, verb)) or ModulePermission(role_id=role.id, module=module, verb=verb)
        _save_level(session, cell, level if level != "none" else None)
    masks = {row.field: row for row in session.scalars(select(FieldMask).where(FieldMask.role_id == role.id))}
    for name, level in matrix.masks.items():
        mask = masks.get(name) or FieldMask(role_id=role.id, field=name)
        _save_level(session, mask, level if level != "hidden" else None)


def _save_level(session: Session, row: Any, level: str | None) -> None:
    """Store the level in the row; None removes the row."""
    if level is not None:
        row.level = level
        session.add(row)
    elif row in session:
        session.delete(row)


def refuse_fixed_role(role: Any) -> None:
    """Raise Denied for a role that nobody may change."""
    if role.name in FIXED_ROLES:
        raise Denied(translatable("The role %(name)s is built in and can't be changed.", name=role.name))
