"""Emails of the CRM itself (notices, invitations, reports): a text, and the same as HTML under the brand.

Nothing in the HTML is loaded from a server: mail programs would ask before they show it, and the server would learn who
reads when. The logo travels with the email.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

from flask import current_app
from flask_babel import get_locale

from app.channels.base import AttachedFile, Content
from app.domain.brand import Logo
from app.ops.storage.file_store import FileStore
from app.shown_brand import ShownBrand

log = logging.getLogger("crm.delivery")
#: Maximum width and height of the logo, in CSS pixels.
LOGO = (160, 32)
#: The name by which the HTML shows the logo.
LOGO_NAME = "logo"


class Link(NamedTuple):
    """A link with its label."""

    label: str
    url: str


@dataclass(frozen=True)
class SystemEmail:
    """What an email says, in the language of its reader."""

    #: For logs, without personal data.
    about: str
    #: Identifies the email, so that the receiver can recognize a second copy.
    key: str
    subject: str
    #: Sentences above the link; the first one stands out.
    lines: tuple[str, ...]
    link: str
    #: The label of the link.
    button: str
    #: A sentence below the link.
    after: str = ""
    #: Why its reader gets it.
    reason: str = ""
    #: Where its reader can turn such emails off.
    choices: Link | None = None


def content_of(email: SystemEmail, brand: ShownBrand) -> Content:
    """The email ready to send."""
    picture = _logo(brand.logo)
    template = current_app.jinja_env.get_template("emails/system.html")
    html = template.render(
        email=email, brand=brand, logo=picture and _fitted(brand.logo), language=str(get_locale() or "en")
    )
    pictures = (AttachedFile(LOGO_NAME, "image/png", picture),) if picture else ()
    return Content(email.about, email.key, email.subject, _text(email), html=html, pictures=pictures)


def _text(email: SystemEmail) -> str:
    text = "\n".join(email.lines) + f"\n\n{email.link}\n"
    if email.after:
        text += f"\n{email.after}\n"
    if email.reason:
        text += f"\n-- \n{email.reason}\n"
    return text + (f"{email.choices.url}\n" if email.choices else "")


def _logo(logo: Logo | None) -> bytes | None:
    """The PNG; None if there is none, or if the storage of files can't be read: the email is worth more."""
    if logo is None:
        return None
    store: FileStore = current_app.extensions["crm_files"]
    try:
        with store.open(logo.digest) as file:
            return bytes(file.read())
    except OSError as error:
        log.warning("an email leaves without the logo (%s)", type(error).__name__)
        return None


def _fitted(logo: Logo | None) -> Logo | None:
    """The logo with the size in which it is shown."""
    if logo is None:
        return None
    scale = min(LOGO[0] / logo.width, LOGO[1] / logo.height, 1.0)
    return Logo(logo.digest, max(1, round(logo.width * scale)), max(1, round(logo.height * scale)))
