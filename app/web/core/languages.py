"""In which language an answer speaks: pages in the session's, doors for machines in the one that was asked for.

Decision: the sentences of refusals have a catalogue of their own (errors.po), read as it stands, so that a language is
spoken at the API before all pages are translated into it. fab.po rewords texts of Flask-AppBuilder, also in English.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, Response, current_app, g, has_request_context, request
from flask_babel import Babel, Domain, get_locale, gettext

from app.domain.base import TranslatableText

ENGLISH = "en"


def is_machine() -> bool:
    """Whether a program asks: under /api/, or by the predecessor's oldest way, a "cmd" at the root."""
    if request.path == "/":
        return request.method == "POST" or "cmd" in request.args
    return request.path.startswith("/api/")


def translate_text(sentence: str) -> str:
    """A sentence of the rules in the language of this answer; what the doors translated themselves stays."""
    if not isinstance(sentence, TranslatableText):
        return gettext(str(sentence)) if sentence else ""
    translated: str = gettext(sentence.msgid)
    if not sentence.values:
        return translated
    return translated % {
        name: translate_text(v) if isinstance(v, TranslatableText) else v for name, v in sentence.values.items()
    }


def select_locale() -> str | None:
    """The language of this request: Accept-Language, else the person's own, else English; on pages, the session's."""
    if not has_request_context():
        return None
    if not is_machine():
        page: str | None = current_app.appbuilder.bm.get_locale()  # type: ignore[attr-defined]
        return page
    offered = current_app.config["API_LANGUAGES"]
    own = getattr(g.get("person"), "locale", None)
    candidates = [*_accepted_languages(), own]
    return next((code for code in candidates if code in offered), ENGLISH)


def _accepted_languages() -> list[str]:
    """The languages of Accept-Language, the dearest first; a country counts for nothing (en-GB is English)."""
    if "Accept-Language" not in request.headers:
        return []
    return [tag.partition("-")[0].lower() for tag, quality in request.accept_languages if quality > 0]


class Catalogues(Domain):
    """FAB's words, ours, and the sentences of refusals; each language is read once a process."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.held: dict[str, Translations | NullTranslations] = {}

    def get_translations(self) -> Translations | NullTranslations:
        """The words of this request's language; the pages' own translation of a sentence goes first."""
        code = str(get_locale())
        if code not in self.held:
            self.held[code] = self._read(code)
        return self.held[code]

    def _read(self, code: str) -> Translations | NullTranslations:
        words: Any = super().get_translations()
        for name in ("errors.po", "fab.po"):
            below = catalogue(self.folder, code, name)
            words = below.merge(words) if below else words
        return words


def catalogue(folder: Path, code: str, name: str) -> Translations | None:
    """The catalogue `name` of the language, such as errors.po; None if there is none."""
    path = folder / code / "LC_MESSAGES" / name
    if not path.exists():
        return None
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return Translations(compiled)


class RequestLanguage(Babel):
    """Flask-Babel with catalogues that outlive the request."""

    catalogues: Catalogues

    @property
    def domain_instance(self) -> Catalogues:
        """The one domain of this application; Flask-Babel's own makes one, and reads its files, in every request."""
        return self.catalogues


def install(app: Flask, folder: Path) -> None:
    """Choose the language by `chosen`, and say in refusals to machines which one it was. `folder`: translations/."""
    held = app.extensions["babel"]
    speech = RequestLanguage(date_formats=held.instance.date_formats)
    speech.catalogues = Catalogues(folder)
    held.instance, held.locale_selector = speech, select_locale
    app.after_request(_add_content_language)


def _add_content_language(response: Response) -> Response:
    if response.status_code >= 400 and is_machine():
        response.headers.setdefault("Content-Language", str(get_locale()))
    return response
