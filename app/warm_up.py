"""Answers some requests before the fork, so that processes share what first requests write into memory.

Python notes in each function and class how it is used, when it first is: in every process, each page of memory with
such a note would be a copy of its own.
"""

from __future__ import annotations

from flask import Flask

from app.ops.monitoring import process_metrics, request_log

#: What everybody may ask for without a sign-in, and without changing anything.
PATHS = ("/healthz", "/login/", "/leads/")


def warm_up(app: Flask) -> None:
    """Use the code that every process uses. Whatever the answers are, they keep no server from starting.

    Leaves connections to the database open, and no thread.
    """
    client = app.test_client()
    with request_log.silenced():
        for path in PATHS:
            client.get(path, base_url=app.config["CRM"].public_url)
    process_metrics.collect()  # nobody has asked
    process_metrics.flush(app)
