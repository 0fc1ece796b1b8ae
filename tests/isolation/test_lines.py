"""The manifests of the lines fit together, and are the same lines behind both gateways."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lines import FOLDER, NAMES, Line, documents

KONG = "kong/"
LINES = pytest.mark.parametrize("name", NAMES)


def values(name: str) -> dict[str, Any]:
    """Values of a Helm chart."""
    return yaml.safe_load((FOLDER / name).read_text())


def of_kind(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The manifests of a kind."""
    return [one for one in manifests if one["kind"] == kind]


def labels(manifests: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The labels of the namespaces."""
    return [one["metadata"]["labels"] for one in of_kind(manifests, "Namespace")]


@LINES
def test_every_upstream_of_the_rules_has_a_route(name: str) -> None:
    line = Line(name)
    named = {one["name"] for rule in line.config["rules"] for one in rule["upstream"]}
    assert named == line.backends.keys() - {None}
    services = {one["metadata"]["name"] for one in of_kind(documents(f"lines/{name}.yaml"), "Service")}
    assert set(line.backends.values()) <= services
    # An upstream's name says whose it is: `<service>.<namespace>.<port>.svc`, as on Kong.
    assert {upstream: backend for upstream, backend in line.backends.items() if upstream} == {
        upstream: upstream.removesuffix(f".{name}.80.svc") for upstream in named
    }


@LINES
def test_both_gateways_have_the_same_rules(name: str) -> None:
    plugins = of_kind(documents(f"{KONG}{name}.yaml"), "KongPlugin")
    (rules,) = [one for one in plugins if one["plugin"] == "tse-route"]
    assert rules["config"] == Line(name).config
    # It is bound to the Service that the Ingress leads to.
    (stable,) = [
        one
        for one in of_kind(documents(f"lines/{name}.yaml"), "Service")
        if one["metadata"].get("annotations") == {"konghq.com/plugins": rules["metadata"]["name"]}
    ]
    ingresses = of_kind(documents(f"{KONG}{name}.yaml"), "Ingress")
    paths = [path for one in ingresses for rule in one["spec"]["rules"] for path in rule["http"]["paths"]]
    assert stable["metadata"]["name"] == paths[0]["backend"]["service"]["name"]
    # The controller makes Upstreams of what Ingresses name.
    upstreams = {f"{path['backend']['service']['name']}.{name}.80.svc" for path in paths}
    assert upstreams == Line(name).backends.keys() - {None}


def test_no_two_lines_have_the_same_rules() -> None:
    configs = [Line(name).config for name in NAMES]
    assert all(one not in configs[:number] for number, one in enumerate(configs))


@LINES
def test_each_line_has_a_class_of_its_own(name: str) -> None:
    line = Line(name)
    proxy, kind, gateway = line.the("EnvoyProxy"), line.the("GatewayClass"), line.the("Gateway")
    assert kind["spec"]["parametersRef"]["name"] == proxy["metadata"]["name"]
    assert kind["spec"]["parametersRef"]["namespace"] == proxy["metadata"]["namespace"]
    assert gateway["spec"]["gatewayClassName"] == kind["metadata"]["name"]
    controller = values(f"envoy-gateway/values-{line.domain}.yaml")["config"]["envoyGateway"]["gateway"]
    assert kind["spec"]["controllerName"] == controller["controllerName"]
    chart = values(f"{KONG}values-{name}.yaml")
    assert chart["ingressController"]["ingressClass"] == name
    assert chart["podLabels"] == {"domain": line.domain, "line": name}
    for ingress in of_kind(documents(f"{KONG}{name}.yaml"), "Ingress"):
        assert ingress["spec"]["ingressClassName"] == name


@LINES
def test_only_its_own_namespaces_reach_a_gateway_and_its_services(name: str) -> None:
    line = Line(name)
    services = documents(f"lines/{name}.yaml")
    domain = line.domain
    assert labels(services) == [{"domain": domain, "line": name, "part": "services"}]
    for gateway in (line.manifests, documents(f"{KONG}{name}.yaml")):
        assert labels(gateway) == [{"domain": domain, "line": name, "part": "gateway"}]
        assert len(of_kind(gateway, "ResourceQuota")) == 1
        policies = {one["metadata"]["name"]: one["spec"] for one in of_kind(gateway, "NetworkPolicy")}
        assert policies["nothing-else"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        (to, *_), *_ = [rule["to"] for rule in policies["own-services"]["egress"] if "to" in rule]
        assert to == {"namespaceSelector": {"matchLabels": {"line": name, "part": "services"}}}
        clients = policies["clients"]["ingress"][0]
        assert ("from" in clients) == (domain == "internal")
    (listener,) = line.the("Gateway")["spec"]["listeners"]
    assert listener["allowedRoutes"]["namespaces"] == {
        "from": "Selector",
        "selector": {"matchLabels": {"line": name, "part": "services"}},
    }
    own = of_kind(services, "NetworkPolicy")[0]["spec"]
    assert own["podSelector"] == {}
    assert own["ingress"][0]["from"] == [
        {"namespaceSelector": {"matchLabels": {"line": name, "part": "gateway"}}}
    ]


def test_there_is_one_crossing() -> None:
    """What the grant, the route and both ends of the network name is the same."""
    crossing = documents("envoy-gateway/crossing.yaml")
    (grant,) = of_kind(crossing, "ReferenceGrant")
    (route,) = of_kind(crossing, "HTTPRoute")
    (backend,) = route["spec"]["rules"][0]["backendRefs"]
    assert grant["metadata"]["namespace"] == backend["namespace"]
    assert [one["name"] for one in grant["spec"]["to"]] == [backend["name"]]
    assert [one["namespace"] for one in grant["spec"]["from"]] == [route["metadata"]["namespace"]]
    # At its end the network has an exception for that service, and at the gateway's end one to it.
    (let_in,) = of_kind(documents("lines/stock.yaml"), "NetworkPolicy")[1:]
    assert let_in["spec"]["podSelector"] == {"matchLabels": {"app": backend["name"]}}
    for name in ("envoy-gateway/crossing.yaml", f"{KONG}crossing.yaml"):
        (let_out,) = of_kind(documents(name), "NetworkPolicy")
        (to,) = let_out["spec"]["egress"][0]["to"]
        assert to["podSelector"] == let_in["spec"]["podSelector"]
        assert to["namespaceSelector"]["matchLabels"]["line"] == backend["namespace"]
    for name in NAMES:
        assert not of_kind(Line(name).manifests, "ReferenceGrant")
