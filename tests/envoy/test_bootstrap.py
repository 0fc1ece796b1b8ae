"""The example's bootstrap does what its comments say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client import Headers, load, request
from gateway import ROOT, Envoy, Reservations, at_free_ports, example, ports_of

DEMO1, DEMO2, NGINX = "demo1.default.80.svc", "demo2.default.80.svc", "nginx.default.80.svc"


@pytest.fixture(scope="module")
def envoy() -> Iterator[Envoy]:
    """The example as it is, on other ports."""
    reserved = Reservations()
    try:
        with Envoy(bootstrap=at_free_ports(example(), reserved), concurrency=2) as envoy:
            yield envoy
    finally:
        reserved.close()


def test_nothing_but_ports_is_replaced() -> None:
    """The example's ports are those that its comments and `make run` speak of."""
    assert ports_of(example()) == [9901, 10000, 10001, 10002, 10003]
    text = (ROOT / "examples" / "envoy.yaml").read_text()
    assert "curl -i http://127.0.0.1:10000/" in text


@pytest.mark.parametrize(
    ("target", "headers", "rule"),
    [
        ("/", [("version", "1")], "22"),
        ("/?age=29", [("version", "1")], "22"),
        ("/?age=29", [], "21"),
        ("/?age=29", [("version", "2")], "21"),
    ],
)
def test_rules(envoy: Envoy, target: str, headers: Headers, rule: str) -> None:
    """A header and a parameter each lead to demo1."""
    response = request(envoy.port("gateway"), "GET", target, headers)
    assert (response.status, response.body) == (200, f"{DEMO1}\n".encode())
    assert response.header("x-kong-route-rule") == rule
    assert response.header("x-kong-route-upstream") == DEMO1


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/", []),
        ("/?age=30", [("version", "2")]),
        ("/", [("x-tse-route-upstream", "no-such-cluster")]),
    ],
)
def test_all_else_is_split(envoy: Envoy, target: str, headers: Headers) -> None:
    """Every request has a rule, and each of the three upstreams gets some."""
    seen = load(envoy.port("gateway"), 300, headers, target)
    assert {(rule, upstream) for _, rule, upstream in seen} == {
        ("10", upstream) for upstream in (DEMO1, DEMO2, NGINX)
    }
    assert all(body == f"{upstream}\n" for body, _, upstream in seen)


def test_access_log(envoy: Envoy) -> None:
    """The decision stands in it."""
    request(envoy.port("gateway"), "GET", "/logged?age=29")
    line = f"GET /logged 200 rule=21 upstream={DEMO1}"
    envoy.wait_for(lambda: line in envoy.log(), "the line in the access log")
