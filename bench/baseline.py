"""The baseline: how fast Flask, PyMySQL and orjson alone are on this machine for the same two responses.

Two routes with the statements that such a REST endpoint needs (authentication; the rows of the user as assignee or
owner; the capped count), in the fastest form we know, and responses of the same structure as ours. It has no
permissions but row access, no masks and no forms, so no product on Flask can be faster. `/replay/NAME` executes the
recorded statements of one request of the product and returns the recorded response: the same SQL and the same bytes
without the product. Reads FLOOR_PORT, FLOOR_DATABASE and FLOOR_REPLAY; served with the product's gunicorn settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pymysql
from flask import Flask, Response, abort, request

_USER_OF_KEY = """
    SELECT k.secret_hash, u.id, u.username, u.first_name, u.last_name, u.active, k.id, k.last_used_on, k.scope,
           (SELECT n FROM access_version WHERE id = 1)
    FROM api_key k JOIN ab_user u ON u.id = k.user_id WHERE k.`key` = %s AND k.revoked_on IS NULL"""
_COLUMNS = """l.id, l.number, l.first_name, l.last_name, c.first_name, c.last_name, l.mobile, l.mobile_e164, c.mobile,
    c.mobile_e164, l.email, c.email, l.status_id, l.source_id, l.next_follow_up_on, l.assignee_id, l.created_on,
    l.alternative_mobile, c.alternative_mobile, l.address, c.address, l.category, l.account_type_id,
    l.referral, l.client_id, l.pod_id, l.rejection_reason, l.owner_id, l.customer_id, c.number, l.description,
    l.date_of_birth, l.reply_due_on, l.replied_on, l.version, l.changed_on,
    l.pan_sealed, l.pan_blind, c.pan_sealed, c.pan_blind,
    l.aadhaar_sealed, l.aadhaar_blind, c.aadhaar_sealed, c.aadhaar_blind"""
#: The columns of a lead in a list.
_LIST_COLUMNS = """
    l.id, l.number, l.first_name, l.last_name, c.first_name, c.last_name, l.mobile, l.mobile_e164, c.mobile,
    c.mobile_e164, l.email, c.email, l.status_id, l.source_id, l.next_follow_up_on, l.assignee_id, l.created_on,
    l.alternative_mobile, l.alternative_e164, c.alternative_mobile, c.alternative_e164, l.category, l.account_type_id,
    l.referral, l.client_id, l.pod_id, l.rejection_reason, l.owner_id, l.customer_id, c.number, l.version,
    l.changed_on"""
_FROM = " FROM leads l LEFT JOIN customer c ON c.id = l.customer_id "
_MINE = "(l.assignee_id IN (%s) OR l.owner_id IN (%s))"
# Two short index ranges instead of an OR, for which MariaDB merges and sorts all rows of the user: 0.3 ms instead of
# 11 for 5,000 of 200,000.
_NEWEST = """JOIN (SELECT id FROM (
        (SELECT id FROM leads WHERE assignee_id IN (%s) ORDER BY id DESC LIMIT %s) UNION
        (SELECT id FROM leads WHERE owner_id IN (%s) ORDER BY id DESC LIMIT %s)) ends ORDER BY id DESC LIMIT %s
    ) page ON page.id = l.id ORDER BY l.id DESC"""
_CAPPED_COUNT = """SELECT COUNT(*) FROM (
    (SELECT id FROM leads WHERE assignee_id IN (%s) LIMIT 1001) UNION
    (SELECT id FROM leads WHERE owner_id IN (%s) LIMIT 1001) LIMIT 1001) few"""

app = Flask(__name__)
_local = threading.local()
_lookups: dict[str, dict[int, dict[str, Any]]] = {}


def _connection(name: str = "autocommit") -> pymysql.connections.Connection:
    """This thread's own connection of this name."""
    if not hasattr(_local, name):
        connection = pymysql.connect(
            host="127.0.0.1",
            port=int(os.environ["FLOOR_PORT"]),
            user="root",
            charset="utf8mb4",
            autocommit=name == "autocommit",
            database=os.environ["FLOOR_DATABASE"],
        )
        setattr(_local, name, connection)
    found: pymysql.connections.Connection = getattr(_local, name)
    return found


def _query(statement: str, *values: Any) -> tuple[tuple[Any, ...], ...]:
    with _connection().cursor() as cursor:
        cursor.execute(statement, values)
        rows: tuple[tuple[Any, ...], ...] = cursor.fetchall()
    return rows


def _lookup(kind: str, key: int | None) -> dict[str, Any] | None:
    """An entry of a picklist, or a user. They are few, so each process reads them once, as the product does."""
    if not _lookups:
        for name in ("lead_status", "lead_source", "account_type"):
            color = "color" if name == "lead_status" else "NULL"
            rows = _query(f"SELECT id, label, {color} FROM {name}")  # noqa: S608  # three names of our own
            _lookups[name] = {
                row[0]: {"id": row[0], "label": row[1]} | ({"color": row[2]} if row[2] else {}) for row in rows
            }
        people = _query("SELECT id, username, first_name, last_name FROM ab_user")
        _lookups["user"] = {
            row[0]: {"id": row[0], "username": row[1], "full_name": f"{row[2]} {row[3]}"} for row in people
        }
    return _lookups[kind].get(key) if key is not None else None


