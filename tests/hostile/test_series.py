"""Metrics of configurations that come and go stay bounded."""

from __future__ import annotations

from typing import Any

from client import request
from gateway import Envoy, Listener

# As `MAX_PAIRS` of the filter.
MAX_PAIRS = 3_000
RULES = 700


def listener(generation: int) -> Listener:
    """A configuration whose rules have names of their own."""

    def rule(number: int) -> dict[str, Any]:
        item = {"key": "a", "operator": "eq", "value": str(number)}
        return {
            "name": f"{generation}-{number}",
            "condition": {"header": item},
            "upstream": [{"name": "own"}],
        }

    return Listener(
        {"rules": [rule(number) for number in range(RULES)]},
        # Each configuration answers under its own name.
        manager={"server_name": f"generation-{generation}", "server_header_transformation": "OVERWRITE"},
    )


def test_new_names_at_every_reload() -> None:
    """Beyond a number of pairs there is a name for the rest, and each request is counted once."""
    with Envoy({"gate": listener(0)}, named=("own",), dynamic=True, concurrency=1) as envoy:
        for generation in range(8):
            envoy.replace({"gate": listener(generation)})

            def current() -> bool:
                envoy._read_ports()
                answer = request(envoy.port("gate"), "GET", "/", [("a", "7")])
                return answer.header("server") == f"generation-{generation}"

            envoy.wait_for(current, f"configuration {generation}")
        stats = envoy.stats("wasmcustom.tse_route_requests_total")
        assert len(stats) <= MAX_PAIRS + 1, len(stats)
        assert 0 < stats["wasmcustom.tse_route_requests_total;rule=0-7;upstream=own"]
        rest = "wasmcustom.tse_route_requests_total;rule=(other);upstream=(other)"
        assert 0 < stats[rest]
        assert "wasmcustom.tse_route_requests_total;rule=7-7;upstream=own" not in stats
