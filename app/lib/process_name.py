"""The name of this process in rows and logs."""

from __future__ import annotations

import os
import socket


def process_name() -> str:
    """host:pid, in at most 80 characters."""
    pid = f":{os.getpid()}"
    return socket.gethostname()[: 80 - len(pid)] + pid
