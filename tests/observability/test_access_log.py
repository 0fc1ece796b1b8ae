"""The shipped access logs, in a real Envoy."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from client import request
from gateway import Listener
from observed import Observed, collector_at, fragment

RULES = {
    "rules": [
        {
            "name": "canary",
            "weight": 22,
            "condition": {"header": {"key": "version", "operator": "eq", "value": "1"}},
            "upstream": [{"name": "demo1.default.80.svc"}],
        },
        {
            "weight": 21,
            "condition": {"header": {"key": "version", "operator": "eq", "value": "2"}},
            "upstream": [{"name": None}],
        },
    ]
}
SHIPPED = fragment("access-log.yaml")


class Collector:
    """Takes whatever is sent over HTTP/2 and answers nothing."""

    SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"

    def __init__(self) -> None:
        self.received = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """No more connections."""
        self._socket.close()

    def _listen(self) -> None:
        try:
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()
        except OSError:
            pass  # closed

    def _read(self, connection: socket.socket) -> None:
        with connection:
            connection.sendall(self.SETTINGS)
            while data := connection.recv(65536):
                self.received += data


class Logging(Observed):
    """An Envoy with the shipped access logs, whose collector is on loopback."""

    def __init__(self, collector: Collector):
        # As shipped; only that standard output is Envoy's own log here.
        super().__init__(
            {"main": Listener(RULES, manager={"access_log": SHIPPED["access_log"]})},
            named=("own", "demo1.default.80.svc"),
        )
        self._collector = collector

    def _compose(self) -> dict[str, Any]:
        bootstrap = super()._compose()
        clusters = collector_at(self._collector.port, SHIPPED["clusters"])
        bootstrap["static_resources"]["clusters"] += clusters
        return bootstrap


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector for OpenTelemetry."""
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def envoy(collector: Collector) -> Iterator[Logging]:
    """A gateway that logs three requests: routed, kept by a rule, and unmatched."""
    with Logging(collector) as envoy:
        for version in ("1", "2", "3"):
            request(envoy.port("main"), "GET", f"/cart?v={version}", [("version", version)])
        yield envoy


def lines(envoy: Logging, holds: str) -> list[str]:
    """The lines of the access log that hold a text, when all three are there."""

    def found() -> list[str]:
        return [line for line in envoy.log().splitlines() if holds in line]

    envoy.wait_for(lambda: len(found()) == 3, f"three lines with {holds}", 30)
    return found()


def test_text(envoy: Logging) -> None:
    """Names the rule and the upstream; what is absent is a dash."""
    routed, kept, unmatched = lines(envoy, " rule=")
    assert "GET /cart?v=1 200 via_upstream" in routed
    assert routed.rstrip().endswith("rule=22 upstream=demo1.default.80.svc")
    assert kept.rstrip().endswith("rule=21 upstream=-")
    assert unmatched.rstrip().endswith("rule=- upstream=-")


def test_json(envoy: Logging) -> None:
    """The same as JSON; what is absent is null."""
    routed, kept, unmatched = map(json.loads, lines(envoy, '{"'))
    assert routed["path"] == "/cart?v=1"
    assert routed["status"] == 200
    assert (routed["rule"], routed["upstream"]) == ("22", "demo1.default.80.svc")
    assert (kept["rule"], kept["upstream"]) == ("21", None)
    assert (unmatched["rule"], unmatched["upstream"]) == (None, None)


def test_opentelemetry(envoy: Logging, collector: Collector) -> None:
    """The record of a routed request has both as attributes."""

    def sent() -> bool:
        return all(
            text in collector.received
            for text in (b"tse_route.rule", b"tse_route.upstream", b"demo1.default.80.svc")
        )

    envoy.wait_for(sent, "the record", 15)
