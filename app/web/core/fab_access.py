"""Connects FAB to the access rules: the current viewer, refusals as JSON, and permissions by module."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

import orjson
from flask import Response, current_app, g, redirect, request, url_for
from flask_babel import gettext as _
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from app import access
from app.domain.base import Conflict, NotFound, RuleBroken
from app.domain.merging.merged_records import MergedAway
from app.domain.people import permissions
from app.domain.persistence.session_context import session_context
from app.extensions import db
from app.ops.database.connections import WRITES
from app.ops.database.database_errors import ONLY_WRITES, Cause, cause_of
from app.ops.storage.file_store import StorageUnavailable
from app.web.core import unique_errors
from app.web.core.application import Answer
from app.web.core.fields.lookups import load_lookups
from app.web.core.flask_internals import request_values
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer

#: MariaDB error number of a violated CHECK constraint, which PyMySQL does not count among the integrity errors.
_CHECK = 4025


def current_person() -> access.Person:
    """The signed-in person. Raises Denied if nobody is signed in."""
    person = getattr(g, "person", None)
    if person is None:
        raise access.Denied(_("Please sign in first."))
    return person


def request_time() -> datetime:
    """The time of this request, UTC; the same throughout the request."""
    held = request_values()
    found: datetime | None = held.get("now")
    if found is None:
        found = held["now"] = datetime.now(UTC)
    return found


def zone() -> ZoneInfo:
    """The signed-in person's time zone, else the office's."""
    person = g.get("person")
    return ZoneInfo((person and person.time_zone) or current_app.config["CRM"].time_zone)


def current_viewer() -> Viewer:
    """The viewer of this request: the person, their zone, the lookups and the time."""
    held = request_values()
    made: Viewer | None = held.get("viewer")
    if made is None:
        person, session, office = current_person(), db.session(), current_app.config["CRM"].time_zone
        lookups = load_lookups(session, person.version, office)
        context, own = session_context(session), ZoneInfo(person.time_zone or office)
        context.notice_choices, context.zone = lookups.choices, own
        made = held["viewer"] = Viewer(person, lookups, own, request_time())
    return made


def json_answer(code: int, body: Any, **headers: str) -> Response:
    """A JSON response, written by orjson."""
    data = orjson.dumps(body, default=str)
    answer = Answer(None, code, headers, content_type="application/json")
    answer.response = [data]
    answer.headers.add("Content-Length", len(data))
    return answer


class Refusal(NamedTuple):
    """What is said of input that was refused, in the language of the page."""

    #: The status of the response.
    status: int
    sentence: str
    #: Field -> what is wrong with it.
    errors: dict[str, list[str]]


#: Of a form that is shown for the first time.
NOT_REFUSED = Refusal(200, "", {})


def refusal(broken: BaseException) -> Refusal:
    """The refusal of an exception that is one; re-raises any other.

    Also re-raises if the database can't even be read: the form could not be shown again.
    """
    cause = cause_of(broken)
    if cause in ONLY_WRITES:
        WRITES.set(False)  # only reading follows, for which SQLite needs no write lock
        return Refusal(503, database_sentence(cause), {})
    if cause is not None:
        raise broken
    if isinstance(broken, RuleBroken):
        errors = {name: [translate_text(sentence) for sentence in list_] for name, list_ in broken.errors.items()}
        return Refusal(_status_of(broken), translate_text(broken.message), errors)
    if isinstance(broken, StorageUnavailable):
        return Refusal(503, storage_sentence(broken), {})
    if isinstance(broken, StaleDataError):
        text = _("Someone else changed this record. Review the change, then save again.")
        return Refusal(409, text, {})
    if isinstance(broken, IntegrityError) and not _is_check(broken):
        return _of_other_rows(broken)
    if isinstance(broken, DataError | OverflowError | UnicodeError) or _is_unbindable(broken) or _is_check(broken):
        return Refusal(422, _("One of the values can't be stored. Please check what you entered."), {})
    raise broken


def _of_other_rows(broken: IntegrityError) -> Refusal:
    """The refusal of values that conflict with other rows: these were deleted, or have the same value."""
    if str(broken.statement).startswith("DELETE"):
        text = _("This can't be deleted because other records belong to it. Move or delete them first.")
        return Refusal(422, text, {})
    return Refusal(*unique_errors.describe_conflict(broken))


def refusal_of_one(broken: BaseException) -> Refusal:
    """The refusal of one of many records, each in a transaction of its own.

    Re-raises if the others would fail, too, each after a wait.
    """
    if cause_of(broken) not in (None, Cause.COLLIDED):
        raise broken
    return refusal(broken)


def refusal_of_part(broken: BaseException) -> Refusal:
    """The refusal of one of many records of one transaction, each in a savepoint.

    Re-raises after a deadlock, too: MariaDB has then rolled back those before it.
    """
    if cause_of(broken) is not None:
        raise broken
    return refusal(broken)


def database_sentence(cause: Cause) -> str:
    """The message for people if the database itself is in trouble: what is wrong, and what to do."""
    return {
        Cause.AWAY: _("The database isn't responding. Your changes may not have been saved. Please try again soon."),
        Cause.SLOW: _(
            "This took too long, so it was stopped and nothing was saved. "
            "Please narrow it with a filter, or choose fewer records."
        ),
        Cause.CROWDED: _("Too many people are using the CRM at this moment. Nothing was saved. Please try again soon."),
        Cause.LOCKED: _("Another save is taking long. Nothing was saved. Please try again in a moment."),
        Cause.COLLIDED: _("Someone else was saving this record at the same moment. Please try again."),
        Cause.FULL: _("The server's disk is full, so nothing was saved. Please tell your admin."),
        Cause.READ_ONLY: _("The database takes no changes now, so nothing was saved. Please try again later."),
        Cause.DAMAGED: _("The database can't read its files. Please tell your admin."),
        Cause.CLOSED: _("The database doesn't let the CRM in. Please tell your admin."),
    }[cause]


def storage_sentence(away: OSError) -> str:
    """The message for people if a file could not be stored or read."""
    if cause_of(away) == Cause.FULL:
        return database_sentence(Cause.FULL)
    return _("The storage of files can't be reached. Please try again in a few minutes.")


def _is_check(broken: BaseException) -> bool:
    """Whether a CHECK constraint of the table was violated: an integrity error on SQLite only."""
    if isinstance(broken, IntegrityError):
        return "CHECK constraint failed" in str(broken.orig)
    return isinstance(broken, OperationalError) and getattr(broken.orig, "args", (0,))[0] == _CHECK


def _is_unbindable(broken: BaseException) -> bool:
    """Whether the database driver could not bind a value (lone surrogates, huge integers)."""
    return isinstance(broken, StatementError) and isinstance(broken.orig, OverflowError | UnicodeError | ValueError)


def _status_of(broken: RuleBroken) -> int:
    for kind, status in ((Conflict, 409), (NotFound, 404), (access.Denied, 403)):
        if isinstance(broken, kind):
            return status
    return int(getattr(broken, "http_status", 422))


REFUSABLE = (
    RuleBroken,
    StaleDataError,
    IntegrityError,
    DataError,
    OperationalError,
    StatementError,
    PoolTimeout,
    OverflowError,
    UnicodeError,
    StorageUnavailable,
)


def refuse_as_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a refusal as {"message": text, "errors": {field: [text]}} and roll back."""

    @functools.wraps(function)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(self, *args, **kwargs)
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, errors = refusal(broken)
            if status == 422 and request.method == "GET":
                status = 400  # an invalid query, not a record that breaks a rule
            body: dict[str, Any] = {"message": sentence, "errors": errors}
            if isinstance(broken, MergedAway):
                body["merged_into"] = {"id": broken.kept_id, "number": broken.kept_number}
            return json_answer(status, body)

    return guarded


