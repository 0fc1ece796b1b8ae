"""Just enough of HTTP/2 (RFC 9113) over plain TCP to send any field and any body.

Fields go out as literals without Huffman coding (RFC 7541, section 6.2.2), and of an answer's
fields only the status is understood: what the upstream received is in the answer's body.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from client import TIMEOUT, Text, raw

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4

# The statuses that RFC 7541, appendix A has an index for.
STATUSES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}


@dataclass(frozen=True)
class Answer:
    """An answer; the status is 0 where it is none of the common ones."""

    status: int
    body: bytes


def _number(value: int) -> bytes:
    """A number with a prefix of 7 bits (RFC 7541, section 5.1)."""
    if value < 127:
        return bytes([value])
    value -= 127
    out = bytearray([127])
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def _block(fields: Sequence[tuple[Text, Text]]) -> bytes:
    return b"".join(
        b"\x00" + _number(len(raw(name))) + raw(name) + _number(len(raw(value))) + raw(value)
        for name, value in fields
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    header = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return header + payload


class Connection:
    """One connection, one request at a time."""

    def __init__(self, port: int, host: str = "127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")
        self.next_stream = 1
        self.sent = 0
        self._send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0, b""))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.input.close()
        self.socket.close()

    def request(
        self,
        fields: Sequence[tuple[Text, Text]],
        pieces: Sequence[bytes] = (),
        trailers: Sequence[tuple[Text, Text]] = (),
        after_each: Callable[[int], None] = lambda sent: None,
    ) -> Answer:
        """Sends a request, each piece of its body in a frame of its own; reads the answer.

        `after_each` is called after each frame with the bytes sent on the connection so far.
        """
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        frames: list[tuple[int, int, bytes]] = [(HEADERS, END_HEADERS, _block(fields))]
        frames += [(DATA, 0, piece) for piece in pieces]
        if trailers:
            frames.append((HEADERS, END_HEADERS, _block(trailers)))
        for index, (kind, flags, payload) in enumerate(frames):
            last = END_STREAM if index == len(frames) - 1 else 0
            self._send(_frame(kind, flags | last, stream, payload))
            after_each(self.sent)
        return self._receive(stream)

    def open(self, fields: Sequence[tuple[Text, Text]]) -> int:
        """Sends a head whose stream stays open; returns the status of the answer's head."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self._send(_frame(HEADERS, END_HEADERS, stream, _block(fields)))
        return self._receive(stream, head_only=True).status

    def _send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.sent += len(data)

    def _receive(self, stream: int, head_only: bool = False) -> Answer:
        status, body = 0, b""
        while header := self.input.read(9):
            payload = self.input.read(int.from_bytes(header[:3], "big"))
            kind, flags, of = header[3], header[4], int.from_bytes(header[5:], "big")
            if kind == SETTINGS and not flags & ACK:
                self._send(_frame(SETTINGS, ACK, 0, b""))
            elif kind == GOAWAY or (kind == RST_STREAM and of == stream):
                raise ConnectionError(f"refused: {payload!r}")
            elif of == stream:
                if kind == HEADERS and status == 0:
                    status = STATUSES.get(payload[0], 0)
                    if head_only:
                        return Answer(status, b"")
                elif kind == DATA:
                    body += payload
                if flags & END_STREAM:
                    return Answer(status, body)
        raise ConnectionError("the connection was closed instead of an answer")
