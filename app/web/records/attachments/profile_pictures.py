"""Pictures of people and customers: uploaded, cropped to a square by us, shown instead of initials.

People set their own; their managers and admins can set it for them, by the rules of accounts.
"""

from __future__ import annotations

from typing import Any

from flask import Response, flash, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app import access
from app.access.user_account_rules import is_admin_account
from app.domain import timeline
from app.domain.base import NotFound, RuleBroken
from app.domain.people import teams
from app.extensions import db
from app.file_store_and_vault import file_store
from app.models import Customer, User
from app.ops.storage import image_previews
from app.web.core.fab_access import current_viewer, refuse_unreached, storage_sentence
from app.web.core.fields.base import Field
from app.web.core.fields.contact_field_types import initials
from app.web.core.fields.reference_fields import picture_of, picture_url
from app.web.core.viewer import Viewer
from app.web.pages.routes import signed_in_route
from app.web.records import message_files
from app.web.records.attachments import upload_rates, upload_virus_scans

#: Their URLs contain a content hash, so the content at a URL never changes.
CACHE = "private, max-age=31536000, immutable"


class PicturesView(BaseView):
    """/pictures/me, /pictures/of/<user>, /pictures/customer/<id>, and the pictures themselves"""

    route_base = "/pictures"
    default_view = "mine"

    @signed_in_route("/user/<int:pk>/<digest>", methods=["GET"])
    def user(self, pk: int, digest: str) -> Any:
        """The picture of a colleague, for everybody who is signed in."""
        if current_viewer().lookups.pictures.get(pk) != digest:
            raise NotFound(_("This picture no longer exists."))
        return _handed_out(digest)

    @signed_in_route("/customer/<int:pk>/<digest>", methods=["GET"])
    def customer_picture(self, pk: int, digest: str) -> Any:
        """The picture of a customer that the viewer sees."""
        row = _customer(pk)
        if row.picture is None or row.picture != digest:
            raise NotFound(_("This picture no longer exists."))
        return _handed_out(digest)

    @signed_in_route("/me", methods=["GET"])
    def mine(self) -> Any:
        """The page of the person's own picture."""
        viewer = current_viewer()
        url = picture_of(viewer.person.id)
        return _page(_("My picture"), viewer.person.full_name, url, ("/pictures/me", "/me/"))

    @signed_in_route("/of/<int:pk>", methods=["GET"])
    def of(self, pk: int) -> Any:
        """The page of a colleague's picture, for people who may change it."""
        user = _colleague(pk)
        name = user.get_full_name().strip()
        return _page(_("Picture"), name, picture_url(pk, user.picture), (f"/pictures/of/{pk}", f"/users/can/{pk}"))

    @signed_in_route("/of/<int:pk>", methods=["POST"])
    def save_of(self, pk: int) -> Any:
        """Store it, or remove it; audited like every change of somebody else's account."""
        viewer, session = current_viewer(), db.session()
        _colleague(pk)
        digest = _posted(viewer)
        _colleague(pk).picture = digest
        session.commit()
        flash(_("The picture is saved.") if digest else _("The picture is removed."), "success")
        return redirect(f"/pictures/of/{pk}")

    @signed_in_route("/me", methods=["POST"])
    def save_mine(self) -> Any:
        """Store it, or remove it."""
        viewer, session = current_viewer(), db.session()
        digest = _posted(viewer)
        session.get(User, viewer.person.id).picture = digest
        session.commit()
        flash(_("Your picture is saved.") if digest else _("Your picture is removed."), "success")
        return redirect("/pictures/me")

    @signed_in_route("/customer/<int:pk>", methods=["GET"])
    def customer(self, pk: int) -> Any:
        """The page of a customer's picture, for people who may change the customer."""
        row = _customer(pk)
        refuse_unreached("Customers", row, "write")
        name = f"{row.first_name or ''} {row.last_name or ''}".strip() or row.number
        return _page(
            _("Picture"), name, _url_of(row.id, row.picture), (f"/pictures/customer/{pk}", f"/customers/show/{pk}")
        )

    @signed_in_route("/customer/<int:pk>", methods=["POST"])
    def save_customer(self, pk: int) -> Any:
        """Store it, or remove it."""
        viewer, session = current_viewer(), db.session()
        refuse_unreached("Customers", _customer(pk), "write")
        digest = _posted(viewer)
        row = _customer(pk)
        row.picture = digest
        row.stamp(viewer.stamp)
        timeline.write(session, row, "system", viewer.stamp, text="Picture changed" if digest else "Picture removed")
        session.commit()
        flash(_("The picture is saved.") if digest else _("The picture is removed."), "success")
        return redirect(f"/customers/show/{pk}")


