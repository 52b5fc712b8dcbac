"""The URL from which a provider fetches a file of a message: signed, valid for half an hour, for this file only."""

from __future__ import annotations

from flask import Blueprint, Flask, Response

from app import access
from app.extensions import db
from app.models import Message
from app.outbox import provider_files
from app.web.records import message_files

file_address = Blueprint("file_address", __name__)


def install(app: Flask) -> None:
    """Register the route."""
    app.register_blueprint(file_address)


@file_address.route("/hooks/file/<token>", methods=["GET"])
def send(token: str) -> Response:
    """Send the file. A refusal does not reveal the reason."""
    named = provider_files.read_token(token) if len(token) < 200 else None
    with access.as_system(db.session()) as session:
        row = session.get(Message, named[0]) if named else None
        if row is None or named is None or row.direction != "out":
            return Response("", 404, content_type="text/plain; charset=utf-8")
        content = message_files.open_file(row.media, named[1])
        file = (row.media or [])[named[1]]
    response = message_files.attachment_response(content, file)
    response.mimetype = file["mime_type"]  # providers rely on it, and our browsers never come here
    return response
