"""Which of several rules decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from client import request
from gateway import Envoy, Listener
from upstreams import Echo, echoed


def rule(name: str, weight: int | None, key: str | None, **more: Any) -> dict[str, Any]:
    """A rule that holds where a header is there, or always."""
    condition = None if key is None else {"header": {"key": key, "operator": "exists"}}
    given = {} if weight is None else {"weight": weight}
    return {"name": name, "condition": condition, "upstream": [{"name": "canary"}], **given, **more}


def listener(*rules: dict[str, Any]) -> Listener:
    """A gateway that shows the name of the rule that decided."""
    return Listener({"rules": rules, "response_headers": {"name": "x-name"}})


LISTENERS = {
    "priorities": listener(
        rule("low", 1, "low"),
        rule("highest", 100, "highest"),
        rule("disabled", 99, "low", enabled=False),
        rule("middle", 50, "middle"),
        rule("middle too", 50, "middle-too"),
        rule("lowest", None, "lowest"),
    ),
    "always": listener(
        rule("never", 1, None),
        rule("always", 2, None),
        rule("first", 3, "first"),
        rule("disabled", 100, None, enabled=False),
    ),
}


@pytest.fixture(scope="module")
def envoy(echo: Echo) -> Iterator[Envoy]:
    """Gateways with several rules."""
    with Envoy(LISTENERS, ports=echo.ports) as envoy:
        yield envoy


@pytest.mark.parametrize(
    ("listener", "headers", "name", "weight"),
    [
        ("priorities", "", None, None),
        ("priorities", "lowest", "lowest", "0"),
        ("priorities", "low", "low", "1"),
        ("priorities", "lowest low", "low", "1"),
        ("priorities", "low middle", "middle", "50"),
        ("priorities", "low middle-too", "middle too", "50"),
        # Of equal priorities the first in the list.
        ("priorities", "middle middle-too", "middle", "50"),
        ("priorities", "lowest low middle middle-too highest", "highest", "100"),
        ("always", "", "always", "2"),
        ("always", "first", "first", "3"),
    ],
)
def test_the_highest_rule_that_holds(
    envoy: Envoy, listener: str, headers: str, name: str | None, weight: str | None
) -> None:
    """It alone decides, wherever it stands in the list."""
    sent = [(header, "1") for header in headers.split()]
    answer = echoed(request(envoy.port(listener), "GET", "/", sent))
    assert answer.response.header("x-name") == name
    assert answer.response.header("x-kong-route-rule") == weight
    assert answer.upstream == ("own" if name is None else "canary")