def signed_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of pages for every signed-in person; others are redirected to the login form."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if g.get("person") is None:
            if wants_json():
                return json_answer(401, {"message": _("Please sign in first."), "errors": {}})
            return redirect(url_for("AuthDBView.login", next=request.full_path.rstrip("?")))
        return function(*args, **kwargs)

    return guarded


class JsonErrorResponses:
    """A REST view that returns FAB's own refusals in our JSON format."""

    def response_401(self, **_kwargs: Any) -> Response:
        """FAB's response to an unknown key."""
        text = _("Please sign in. The token is missing, invalid, revoked or expired.")
        return json_answer(401, {"message": text, "errors": {}})

    def response_403(self, **_kwargs: Any) -> Response:
        """FAB's response to a missing permission."""
        is_limited = getattr(g.get("person"), "scope", None) is not None
        text = (
            _("This API key, or the role of its user, doesn't allow this.")
            if is_limited
            else _("Your role doesn't allow this. Ask your manager if you need it.")
        )
        return json_answer(403, {"message": text, "errors": {}})


class ModulePermissions:
    """A view under the access rules: the role matrix decides who may use it, the session filter which rows they see."""

    #: A module of the role matrix.
    module = ""
    #: FAB method -> verb of the matrix.
    VERBS: dict[str, str] = {}

    def __init__(self) -> None:
        if self.module not in permissions.all_modules():
            raise ValueError(f"{type(self).__name__} names no module of the matrix")
        self.class_permission_name = self.module
        self.method_permission_name = dict(self.VERBS)
        # All verbs of the module: FAB deletes permissions that no view names.
        self.base_permissions = ["can_" + verb for verb in permissions.VERBS]
        super().__init__()

    def refuse_unless_reached(self, row: Any, verb: str) -> None:
        """Raise Denied if the person sees the row but may not do this to it."""
        refuse_unreached(self.module, row, verb)


