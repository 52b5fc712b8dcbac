"""What FAB's forms read of a request: texts, and files only for fields that take one."""

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
    """Flask-WTF would give fields of text a file that has their name, and values of JSON that are no texts."""

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
    """Let all forms of FAB, and ours that are made of them, read requests in this way."""
    DynamicForm.Meta = SubmittedData


def trim(form: Any) -> None:
    """Strip text fields; a text of only spaces becomes empty."""
    for field in form:
        if isinstance(field.data, str) and not isinstance(field, PasswordField) and field.raw_data:
            field.data = field.data.strip()
            field.raw_data = [field.data]


def drop_unstorable(form: Any) -> list[Any]:
    """The fields that were sent with a NUL, which their texts lose, so that the form can be shown again."""
    found = [field for field in form if any("\0" in raw for raw in field.raw_data or () if isinstance(raw, str))]
    for field in found:
        if isinstance(field.data, str):
            field.data = field.data.replace("\0", "")
    return found
