"""What happens to one line of business does not happen to the others: three real Envoys under load.

They are made of the manifests of `examples/isolation/envoy-gateway/`, which are not written down here again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from chance import bounds
from client import Connection, Load, Shown, head
from prometheus import Alert, Prometheus, dashboard_queries
from upstreams import Upstream

from kong import Kong
from lines import FOLDER, GATE, NAMES, Gateway, Line

# So many answers of each line are looked at while something is wrong with one.
ANSWERS = 2_000
LINES = {name: Line(name) for name in NAMES}
CANARY = {name: f"canary.{name}.80.svc" for name in NAMES}
FAILURE = b"HTTP/1.1 500 Oops\r\ncontent-length: 5\r\n\r\noops\n"


@dataclass
class Cluster:
    """The three lines, side by side."""

    gateways: dict[str, Gateway]
    # The canaries that can be told what to do.
    canaries: dict[str, Upstream]

    def port(self, line: str) -> int:
        """Where a line's clients come in."""
        return self.gateways[line].port(GATE)

    @contextmanager
    def load(self, **statuses: tuple[int, ...]) -> Iterator[dict[str, Load]]:
        """Load on all lines; a request that gets another status than 200, or those of its line, fails."""
        with ExitStack() as stack:
            yield {
                name: stack.enter_context(Load(self.port(name), statuses=statuses.get(name, (200,))))
                for name in NAMES
            }

    def more(self, loads: dict[str, Load], *lines: str) -> dict[str, Counter[Shown]]:
        """What these lines answer from now on, enough of it to be judged."""
        before = {name: Counter(loads[name].seen) for name in lines}
        found: dict[str, Counter[Shown]] = {}

        def enough() -> bool:
            for name in lines:
                loads[name].check()
                found[name] = Counter(loads[name].seen) - before[name]
            return all(counts.total() >= ANSWERS for counts in found.values())

        self.gateways["shop"].wait_for(enough, "answers", timeout=120)
        return found


def answers(line: str) -> dict[tuple[str, str, str], float]:
    """The shares of what a line's plain requests are answered."""
    canary = LINES[line].cluster(CANARY[line])
    # A canary that can be told what to do does not say its name.
    told = {"shop": "ok", "pay": "ok"}
    return {
        (told.get(line, body) if body == canary else body, rule, upstream): share
        for (body, rule, upstream), share in LINES[line].shares.items()
    }


def as_configured(found: dict[str, Counter[Shown]]) -> None:
    """Every answer is one that the rules of its line allow, and they are there in their shares."""
    looked_at = sum(len(answers(name)) for name in found)
    for name, counts in found.items():
        assert counts.keys() <= answers(name).keys(), (name, counts)
        for answer, share in answers(name).items():
            least, most = bounds(counts.total(), share, looked_at)
            assert least <= counts[answer] <= most, (name, answer, counts)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """All that runs."""
    with ExitStack() as stack:
        canaries = {name: stack.enter_context(Upstream()) for name in ("shop", "pay")}
        for canary in canaries.values():
            canary.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        gateways = {}
        for name, line in LINES.items():
            ports = {line.cluster(CANARY[name]): canaries[name].port} if name in canaries else {}
            gateways[name] = stack.enter_context(Gateway(line, ports))
        yield Cluster(gateways, canaries)


def test_every_line_does_what_its_rules_say(cluster: Cluster) -> None:
    with cluster.load() as loads:
        as_configured(cluster.more(loads, *NAMES))
    # Each has its own: what moves one line's request is nothing to another.
    for name, gateway in cluster.gateways.items():
        with Connection(gateway.port(GATE)) as connection:
            moved = connection.request("GET", "/", [("x-tester", "yes")])
            forged = connection.request("GET", "/", [("x-tse-route-upstream", CANARY["pay"])])
        tester = moved.header("x-kong-route-rule") == "20"
        assert tester == (name == "pay"), moved
        assert forged.header("x-kong-route-upstream") in {
            upstream for _, _, upstream in LINES[name].shares
        }


def test_each_metric_says_its_domain_and_its_line(cluster: Cluster) -> None:
    for name, gateway in cluster.gateways.items():
        series = gateway.metrics()
        assert {one.name for one in series} >= {"tse_route_requests_total", "tse_route_configured_weight"}
        for one in series:
            assert (one.label("domain"), one.label("line")) == (LINES[name].domain, name), one
        # Envoy's own too.
        (own,) = gateway.metrics("envoy_server_uptime")
        assert (own.label("domain"), own.label("line")) == (LINES[name].domain, name), own


def errors(gateway: Gateway) -> dict[str | None, float]:
    """The filter's errors, by reason."""
    found = gateway.metrics("tse_route_errors_total")
    return {one.label("reason"): value for one, value in found.items() if value}


def test_a_broken_configuration_of_one_line(cluster: Cluster) -> None:
    """It is refused where it was sent, and the line's old rules hold."""
    shop = cluster.gateways["shop"]
    with cluster.load() as loads:
        shop.configure(GATE, {"rules": [{"weight": 1000}]})
        shop.wait_for(lambda: errors(shop).get("invalid-config"), "the refusal")
        as_configured(cluster.more(loads, *NAMES))
    assert {name: errors(gateway) for name, gateway in cluster.gateways.items() if name != "shop"} == {
        "pay": {},
        "stock": {},
    }


