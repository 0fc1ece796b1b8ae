"""The lines of business of `examples/isolation/`, and an Envoy for each, made of the same manifests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml
from gateway import ROOT, Listener
from observed import Observed

FOLDER = ROOT / "examples" / "isolation"
NAMES = ("shop", "pay", "stock")
GATE = "gate"


def documents(name: str) -> list[dict[str, Any]]:
    """The manifests of a file."""
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


@dataclass(frozen=True)
class Line:
    """A line of business, as the manifests for Envoy Gateway have it."""

    name: str

    @cached_property
    def manifests(self) -> list[dict[str, Any]]:
        """All of them."""
        return documents(f"envoy-gateway/{self.name}.yaml")

    def the(self, kind: str) -> dict[str, Any]:
        """The only manifest of a kind."""
        (found,) = [one for one in self.manifests if one["kind"] == kind]
        return found

    @property
    def domain(self) -> str:
        """The domain of its gateway."""
        (namespace,) = [one for one in self.manifests if one["kind"] == "Namespace"]
        return namespace["metadata"]["labels"]["domain"]

    @property
    def config(self) -> dict[str, Any]:
        """The filter's configuration."""
        (wasm,) = self.the("EnvoyExtensionPolicy")["spec"]["wasm"]
        return wasm["config"]

    @property
    def bootstrap(self) -> dict[str, Any]:
        """What it adds to the bootstrap of its Envoys."""
        bootstrap = self.the("EnvoyProxy")["spec"]["bootstrap"]
        assert bootstrap["type"] == "Merge"
        return yaml.safe_load(bootstrap["value"])

    @property
    def backends(self) -> dict[str | None, str]:
        """The service behind each upstream of the rules; behind None the line's own."""
        found: dict[str | None, str] = {}
        for rule in self.the("HTTPRoute")["spec"]["rules"]:
            for backend in rule.get("backendRefs", []):
                named = [h["value"] for match in rule.get("matches", []) for h in match["headers"]]
                found[named[0] if named else None] = backend["name"]
        return found

    def cluster(self, upstream: str | None) -> str:
        """Envoy Gateway makes a cluster for each rule of a route."""
        return f"{self.name}/{list(self.backends).index(upstream)}/{self.backends[upstream]}"

    @property
    def limits(self) -> dict[str, int]:
        """How much of everything there may be at once for one cluster."""
        return self.the("BackendTrafficPolicy")["spec"]["circuitBreaker"]

    @property
    def shares(self) -> dict[tuple[str, str, str], float]:
        """The share of each answer to a plain request: its body, its rule and its upstream."""
        rule = self.config["rules"][-1]
        assert "condition" not in rule
        return {
            (self.cluster(one["name"]), str(rule["weight"]), one["name"]): one.get("weight", 100) / 100
            for one in rule["upstream"]
        }

    def listener(self) -> Listener:
        """What Envoy Gateway makes of the route and the policies, as far as they matter here."""
        route, removed = self.the("HTTPRoute"), self.the("ClientTrafficPolicy")
        assert removed["spec"]["headers"]["earlyRequestHeaders"] == {"remove": ["x-tse-route-upstream"]}
        routes = [self._route(rule) for rule in route["spec"]["rules"]]
        host = {"name": self.name, "domains": ["*"], "routes": routes}
        return Listener(
            self.config,
            manager={"route_config": {"virtual_hosts": [host]}},
            # Envoy Gateway does not set it.
            plugin={"allow_on_headers_stop_iteration": False},
            watched=True,
        )

    def clusters(self) -> dict[str, dict[str, Any]]:
        """The fields that the policy adds to each cluster."""
        limits = self.limits
        thresholds = {
            "max_connections": limits["maxConnections"],
            "max_pending_requests": limits["maxPendingRequests"],
            "max_requests": limits["maxParallelRequests"],
            "max_retries": limits["maxParallelRetries"],
        }
        fields = {"circuit_breakers": {"thresholds": [thresholds]}}
        return {self.cluster(upstream): fields for upstream in self.backends}

    def _route(self, rule: dict[str, Any]) -> dict[str, Any]:
        match: dict[str, Any] = {"prefix": "/"}
        upstream = None
        for header in [h for one in rule.get("matches", []) for h in one["headers"]]:
            upstream = header["value"]
            if header.get("type") == "RegularExpression":
                said = {"safe_regex": {"regex": upstream}}
            else:
                said = {"exact": upstream}
            match["headers"] = [{"name": header["name"], "string_match": said}]
        if "filters" in rule:
            answer = self.the("HTTPRouteFilter")["spec"]["directResponse"]
            body = {"inline_string": answer["body"]["inline"]}
            return {"match": match, "direct_response": {"status": answer["statusCode"], "body": body}}
        # Nothing here depends on time: the policy's timeout stays out.
        return {"match": match, "route": {"cluster": self.cluster(upstream), "timeout": "0s"}}


class Gateway(Observed):
    """The Envoy of a line; `ports` are those of clusters that do not answer their name."""

    def __init__(self, line: Line, ports: dict[str, int]):
        self.line = line
        names = tuple(name for name in line.clusters() if name not in ports)
        super().__init__(
            {GATE: line.listener()}, named=names, ports=ports, clusters=line.clusters()
        )

    def _compose(self) -> dict[str, Any]:
        return super()._compose() | self.line.bootstrap
