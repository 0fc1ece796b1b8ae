"""A client's own internal header passes no guard that stands before the filter.

Envoy picks a route before any filter runs, and what a filter does per route follows from that pick: a
client that picks the route by the internal header has picked the guards. The examples remove the
header before (`early_header_mutation_extensions`); the same gateway without that shows what for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import http2
import pytest
from client import Headers, request
from gateway import HEADER, TYPES, Envoy, Listener
from upstreams import Echo

RBAC = TYPES + "envoy.extensions.filters.http.rbac.v3."
DENIES = {
    "@type": RBAC + "RBACPerRoute",
    "rbac": {
        "rules": {
            "action": "DENY",
            "policies": {"all": {"permissions": [{"any": True}], "principals": [{"any": True}]}},
        }
    },
}
OFF = {"@type": TYPES + "envoy.config.route.v3.FilterConfig", "disabled": True}
BY_HEADER = {"prefix": "/", "headers": [{"name": HEADER, "present_match": True}]}
RULES = {
    "rules": [
        {
            "weight": 1,
            "condition": {"header": {"key": "version", "operator": "eq", "value": "canary"}},
            "upstream": [{"name": "canary"}],
        }
    ]
}


def listener(guarded: bool) -> Listener:
    """A gateway in which `/admin` is nobody's and `/plain` has the filter switched off."""
    routes = [
        {"match": BY_HEADER, "route": {"cluster_header": HEADER}},
        {
            "match": {"prefix": "/admin"},
            "route": {"cluster": "own"},
            "typed_per_filter_config": {"rbac": DENIES},
        },
        {
            "match": {"prefix": "/plain"},
            "route": {"cluster": "own"},
            "typed_per_filter_config": {"tse-route": OFF},
        },
        {"match": {"prefix": "/"}, "route": {"cluster": "own"}},
    ]
    return Listener(
        RULES,
        guarded=guarded,
        manager={
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]
            },
            "http_filters": [{"name": "rbac", "typed_config": {"@type": RBAC + "RBAC"}}]
            + plain_filters(),
        },
    )


def plain_filters() -> list[dict[str, Any]]:
    """The filters of a listener without further fields."""
    manager = Listener(RULES).resource("x", Path())["filter_chains"][0]["filters"][0]["typed_config"]
    return manager["http_filters"]


@pytest.fixture(scope="module")
def envoy() -> Iterator[Envoy]:
    """The gateway with and without the guard."""
    with Echo(["own", "canary", "evil"]) as echo:
        listeners = {"guarded": listener(True), "open": listener(False)}
        with Envoy(listeners, ports=echo.ports) as envoy:
            yield envoy


FORGED: dict[str, Headers] = {
    "once": [(HEADER, "evil")],
    "upper case": [(HEADER.upper(), "evil")],
    "twice": [(HEADER, "evil"), (HEADER, "own")],
    "empty": [(HEADER, "")],
    "its own cluster": [(HEADER, "own")],
    "and a rule that holds": [(HEADER, "evil"), ("version", "canary")],
}


@pytest.mark.parametrize("way", FORGED)
def test_a_forbidden_path_stays_forbidden(envoy: Envoy, way: str) -> None:
    """Whatever the header says."""
    assert request(envoy.port("guarded"), "GET", "/admin", FORGED[way]).status == 403


def test_what_the_guard_is_for(envoy: Envoy) -> None:
    """Without it the same request passes: this test would notice if the others proved nothing."""
    assert request(envoy.port("open"), "GET", "/admin").status == 403
    assert request(envoy.port("open"), "GET", "/admin", FORGED["once"]).status == 200


@pytest.mark.parametrize("way", FORGED)
def test_over_http2(envoy: Envoy, way: str) -> None:
    """As over HTTP/1."""
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/admin")]
    headers = [(str(name).lower(), value) for name, value in FORGED[way]]
    with http2.Connection(envoy.port("guarded")) as connection:
        # 403 is none of the statuses that the small client knows by its index.
        answer = connection.request([*fields, *headers])
    assert answer.status == 0
    assert b"RBAC: access denied" in answer.body


@pytest.mark.parametrize("way", ["once", "upper case", "twice"])
def test_where_the_filter_is_off(envoy: Envoy, way: str) -> None:
    """No one but the guard could remove the header there."""
    answer = request(envoy.port("guarded"), "GET", "/plain", FORGED[way])
    assert answer.status == 200
    assert b'"upstream": "own"' in answer.body
    assert HEADER.encode() not in answer.body


def test_rules_still_decide(envoy: Envoy) -> None:
    """The guard is before the filter, not behind it."""
    answer = request(envoy.port("guarded"), "GET", "/", [("version", "canary")])
    assert b'"upstream": "canary"' in answer.body
