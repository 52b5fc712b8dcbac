"""Restricts what FAB's forms read from a request: texts, and files only for file fields."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_appbuilder.forms import DynamicForm
from flask_appbuilder.upload import FileUploadField
from flask_wtf import FlaskForm
from flask_wtf.form import _Auto, _is_submitted
from werkzeug.datastructures import CombinedMultiDict, MultiDict
from wtforms import FileField, PasswordField

_TAKES_FILES = (FileField, FileUploadField)


class SubmittedData(FlaskForm.Meta):
    """Filters the input, because Flask-WTF would give text fields files of their name, and JSON values that aren't
    texts.
    """

    def wrap_formdata(self, form: Any, formdata: Any) -> Any:
        """The texts of the form, with the files of fields that take them; None without a form."""
        if formdata is not _Auto:
            return formdata
        if not _is_submitted():
            return None
        files = MultiDict(
            (name, file)
            for name, file in request.files.items(multi=True)
            if isinstance(form._fields.get(name), _TAKES_FILES)
        )
        return CombinedMultiDict((files, request.form)) if files else request.form or None


def install() -> None:
    """Let all forms of FAB, and ours based on them, read requests in this way."""
    DynamicForm.Meta = SubmittedData


def trim(form: Any) -> None:
    """Strip text fields; whitespace alone becomes empty."""
    for field in form:
        if isinstance(field.data, str) and not isinstance(field, PasswordField) and field.raw_data:
            field.data = field.data.strip()
            field.raw_data = [field.data]


def drop_unstorable(form: Any) -> list[Any]:
    """Remove NULs from the fields' texts, so that the form can be shown again. Returns the fields that had any."""
    found = [field for field in form if any("\0" in raw for raw in field.raw_data or () if isinstance(raw, str))]
    for field in found:
        if isinstance(field.data, str):
            field.data = field.data.replace("\0", "")
    return found
