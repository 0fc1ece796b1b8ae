"""The filter's metrics on the `/stats/prometheus` of a real Envoy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from client import Connection, head, load, request
from gateway import Listener, example
from observed import Observed, fragment

SVC = "demo1.default.80.svc"
ISTIO = "outbound|80|v1|x.y.svc.cluster.local"
ODD = 'a;b=c:d. "q"\\x ü'


def rule(header: str, *upstreams: tuple[str | None, float], **more: Any) -> dict[str, Any]:
    """A rule for requests with this header."""
    return {
        "condition": {"header": {"key": header, "operator": "exists"}},
        "upstream": [{"name": name, "weight": weight} for name, weight in upstreams],
        **more,
    }


BREAKER = {"min_requests": 5, "max_error_rate": 0.5, "cooldown": "2s", "fallback": "own"}
BODY = {"body": {"key": "a", "operator": "eq", "value": "1"}}
MAIN = {
    "rules": [
        rule("split", (SVC, 20), ("own", 30), (None, 50), name="split", weight=50),
        rule("odd", (SVC, 100), name=ODD, weight=49),
        rule("unnamed", (ISTIO, 25), weight=48),
        rule("gone", ("gone", 100), name="gone", weight=47),
        rule("unknown", ("unknown", 100), name="unknown", weight=46),
        rule("guarded", ("gone", 100), name="guarded", weight=45, circuit_breaker=BREAKER),
        rule("silent", ("silent", 100), name="silent", weight=44),
        {"condition": BODY, "upstream": [{"name": "own"}], "name": "body", "weight": 1},
    ]
}
ROLLOUT = {
    "rules": [
        {
            "name": "rollout",
            "upstream": [{"name": "own", "weight": 100}, {"name": SVC, "weight": 0}],
            "rollout": {
                "start": "2020-01-01T00:00:00Z",
                "stages": [{"after": "1h", "weights": {SVC: 12.5}}],
            },
        }
    ]
}
LISTENERS = {
    "main": Listener(MAIN),
    "rollout": Listener(ROLLOUT),
    "uncounted": Listener({**MAIN, "metrics": False}),
    "quiet": Listener({**MAIN, "log_decisions": True}),
}


@pytest.fixture(scope="module")
def envoy() -> Iterator[Observed]:
    """Gateways with rules of every kind; `gone` refuses connections, `silent` never answers."""
    with socket.socket() as gone, socket.socket() as silent:
        gone.bind(("127.0.0.1", 0))  # and never listens
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        ports = {"gone": gone.getsockname()[1], "silent": silent.getsockname()[1]}
        with Observed(LISTENERS, named=("own", SVC, ISTIO), ports=ports, concurrency=2) as envoy:
            yield envoy


def test_the_example_has_the_same_tags() -> None:
    """Whoever starts from `examples/envoy.yaml` has the labels."""
    assert example()["stats_config"] == fragment("stats.yaml")["stats_config"]


def test_every_series_starts_at_zero(envoy: Observed) -> None:
    """So that the first of anything is seen as a rise."""
    assert envoy.value("tse_route_requests_total", rule="gone", upstream="gone") == 0
    for status in ("2xx", "3xx", "4xx", "5xx"):
        labels = {"rule": "gone", "upstream": "gone", "class": status}
        assert envoy.value("tse_route_responses_total", **labels) == 0
    assert envoy.value("tse_route_breaker_state", rule="guarded", upstream="gone") == 0
    assert envoy.value("tse_route_errors_total", reason="invalid-config") == 0


def test_requests_by_rule_and_upstream(envoy: Observed) -> None:
    """The counters equal what the client saw, over all workers."""
    seen = load(envoy.port("main"), 400, [("split", "1")], show=["x-kong-route-upstream"])
    expected: dict[str, int] = {}
    for (_, shown), count in seen.items():
        expected[shown or "(own)"] = expected.get(shown or "(own)", 0) + count
    assert len(expected) == 3
    for upstream, count in expected.items():
        labels = {"rule": "split", "upstream": upstream}
        assert envoy.value("tse_route_requests_total", **labels) == count
        assert envoy.value("tse_route_responses_total", **labels, **{"class": "2xx"}) == count
        assert envoy.value("tse_route_upstream_latency_ms_count", **labels) == count


def test_names_are_kept_as_they_are(envoy: Observed) -> None:
    """Dots, bars and quotes; only a semicolon, which separates labels, becomes a comma."""
    request(envoy.port("main"), "GET", "/", [("odd", "1")])
    labels = {"rule": ODD.replace(";", ",").replace("\\", "\\\\").replace('"', '\\"')}
    assert envoy.value("tse_route_requests_total", **labels, upstream=SVC) == 1
    seen = load(envoy.port("main"), 40, [("unnamed", "1")], show=["x-kong-route-upstream"])
    istio = sum(count for (_, shown), count in seen.items() if shown == ISTIO)
    assert 0 < istio < 40
    assert envoy.value("tse_route_requests_total", rule="48", upstream=ISTIO) == istio
    assert envoy.value("tse_route_requests_total", rule="48", upstream="(own)") == 40 - istio


def test_an_unmatched_request(envoy: Observed) -> None:
    """Is counted, and nothing else is."""
    before = envoy.metrics()
    request(envoy.port("main"), "GET", "/")
    after = envoy.metrics()
    changed = {series.name for series in after if after[series] != before.get(series)}
    assert changed == {"tse_route_unmatched_total"}


def test_what_envoy_answers_itself_has_no_latency(envoy: Observed) -> None:
    """A refused connection and an unknown cluster are 503; neither is an upstream's time."""
    for name in ("gone", "unknown"):
        assert request(envoy.port("main"), "GET", "/", [(name, "1")]).status == 503
        labels = {"rule": name, "upstream": name}
        assert envoy.value("tse_route_responses_total", **labels, **{"class": "5xx"}) == 1
        assert envoy.value("tse_route_upstream_latency_ms_count", **labels) == 0