def refuse_unreached(module: str, row: Any, verb: str) -> None:
    """Raise Denied if the person sees the row of this module but may not do this to it."""
    person = current_person()
    person.refuse_unless(module, verb)
    if not access.reaches_row(db.session(), person, row, verb):
        raise access.Denied(_("You can see this record but not edit it. Ask its assignee or your manager."))


def content_hash(shown: Any) -> str:
    """A hash of a page's content, to detect changes before the person saves."""
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:32]


def parse_integer(raw: Any, default: int, least: int, maximum: int) -> int:
    """A whole number within bounds, from a query string. Raises RuleBroken."""
    if raw is None or raw == "":
        return default
    try:
        number = int(str(raw)[:12])
    except ValueError:
        number = least - 1
    if not least <= number <= maximum:
        raise _no_number(raw, least, maximum)
    return number


def parse_json_integer(raw: Any, default: int, least: int, maximum: int) -> int:
    """Like `parse_integer`, from JSON, where strings are refused. Raises RuleBroken."""
    if raw is None:
        return default
    if type(raw) is not int or not least <= raw <= maximum:
        raise _no_number(raw, least, maximum)
    return raw


def _no_number(raw: Any, least: int, maximum: int) -> RuleBroken:
    shown = str(raw)[:20]
    return RuleBroken(_("%(value)s isn't a number from %(least)s to %(most)s.", value=shown, least=least, most=maximum))


#: Characters of a sentence in its header; a Hindi character takes nine encoded bytes.
MAX_HEADER_SENTENCE = 250
_PLAIN_IN_HEADER = " !\"'(),./:;=?@-"


def sentence_header(sentence: str) -> dict[str, str]:
    """The header with the sentence of a refused fragment, which a page's script (htmx_requests.js) shows.

    Percent-encoded UTF-8, because a header is ASCII only. Most English stays readable.
    """
    return {"X-Sentence": quote(sentence[:MAX_HEADER_SENTENCE], safe=_PLAIN_IN_HEADER)}


def wants_json() -> bool:
    """Whether the client expects JSON."""
    return request.path.startswith("/api/") or request.accept_mimetypes.best == "application/json"
