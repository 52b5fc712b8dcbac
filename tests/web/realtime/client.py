"""A python-socketio client. Each line of input is JSON: the arguments of `connected`.

For each it prints a line of JSON: the transport once the server has responded, or the error.
"""

import asyncio
import json
import sys

import socketio


async def connected(url: str, headers: dict[str, str], auth: dict[str, str], transports: list[str] | None) -> str:
    """Ask for a record that does not exist, and wait for the answer."""
    client, gone = socketio.AsyncClient(reconnection=False), asyncio.Event()
    client.on("gone", lambda _what: gone.set())
    await client.connect(url, headers=headers, auth=auth, transports=transports)
    await client.emit("watch", {"kind": "lead", "id": 10**6})
    await asyncio.wait_for(gone.wait(), 50)
    transport = str(client.transport())
    await client.disconnect()
    return transport


async def main() -> None:
    """One after the other."""
    for line in sys.stdin:
        try:
            outcome = await connected(*json.loads(line))
        except Exception as error:  # noqa: BLE001  # the test tells it
            outcome = repr(error)
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


asyncio.run(main())