def _user_id() -> int:
    key, _, secret = request.headers.get("Authorization", "").removeprefix("token ").partition(":")
    found = _query(_USER_OF_KEY, key)
    if not found or hashlib.sha256(secret.encode()).hexdigest() != found[0][0]:
        abort(401)
    return int(found[0][1])


def _iso(at: datetime | None) -> str | None:
    return at.replace(tzinfo=UTC).isoformat() if at else None


def _serialize(row: tuple[Any, ...]) -> dict[str, Any]:
    first, last = row[2] or row[4], row[3] or row[5]
    rest = row[17:]
    customer = {"id": rest[11], "number": rest[12], "label": f"{row[4]} {row[5]}"} if rest[11] else None
    return {
        "id": row[0],
        "number": row[1],
        "name": f"{first} {last}",
        "mobile": row[7] or row[9],
        "email": row[10] or row[11],
        "status": _lookup("lead_status", row[12]),
        "source": _lookup("lead_source", row[13]),
        "next_follow_up_on": _iso(row[14]),
        "assignee": _lookup("user", row[15]),
        "created_on": _iso(row[16]),
        "first_name": row[2] or row[4],
        "last_name": row[3] or row[5],
        "alternative_mobile": rest[0] or rest[1],
        "address": rest[2] or rest[3],
        "category": rest[4],
        "account_type": _lookup("account_type", rest[5]),
        "referral": rest[6],
        "client_id": rest[7],
        "pod_id": rest[8],
        "rejection_reason": rest[9],
        "owner": _lookup("user", rest[10]),
        "customer": customer,
        "description": rest[13],
        "date_of_birth": rest[14].isoformat() if rest[14] else None,
        "reply_due_on": _iso(rest[15]),
        "replied_on": _iso(rest[16]),
        "version": rest[17],
        "changed_on": _iso(rest[18]),
        "pan": None,
        "aadhaar": None,
    }


def _serialize_brief(row: tuple[Any, ...]) -> dict[str, Any]:
    customer = {"id": row[28], "number": row[29], "label": f"{row[4]} {row[5]}"} if row[28] else None
    return {
        "id": row[0],
        "number": row[1],
        "first_name": row[2] or row[4],
        "last_name": row[3] or row[5],
        "mobile": row[7] or row[9],
        "alternative_mobile": row[18] or row[20],
        "email": row[10] or row[11],
        "status": _lookup("lead_status", row[12]),
        "source": _lookup("lead_source", row[13]),
        "category": row[21],
        "account_type": _lookup("account_type", row[22]),
        "referral": row[23],
        "client_id": row[24],
        "pod_id": row[25],
        "rejection_reason": row[26],
        "next_follow_up_on": _iso(row[14]),
        "assignee": _lookup("user", row[15]),
        "owner": _lookup("user", row[27]),
        "customer": customer,
        "version": row[30],
        "created_on": _iso(row[16]),
        "changed_on": _iso(row[31]),
    }


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")


@app.get("/list/<int:size>")
def newest(size: int) -> Response:
    """The newest leads of one user, with the capped count."""
    user_id = _user_id()
    rows = _query(f"SELECT {_LIST_COLUMNS}{_FROM}{_NEWEST}", user_id, size, user_id, size, size)
    count = _query(_CAPPED_COUNT, user_id, user_id)[0][0]
    result = [_serialize_brief(row) for row in rows]
    ids = [row["id"] for row in result]
    capped = count > 1000
    return _json({"count": min(count, 1000), "count_capped": capped, "ids": ids, "result": result, "cursor": ids[-1]})


@app.get("/get/<int:key>")
def one(key: int) -> Response:
    """One lead of one user."""
    user_id = _user_id()
    rows = _query(f"SELECT {_COLUMNS}{_FROM}WHERE l.id = %s AND {_MINE}", key, user_id, user_id)
    return _json({"id": key, "result": _serialize(rows[0])}) if rows else Response(status=404)


@cache
def _recordings() -> dict[str, dict[str, Any]]:
    """The recordings of bench/statement_recording.py, by name."""
    found: dict[str, dict[str, Any]] = json.loads(Path(os.environ["FLOOR_REPLAY"]).read_text())
    return found


@app.route("/replay/<path:name>", methods=["GET", "POST", "PUT"])
def replay(name: str) -> Response:
    """The recorded statements, then the recorded response."""
    recording, connection = _recordings()[name], _connection("replay")  # commits where the product does
    try:
        with connection.cursor() as cursor:
            for statement in recording["statements"]:
                cursor.execute(statement)
                cursor.fetchall()
    finally:
        connection.rollback()
    return Response(recording["body"], content_type=recording["type"])


@app.get("/healthz")
def healthz() -> str:
    """Whether the server runs."""
    return "ok"
