"""The language of a response: the session's for pages, Accept-Language for API clients.

Messages of refusals have their own catalog (errors.po), compiled when it is read, so that the API supports a language
before all pages are translated. fab.po rewords texts of Flask-AppBuilder, also in English.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import flask_babel
from babel.support import NullTranslations, Translations
from flask import Flask, Response, current_app, g, has_request_context, request
from flask_babel import Babel, Domain, get_locale, get_translations, gettext
from flask_wtf import FlaskForm
from markupsafe import Markup

from app.domain.base import TranslatableText
from app.web.core.flask_internals import app_context, request_context

ENGLISH = "en"


def is_machine() -> bool:
    """Whether the request comes from an API client: under /api/, or with "cmd" at the root as in the predecessor's
    API.
    """
    context = request_context()
    asked = request if context is None else context.request
    if asked.path == "/":
        return asked.method == "POST" or "cmd" in asked.args
    return asked.path.startswith("/api/")


def translate_text(sentence: str) -> str:
    """A message in the language of this response; translated text is unchanged."""
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
    """The languages of Accept-Language by preference; the region is ignored (en-GB is English)."""
    if "Accept-Language" not in request.headers:
        return []
    return [tag.partition("-")[0].lower() for tag, quality in request.accept_languages if quality > 0]


class _LanguageOfRequest:
    """Flask-Babel's storage for the language of a request: its attributes, and the key of the language."""

    #: The key of `babel_locale`, None until it is asked for.
    key: tuple[str, str | None] | None = None
    _locale: Any = None

    @property
    def babel_locale(self) -> Any:
        """The locale that Flask-Babel has chosen."""
        return self._locale

    @babel_locale.setter
    def babel_locale(self, chosen: Any) -> None:
        self._locale, self.key = chosen, None

    @babel_locale.deleter
    def babel_locale(self) -> None:
        self._locale = self.key = None


def language_key() -> tuple[str, str | None]:
    """A key of the language of this response, for things cached per language: (language, territory)."""
    context = app_context()
    if context is None:
        return ("", None)
    try:
        known = context.g.__dict__["_flask_babel"].key
    except KeyError:
        known = None
    return known or _language_key()


def _language_key() -> tuple[str, str | None]:
    """The same, remembered in the context: the name of a locale is slow to build."""
    context, locale = _context(), get_locale()
    if context is None or locale is None:
        return ("", None)
    context.key = (locale.language, locale.territory)
    return context.key


#: (id of a lazy text, language) -> the text itself, which keeps its id unique, and its translation.
_translated: dict[tuple[int, Any], tuple[Any, str]] = {}
#: Cached lazy texts; our declarations have about 1,500, in four languages.
MAX_TRANSLATED = 10_000


def in_page_language(text: Any) -> str:
    """A lazy text of a declaration, such as a label, in the language of this response."""
    if isinstance(text, str):
        return text
    key = (id(text), language_key())
    found = _translated.get(key)
    if found is None:
        if len(_translated) >= MAX_TRANSLATED:
            _translated.clear()
        found = _translated[key] = (text, str(text))
    return found[1]


def translate_in_template(text: str, **values: Any) -> Markup:
    """`_` in templates: the translation, with escaped values."""
    return Markup(gettext(text)) % values  # noqa: S704  (as Jinja's own: the catalog is ours)


class Catalogs(Domain):
    """The catalogs of FAB, of the pages and of refusals, merged; each language is loaded once per process."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.loaded: dict[tuple[str, str | None], Translations | NullTranslations] = {}

    def gettext(self, string: str, **variables: Any) -> str:
        """The text in the language of this response, with these values."""
        said: str = self.get_translations().ugettext(string)
        return said % variables if variables else said

    def get_translations(self) -> Translations | NullTranslations:
        """The translations for this request's language; those of the pages take precedence."""
        key = language_key()
        found = self.loaded.get(key)
        if found is None:
            found = self.loaded[key] = self._read(str(get_locale()))
        return found

    def _read(self, code: str) -> Translations | NullTranslations:
        words: Any = super().get_translations()
        for name in ("errors.po", "fab.po"):
            below = catalog(self.folder, code, name)
            words = below.merge(words) if below else words
        return words


def catalog(folder: Path, code: str, name: str) -> Translations | None:
    """The catalog `name` of the language, such as errors.po; None if there is none."""
    from babel.messages.mofile import write_mo  # only other languages than English need it
    from babel.messages.pofile import read_po

    path = folder / code / "LC_MESSAGES" / name
    if not path.exists():
        return None
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return Translations(compiled)


def _context() -> _LanguageOfRequest | None:
    """Flask-Babel's storage for the language of a request, found without resolving a proxy four times.

    A page needs it for each of its texts.
    """
    context = app_context()
    if context is None:
        return None
    held = context.g.__dict__
    found: _LanguageOfRequest | None = held.get("_flask_babel")
    if found is None:
        found = held["_flask_babel"] = _LanguageOfRequest()
    return found


class FormTexts:
    """Translates the messages of WTForms, which has no Hindi, Gujarati or Marathi. It fills in values itself."""

    def gettext(self, text: str) -> str:
        """The text in the language of this response."""
        return str(get_translations().ugettext(text))

    def ngettext(self, one: str, many: str, n: int) -> str:
        """The form of the plural for n."""
        return str(get_translations().ungettext(one, many, n))


FORM_TEXTS = FormTexts()


class RequestLanguage(Babel):
    """Flask-Babel with catalogs that are cached beyond the request."""

    catalogs: Catalogs

    @property
    def domain_instance(self) -> Catalogs:
        """The domain of this application; Flask-Babel creates one, and reads its files, in every request."""
        return self.catalogs


def install(app: Flask, folder: Path) -> None:
    """Choose the language by `select_locale`, and set Content-Language on API errors. `folder`: translations/."""
    flask_babel._get_current_context = _context
    extension = app.extensions["babel"]
    babel = RequestLanguage(date_formats=extension.instance.date_formats)
    babel.catalogs = Catalogs(folder)
    extension.instance, extension.locale_selector = babel, select_locale
    app.jinja_env.globals["_"] = translate_in_template
    FlaskForm.Meta.get_translations = lambda _meta, _form: FORM_TEXTS
    app.after_request(_add_content_language)


def _add_content_language(response: Response) -> Response:
    if response.status_code >= 400 and is_machine():
        response.headers.setdefault("Content-Language", str(get_locale()))
    return response
