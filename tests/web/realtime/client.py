"""Connects with python-socketio: python client.py URL OPTIONS. Prints the transport once the server has answered."""

import asyncio
import json
import sys

import socketio


async def main(url: str, headers: dict[str, str], auth: dict[str, str], transports: list[str] | None) -> None:
    """Ask for a record that does not exist, and wait for the answer."""
    client, gone = socketio.AsyncClient(reconnection=False), asyncio.Event()
    client.on("gone", lambda _what: gone.set())
    await client.connect(url, headers=headers, auth=auth, transports=transports)
    await client.emit("watch", {"kind": "lead", "id": 10**6})
    await asyncio.wait_for(gone.wait(), 50)
    sys.stdout.write(str(client.transport()))
    await client.disconnect()


asyncio.run(main(sys.argv[1], **json.loads(sys.argv[2])))