def test_an_answer_that_never_came(envoy: Observed) -> None:
    """The client left: no class of status."""
    labels = {"rule": "silent", "upstream": "silent"}
    with Connection(envoy.port("main")) as connection:
        connection.send(head("GET", "/", [("silent", "1")]))
        count = lambda: envoy.value("tse_route_requests_total", **labels) == 1  # noqa: E731
        envoy.wait_for(count, "the request")
    none = lambda: envoy.value("tse_route_responses_total", **labels, **{"class": "none"}) == 1  # noqa: E731
    envoy.wait_for(none, "the end of the request")


def test_a_body_that_cannot_be_parsed(envoy: Observed) -> None:
    """Is an error with its reason, and the request is unmatched."""
    before = envoy.value("tse_route_errors_total", reason="body-unparsable") or 0
    json_type = ("content-type", "application/json")
    request(envoy.port("main"), "POST", "/", [json_type], body=b"{")
    assert envoy.value("tse_route_errors_total", reason="body-unparsable") == before + 1


def test_the_state_of_a_circuit_breaker(envoy: Observed) -> None:
    """0 closed, 2 open, then 1 half-open without any request."""
    labels = {"rule": "guarded", "upstream": "gone"}
    with Connection(envoy.port("main")) as connection:
        for _ in range(6):
            connection.request("GET", "/", [("guarded", "1")])
        assert envoy.value("tse_route_breaker_state", **labels) == 2
        assert envoy.value("tse_route_breaker_changes_total", state="open") == 1
        assert connection.request("GET", "/", [("guarded", "1")]).status == 200
    half_open = lambda: envoy.value("tse_route_breaker_state", **labels) == 1  # noqa: E731
    envoy.wait_for(half_open, "the end of the cooldown", 10)
    assert 'circuit breaker: rule="guarded" upstream=gone state=open' in envoy.log()


