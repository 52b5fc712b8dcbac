"""The title of a task or ticket: cells have it in the language of the page, forms, REST and files as it is stored."""

from __future__ import annotations

from typing import Any

from app.generated_titles import shown_title
from app.web.core.fields.base import TextField
from app.web.core.viewer import Viewer


class TitleField(TextField):
    """A title that the CRM may have made."""

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The title as the page says it."""
        shown = super().cell(values, viewer)
        return shown | {"text": shown_title(shown["text"])} if shown["kind"] == "text" else shown
