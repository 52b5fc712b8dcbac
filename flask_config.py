"""The configuration of Flask, FAB and the extensions for the settings."""

from __future__ import annotations

from config import LANGUAGE_NAMES, ROOT, Settings
from database_engine import engine_options

#: Paths of uploads, and the maximum size of such a request: more than that of an accepted file (25 MB), so that a
#: slightly larger one is refused with a message beside the submitted values.
UPLOAD_PATHS = (
    *("/inbox/", "/mail/", "/api/v1/message/files", "/api/method/upload_file", "/settings/channels/console/"),
    *("/files/", "/api/v1/file/", "/pictures/", "/leads/note/", "/tickets/note/", "/customers/note/"),
    "/imports/",
)


MAX_UPLOAD_BYTES = 33 * 1024 * 1024


def flask_config(settings: Settings) -> dict[str, object]:
    """The configuration of Flask, FAB and the extensions for these settings."""
    return {
        **_FAB_CONFIG,
        **_BODY_CONFIG,
        **_session_config(settings),
        "APP_NAME": settings.brand,
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(settings),
        "BABEL_DEFAULT_LOCALE": "en",
        "BABEL_TRANSLATION_DIRECTORIES": str(ROOT / "translations"),
        "LANGUAGES": _languages(),
        "API_LANGUAGES": _api_languages(),
        "COUNT_SQL": settings.count_sql,
        "CRM": settings,
    }


_FAB_CONFIG: dict[str, object] = {
    "FAB_CREATE_DB": False,
    "FAB_UPDATE_PERMS": False,
    "FAB_ADD_OPENAPI_VIEWS": False,
    "FAB_API_MAX_PAGE_SIZE": 100,
    "FAB_API_KEY_ENABLED": True,
    "FAB_ADD_SECURITY_API": False,
    "FAB_ADD_SECURITY_PERMISSION_VIEW": True,
    "FAB_ADD_SECURITY_VIEW_MENU_VIEW": True,
    "FAB_ADD_SECURITY_PERMISSION_VIEWS_VIEW": True,
    "FAB_PASSWORD_COMPLEXITY_ENABLED": True,
    "AUTH_TYPE": 1,
    "AUTH_RATE_LIMITED": False,
    "RATELIMIT_ENABLED": False,
    # FAB's limiter isn't used: app/web/security/rate_limits.py counts sign-ins.
    "RATELIMIT_STORAGE_URI": "memory://",
    "RATELIMIT_HEADERS_ENABLED": True,
}


#: How large requests may be, and which responses are compressed.
_BODY_CONFIG: dict[str, object] = {
    "MAX_CONTENT_LENGTH": 12 * 1024 * 1024,
    "UPLOAD_PATHS": UPLOAD_PATHS,
    "MAX_UPLOAD_LENGTH": MAX_UPLOAD_BYTES,
    "MAX_FORM_MEMORY_SIZE": 2 * 1024 * 1024,
    "COMPRESS_ALGORITHM": ["br", "gzip"],
    "COMPRESS_BR_LEVEL": 4,
    "COMPRESS_LEVEL": 5,
    "COMPRESS_MIN_SIZE": 1000,
}


def _session_config(settings: Settings) -> dict[str, object]:
    """Cookies, CSRF tokens and JSON web tokens: how they are signed and how long they are valid."""
    return {
        "SECRET_KEY": settings.secret_key,
        # The last one signs; the others are accepted, so that open forms and sessions survive a change of the key.
        "SECRET_KEY_FALLBACKS": list(settings.secret_keys_old[::-1]),
        "WTF_CSRF_SECRET_KEY": [*settings.secret_keys_old[::-1], settings.secret_key],
        "JWT_SECRET_KEY": settings.secret_key,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.is_https,
        "SESSION_COOKIE_NAME": "crm",
        "PERMANENT_SESSION_LIFETIME": settings.session_idle_hours * 3600,
        "JWT_REFRESH_TOKEN_EXPIRES": settings.session_days * 86_400,
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_CHECK_DEFAULT": False,
        "JWT_ACCESS_TOKEN_EXPIRES": 3600,
        "JWT_ALGORITHM": "HS256",
    }


def _languages() -> dict[str, dict[str, str]]:
    """English, and the other languages for which there is a catalog."""
    available = {path.parent.parent.name for path in (ROOT / "translations").glob("*/LC_MESSAGES/messages.po")}
    return {
        code: {"flag": code, "name": name} for code, name in LANGUAGE_NAMES.items() if code == "en" or code in available
    }


def _api_languages() -> list[str]:
    """English, and the languages of error messages: those with a catalog of them, or of the pages."""
    catalogs = [
        *(ROOT / "translations").glob("*/LC_MESSAGES/errors.po"),
        *(ROOT / "translations").glob("*/LC_MESSAGES/messages.po"),
    ]
    return ["en", *sorted({path.parent.parent.name for path in catalogs})]
