"""What a decision does to the request, the response and the access log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from client import Headers, request
from gateway import HEADER, Envoy, Listener, Reservations
from upstreams import Echo, Echoed, echoed


def rule(version: str, weight: int, *upstream: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A rule for one value of the header `version`."""
    item = {"key": "version", "operator": "eq", "value": version}
    return {"weight": weight, "condition": {"header": item}, "upstream": list(upstream), **more}


CHANGES = {
    "set": [
        {"name": "X-Set", "value": "new"},
        {"name": "x-new", "value": 7},
        {"name": "host", "value": "canary.test"},
    ],
    "add": [{"name": "X-Add", "value": "second"}, {"name": "x-also", "value": ""}],
    "remove": ["X-Remove", "x-never-there"],
}
SWAP = {
    "remove": ["x-swap"],
    "set": [{"name": "x-swap", "value": "1"}],
    "add": [{"name": "x-swap", "value": "2"}],
}
RULES = [
    rule("canary", 9, {"name": "canary"}, name="beta users"),
    rule("own", 8, {"name": None}),
    rule("unnamed", 7, {}),
    rule("missing", 6, {"name": "nowhere"}),
    rule("refused", 5, {"name": "refused"}),
    rule("changed", 4, {"name": "canary", "request_headers": CHANGES}),
    rule("changed-own", 3, {"request_headers": {"set": [{"name": "x-set", "value": "own"}]}}),
    rule("swap", 2, {"name": "canary", "request_headers": SWAP}),
    rule("none", 0, {"name": "canary"}),
]


def config(**more: Any) -> dict[str, Any]:
    """The rules with other fields."""
    return {"rules": RULES, **more}


LISTENERS = {
    "usual": Listener(
        config(),
        access_log="%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% "
        "%FILTER_STATE(wasm.tse_route_rule:PLAIN)% "
        "%REQ(X-TSE-ROUTE-UPSTREAM)%\n",
    ),
    "renamed": Listener(config(response_headers={"rule": "X-R", "upstream": "X-U", "name": "X-N"})),
    "no rule": Listener(config(response_headers={"rule": False})),
    "no upstream": Listener(config(response_headers={"upstream": False})),
    "all three": Listener(config(response_headers={"rule": True, "name": "x-kong-route-name"})),
    "off": Listener(config(response_headers=False)),
    "on": Listener(config(response_headers=True)),
}


@pytest.fixture(scope="module")
def envoy(echo: Echo) -> Iterator[Envoy]:
    """Gateways with the same rules and other ways to show what they did."""
    reserved = Reservations()
    try:
        ports = {**echo.ports, "refused": reserved.port()}
        with Envoy(LISTENERS, ports=ports) as envoy:
            yield envoy
    finally:
        reserved.close()


def ask(envoy: Envoy, version: str, headers: Headers = (), listener: str = "usual") -> Echoed:
    """Sends a request for one of the rules."""
    fields = [*headers, ("version", version)]
    return echoed(request(envoy.port(listener), "GET", "/a%20b?c=%zz", fields))


def shown(answer: Any) -> dict[str, str]:
    """The response headers that no gateway sets by itself."""
    usual = ("content-length", "content-type", "date", "server", "x-envoy-upstream-service-time")
    return {name: value for name, value in answer.headers if name not in usual}


def assert_logged(envoy: Envoy, *lines: str) -> None:
    """The access log ends in these lines, as soon as they are written."""
    envoy.wait_for(
        lambda: envoy.access_log("usual")[-len(lines) :] == [*lines],
        f"{lines} in {envoy.access_log('usual')}",
    )


def test_the_chosen_upstream(envoy: Envoy) -> None:
    """The request goes there as it is, and the response says so."""
    answer = ask(envoy, "canary", [("x-other", "1"), ("x-other", "2")])
    assert (answer.upstream, answer.method, answer.target) == ("canary", "GET", "/a%20b?c=%zz")
    assert answer.all("x-other") == ["1", "2"]
    assert answer.all("host") == ["example.test"]
    assert shown(answer.response) == {
        "x-kong-route-rule": "9",
        "x-kong-route-upstream": "canary",
    }


@pytest.mark.parametrize(("version", "weight"), [("own", "8"), ("unnamed", "7")])
def test_the_services_own_upstream(envoy: Envoy, version: str, weight: str) -> None:
    """An upstream without a name is the service's own: the rule shows, an upstream does not."""
    answer = ask(envoy, version)
    assert answer.upstream == "own"
    assert answer.all(HEADER) == []
    assert shown(answer.response) == {"x-kong-route-rule": weight}


