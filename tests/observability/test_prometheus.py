"""The shipped rules, alerts and dashboard in a real Prometheus that scrapes a real Envoy.

One story in three parts: all is well, the canary fails, everything goes wrong.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from client import Connection, request
from gateway import Listener
from observed import Observed
from prometheus import ALERTS, RECORDED, Alert, Prometheus, dashboard_queries, rules

from kong import Kong

BREAKER = {"min_requests": 10, "max_error_rate": 0.5, "cooldown": "60s", "fallback": "own"}
CONFIG = {
    "rules": [
        {
            "name": "guarded",
            "weight": 30,
            "condition": {"header": {"key": "guarded", "operator": "exists"}},
            "upstream": [{"name": "flaky"}],
            "circuit_breaker": BREAKER,
        },
        {
            "name": "split",
            "weight": 20,
            "condition": {"header": {"key": "split", "operator": "exists"}},
            "upstream": [{"name": "stable", "weight": 80}, {"name": "canary", "weight": 20}],
        },
        {
            "name": "body",
            "weight": 10,
            "condition": {"body": {"key": "a", "operator": "eq", "value": "1"}},
            "upstream": [{"name": "own"}],
        },
    ]
}
BROKEN = {"rules": [{"weight": 1000}]}
# How long something that comes for certain is waited for, in seconds.
PATIENCE = 120.0


@dataclass
class Upstream:
    """An upstream that can be made to fail, every so many requests, and to be slow."""

    fail_every: int = 0
    delay: float = 0.0
    served: int = 0

    def answer(self) -> int:
        """The status of the next answer."""
        self.served += 1
        return 500 if self.fail_every and self.served % self.fail_every == 0 else 200


@dataclass
class Upstreams:
    """Servers in this process."""

    all: dict[str, Upstream] = field(
        default_factory=lambda: {n: Upstream() for n in ("own", "stable", "canary", "flaky")}
    )
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def close(self) -> None:
        """Ends the servers."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _listen(self) -> None:
        for name, upstream in self.all.items():
            server = await asyncio.start_server(
                lambda reader, writer, upstream=upstream: self._serve(upstream, reader, writer),
                "127.0.0.1",
                0,
            )
            self.ports[name] = server.sockets[0].getsockname()[1]

    async def _serve(
        self, upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if upstream.delay:
                    await asyncio.sleep(upstream.delay)
                status = upstream.answer()
                writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@dataclass
class Stack:
    """All that runs."""

    upstreams: dict[str, Upstream]
    envoy: Observed
    kong: Kong
    prometheus: Prometheus

    def send(self, requests: int, header: str, connections: int = 1) -> Counter[str]:
        """Sends requests and counts the upstreams that the responses name."""
        seen: Counter[str] = Counter()

        def one() -> None:
            with Connection(self.envoy.port("main")) as connection:
                for _ in range(requests // connections):
                    response = connection.request("GET", "/", [(header, "1")])
                    seen[response.header("x-kong-route-upstream") or "(own)"] += 1

        threads = [threading.Thread(target=one) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return seen


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """An Envoy, a stand-in for a Kong, and a Prometheus that has seen both before any request."""
    upstreams, kong = Upstreams(), Kong()
    try:
        listeners = {"main": Listener(CONFIG)}
        with (
            Observed(listeners, ports=upstreams.ports, dynamic=True, concurrency=2) as envoy,
            Prometheus({"envoy": [envoy.admin_port], "kong": [kong.port]}) as prometheus,
        ):
            envoy.wait_for(lambda: _has_port(envoy), "the listener")
            scraped = lambda: len(prometheus.query("tse_route_requests_total == 0")) >= 5  # noqa: E731
            prometheus.wait_for(scraped, "the first scrape")
            prometheus.wait_for(lambda: prometheus.query("kong_node_info"), "the first scrape")
            yield Stack(upstreams.all, envoy, kong, prometheus)
    finally:
        kong.close()
        upstreams.close()


def _has_port(envoy: Observed) -> bool:
    try:
        envoy.port("main")
    except KeyError:
        envoy._read_ports()
        return False
    return True


def values(samples: list[tuple[dict[str, str], float]], **labels: str) -> dict[str, float]:
    """The values by upstream of the samples with these labels."""
    return {found["upstream"]: value for found, value in samples if labels.items() <= found.items()}


def test_all_is_well(stack: Stack) -> None:
    """Every recorded series and every query of the dashboard has values, those that were sent."""
    sent = stack.send(1000, "split", connections=4)
    stack.send(20, "guarded")
    stack.send(20, "nothing")
    for _ in range(5):
        request(
            stack.envoy.port("main"), "POST", "/", [("content-type", "application/json")], body=b"{"
        )
    stack.kong.serve("stable", 750)
    stack.kong.serve("canary", 250)
    assert sent.keys() == {"stable", "canary"}
    shares = {upstream: count / 1000 for upstream, count in sent.items()}
    query, wait_for = stack.prometheus.query, stack.prometheus.wait_for

    # All that was sent has been scraped, and then evaluated.
    def split_is_seen() -> bool:
        split = query(dashboard_queries()["Split A"])
        return values(split, job="envoy", rule="split") == pytest.approx(shares) and values(
            split, job="kong", service="shop"
        ) == pytest.approx({"stable": 0.75, "canary": 0.25})

    def empty() -> list[str]:
        expressions = {rule["record"]: rule["record"] for rule in rules(RECORDED, "record")}
        expressions |= dashboard_queries()
        return [title for title, expression in expressions.items() if not query(expression)]

    wait_for(split_is_seen, f"a split of {shares}", PATIENCE)
    wait_for(lambda: not empty(), "a value of every series", PATIENCE)
    wait_for(lambda: not stack.prometheus.unhealthy_rules(), "every rule", PATIENCE)

    results = {title: query(expression) for title, expression in dashboard_queries().items()}
    configured = results["Split B"]
    assert values(configured, rule="split") == pytest.approx({"stable": 0.8, "canary": 0.2})
    assert values(results["Success rate A"], rule="split") == {"stable": 1, "canary": 1}
    assert values(results["Circuit breakers A"]) == {"flaky": 0, "(own)": 0}
    assert stack.prometheus.alerts() == set()


def test_a_canary_that_fails(stack: Stack) -> None:
    """5 % errors fire exactly the alert for it."""
    stack.upstreams["canary"].fail_every = 20
    deadline = time.monotonic() + PATIENCE
    while stack.prometheus.firing() == set():
        assert time.monotonic() < deadline
        stack.send(200, "split")
    failing = values(stack.prometheus.query("1 - tse_route:success:ratio2m"), rule="split")
    stack.upstreams["canary"].fail_every = 0
    assert stack.prometheus.firing() == {"TseRouteUpstreamErrors"}
    assert stack.prometheus.alerts() == {
        Alert("TseRouteUpstreamErrors", "envoy", "split", "canary")
    }
    assert failing == pytest.approx({"canary": 0.05, "stable": 0}, abs=0.015)


def test_everything_goes_wrong(stack: Stack) -> None:
    """Every alert fires for its own reason."""
    names = {alert["alert"] for alert in rules(ALERTS, "alert")}
    stack.upstreams["canary"].delay = 0.15
    stack.upstreams["canary"].fail_every = 5
    stack.upstreams["flaky"].fail_every = 1
    stack.kong.fail("unknown-upstream")
    stack.envoy.replace({"main": Listener(BROKEN)})
    stack.send(60, "guarded")
    deadline = time.monotonic() + PATIENCE
    fired = set(stack.prometheus.firing())
    while not fired >= names - {"TseRouteBridgeMissing"}:
        assert time.monotonic() < deadline, names - fired
        stack.kong.fail("unknown-upstream")
        stack.send(160, "split", connections=8)
        fired |= stack.prometheus.firing()
    stack.kong.bridge = False
    missing = lambda: "TseRouteBridgeMissing" in stack.prometheus.firing()  # noqa: E731
    stack.prometheus.wait_for(missing, "the alert for the bridge", PATIENCE)

    # The alerts name what is wrong.
    where = {
        (alert.name, alert.job, alert.rule, alert.upstream) for alert in stack.prometheus.alerts()
    }
    assert ("TseRouteBreakerOpen", "envoy", "guarded", "flaky") in where
    assert ("TseRouteInvalidConfiguration", "envoy", None, None) in where
    assert not [alert for alert in where if alert[3] == "stable"]
