"""The page of the brand: name, logo and color, for everybody, set by admins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from flask import current_app, flash, redirect, request
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from app import access, shown_brand
from app.domain import brand
from app.domain.base import RuleBroken
from app.domain.brand import ACCENT, Brand, BrandInput, Logo
from app.extensions import db
from app.file_store_and_vault import file_store
from app.web.core import fab_access
from app.web.core.fab_access import NOT_REFUSED, Refusal, current_viewer
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.brand import file_url
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage, refuse_all_but_admins, settings_form
from app.web.records import message_files
from app.web.records.attachments import message_uploads, upload_rates, upload_virus_scans
from app.web.records.attachments.message_uploads import Upload
from app.web.settings import brand_icons

#: Bytes of an uploaded logo.
MAX_BYTES = 2_000_000


@dataclass(frozen=True)
class _ChosenLogo:
    """The logo chosen in the form."""

    #: None = no logo.
    logo: Logo | None = None
    #: A new upload, identified by a token, so that it need not be chosen again if the form is refused.
    upload: Upload | None = None


class BrandView(SettingsPage):
    """/settings/brand/"""

    route_base = "/settings/brand"
    VERBS = {"index": "read", "save": "write"}

    @page_route("/")
    def index(self) -> Any:
        """The form with the current brand."""
        _refuse_others()
        return self._page({})

    @page_route("/", methods=["POST"])
    def save(self) -> Any:
        """Store it, or show the errors by field."""
        _refuse_others()
        viewer = current_viewer()
        found: dict[str, Any] = {}
        try:
            found, errors = _posted(viewer)
            given = _checked(found, errors)
            with request_transaction() as session:
                row = brand.save(session, given, _version(), viewer.stamp)
                session.commit()
                shown_brand.set_current(current_app, row)
        except RuleBroken as broken:
            upload = found["logo"].upload if "logo" in found else None
            refused = fab_access.refusal(broken)
            return self._page(request.form, refused, upload), refused.status
        flash(_("The brand is saved. Everybody sees it on the next page that they open."), "success")
        return redirect("/settings/brand/")

    def _page(self, posted: Mapping[str, str], refused: Refusal = NOT_REFUSED, upload: Upload | None = None) -> str:
        row, settings, errors = _stored(), current_app.config["CRM"], refused.errors
        sections = [{"title": "", "fields": _fields(row, posted, errors)}]
        version = row.version if row is not None else 0
        form = settings_form(_("Brand"), "/settings/brand/", sections, version)
        form |= {"multipart": True, "error": refused.sentence}
        shown = {
            "logo_url": file_url(row.logo) if row is not None and row.logo else None,
            "logo": brand.logo_of(row),
            "logo_errors": errors.get("logo", []),
            "is_removed": bool(posted.get("remove_logo")),
            "upload": upload.as_field(current_viewer()) if upload is not None else None,
            "default_name": settings.brand,
        }
        return self.render_template("settings/brand.html", title=form["title"], form=form, shown=shown)


def _refuse_others() -> None:
    refuse_all_but_admins(_("Only an admin can see and change the brand."))


def _fields(row: Any, posted: Mapping[str, str], errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    name = row.name if row is not None else None
    accent = row.accent if row is not None else None
    return [
        {
            "name": "name",
            "label": _("Name"),
            "kind": "text",
            "value": posted.get("name", name or current_app.config["CRM"].brand),
            "maxlength": brand.MAX_NAME,
            "help": _(
                "Shown in the menu, in the title of pages, at the sign-in, in emails, and as the name of the app."
            ),
            "errors": errors.get("name", []),
        },
        {
            "name": "accent",
            "label": _("Color"),
            "kind": "color",
            "value": posted.get("accent", accent or ACCENT),
            "help": _("Of buttons and links. White words must be readable on it."),
            "errors": errors.get("accent", []),
        },
    ]


def _stored() -> Brand | None:
    with access.as_system(db.session()):
        return brand.stored_brand(db.session())


def _version() -> int:
    sent = request.form.get("version", "")
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 9 else -1


def _posted(viewer: Viewer) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The posted values, checked, with the logo stored, by field; and the errors by field. Raises FilesUnavailable."""
    found: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    steps = {
        "name": lambda: _own_name(brand.checked_name(request.form.get("name", ""))),
        "accent": lambda: brand.checked_accent(request.form.get("accent", "")),
        "logo": lambda: _logo(viewer),
    }
    for field, step in steps.items():
        try:
            found[field] = step()
        except message_files.FilesUnavailable:
            raise
        except RuleBroken as broken:
            errors[field] = [translate_text(broken.message)]
    return found, errors


