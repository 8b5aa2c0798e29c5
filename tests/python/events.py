"""Listens without WebSocket: hello by POST, then an event stream. Standard library only.

As listener.py in everything else. With FANFARE_BREAK_AFTER it leaves its stream after
so many frames, whatever is on its way, and comes back from its cursors.
"""

import asyncio
import http.client
import json
import os
import sys
from urllib.parse import urlencode, urlsplit

from listener import PAUSE_S, Listener, main


class EventListener(Listener):
    async def run(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.listen)
            except (OSError, http.client.HTTPException) as error:
                print(repr(error), file=sys.stderr, flush=True)
            await asyncio.sleep(PAUSE_S)

    def listen(self) -> None:
        begun = self.begin()
        self.note({"re": 1, "data": begun})
        query = urlencode({"ticket": begun["ticket"]})
        connection = self.connection()
        try:
            connection.request("GET", f"/api/v1/session/events?{query}")
            response = connection.getresponse()
            if response.status != 200:
                sys.exit(f"refused: {response.status} {response.read()!r}")
            left = int(os.environ.get("FANFARE_BREAK_AFTER", "0"))
            for kind, data in events(response):
                if kind == "close":
                    print(f"closed: {data}", file=sys.stderr, flush=True)
                    return
                self.note(json.loads(data))
                left -= 1
                if left == 0:
                    return
        finally:
            connection.close()

    def begin(self) -> dict:
        data = self.hello()["data"]
        token = data.pop("token")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection = self.connection()
        try:
            connection.request("POST", "/api/v1/session", json.dumps(data), headers)
            response = connection.getresponse()
            body = response.read()
            if response.status >= 500:
                raise http.client.HTTPException(f"{response.status} {body!r}")
            if response.status != 201:
                sys.exit(f"refused: {response.status} {body!r}")
            return json.loads(body)["data"]
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        url = urlsplit(self.url)
        by_tls = url.scheme == "https"
        kind = http.client.HTTPSConnection if by_tls else http.client.HTTPConnection
        return kind(url.netloc)

    def note(self, frame: dict) -> None:
        self.out.write(json.dumps(frame) + "\n")
        self.out.flush()
        self.take(frame)


def events(response: http.client.HTTPResponse):
    """Type and data of each event, read as the HTML standard says."""
    kind, lines = "message", []
    for line in response:
        line = line.decode("utf-8").rstrip("\n")
        if not line:
            if lines:
                yield kind, "\n".join(lines)
            kind, lines = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            lines.append(value)


if __name__ == "__main__":
    asyncio.run(main(EventListener))
