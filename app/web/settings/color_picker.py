"""A color picker with swatches instead of names."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext
from markupsafe import Markup
from wtforms import Field

#: Color -> its name.
NAMES = {
    "black": lazy_gettext("Black"),
    "gray": lazy_gettext("Gray"),
    "slate": lazy_gettext("Slate"),
    "blue": lazy_gettext("Blue"),
    "green": lazy_gettext("Green"),
    "red": lazy_gettext("Red"),
    "pink": lazy_gettext("Pink"),
    "orange": lazy_gettext("Orange"),
    "amber": lazy_gettext("Amber"),
    "yellow": lazy_gettext("Yellow"),
    "cyan": lazy_gettext("Cyan"),
    "teal": lazy_gettext("Teal"),
    "violet": lazy_gettext("Violet"),
    "purple": lazy_gettext("Purple"),
    "indigo": lazy_gettext("Indigo"),
}


class SwatchWidget:
    """Radio buttons that look like colors; their names are used in tooltips and by screen readers."""

    def __call__(self, field: Field, **kwargs: Any) -> Markup:
        """The markup; `kwargs` are FAB's, whose classes are not used."""
        chosen = str(field.data or field.default or "")
        parts = [
            Markup(
                '<label class="swatch tone-{tone}" title="{name}">'
                '<input type="radio" name="{field}" value="{tone}"{checked}>'
                '<span class="visually-hidden">{name}</span></label>'
            ).format(
                tone=choice.value,
                name=choice.label,
                field=field.name,
                checked=Markup(" checked") if choice.value == chosen else "",
            )
            for choice in field.iter_choices()
        ]
        group = Markup('<div class="swatches" role="radiogroup" id="{id}" aria-label="{label}">{parts}</div>')
        return group.format(id=field.id, label=field.label.text, parts=Markup("").join(parts))


def swatch(color: str) -> Markup:
    """A color dot with its name, for lists."""
    return Markup(
        '<span class="state tone-{color}"><i class="dot"></i><span class="state-label">{name}</span></span>'
    ).format(color=str(color), name=NAMES.get(str(color), color))
