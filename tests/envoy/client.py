"""A small HTTP client that can send any bytes, and a fast way to send many requests."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Text = str | bytes
Headers = Sequence[tuple[Text, Text]]

# What an answer shows: its body, and the values of some headers.
Shown = tuple[str | None, ...]

TIMEOUT = 20.0


def raw(text: Text) -> bytes:
    """Text as it goes over the wire: a character is a byte."""
    return text if isinstance(text, bytes) else text.encode("latin-1")


@dataclass(frozen=True)
class Response:
    """A response; names of headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for found, value in self.headers if found == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of a header that stands there at most once."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times in {self.headers}"
        return values[0] if values else None


def head(method: Text, target: Text, headers: Headers = (), version: str = "1.1") -> bytes:
    """The head of a request, with a Host unless it is among the headers."""
    lines = [b" ".join([raw(method), raw(target), b"HTTP/" + raw(version)])]
    if not any(raw(name).lower() == b"host" for name, _ in headers):
        lines.append(b"host: example.test")
    lines += [raw(name) + b": " + raw(value) for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body; an empty one is the last."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b"0\r\n"


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int, host: str = "127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self.input.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.socket.sendall(data)

    def receive(self, method: Text = "GET") -> Response:
        """Reads one response."""
        start = self.receive_head()
        status, headers = start.status, start.headers
        fields = dict(headers)
        if raw(method) == b"HEAD" or status in (204, 304) or status < 200:
            body = b""
        elif fields.get("transfer-encoding") == "chunked":
            body = self._chunked()
        elif "content-length" in fields:
            body = self.input.read(int(fields["content-length"]))
        else:
            body = self.input.read()
        return Response(status, headers, body)

    def receive_head(self) -> Response:
        """Reads the head of a response; what follows it is read as it comes."""
        status_line = self.input.readline().split(b" ", 2)
        if len(status_line) < 2:
            raise ConnectionError("the connection was closed instead of an answer")
        return Response(int(status_line[1]), tuple(self._fields()), b"")

    def request(
        self,
        method: Text,
        target: Text,
        headers: Headers = (),
        body: bytes | None = None,
        version: str = "1.1",
    ) -> Response:
        """Sends a request and reads its response."""
        if body is not None:
            headers = [*headers, ("content-length", str(len(body)))]
        self.send(head(method, target, headers, version) + (body or b""))
        return self.receive(method)

    def request_in_pieces(
        self,
        method: Text,
        target: Text,
        headers: Headers,
        pieces: Iterable[bytes],
        after_each: Callable[[int], None],
    ) -> Response:
        """Sends a head and then pieces, and calls `after_each` with the bytes sent so far."""
        sent = 0
        for piece in [head(method, target, headers), *pieces]:
            self.send(piece)
            sent += len(piece)
            after_each(sent)
        return self.receive(method)

    def _fields(self) -> list[tuple[str, str]]:
        fields = []
        while (line := self.input.readline().rstrip(b"\r\n")) != b"":
            name, _, value = line.partition(b":")
            fields.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
        return fields

    def _chunked(self) -> bytes:
        body = b""
        while (size := int(self.input.readline().split(b";")[0], 16)) > 0:
            body += self.input.read(size)
            self.input.readline()
        self._fields()
        return body


def request(port: int, method: Text, target: Text, headers: Headers = (), **more) -> Response:
    """Sends one request over a connection of its own."""
    with Connection(port) as connection:
        return connection.request(method, target, headers, **more)


def load(
    port: int,
    requests: int,
    headers: Headers = (),
    target: Text = "/",
    show: Sequence[str] = ("x-kong-route-rule", "x-kong-route-upstream"),
    connections: int = 16,
    statuses: Sequence[int] = (200,),
    see: Callable[[Shown], None] | None = None,
    pipelined: int = 50,
) -> Counter[Shown]:
    """Sends many equal requests and counts the answers by body and shown headers.

    Another status than one of `statuses` is an error. Several requests are on their way on each connection,
    `pipelined` of them, because waiting is what takes time. `see` is told of each answer when it comes.
    """
    message = head("GET", target, headers)
    shares = [requests // connections] * connections
    shares[0] += requests - sum(shares)
    counts: Counter[Shown] = Counter()

    async def one(share: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while share:
                batch = min(share, pipelined)
                writer.write(message * batch)
                for _ in range(batch):
                    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                    fields = {
                        name.lower(): value.strip()
                        for name, _, value in (line.partition(":") for line in lines[1:-2])
                    }
                    body = await reader.readexactly(int(fields["content-length"]))
                    if int(lines[0].split(" ")[1]) not in statuses:
                        raise ConnectionError(f"{lines[0]}: {body!r}")
                    shown = (body.decode("latin-1"), *(fields.get(name) for name in show))
                    counts[shown] += 1
                    if see is not None:
                        see(shown)
                share -= batch
        finally:
            writer.close()

    async def everyone() -> None:
        # A busy machine answers a few hundred in a second.
        work = asyncio.gather(*(one(share) for share in shares))
        await asyncio.wait_for(work, timeout=60 + requests / 100)

    asyncio.run(everyone())
    return counts


class Load:
    """Requests without a pause, from a thread of its own, as a context manager.

    A request that is not answered as it should be ends it, and is raised at the end or by `check`.
    """

    def __init__(self, port: int, batch: int = 320, **more: object):
        # Each so many requests come on connections of their own, and one after the other: a client that
        # sends on before it is answered does not know which of its requests a closed connection has lost.
        self._send = lambda: load(port, batch, see=self._see, pipelined=1, **more)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        # How often each answer was seen, and when last.
        self.seen: Counter[Shown] = Counter()
        self.last: dict[Shown, float] = {}
        # How many of the newest answers are the same.
        self.streak = 0
        self._newest: Shown = ()
        self.failure: BaseException | None = None

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Fails if a request has failed."""
        if self.failure is not None:
            raise self.failure

    def settled(self, on: Shown, times: int) -> bool:
        """Whether the newest answers, so many, are all the same one."""
        self.check()
        return self._newest == on and self.streak >= times

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._send()
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self.failure = error

    def _see(self, shown: Shown) -> None:
        self.streak = self.streak + 1 if shown == self._newest else 1
        self._newest = shown
        self.last[shown] = time.monotonic()
        self.seen[shown] += 1