def test_no_rule(envoy: Envoy) -> None:
    """Nothing is set, on either side."""
    answer = ask(envoy, "other", [("x-remove", "1"), ("x-set", "old")])
    assert answer.upstream == "own"
    assert (answer.all("x-remove"), answer.all("x-set")) == (["1"], ["old"])
    assert shown(answer.response) == {}


def test_a_rule_of_weight_0(envoy: Envoy) -> None:
    """The lowest priority is a priority."""
    answer = ask(envoy, "none")
    assert answer.upstream == "canary"
    assert shown(answer.response)["x-kong-route-rule"] == "0"


def test_an_unknown_cluster(envoy: Envoy) -> None:
    """Envoy has no route to it; the headers tell what was chosen."""
    response = request(envoy.port("usual"), "GET", "/", [("version", "missing")])
    assert response.status == 503
    assert shown(response) == {"x-kong-route-rule": "6", "x-kong-route-upstream": "nowhere"}
    assert_logged(envoy, "503 cluster_not_found 6 nowhere")


def test_an_upstream_that_refuses_connections(envoy: Envoy) -> None:
    """Envoy answers itself; the headers tell what was chosen."""
    response = request(envoy.port("usual"), "GET", "/", [("version", "refused")])
    assert response.status == 503
    assert b"connection failure" in response.body or b"connect error" in response.body
    assert shown(response) == {"x-kong-route-rule": "5", "x-kong-route-upstream": "refused"}


def test_access_log(envoy: Envoy) -> None:
    """The rule is in the filter state, the upstream in the request."""
    for version in ("canary", "own", "other"):
        ask(envoy, version)
    assert_logged(
        envoy, "200 via_upstream 9 canary", "200 via_upstream 8 -", "200 via_upstream - -"
    )


@pytest.mark.parametrize(
    ("version", "start", "end"),
    [("missing", "503 cluster_not_found", " 6 nowhere"), ("refused", "503 upstream_", " 5 refused")],
)
def test_access_log_of_failures(envoy: Envoy, version: str, start: str, end: str) -> None:
    """Has the same of what Envoy answers itself."""
    request(envoy.port("usual"), "GET", "/", [("version", version)])

    def is_logged() -> bool:
        lines = envoy.access_log("usual")
        return any(line.startswith(start) and line.endswith(end) for line in lines)

    envoy.wait_for(is_logged, f"{start} … {end}")


def test_request_headers(envoy: Envoy) -> None:
    """`set` replaces all copies, `add` keeps them, `remove` takes all away."""
    sent = [
        *(("x-set", "old"), ("X-Set", "older"), ("x-add", "first"), ("x-keep", "1")),
        *(("x-remove", "1"), ("X-Remove", "2"), ("x-removed", "3")),
    ]
    answer = ask(envoy, "changed", sent)
    assert answer.upstream == "canary"
    seen = {
        name: answer.all(name)
        for name in ("x-set", "x-new", "x-add", "x-also", "x-remove", "x-removed", "x-keep", "host")
    }
    assert seen == {
        "x-set": ["new"],
        "x-new": ["7"],
        "x-add": ["first", "second"],
        "x-also": [""],
        "x-remove": [],
        "x-removed": ["3"],
        "x-keep": ["1"],
        "host": ["canary.test"],
    }


def test_request_headers_of_the_own_upstream(envoy: Envoy) -> None:
    """They need no name."""
    answer = ask(envoy, "changed-own", [("x-set", "old")])
    assert (answer.upstream, answer.all("x-set")) == ("own", ["own"])


def test_request_headers_in_order(envoy: Envoy) -> None:
    """First `remove`, then `set`, then `add`."""
    answer = ask(envoy, "swap", [("x-swap", "0"), ("x-swap", "00")])
    assert answer.all("x-swap") == ["1", "2"]


@pytest.mark.parametrize(
    ("listener", "expected"),
    [
        ("usual", {"x-kong-route-rule": "9", "x-kong-route-upstream": "canary"}),
        ("on", {"x-kong-route-rule": "9", "x-kong-route-upstream": "canary"}),
        ("renamed", {"x-r": "9", "x-u": "canary", "x-n": "beta users"}),
        ("no rule", {"x-kong-route-upstream": "canary"}),
        ("no upstream", {"x-kong-route-rule": "9"}),
        (
            "all three",
            {
                "x-kong-route-rule": "9",
                "x-kong-route-upstream": "canary",
                "x-kong-route-name": "beta users",
            },
        ),
        ("off", {}),
    ],
)
def test_response_headers(envoy: Envoy, listener: str, expected: dict[str, str]) -> None:
    """As they are configured; the route is taken all the same."""
    answer = ask(envoy, "canary", listener=listener)
    assert answer.upstream == "canary"
    assert shown(answer.response) == expected
