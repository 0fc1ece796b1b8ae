"""A chain of three services behind the gateways of `examples/lanes`.

    client → edge → cart → (inside) → stock → (inside) → payments

Each version of a service is a small HTTP server that answers which versions a request has met, and what
they received.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml
from client import Headers, Response, request
from gateway import ROOT, WASM, Envoy, socket_address

EXAMPLES = ROOT / "examples" / "lanes"
VERSIONS = ("cart", "cart-green", "cart-blue", "stock", "stock-blue", "payments", "payments-green")
# Whom a service asks before it answers.
NEXT = {"cart": "stock", "stock": "payments"}
# What a service passes on, as a library for tracing does.
CONTEXT = ("baggage", "x-lane", "traceparent", "tracestate")


@dataclass(frozen=True)
class Hop:
    """A version that a request has met, and the headers that it received."""

    version: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for found, value in self.headers if found == name]


@dataclass(frozen=True)
class Journey:
    """The answer to a request, and its way; it ends where a service did not answer it."""

    response: Response
    hops: tuple[Hop, ...]

    @property
    def versions(self) -> list[str]:
        """The versions that the request has met."""
        return [hop.version for hop in self.hops]


def server(version: str, ports: dict[str, int]) -> ThreadingHTTPServer:
    """A version of a service; `ports` are those of the gateways in front of the services."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = [(name.lower(), value) for name, value in self.headers.items()]
            hops = [{"version": version, "headers": headers}]
            status = 200
            if (following := NEXT.get(version.split("-")[0])) is not None:
                context = [(name, value) for name, value in headers if name in CONTEXT]
                answer = request(ports[following], "GET", self.path, context)
                status = answer.status
                if answer.header("x-version") is not None:
                    hops += json.loads(answer.body)
            body = json.dumps(hops).encode()
            self.send_response(status)
            self.send_header("x-version", version)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def bootstrap(name: str, services: dict[str, int]) -> dict[str, Any]:
    """An example as it is, but for where the filter and the services are, and on ports that are free."""
    found = yaml.safe_load((EXAMPLES / name).read_text())
    found["admin"]["address"] = socket_address(0)
    for listener in found["static_resources"]["listeners"]:
        listener["address"] = socket_address(0)
        (manager,) = listener["filter_chains"][0]["filters"]
        plugin = manager["typed_config"]["http_filters"][0]["typed_config"]["config"]
        plugin["vm_config"]["code"]["local"]["filename"] = str(WASM)
    for cluster in found["static_resources"]["clusters"]:
        for endpoints in cluster.get("load_assignment", {}).get("endpoints", []):
            for one in endpoints["lb_endpoints"]:
                host = one["endpoint"]["address"]["socket_address"]["address"]
                one["endpoint"]["address"] = socket_address(services[host.split(".")[0]])
    return found


class Chain:
    """The running chain."""

    def __init__(self, edge: Envoy, inside: Envoy):
        self.edge = edge
        self.inside = inside

    def ask(self, headers: Headers = ()) -> Journey:
        """Sends a request to the edge."""
        response = request(self.edge.port("edge"), "GET", "/", headers)
        hops = json.loads(response.body) if response.header("x-version") is not None else []
        found = (Hop(hop["version"], tuple((n, v) for n, v in hop["headers"])) for hop in hops)
        return Journey(response, tuple(found))


@contextmanager
def chain() -> Iterator[Chain]:
    """All services and gateways."""
    gateways: dict[str, int] = {}
    with ExitStack() as stack:
        services = {}
        for version in VERSIONS:
            one = stack.enter_context(server(version, gateways))
            services[version] = one.server_address[1]
            threading.Thread(target=one.serve_forever, daemon=True).start()
            stack.callback(one.shutdown)
        inside = stack.enter_context(Envoy(bootstrap=bootstrap("inside.yaml", services), concurrency=2))
        gateways.update({name: inside.port(name) for name in ("stock", "payments")})
        edge = stack.enter_context(Envoy(bootstrap=bootstrap("edge.yaml", services), concurrency=2))
        yield Chain(edge, inside)
