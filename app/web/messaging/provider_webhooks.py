"""The endpoint for providers' reports: /hooks/<channel>/<account token>. Verified, stored and answered at once."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from flask import Blueprint, Flask, Response, current_app, request

from app import access
from app.channels.provider import BadSignature, Inbound
from app.domain.messaging import channel_accounts
from app.extensions import db
from app.inbound import inbound_processing
from app.models import ChannelAccount
from app.ops.redis.rate_counter import Rate
from app.outbox import account_rate_limits, provider_clients
from app.outbox.provider_clients import NoProvider
from app.web.core.request_transaction import request_transaction

#: The largest request, in bytes: Meta's batches have up to 3 MB.
MAX_BYTES = 3 * 1024 * 1024
#: Limits: requests of one account, and refused ones from one address.
PER_ACCOUNT, REFUSALS = Rate(6000, 60), Rate(60, 60)
#: Longer tokens are invalid.
MAX_TOKEN = 100

log = logging.getLogger("crm.hooks")
hooks = Blueprint("hooks", __name__)


def install(app: Flask) -> None:
    """Register the endpoint."""
    app.register_blueprint(hooks)


@hooks.route("/hooks/<channel>/<token>", methods=["GET", "POST"], strict_slashes=False)
def receive(channel: str, token: str) -> Response:
    """Store a request that comes from the provider. A refusal reveals neither the reason nor what exists."""
    if _count(f"hook-refused {request.remote_addr}", REFUSALS, 0):
        return _answer(429)
    account = _account(token) if len(token) <= MAX_TOKEN else None
    if account is None or channel not in account.channels:
        return _refused(404)
    if _count(f"hook {account.id}", PER_ACCOUNT):
        return _answer(429)
    if (request.content_length or 0) > MAX_BYTES:
        return _answer(413)
    given = _given()
    return _answer(413) if len(given.body) > MAX_BYTES else _take(account, given)


def _account(token: str) -> ChannelAccount | None:
    with access.as_system(db.session()) as session:
        return channel_accounts.find_by_token(session, token)


def _given() -> Inbound:
    """The request as the provider sees it: with the public URL, whatever proxies change."""
    body = request.get_data(cache=True)
    query = request.query_string.decode("latin-1")
    url = current_app.config["CRM"].public_url + request.path + (f"?{query}" if query else "")
    return Inbound(
        request.method,
        url,
        dict(request.headers.items()),
        body,
        dict(request.args.lists()),
        dict(request.form.lists()),
    )


def _take(account: ChannelAccount, given: Inbound) -> Response:
    try:
        provider = provider_clients.provider_of(account)
        provider.verify(given)
    except NoProvider:
        log.error("account %s can't be used, so what its provider reports isn't taken", account.id)
        return _answer(503)
    except BadSignature:
        log.warning("a request at the hook of account %s has a wrong signature", account.id)
        return _refused(403)
    except Exception:
        log.exception("a request at the hook of account %s could not be checked", account.id)
        return _refused(403)
    with request_transaction() as session:
        inbound_processing.store(session, account, given, datetime.now(UTC))
    status, kind, body = inbound_processing.answer_of(provider, given)
    return Response(body, status, content_type=kind)


def _refused(status: int) -> Response:
    _count(f"hook-refused {request.remote_addr}", REFUSALS)
    return _answer(status)


def _answer(status: int) -> Response:
    return Response("", status, content_type="text/plain; charset=utf-8")


def _count(name: str, rate: Rate, by: int = 1) -> bool:
    """Count it. Returns whether that exceeds the rate."""
    return account_rate_limits.counter().add(name, rate, time.time(), by).is_exceeded
