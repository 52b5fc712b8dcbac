"""All messages of refusals, collected from the product's source code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app import create_app  # noqa: F401  (imports every subclass of RuleBroken)
from app.channels import failure_reasons, http_client, imap_client, smtp_client, smtp_provider
from app.channels.provider_registry import KINDS
from app.domain.base import RuleBroken
from app.domain.inbound import inbound_mail
from app.domain.telephony import call_requests
from app.inbound import mail_fetch
from app.lib import mail_reading
from app.outbox import (
    call_delivery,
    message_delivery,
    notice_delivery,
    outgoing_mail_parts,
    provider_clients,
    provider_files,
    text_notices,
)

ROOT = Path(__file__).resolve().parent.parent
#: Only operators read these messages, in English.
EXCLUDED_PARTS = {"demo", "cli.py", "job_commands.py", "keys.py"}
#: Shown in threads and lists of failed messages, translated when they are shown.
PROVIDER_SENTENCES = {
    *failure_reasons.SENTENCES.values(),
    *(http_client.NO_CONNECTION, http_client.NO_TLS, http_client.NO_ANSWER),
    *(http_client.BAD_HOST, http_client.TOO_LARGE, http_client.NO_FILE),
    *(smtp_client.BAD_ADDRESS, smtp_client.NOT_KNOWN, smtp_provider.TOO_LARGE),
    *(outgoing_mail_parts.FILE_GONE, provider_files.FILE_GONE, provider_files.STORAGE_AWAY),
    *(provider_clients.UNKNOWN_KIND, provider_clients.UNREADABLE_SECRETS),
    *(message_delivery.NOT_KNOWN, message_delivery.CANNOT_ASK, message_delivery.ACCOUNT_GONE),
    *(message_delivery.NEVER_RECEIVED, message_delivery.PAUSED, message_delivery.NOT_YET_PERMITTED),
    *(notice_delivery.NOT_KNOWN, notice_delivery.NOT_WANTED, notice_delivery.IS_GONE),
    *(text_notices.NOT_SET_UP, text_notices.NOT_WANTED, text_notices.NO_NUMBER),
    *(text_notices.TOO_MANY, text_notices.QUIET),
    # On the card of a call.
    *(call_delivery.EXPIRED, call_delivery.NOT_KNOWN, call_delivery.OFF),
    *(call_delivery.GONE, call_delivery.NO_CALLS, call_requests.NEVER_KNOWN),
}
#: Why an email found no place, translated when the list of them is shown.
MAIL_SENTENCES = {inbound_mail.CAME_BACK, inbound_mail.IS_CUT, inbound_mail.IS_REPORT, imap_client.TOO_LARGE}
MAIL_SENTENCES |= {mail_reading.NO_SENDER, mail_fetch.A_FAULT, mail_fetch.NO_ROOM}
#: Labels and help of the settings of accounts, translated when their form is shown.
SETTING_TEXTS = {kind.label for kind in KINDS.values()} | {
    text for kind in KINDS.values() for each in kind.settings for text in (each.label, each.help, *each.options) if text
}
#: Functions of app/web that answer with messages without raising them.
ANSWERING_FUNCTIONS = {
    "refusal",
    "describe_conflict",
    "response_401",
    "_sentences",
    "_stale_form",
    "_large_file",
    "response_403",
    "unauthorized_response",
    "refuse_too_many_attempts",
    "database_sentence",
    "signed_in",
    "_answer_preflight",
}
#: Functions that mark a text for translation: gettext in the web, `translatable` in the domain.
TRANSLATING_FUNCTIONS = {"_", "_g", "gettext", "translatable"}


@cache
def exception_names(kind: type[Exception] = RuleBroken) -> set[str]:
    """The names of an exception class and of all its subclasses."""
    return {kind.__name__} | {name for each in kind.__subclasses__() for name in exception_names(each)}  # type: ignore[arg-type]


def sources() -> Iterator[tuple[Path, list[ast.AST]]]:
    """The product's modules, parsed: all nodes of each."""
    for path in sorted((ROOT / "app").rglob("*.py")):
        if not EXCLUDED_PARTS & set(path.relative_to(ROOT / "app").parts):
            yield path, [*ast.walk(ast.parse(path.read_text()))]


def name_of(node: ast.AST) -> str:
    """The name of the called function, or of the node itself; "" for other nodes."""
    called = node.func if isinstance(node, ast.Call) else node
    return getattr(called, "id", getattr(called, "attr", ""))


def refusals_in(nodes: list[ast.AST]) -> list[ast.Call]:
    """The calls that create a refusal, raised at once or not."""
    names = {*exception_names(), "refuse_all_but_admins"}
    return [node for node in nodes if isinstance(node, ast.Call) and name_of(node) in names]


def message_args(call: ast.Call) -> list[ast.expr]:
    """The argument with the message: the first, except in Refused(status, message)."""
    return [each for each in call.args if not isinstance(each, ast.Constant) or isinstance(each.value, str)][:1]


def texts(node: ast.AST) -> Iterator[str]:
    """The constant texts of an expression, without interpolated values and field names."""
    if isinstance(node, ast.Constant):
        yield from [node.value] if isinstance(node.value, str) else []
    elif isinstance(node, ast.Call):
        yield from texts(node.args[0]) if node.args and name_of(node) in {*TRANSLATING_FUNCTIONS, "str"} else ()
    elif isinstance(node, ast.IfExp):
        yield from (*texts(node.body), *texts(node.orelse))
    elif isinstance(node, ast.List | ast.Dict):
        for each in node.elts if isinstance(node, ast.List) else node.values:
            yield from texts(each)