def may_change(user: Any, viewer: Viewer) -> bool:
    """Whether the viewer may change the picture of this colleague; the flush checks it again."""
    if viewer.person.is_admin:
        return True
    below = teams.reporting_tree(db.session(), viewer.person.id) - {viewer.person.id}
    return user.id in below and not is_admin_account(user)


def _colleague(pk: int) -> Any:
    """The user whose picture the viewer may change. Raises NotFound, Denied."""
    user = db.session.get(User, pk) if pk < 2**31 else None
    if user is None:
        raise NotFound(_("There is no such person."))
    if not may_change(user, current_viewer()):
        text = _("You can't change the picture of %(name)s.", name=user.get_full_name().strip())
        raise access.Denied(text)
    return user


def _customer(pk: int) -> Customer:
    row: Customer | None = access.get_visible(db.session(), Customer, pk)
    if row is None:
        raise NotFound(_("This record doesn't exist, or you don't have access to it."))
    current_viewer().person.refuse_unless("Customers", "read")
    return row


def _posted(viewer: Viewer) -> str | None:
    """The digest of the posted picture, cropped; None for “remove”. Raises RuleBroken."""
    if request.form.get("remove"):
        return None
    sent = request.files.get("picture")
    if sent is None or not sent.filename:
        raise RuleBroken(_("Please choose a picture."), "picture")
    db.session.commit()  # no transaction waits while it is scanned and stored
    upload_rates.count(sent.stream.seek(0, 2), viewer)
    upload_virus_scans.state_of(sent.stream, sent.filename[:80], viewer)  # type: ignore[arg-type]
    sent.stream.seek(0)
    content = image_previews.square(sent.stream)  # type: ignore[arg-type]
    if content is None:
        raise RuleBroken(_("This is no picture that can be shown. Please choose a JPEG, PNG, GIF or WebP."), "picture")
    try:
        return file_store().put(content).digest
    except OSError as away:
        raise message_files.FilesUnavailable(storage_sentence(away)) from away


def _handed_out(digest: str) -> Response:
    response = message_files.attachment_response(
        message_files.open_digest(digest), {"name": "picture.jpg", "mime_type": "image/jpeg"}
    )
    response.headers["Cache-Control"] = CACHE
    return response


def _url_of(key: int | None, digest: str | None) -> str | None:
    return f"/pictures/customer/{key}/{digest}" if digest else None


def address_of(digest: str | None, key: int | None) -> str | None:
    """The URL of a customer's picture, from the columns of a list."""
    return _url_of(key, digest) if key is not None else None


def _page(title: str, name: str, url: str | None, places: tuple[str, str]) -> str:
    shown = {"title": title, "name": name, "initials": initials(name), "url": url}
    shown |= {"action": places[0], "back_url": places[1]}
    return str(render_template("files/picture.html", picture=shown))


class CustomerPictureField(Field):
    """The URL of a customer's picture; on pages the picture, with the link to change it."""

    kind = "picture"

    def __post_init__(self) -> None:
        self.columns, self.operators, self.label = (Customer.picture, Customer.id), ("null",), _l("Picture")
        super().__post_init__()

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The URL of the picture."""
        return _url_of(values[1], values[0])

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the picture."""
        may = viewer.person.may("Customers", "write")
        change = f"/pictures/customer/{values[1]}" if may else None
        text = _("Change") if values[0] else _("Add a picture")
        return {"kind": "picture", "url": self.value(values, viewer), "change_url": change, "text": text}

    def empty_columns(self) -> tuple[Any, ...]:
        """The column that is null if there is no picture."""
        return self.columns[:1]
