"""Requests whose body never ends, or waits for an answer, are not waited for.

A rule that asks for the body holds a request back until it is there. After an upgrade or a CONNECT
what follows is no body, and a client that expects `100 Continue` sends none before it has it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import http2
import pytest
from client import TIMEOUT, Connection, head
from gateway import HEADER, Envoy, Listener

RULES = {
    "rules": [
        {
            "weight": 2,
            "condition": {"body": {"key": "user", "operator": "eq", "value": "me"}},
            "upstream": [{"name": "canary"}],
        },
        {
            "weight": 1,
            "condition": {"header": {"key": "version", "operator": "eq", "value": "b"}},
            "upstream": [{"name": "canary"}],
        },
    ]
}
WEBSOCKET = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]


class Tunnel:
    """An upstream that agrees to any upgrade and sends back whatever follows, after its name."""

    def __init__(self, name: str):
        self.name = name.encode()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                if not (more := connection.recv(65536)):
                    return
                data += more
            start, _, rest = data.partition(b"\r\n\r\n")
            upstream = b"x-upstream: " + self.name + b"\r\n"
            if b"expect: 100-continue" in start.lower():
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                while len(rest) < 2:
                    rest += connection.recv(65536)
                answer = b"HTTP/1.1 200 OK\r\n" + upstream + b"content-length: 2\r\n\r\n" + rest
                connection.sendall(answer)
                return
            if start.startswith(b"CONNECT"):
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + upstream + b"\r\n")
            else:
                switch = b"connection: Upgrade\r\nupgrade: websocket\r\n"
                connection.sendall(b"HTTP/1.1 101 Switching\r\n" + switch + upstream + b"\r\n")
            while data := rest or connection.recv(65536):
                connection.sendall(data)
                rest = b""


def routes() -> list[dict[str, Any]]:
    """As in the examples, and for CONNECT, which no prefix matches."""
    present = [{"name": HEADER, "present_match": True}]
    made = []
    for match in ({"connect_matcher": {}}, {"prefix": "/"}):
        made += [
            {"match": {**match, "headers": present}, "route": {"cluster_header": HEADER}},
            {"match": match, "route": {"cluster": "own"}},
        ]
    return made


@pytest.fixture(scope="module")
def envoy() -> Iterator[Envoy]:
    """A gateway that lets all of this through."""
    hosts = [{"name": "all", "domains": ["*"], "routes": routes()}]
    manager = {
        "route_config": {"virtual_hosts": hosts},
        "upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
        "proxy_100_continue": True,
        "http2_protocol_options": {"allow_connect": True},
    }
    own, canary = Tunnel("own"), Tunnel("canary")
    ports = {"own": own.port, "canary": canary.port}
    with Envoy({"gate": Listener(RULES, manager=manager)}, ports=ports) as envoy:
        yield envoy
    for tunnel in (own, canary):
        tunnel.listener.close()


@pytest.mark.parametrize(("version", "upstream"), [("a", "own"), ("b", "canary")])
def test_websocket(envoy: Envoy, version: str, upstream: str) -> None:
    """It is switched at once, as if it had no body, and data passes."""
    with Connection(envoy.port("gate")) as connection:
        connection.send(head("GET", "/", [*WEBSOCKET, ("version", version)]))
        answer = connection.receive_head()
        assert (answer.status, answer.header("x-upstream")) == (101, upstream)
        connection.send(b'{"user":"me"}')
        assert connection.input.read(13) == b'{"user":"me"}'


@pytest.mark.parametrize(("version", "upstream"), [("a", "own"), ("b", "canary")])
def test_connect(envoy: Envoy, version: str, upstream: str) -> None:
    """The tunnel opens before anything goes through it."""
    with Connection(envoy.port("gate")) as connection:
        fields = [("host", "example.test:80"), ("version", version)]
        connection.send(head("CONNECT", "example.test:80", fields))
        answer = connection.receive_head()
        assert (answer.status, answer.header("x-upstream")) == (200, upstream)
        connection.send(b"ping")
        assert connection.input.read(4) == b"ping"


@pytest.mark.parametrize(("version", "upstream"), [("a", "own"), ("b", "canary")])
def test_expect(envoy: Envoy, version: str, upstream: str) -> None:
    """The upstream says when to go on, which it can only if it is asked."""
    with Connection(envoy.port("gate")) as connection:
        fields = [("expect", "100-continue"), ("content-length", "2"), ("version", version)]
        connection.send(head("POST", "/", fields))
        assert connection.receive().status == 100
        connection.send(b"ok")
        answer = connection.receive()
        assert (answer.status, answer.body) == (200, b"ok")
        assert answer.header("x-upstream") == upstream


def test_websocket_over_http2(envoy: Envoy) -> None:
    """RFC 8441: an extended CONNECT, whose stream stays open."""
    fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/"),
        ("sec-websocket-version", "13"),
    ]
    with http2.Connection(envoy.port("gate")) as connection:
        connection.socket.settimeout(TIMEOUT)
        assert connection.open(fields) == 200


def test_the_log_blames_nobody(envoy: Envoy) -> None:
    """Nothing was held back, so that nothing can be said to be missing."""
    assert "body-not-delivered" not in envoy.log()
