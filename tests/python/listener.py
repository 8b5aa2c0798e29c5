"""Listens to everything its user may hear, for the system tests.

Writes every frame it receives as one line of FANFARE_OUT and comes back from its
cursors whenever the connection breaks. Ends when its stdin does.
"""

import asyncio
import json
import os
import sys

import websockets

PAUSE_S = 0.1


class Listener:
    def __init__(self, url: str, token: str, out: str) -> None:
        self.url = url
        self.token = token
        self.out = open(out, "a", encoding="utf-8", newline="\n")
        self.cursors: dict[str, tuple[int, int]] = {}

    async def run(self) -> None:
        while True:
            try:
                async with websockets.connect(
                    self.url, subprotocols=["fanfare.v1.json"], max_size=None
                ) as socket:
                    await socket.send(json.dumps(self.hello()))
                    async for text in socket:
                        self.out.write(text + "\n")
                        self.out.flush()
                        self.take(json.loads(text))
            except (OSError, EOFError, websockets.WebSocketException) as error:
                print(repr(error), file=sys.stderr, flush=True)
            await asyncio.sleep(PAUSE_S)

    def hello(self) -> dict:
        held = [
            {"conversation": conversation, "epoch": epoch, "seq": seq}
            for conversation, (epoch, seq) in self.cursors.items()
        ]
        device = {"kind": "bot", "name": "python"}
        data = {"token": self.token, "device": device, "cursors": held}
        return {"id": 1, "type": "session:hello", "data": data}

    def take(self, frame: dict) -> None:
        if "error" in frame:
            sys.exit(f"refused: {frame}")
        data = frame.get("data", {})
        if "re" in frame or frame["type"] == "session:resumed":
            for placed in data.get("subscribed", []) + data.get("resync", []):
                self.cursors[placed["conversation"]] = (placed["epoch"], placed["seq"])
            for gone in data.get("gone", []):
                self.cursors.pop(gone["conversation"], None)
        elif frame["type"] == "conversation:created":
            cursor = data["cursor"]
            conversation = frame.get("conversation") or data["conversation"]["id"]
            self.cursors[conversation] = (cursor["epoch"], cursor["seq"])
        elif "seq" in frame:
            conversation = frame["conversation"]
            held = self.cursors.get(conversation)
            if held is None or frame["seq"] != held[1] + 1:
                print(f"a gap: {held} {frame}", file=sys.stderr, flush=True)
            self.cursors[conversation] = (frame["epoch"], frame["seq"])


async def main(kind: type[Listener]) -> None:
    environment = os.environ
    listener = kind(
        environment["FANFARE_URL"], environment["FANFARE_TOKEN"], environment["FANFARE_OUT"]
    )
    listening = asyncio.create_task(listener.run())
    stdin_ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await asyncio.wait([listening, stdin_ended], return_when=asyncio.FIRST_COMPLETED)
    if listening.done():
        listening.result()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(Listener))
