"""Upstreams that answer with the request that they received, or with what they are told to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from client import Response


class Echo:
    """Servers in this process, one port per upstream; each answers what it received as JSON."""

    def __init__(self, names: Iterable[str]):
        self.names = list(names)
        self.ports: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Echo:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        for name in self.names:
            server = await asyncio.start_server(
                lambda reader, writer, name=name: self._serve(name, reader, writer), "127.0.0.1", 0
            )
            self._servers.append(server)
            self.ports[name] = server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in list(self._connections):
            writer.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)

    async def _serve(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections.add(writer)
        try:
            while True:
                answer = json.dumps({"upstream": name, **await _read_request(reader)}).encode()
                head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer)}\r\n\r\n"
                writer.write(head.encode() + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the gateway has closed the connection
        finally:
            self._connections.discard(writer)
            writer.close()


class Upstream:
    """A server whose answer is a piece of text, after a wait, or not before it is told to."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        self.wait = 0.0
        self._free = asyncio.Event()
        self._free.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Upstream:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def hold(self) -> None:
        """From now on nothing is answered, until `release`."""
        self._call(self._free.clear)

    def release(self) -> None:
        """Answers all that waits, and all that comes."""
        self._call(self._free.set)

    def _call(self, act: Callable[[], object]) -> None:
        async def there() -> None:
            act()

        asyncio.run_coroutine_threadsafe(there(), self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                length = next((line for line in lines if line.startswith(b"content-length:")), None)
                if length:
                    await reader.readexactly(int(length.split(b":")[1]))
                await asyncio.sleep(self.wait)
                await self._free.wait()
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the gateway has closed the connection
        finally:
            writer.close()


async def _read_fields(reader: asyncio.StreamReader) -> list[tuple[str, str]]:
    fields = []
    while (line := (await reader.readline()).rstrip(b"\r\n")) != b"":
        name, _, value = line.partition(b":")
        fields.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
    return fields


async def _read_request(reader: asyncio.StreamReader) -> dict[str, object]:
    """A request; text is Latin-1, so that every byte is a character."""
    line = await reader.readuntil(b"\r\n")
    method, target, _ = line.rstrip(b"\r\n").decode("latin-1").split(" ")
    headers = await _read_fields(reader)
    fields = dict(headers)
    body = b""
    if fields.get("transfer-encoding") == "chunked":
        while (size := int((await reader.readline()).split(b";")[0], 16)) > 0:
            body += await reader.readexactly(size)
            await reader.readline()
        await _read_fields(reader)
    elif "content-length" in fields:
        body = await reader.readexactly(int(fields["content-length"]))
    return {
        "method": method,
        "target": target,
        "headers": headers,
        "body": body.decode("latin-1"),
    }


@dataclass(frozen=True)
class Echoed:
    """A response of an echoing upstream, and the request that it received."""

    response: Response
    upstream: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str

    def all(self, name: str) -> list[str]:
        """Every value of a header of the request."""
        return [value for found, value in self.headers if found == name.lower()]


def echoed(response: Response) -> Echoed:
    """What an upstream received, from its answer."""
    assert response.status == 200, response
    request = json.loads(response.body)
    request["headers"] = tuple((name, value) for name, value in request["headers"])
    return Echoed(response, **request)
