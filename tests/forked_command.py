"""A command of the CRM for shell scripts, forked from a process that has imported the product.

    python -IS tests/forked_command.py SOCKET ARGUMENT …

runs `python ARGUMENT …` with its own environment and output, and ends with its exit status. It imports almost nothing.
The listener at the socket: tests/forked_programs.py.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main(path: str, *arguments: str) -> int:
    """Run it; its exit status, as a shell has it."""
    with socket.socket(socket.AF_UNIX) as keeper:
        keeper.connect(path)
        request = json.dumps([arguments, dict(os.environ), True]).encode()
        socket.send_fds(keeper, [len(request).to_bytes(8, "big")], [1, 2, 0])
        keeper.sendall(request)
        with keeper.makefile("rb") as said:
            _pid, status = said.readline(), int(said.readline() or -9)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
