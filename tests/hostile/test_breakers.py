"""Clients neither open nor close a circuit breaker: only what an upstream does counts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from client import Connection, Headers, Response, head, request
from gateway import TYPES, Envoy, Listener, Reservations
from upstreams import Upstream

GRPC: Headers = [("content-type", "application/grpc"), ("te", "trailers")]
# As many answers as the breaker wants before it judges, and an error rate that single bystanders
# among them would bring down.
JUDGED = 10
BREAKER = {"window": "30s", "min_requests": JUDGED, "max_error_rate": 0.9, "cooldown": "1s"}
# Envoy drops the trailers of HTTP/1 otherwise.
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
WITH_TRAILERS = {
    "typed_extension_protocol_options": {
        OPTIONS: {
            "@type": TYPES + OPTIONS,
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
    }
}


@contextmanager
def gateway(port: int, rules: int = 1, **breaker: Any) -> Iterator[Envoy]:
    """Rules, each for one path, that send all of it to the canary while their breaker is closed."""
    made = [
        {
            "name": f"rule {number}",
            "condition": {"path": f"/{number}"} if rules > 1 else None,
            "upstream": [{"name": "canary"}],
            "circuit_breaker": {**BREAKER, **breaker},
        }
        for number in range(rules)
    ]
    listeners = {"gate": Listener({"rules": made})}
    clusters = {"canary": WITH_TRAILERS}
    with Envoy(listeners, named=("own",), ports={"canary": port}, clusters=clusters) as envoy:
        yield envoy


def changes(envoy: Envoy, state: str) -> int:
    """How often a breaker has come into a state."""
    stats = envoy.stats(f"tse_route_breaker_changes_total.*state={state}$")
    return sum(stats.values())


def in_parallel(times: int, act: Callable[[], Any]) -> list[Any]:
    """Does something several times at once."""
    with ThreadPoolExecutor(times) as pool:
        return [done.result() for done in [pool.submit(act) for _ in range(times)]]


def slow_upload(port: int) -> Response:
    """A request whose only byte of a body takes its time."""
    with Connection(port) as connection:
        connection.send(head("POST", "/", [("content-length", "1")]))
        time.sleep(SLOW)
        connection.send(b"x")
        return connection.receive()


def broken_chunk(port: int) -> Response:
    """A request that Envoy answers itself, after the upstream has got its head."""
    with Connection(port) as connection:
        connection.send(head("POST", "/", [("transfer-encoding", "chunked")]) + b"zz\r\n")
        return connection.receive()


# The bound is far from both: from what a busy machine takes, and from what is slow on purpose.
LATENCY = {"max_latency": "1500ms", "max_slow_rate": 0.5}
SLOW = 2.0


def test_slow_uploads_open_nothing() -> None:
    """The clock starts when the request is complete."""
    with Upstream() as canary, gateway(canary.port, **LATENCY) as envoy:
        answers = in_parallel(2 * JUDGED, lambda: slow_upload(envoy.port("gate")))
        assert [answer.status for answer in answers] == [200] * 2 * JUDGED
        assert changes(envoy, "open") == 0


def test_an_early_answer_is_not_slow() -> None:
    """An upstream that answers before it has everything has not been slow."""
    with Upstream() as canary, gateway(canary.port, **LATENCY) as envoy:
        port = envoy.port("gate")

        def early() -> int:
            with Connection(port) as connection:
                message = head("POST", "/", [("transfer-encoding", "chunked")])
                connection.send(message + b"1\r\nx\r\n")
                status = connection.receive().status
                time.sleep(SLOW)
                return status

        assert in_parallel(2 * JUDGED, early) == [200] * 2 * JUDGED
        assert changes(envoy, "open") == 0


def test_slow_answers_do_open_it() -> None:
    """What the bound is for; this test would notice if no time were counted at all."""
    with Upstream() as canary, gateway(canary.port, **LATENCY) as envoy:
        canary.wait = SLOW
        in_parallel(JUDGED, lambda: request(envoy.port("gate"), "POST", "/", body=b"x"))
        assert changes(envoy, "open") == 1


def test_broken_requests_hide_no_failures() -> None:
    """The gateway's own answer to a client's fault is not the upstream's."""
    with Upstream() as canary, gateway(canary.port) as envoy:
        canary.answer = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
        port = envoy.port("gate")
        assert {broken_chunk(port).status for _ in range(3 * JUDGED)} == {400}
        assert {request(port, "GET", "/").status for _ in range(JUDGED)} == {500}
        assert changes(envoy, "open") == 1


def test_broken_requests_close_nothing() -> None:
    """A breaker that probes is not closed by what the upstream has not answered."""
    with Upstream() as canary, gateway(canary.port) as envoy:
        canary.answer = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
        port = envoy.port("gate")
        for _ in range(JUDGED):
            request(port, "GET", "/")
        assert changes(envoy, "open") == 1
        envoy.wait_for(
            lambda: broken_chunk(port) and changes(envoy, "half-open"), "the end of the cooldown"
        )
        for _ in range(10 * JUDGED):
            broken_chunk(port)
        assert changes(envoy, "closed") == 0


def grpc_head(status: int) -> bytes:
    """An answer of gRPC that has its status in the head."""
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n"
        b"grpc-status: %d\r\ncontent-length: 0\r\n\r\n" % status
    )


def grpc_trailers(status: int) -> bytes:
    """An answer of gRPC that has its status where it usually is."""
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc+proto\r\n"
        b"transfer-encoding: chunked\r\ntrailer: grpc-status\r\n\r\n"
        b"5\r\n\0\0\0\0\0\r\n0\r\ngrpc-status: %d\r\n\r\n" % status
    )


FAILURES = {2, 4, 8, 12, 13, 14, 15}


@pytest.mark.parametrize("answer", [grpc_head, grpc_trailers])
def test_grpc(answer: Callable[[int], bytes]) -> None:
    """Statuses of the server's fault fail, those of the client's do not."""
    with Upstream() as canary, gateway(canary.port, rules=17, cooldown="1h") as envoy:
        port = envoy.port("gate")
        for status in range(17):
            canary.answer = answer(status)
            for _ in range(JUDGED):
                assert request(port, "POST", f"/{status}", GRPC, body=b"x").status == 200

        def opened() -> set[int]:
            shown = "x-kong-route-upstream"
            answers = {s: request(port, "POST", f"/{s}", GRPC, body=b"x") for s in range(17)}
            return {status for status, answer in answers.items() if answer.header(shown) is None}

        assert opened() == FAILURES


def test_an_upstream_that_is_down_fails_grpc_too() -> None:
    """Envoy answers for it with 200 and `grpc-status: 14`."""
    reserved = Reservations()
    try:
        with gateway(reserved.port()) as envoy:
            for _ in range(JUDGED):
                answer = request(envoy.port("gate"), "POST", "/", GRPC, body=b"x")
                assert (answer.status, answer.header("grpc-status")) == (200, "14")
            assert changes(envoy, "open") == 1
    finally:
        reserved.close()
