"""The rights under which a viewer's file is made, and whether they still have all of them."""

from __future__ import annotations

from typing import Any

from app import access
from app.domain.base import translatable
from app.domain.custom_fields import mask_name
from app.web.core.viewer import Viewer

#: While writing, and at the download.
CHANGED_MEANWHILE = translatable("What you may see has changed while this file was written. Please export it again.")
FEWER_NOW = translatable(
    "This file may hold more than you may see now, because your rights have changed. Please export it again."
)


def rights_of(viewer: Viewer) -> dict[str, Any]:
    """The viewer's rights that a file is stored with."""
    return access.rights_snapshot(viewer.person, _custom(viewer))


def are_fewer(rights: dict[str, Any] | None, viewer: Viewer) -> bool:
    """Whether the viewer sees less now than a file made under these rights may contain."""
    return access.sees_less_now(rights, viewer.person, _custom(viewer))


def refuse_fewer(rights: dict[str, Any] | None, viewer: Viewer, text: str = FEWER_NOW) -> None:
    """Raise Denied, with this sentence, if the viewer sees less than that now."""
    if are_fewer(rights, viewer):
        raise access.Denied(text)


def _custom(viewer: Viewer) -> list[str]:
    return [mask_name(each.id) for each in viewer.lookups.custom.restricted]