def _checked(found: dict[str, Any], errors: dict[str, list[str]]) -> BrandInput:
    """The values to store, with the icons. Raises RuleBroken if there are errors."""
    if errors:
        raise RuleBroken(_("Not saved yet. Please check these fields:"), errors=errors)
    logo, accent = found["logo"].logo, found["accent"]
    return BrandInput(found["name"], accent, logo, _icons(logo, accent))


def _own_name(name: str | None) -> str | None:
    """The name; None if it equals the server's settings, which then continue to apply."""
    return None if name == current_app.config["CRM"].brand else name


def _logo(viewer: Viewer) -> _ChosenLogo:
    """A new logo, the current one, or none. Raises RuleBroken."""
    sent, token = request.files.get("logo"), request.form.get("kept_logo")
    is_sent = sent is not None and bool(sent.filename)
    if not is_sent and not token:
        return _ChosenLogo(None if request.form.get("remove_logo") else brand.logo_of(_stored()))
    db.session.commit()  # no transaction waits while it is scanned and stored
    if sent is None or not is_sent:
        return _kept_before(message_uploads.of_token(str(token), viewer))
    try:
        return _taken(sent, viewer)
    finally:
        sent.close()


def _kept_before(upload: Upload) -> _ChosenLogo:
    """A logo that was uploaded with a refused form. Raises RuleBroken."""
    with message_files.open_digest(upload.digest) as file:
        return _made(file, upload.name)


def _taken(sent: FileStorage, viewer: Viewer) -> _ChosenLogo:
    """An uploaded logo, stored. Raises RuleBroken."""
    size = sent.stream.seek(0, 2)
    if size > MAX_BYTES:
        raise RuleBroken(_("A logo can have up to %(most)s MB. Please choose a smaller one.", most=MAX_BYTES // 10**6))
    upload_rates.count(size, viewer)
    upload_virus_scans.state_of(sent.stream, str(sent.filename)[:80], viewer)  # type: ignore[arg-type]
    sent.stream.seek(0)
    return _made(sent.stream, message_uploads.clean_name(str(sent.filename)))  # type: ignore[arg-type]


def _made(file: BinaryIO, name: str) -> _ChosenLogo:
    """The logo made from a picture. Raises RuleBroken."""
    try:
        made = brand_icons.logo(file)
    except brand_icons.TooSmall as small:
        raise RuleBroken(_("This logo is too small. Please choose one of at least 48 pixels.")) from small
    if made is None:
        raise RuleBroken(_("This is no picture that can be shown. Please choose a JPEG, PNG, GIF or WebP."))
    content, (width, height) = made
    digest = _kept(content)
    return _ChosenLogo(Logo(digest, width, height), Upload(digest, name, "image/png", len(content)))


def _icons(logo: Logo | None, accent: str | None) -> dict[str, str]:
    """Column -> digest of the icons: of the logo, else of the product's mark in the color, else none."""
    if logo is not None:
        with message_files.open_digest(logo.digest) as file:
            made = brand_icons.of_logo(file.read())
    else:
        made = brand_icons.of_color(accent) if accent else {}
    return {name: _kept(content) for name, content in made.items()}


def _kept(content: bytes) -> str:
    try:
        return file_store().put(content).digest
    except OSError as away:
        raise message_files.FilesUnavailable(fab_access.storage_sentence(away)) from away
