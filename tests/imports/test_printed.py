"""What `tse-route import --format envoy` prints starts in the real Envoy, and routes there."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from client import Connection
from gateway import HEADER, Envoy, named_upstream, socket_address
from test_import import CLI, TABLES, table

# Sources of each kind: with a 404 for what no rule matches, with a service of its own, with
# addresses that are known, and with names.
PRINTED = [
    source
    for source in TABLES
    if source.stem in {"http-listeners", "ingress-canary", "apisix", "traefik"}
]


def printed(source: Path) -> dict[str, Any]:
    """The bootstrap for a source, with an admin interface, on a port that Envoy picks."""
    command = [str(CLI), "import", str(source), "--format", "envoy"]
    result = subprocess.run(
        [*command, *table(source).get("args", [])], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    bootstrap = yaml.safe_load(result.stdout)
    (listener,) = bootstrap["static_resources"]["listeners"]
    listener["address"] = socket_address(0)
    return bootstrap | {"admin": {"address": socket_address(0)}}


def answered(bootstrap: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The same with upstreams that answer their names."""
    bootstrap = copy.deepcopy(bootstrap)
    resources = bootstrap["static_resources"]
    for index, cluster in enumerate(resources["clusters"]):
        pipe = {"pipe": {"path": str(directory / f"{index}")}}
        endpoint = {"endpoint": {"address": pipe}}
        cluster["type"] = "STATIC"
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [endpoint]}]
        resources["listeners"].append(named_upstream(cluster["name"], pipe))
    return bootstrap


def ask(envoy: Envoy, path: str, headers: list[tuple[str, str]]) -> tuple[int, str]:
    """Status and body of a GET."""
    with Connection(envoy.port("gateway")) as connection:
        response = connection.request("GET", path, headers)
        return response.status, response.body.decode()


@pytest.mark.parametrize("source", PRINTED, ids=lambda source: source.stem)
def test_it_starts_as_it_is(source: Path) -> None:
    """With no more than a port of its own; whether its names resolve is another matter."""
    with Envoy(bootstrap=printed(source)) as envoy:
        status, _ = ask(envoy, "/", [("host", "nowhere.example")])
        assert status in {404, 503}, "nothing can answer"


def test_requests_arrive_and_forged_ones_do_not(tmp_path: Path) -> None:
    """A client that sends the internal header itself has no say, whether a rule matches or not."""
    (source,) = [source for source in PRINTED if source.stem == "http-listeners"]
    forged = (HEADER, "v2.shop.80.svc")
    with Envoy(bootstrap=answered(printed(source), tmp_path)) as envoy:
        here, nowhere = ("host", "very.example.com"), ("host", "nowhere.example")
        assert ask(envoy, "/s1", [here]) == (200, "v1.shop.80.svc")
        assert ask(envoy, "/s1", [here, forged]) == (200, "v1.shop.80.svc")
        assert ask(envoy, "/", [nowhere])[0] == 404
        assert ask(envoy, "/", [nowhere, forged])[0] == 404


def test_the_own_service_has_the_rest(tmp_path: Path) -> None:
    """What no rule moves goes to the service that the source names."""
    (source,) = [source for source in PRINTED if source.stem == "traefik"]
    names = {"v1.shop.80.svc", "v2.shop.80.svc", "v3.other.80.svc"}
    with Envoy(bootstrap=answered(printed(source), tmp_path)) as envoy:
        seen = {ask(envoy, "/", [("host", "a.example")])[1] for _ in range(200)}
        # The rarest has a quarter: that it is missed in 200 has a probability of 1e-25.
        assert seen == names