def test_configured_weights(envoy: Observed) -> None:
    """In hundredths, those of the moment where they change by the clock."""

    def weight(rule: str, upstream: str) -> float | None:
        return envoy.value("tse_route_configured_weight", rule=rule, upstream=upstream)

    assert [weight("split", upstream) for upstream in (SVC, "own", "(own)")] == [2000, 3000, 5000]
    assert [weight("48", upstream) for upstream in (ISTIO, "(own)")] == [2500, 7500]
    assert [weight("rollout", upstream) for upstream in (SVC, "own")] == [1250, 8750]


def test_metrics_can_be_switched_off(envoy: Observed) -> None:
    """Nothing that this configuration decides is counted."""
    before = envoy.metrics()
    for name in ("split", "none"):
        request(envoy.port("uncounted"), "GET", "/", [(name, "1")])
    assert envoy.metrics() == before


def test_decisions_are_explained_at_debug_level(envoy: Observed) -> None:
    """Only where that is configured and the gateway logs debug lines."""
    for port in ("main", "quiet"):
        request(envoy.port(port), "GET", "/", [("odd", "1")])
    assert "decision:" not in envoy.log()
    envoy.command("/logging?wasm=debug")
    try:
        request(envoy.port("main"), "GET", "/", [("odd", "1")])
        assert "decision:" not in envoy.log()
        request(envoy.port("quiet"), "GET", "/", [("split", "1")])
        request(envoy.port("quiet"), "GET", "/", [("odd", "1")])
        request(envoy.port("quiet"), "GET", "/")
    finally:
        envoy.command("/logging?wasm=info")
    lines = [line for line in envoy.log().splitlines() if "decision:" in line]
    assert len(lines) == 3
    assert 'rule="split" weight=50 upstream=' in lines[0] and "by=chance" in lines[0]
    assert f"upstream={SVC} share=100 by=only" in lines[1]
    assert lines[2].endswith("decision: no rule matches")


def many(rules: int) -> dict[str, Any]:
    """So many rules with three upstreams each."""
    return {
        "rules": [
            rule(f"h{index}", ("a", 50), ("b", 30), ("c", 20), name=f"rule-{index}")
            for index in range(rules)
        ]
    }


@pytest.mark.parametrize("rules", [1_000, 1_001])
def test_the_number_of_series_is_bounded(rules: int) -> None:
    """3 000 pairs are counted one by one, the others together and with a warning."""
    with Observed({"main": Listener(many(rules))}, named=("own", "a", "b", "c")) as envoy:
        last = f"h{rules - 1}"
        load(envoy.port("main"), 50, [(last, "1")])
        pairs = {
            (series.label("rule"), series.label("upstream")): value
            for series, value in envoy.metrics("tse_route_requests_total").items()
        }
        warned = 'counted together as rule="(other)"' in envoy.log()
        rest = pairs.pop(("(other)", "(other)"), None)
        assert len(pairs) == 3_000
        assert (rest, warned) == ((None, False) if rules == 1_000 else (50, True))


def test_a_new_configuration_takes_over() -> None:
    """What is gone weighs nothing; a refused configuration is counted and changes nothing."""

    def listener(*upstreams: tuple[str, int]) -> dict[str, Listener]:
        return {"main": Listener({"rules": [rule("x", *upstreams, name="r")]})}

    with Observed(
        listener(("a", 90), ("b", 10)), named=("own", "a", "b", "c"), dynamic=True
    ) as envoy:

        def weights() -> tuple[float | None, ...]:
            of = lambda name: envoy.value("tse_route_configured_weight", rule="r", upstream=name)  # noqa: E731
            return of("a"), of("b"), of("c")

        envoy.wait_for(lambda: weights() == (9000, 1000, None), "the weights")
        envoy.replace(listener(("a", 80), ("c", 20)))
        # The old configuration goes only when its connections have.
        envoy.wait_for(lambda: weights() == (8000, 1000, 2000), "the new weights")
        envoy.replace({"main": Listener({"rules": [{"weight": 1000}]})})
        refused = lambda: (envoy.value("tse_route_errors_total", reason="invalid-config") or 0) > 0  # noqa: E731
        envoy.wait_for(refused, "the refusal")
        assert weights() == (8000, 1000, 2000)