def assignments(nodes: list[ast.AST]) -> dict[str, list[ast.expr]]:
    """name -> all values assigned to it anywhere in the module."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                base = target.value if isinstance(target, ast.Subscript) else target
                found.setdefault(name_of(base), []).append(node.value)
    return {name: values for name, values in found.items() if name}


def messages_of(nodes: list[ast.AST], refusals: list[ast.Call]) -> Iterator[str]:
    """The messages of this module's refusals."""
    assigned = assignments(nodes)
    for call in refusals:
        for arg in message_args(call):
            yield from texts(arg)
            yield from (text for value in assigned.get(source_of(arg), []) for text in texts(value))
            yield from (text for value in returned_by(name_of(arg), arg, nodes) for text in texts(value))
    yield from (text for value in assigned.get("errors", []) for text in texts(value))
    for node in nodes:
        yield from other_messages(node)


def returned_by(name: str, arg: ast.expr, nodes: list[ast.AST]) -> Iterator[ast.expr]:
    """What the function of this module returns whose result is the message."""
    if not isinstance(arg, ast.Call) or name in TRANSLATING_FUNCTIONS:
        return
    for node in nodes:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            yield from (
                each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value is not None
            )


def constants_in(refusals: list[ast.Call]) -> set[str]:
    """The constants that are messages, or tables of them, here or in another module."""
    named = (name_of(each) for call in refusals for arg in message_args(call) for each in ast.walk(arg))
    return {name for name in named if name.isupper()}


def constant_texts(nodes: list[ast.AST]) -> dict[str, set[str]]:
    """The texts of the constants of a module, by their names."""
    found = {name: {text for value in values for text in texts(value)} for name, values in assignments(nodes).items()}
    return {name: held for name, held in found.items() if name.isupper() and held}


def source_of(arg: ast.expr) -> str:
    """The variable that holds the message: `text`, or TABLE in `translatable(TABLE[key])`."""
    inner = arg.args[0] if isinstance(arg, ast.Call) and name_of(arg) == "translatable" else arg
    base = inner.value if isinstance(inner, ast.Subscript) else inner
    return base.id if isinstance(base, ast.Name) else ""


def other_messages(node: ast.AST) -> Iterator[str]:
    """Messages that are not in a call that creates a refusal."""
    if isinstance(node, ast.Call) and name_of(node) in ("translatable", "Absence"):
        yield from texts(node.args[0])
    if isinstance(node, ast.Call) and name_of(node) in ("bad", "error_response", "__init__"):
        yield from (
            text for arg in [*node.args, *(each.value for each in node.keywords)] for text in translated_texts(arg)
        )
    if isinstance(node, ast.FunctionDef) and node.name in ANSWERING_FUNCTIONS:
        yield from translated_texts(node)


def translated_texts(node: ast.AST) -> Iterator[str]:
    """All texts marked for translation inside the node."""
    yield from (
        text
        for each in ast.walk(node)
        if isinstance(each, ast.Call) and name_of(each) in TRANSLATING_FUNCTIONS
        for text in texts(each)
    )


@dataclass(frozen=True)
class Sentences:
    """What the product's source says of refusals."""

    #: Every message of a refusal, and every reason why a provider did not send a message.
    messages: set[str]
    #: (file, line) of refusals whose message is put together before it is translated.
    interpolated: list[tuple[str, int]]


@cache
def sentences() -> Sentences:
    """Read once, without keeping the parsed source: it fills a quarter of a gigabyte."""
    found = Sentences(PROVIDER_SENTENCES | SETTING_TEXTS | MAIL_SENTENCES | checked_messages(), [])
    wanted: set[str] = set()
    constants: dict[str, set[str]] = {}
    for path, nodes in sources():
        refusals = refusals_in(nodes)
        found.messages.update(messages_of(nodes, refusals))
        wanted |= constants_in(refusals)
        for name, held in constant_texts(nodes).items():
            constants.setdefault(name, set()).update(held)
        found.interpolated.extend((path.name, call.lineno) for call in refusals if is_interpolated(call))
    found.messages.update(text for name in wanted for text in constants.get(name, ()) if _SENTENCE.fullmatch(text))
    return found


def is_interpolated(call: ast.Call) -> bool:
    """Whether the message holds its values before it is translated."""
    return any(
        isinstance(arg, ast.JoinedStr | ast.BinOp) or name_of(arg) in ("format", "join", "strip")
        for arg in message_args(call)
    )


# --- what checks of the lower floors say


#: Modules below the domain whose texts about settings and addresses are shown as refusals: they raise them as
#: ValueError, or return them.
CHECKING_MODULES = (
    *("app/lib/outbound_url.py", "app/channels/setting_checks.py", "app/channels/mail_account.py"),
    *(f"app/channels/{kind}_provider.py" for kind in ("exotel", "imap", "meta", "smtp", "twilio")),
)
_SENTENCE = re.compile(r"[A-Z“].* .*[.:…]", re.DOTALL)


def checked_messages() -> set[str]:
    """The sentences by which these modules say what is wrong with a setting or an address, or that it is right."""
    found: set[str] = set()
    for name in CHECKING_MODULES:
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            found.update(text for part in _parts_of_check(node) for text in _sentences_in(part))
    return found


def _parts_of_check(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return [node.exc] if name_of(node.exc) in ("ValueError", "BadAddress") else []
    if isinstance(node, ast.Lambda):
        return [node.body]
    is_check = isinstance(node, ast.FunctionDef) and (node.name.endswith("_problem") or node.name.startswith("check"))
    return [each for each in ast.walk(node) if isinstance(each, ast.Return)] if is_check else []


def _sentences_in(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and _SENTENCE.fullmatch(each.value):
            yield each.value
