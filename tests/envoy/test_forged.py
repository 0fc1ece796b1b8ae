"""A client that sends the internal header itself chooses nothing by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import http2
import pytest
from client import Headers, Response, request
from gateway import HEADER, Envoy, Listener
from upstreams import Echo, echoed


def rule(version: str, upstream: str | None, weight: int, **more: Any) -> dict[str, Any]:
    """A rule for one value of the header `version`."""
    item = {"key": "version", "operator": "eq", "value": version}
    return {
        "weight": weight,
        "condition": {"header": item, **more},
        "upstream": [{"name": upstream}],
    }


IN_BODY = {"body": {"key": "user", "operator": "eq", "value": "me"}}
RULES = [
    rule("canary", "canary", 9),
    rule("own", None, 8),
    rule("missing", "nowhere", 7),
    rule("body", "canary", 6, **IN_BODY),
]
# Without the guard of the examples: the filter alone, whose last line of defence this is.
LISTENERS = {
    "usual": Listener({"rules": RULES}, guarded=False),
    "renamed": Listener(
        {"rules": RULES, "upstream_header": "X-Lane"}, header="x-lane", guarded=False
    ),
    "without rules": Listener({}, guarded=False),
    "only disabled": Listener({"rules": [{**RULES[0], "enabled": False}]}, guarded=False),
    # For a tier behind this one; the routes here read the header all the same.
    "by header": Listener({"rules": RULES, "route_by": "header"}, guarded=False),
}


@pytest.fixture(scope="module")
def envoy(echo: Echo) -> Iterator[Envoy]:
    """Gateways whose routes would follow the header to the upstream `evil`."""
    with Envoy(LISTENERS, ports=echo.ports) as envoy:
        yield envoy


def forgeries(name: str) -> dict[str, Headers]:
    """Ways to send the internal header."""
    return {
        "once": [(name, "evil")],
        "in upper case": [(name.upper(), "evil")],
        "twice": [(name, "evil"), (name, "evil")],
        "with another": [(name, "canary"), (name, "evil")],
        "after another": [(name, "evil"), (name, "canary")],
        "as a list": [(name, "evil, evil")],
        "empty": [(name, "")],
        "empty and not": [(name, ""), (name, "evil")],
        "unknown": [(name, "no such cluster")],
        "no text": [(name, b"\xff\xfe")],
        "long": [(name, "evil" * 10_000)],
    }


@pytest.mark.parametrize("way", forgeries(""))
@pytest.mark.parametrize(
    ("listener", "name"),
    [
        ("usual", HEADER),
        ("renamed", "x-lane"),
        ("without rules", HEADER),
        ("only disabled", HEADER),
        ("by header", HEADER),
    ],
)
def test_unmatched(envoy: Envoy, listener: str, name: str, way: str) -> None:
    """The header is gone, and the request stays where it belongs."""
    answer = echoed(request(envoy.port(listener), "GET", "/", forgeries(name)[way]))
    assert answer.upstream == "own"
    assert answer.all(name) == []
    assert answer.response.header("x-kong-route-rule") is None
    assert answer.response.header("x-kong-route-upstream") is None


@pytest.mark.parametrize("way", forgeries(""))
@pytest.mark.parametrize(("listener", "name"), [("usual", HEADER), ("renamed", "x-lane")])
def test_matched(envoy: Envoy, listener: str, name: str, way: str) -> None:
    """The rule's choice stands in place of all copies of the client's."""
    headers = [*forgeries(name)[way], ("version", "canary")]
    answer = echoed(request(envoy.port(listener), "GET", "/", headers))
    assert answer.upstream == "canary"
    assert answer.all(name) == ["canary"]
    assert answer.response.header("x-kong-route-upstream") == "canary"


@pytest.mark.parametrize("way", forgeries(""))
def test_matched_by_a_rule_for_the_own_upstream(envoy: Envoy, way: str) -> None:
    """The service's own upstream has no name to put in the header's place."""
    headers = [*forgeries(HEADER)[way], ("version", "own")]
    answer = echoed(request(envoy.port("usual"), "GET", "/", headers))
    assert answer.upstream == "own"
    assert answer.all(HEADER) == []
    assert answer.response.header("x-kong-route-rule") == "8"
    assert answer.response.header("x-kong-route-upstream") is None


@pytest.mark.parametrize("way", forgeries(""))
def test_matched_for_the_tier_behind(envoy: Envoy, way: str) -> None:
    """With `route_by: header`, too, the client's copy is neither followed nor passed on."""
    headers = [*forgeries(HEADER)[way], ("version", "canary")]
    answer = echoed(request(envoy.port("by header"), "GET", "/", headers))
    assert answer.upstream != "evil"
    assert answer.all(HEADER) == ["canary"]


def test_matched_by_a_rule_for_an_unknown_cluster(envoy: Envoy) -> None:
    """The client's copy does not stand in for the cluster that is missing."""
    headers = [(HEADER, "evil"), ("version", "missing")]
    answer = request(envoy.port("usual"), "GET", "/", headers)
    assert answer.status == 503


@pytest.mark.parametrize(("body", "upstream"), [(b'{"user":"me"}', "canary"), (b"{}", "own")])
def test_decided_on_the_body(envoy: Envoy, body: bytes, upstream: str) -> None:
    """As without a body, although the request was held back with the header in it."""
    headers = [(HEADER, "evil"), (HEADER, "evil"), ("version", "body")]
    answer = echoed(request(envoy.port("usual"), "POST", "/", headers, body=body))
    assert answer.upstream == upstream
    assert answer.all(HEADER) == (["canary"] if upstream == "canary" else [])


@pytest.mark.parametrize(("version", "upstream"), [("none", "own"), ("canary", "canary")])
def test_http2(envoy: Envoy, version: str, upstream: str) -> None:
    """As in HTTP/1.1."""
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")]
    with http2.Connection(envoy.port("usual")) as connection:
        answer = connection.request([*fields, (HEADER, "evil"), ("version", version)])
    assert echoed(Response(answer.status, (), answer.body)).upstream == upstream


def test_another_name_is_any_header(envoy: Envoy) -> None:
    """Where the internal header was renamed, its usual name is an ordinary one."""
    answer = echoed(request(envoy.port("renamed"), "GET", "/", [(HEADER, "evil")]))
    assert answer.upstream == "own"
    assert answer.all(HEADER) == ["evil"]