def test_a_saturated_upstream_of_one_line(cluster: Cluster) -> None:
    """It takes what its limits say, the rest is refused at once, and nobody else waits."""
    pay, limits = cluster.gateways["pay"], LINES["pay"].limits
    canary = LINES["pay"].cluster(CANARY["pay"])
    waiting = limits["maxConnections"] + limits["maxPendingRequests"]
    request = head("GET", "/", [("x-tester", "yes")])

    def stat(name: str) -> int:
        return pay.stats(f"^cluster.{canary}.{name}$").get(f"cluster.{canary}.{name}", 0)

    with ExitStack() as stack:
        held = cluster.canaries["pay"]
        held.hold()
        stack.callback(held.release)
        clients = [stack.enter_context(Connection(cluster.port("pay"))) for _ in range(waiting)]
        full = lambda: (stat("upstream_rq_active"), stat("upstream_rq_pending_active"))  # noqa: E731
        for taken, client in enumerate(clients, 1):
            client.send(request)
            # One after the other: what waits for its connection counts as pending.
            pay.wait_for(lambda: sum(full()) == taken, "a place to be taken")
        expected = (limits["maxConnections"], limits["maxPendingRequests"])
        assert full() == expected
        with cluster.load() as loads:
            for _ in range(10):
                with Connection(cluster.port("pay")) as client:
                    refused = client.request("GET", "/", [("x-tester", "yes")])
                assert refused.status == 503 and refused.header("x-kong-route-rule") == "20"
            # The line's other customers, too.
            as_configured(cluster.more(loads, *NAMES))
        assert full() == expected
        held.release()
        for client in clients:
            assert client.receive().status == 200


@pytest.fixture
def failing(cluster: Cluster) -> Iterator[None]:
    """The shop's canary fails, and is well again afterwards."""
    canary = cluster.canaries["shop"]
    well, canary.answer = canary.answer, FAILURE
    yield
    canary.answer = well


def opened(gateway: Gateway) -> float:
    """How often a circuit breaker of a gateway has opened."""
    return gateway.value("tse_route_breaker_changes_total", **{
        "domain": gateway.line.domain, "line": gateway.line.name, "state": "open"
    }) or 0


@pytest.mark.usefixtures("failing")
def test_an_open_circuit_breaker_of_one_line(cluster: Cluster) -> None:
    """The line's own breaker takes the canary out; the others have not heard of it."""
    shop = cluster.gateways["shop"]
    stable = next(shown for shown in answers("shop") if shown[2] != CANARY["shop"])
    with cluster.load(shop=(200, 500)) as loads:
        shop.wait_for(lambda: opened(shop) or loads["shop"].check(), "the breaker to open", timeout=120)
        shop.wait_for(lambda: loads["shop"].settled(stable, 300), "the canary to get nothing")
        as_configured(cluster.more(loads, "pay", "stock"))
    assert loads["shop"].seen["oops\n", "10", CANARY["shop"]] > 0
    assert [opened(cluster.gateways[name]) for name in ("pay", "stock")] == [0, 0]


@pytest.mark.usefixtures("failing")
def test_prometheus_tells_the_lines_apart(cluster: Cluster) -> None:
    """By the scraping that is shown: Envoys that say their line, a Kong whose pods have labels."""
    kong = Kong()
    ports = {name: gateway.admin_port for name, gateway in cluster.gateways.items()}
    pod = "__meta_kubernetes_pod_"
    name, port = f"{pod}label_app_kubernetes_io_name", f"{pod}container_port_name"
    labels = {one: {name: "envoy", port: "metrics"} for one in ports.values()}
    labels[kong.port] = {name: "kong", port: "status", f"{pod}label_domain": "external", f"{pod}label_line": "pay"}
    targets = {"envoy": list(ports.values()), "kong": [kong.port]}
    try:
        with Prometheus(targets, FOLDER / "prometheus.yml", labels) as prometheus:
            asked = "sum by (job, domain, line) (tse_route:requests:rate2m)"
            expected = {("envoy", line.domain, one) for one, line in LINES.items()}
            expected.add(("kong", "external", "pay"))
            with cluster.load(shop=(200, 500)) as loads:

                def told_apart() -> bool:
                    for load in loads.values():
                        load.check()
                    kong.serve("stable", 10)
                    found = [one for one, rate in prometheus.query(asked) if rate > 0]
                    return {(one["job"], one.get("domain"), one.get("line")) for one in found} == expected

                prometheus.wait_for(told_apart, "all lines", timeout=60)
                breaker = Alert("TseRouteBreakerOpen", "envoy", "visitors", CANARY["shop"], "shop")
                prometheus.wait_for(lambda: breaker in prometheus.alerts(), "the alert", timeout=120)
            assert {alert.line for alert in prometheus.alerts()} == {"shop"}
            # The dashboard's variable.
            for title, query in dashboard_queries("stock").items():
                found = prometheus.query(query)
                assert found or title in {"Requests B", "Circuit breakers A", "Errors A"}, title
                assert {one["line"] for one, _ in found} <= {"stock"}, title
    finally:
        kong.close()
