"""The shipped tracing: spans of a real Envoy, as an OpenTelemetry receiver gets them."""

from __future__ import annotations

import copy
import json
import secrets
import socket
import socketserver
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client import Connection, head, request
from gateway import Listener
from observed import Observed, collector_at, fragment, shown
from receiver import Receiver, Span
from upstreams import Echo, echoed

SHIPPED = fragment("tracing.yaml")
TRACE_ID = fragment("trace-id.yaml")["http_filters"]
LANE, BY_TRACE = shown("traces.md", "rules")
[REQUEST_ID] = shown("traces.md", "request_id_extension")
EDGE_HEADER = "x-target-version"
BREAKER = {"min_requests": 5, "max_error_rate": 0.5, "cooldown": "10m", "fallback": "own"}


def rule(name: str, weight: int, *upstreams: str | None, **more: Any) -> dict[str, Any]:
    """A rule for requests with a header of its name."""
    return {
        "name": name,
        "weight": weight,
        "condition": {"header": {"key": name, "operator": "exists"}},
        "upstream": [{"name": upstream} for upstream in upstreams],
        **more,
    }


RULES = [
    rule("routed", 50, "canary"),
    rule("kept", 49, None),
    rule("gone", 48, "gone"),
    rule("unknown", 47, "unknown"),
    rule("broken", 46, "broken"),
    rule("silent", 45, "silent"),
    rule("guarded", 44, "gone", circuit_breaker=BREAKER),
    rule("body", 43, "canary")
    | {"condition": {"body": {"key": "tier", "operator": "eq", "value": "gold"}}},
]


def tracing(**changes: Any) -> dict[str, Any]:
    """The connection manager's field, as shipped but for these."""
    return {"tracing": copy.deepcopy(SHIPPED["tracing"]) | changes}


def by_http() -> dict[str, Any]:
    """As shipped, but by OTLP over HTTP, which is what Kong speaks."""
    manager = tracing()
    config = manager["tracing"]["provider"]["typed_config"]
    del config["grpc_service"]
    uri = {"uri": "http://collector/v1/traces", "cluster": "http-collector", "timeout": "1s"}
    config["http_service"] = {"http_uri": uri}
    return manager


def tagged_from(header: str) -> dict[str, Any]:
    """As shipped, with another `upstream_header`."""
    manager = tracing()
    [tag] = [t for t in manager["tracing"]["custom_tags"] if t["tag"] == "tse_route.upstream"]
    tag["request_header"]["name"] = header
    return manager


def config(**fields: Any) -> dict[str, Any]:
    """The filter's configuration, with what spans need of it."""
    return {"rules": RULES, **fields}


class Keyed(Listener):
    """A listener that makes the trace id a request header, as shipped."""

    def resource(self, name: str, directory: Path) -> dict[str, Any]:
        """The listener, with the shipped filter before this one."""
        resource = super().resource(name, directory)
        [manager] = resource["filter_chains"][0]["filters"]
        filters = manager["typed_config"]["http_filters"]
        filters[:0] = copy.deepcopy(TRACE_ID)
        return resource


def listeners() -> dict[str, Listener]:
    """Gateways with the same rules, which differ in how they trace."""
    edge = config(route_by="header", upstream_header=EDGE_HEADER)
    quiet = config(response_headers=False, access_log=False)
    return {
        "main": Listener(config(), manager=tracing()),
        "quiet": Listener(quiet, manager=tracing()),
        "edge": Listener(edge, header=EDGE_HEADER, manager=tagged_from(EDGE_HEADER)),
        "http": Listener(config(), manager=by_http()),
        "untraced": Listener(config()),
        "lane": Listener(LANE),
        **keyed_listeners(),
    }


def keyed_listeners() -> dict[str, Listener]:
    """Gateways that split between `stable` and `canary` as the page has it, by their key."""
    unsampled = tracing(random_sampling={"value": 0})
    return {
        "by-trace": Keyed(BY_TRACE, manager=tracing()),
        "by-trace-unsampled": Keyed(BY_TRACE, manager=unsampled),
        "by-header": Listener(hashing("traceparent"), manager=tracing()),
        "by-request": Listener(hashing("x-request-id"), manager=REQUEST_ID),
        "by-request-traced": Listener(
            hashing("x-request-id"), manager={**REQUEST_ID, **tracing()}
        ),
        "by-packed-request": Listener(hashing("x-request-id")),
        "by-packed-request-traced": Listener(hashing("x-request-id"), manager=tracing()),
    }


def hashing(header: str) -> dict[str, Any]:
    """The page's rule, by another header."""
    changed = copy.deepcopy(BY_TRACE)
    changed["rules"][0]["hash_on_header"] = header
    return changed


class Traced(Observed):
    """An Envoy with the shipped tracing, whose collector is on loopback."""

    def __init__(self, receiver: Receiver, listeners: dict[str, Listener], ports: dict[str, int]):
        super().__init__(listeners, ports={**ports, "http-collector": receiver.http_port})
        self._receiver = receiver

    def span(self, trace_id: str) -> Span:
        """The span of the one request of a trace."""
        self.wait_for(lambda: self._receiver.spans(trace_id), f"the span of {trace_id}", 30)
        [span] = self._receiver.spans(trace_id)
        return span

    def _compose(self) -> dict[str, Any]:
        bootstrap = super()._compose()
        clusters = collector_at(self._receiver.grpc_port, SHIPPED["clusters"])
        bootstrap["static_resources"]["clusters"] += clusters
        # Each span is sent at once, instead of five together or those of five seconds.
        at_once = {"tracing.opentelemetry.min_flush_spans": 1}
        bootstrap["layered_runtime"] = {"layers": [{"name": "test", "static_layer": at_once}]}
        return bootstrap


class Trace:
    """A client's trace, with the headers of W3C Trace Context."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(16)
        self.parent = secrets.token_hex(8)
        self.headers = [
            ("traceparent", f"00-{self.id}-{self.parent}-01"),
            ("tracestate", "vendor=opaque,other=1"),
            ("baggage", "session=7,lane=blue;ttl=1"),
        ]

    def with_a_span(self) -> tuple[str, str]:
        """The header of another request of this trace."""
        return "traceparent", f"00-{self.id}-{secrets.token_hex(8)}-01"


class Garbage(socketserver.BaseRequestHandler):
    """Answers what is no HTTP."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"nonsense\r\n\r\n")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A receiver for OpenTelemetry."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def envoy(receiver: Receiver) -> Iterator[Traced]:
    """`gone` refuses connections, `silent` never answers, `broken` does not speak HTTP."""
    with (
        Echo(["own", "stable", "canary"]) as echo,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Garbage) as broken,
        socket.socket() as gone,
        socket.socket() as silent,
    ):
        threading.Thread(target=broken.serve_forever, daemon=True).start()
        gone.bind(("127.0.0.1", 0))  # and never listens
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        ports = {
            **echo.ports,
            "gone": gone.getsockname()[1],
            "silent": silent.getsockname()[1],
            "broken": broken.server_address[1],
        }
        try:
            with Traced(receiver, listeners(), ports) as envoy:
                yield envoy
        finally:
            broken.shutdown()


@pytest.mark.parametrize(
    ("header", "status", "decision"),
    [
        ("routed", 200, {"rule": "50", "upstream": "canary"}),
        ("kept", 200, {"rule": "49"}),
        ("none", 200, {}),
        ("gone", 503, {"rule": "48", "upstream": "gone"}),
        ("unknown", 503, {"rule": "47", "upstream": "unknown"}),
        ("broken", 502, {"rule": "46", "upstream": "broken"}),
    ],
)
@pytest.mark.parametrize("listener", ["main", "http", "edge"])
def test_a_span(
    envoy: Traced, listener: str, header: str, status: int, decision: dict[str, str]
) -> None:
    """Names the rule and the upstream of requests that are routed, kept, unrouted, failed."""
    trace = Trace()
    answer = request(envoy.port(listener), "GET", "/cart", [(header, "1"), *trace.headers])
    assert answer.status == status
    span = envoy.span(trace.id)
    assert span.service == "gateway"
    assert span.attributes["http.status_code"] == str(status)
    assert span.is_error == (status >= 500)
    assert span.decision() == decision


def test_a_client_that_went_away(envoy: Traced) -> None:
    """There never was a response; the decision was made all the same."""
    trace = Trace()
    active = "cluster.silent.upstream_rq_active"
    with Connection(envoy.port("main")) as connection:
        connection.send(head("GET", "/", [("silent", "1"), *trace.headers]))
        envoy.wait_for(lambda: envoy.stats(active).get(active), "the request")
    span = envoy.span(trace.id)
    assert span.attributes["response_flags"] == "DC"  # the downstream has closed the connection
    assert span.decision() == {"rule": "45", "upstream": "silent"}


def test_a_rule_that_waited_for_the_body(envoy: Traced) -> None:
    """Both when it matches and when it does not."""
    for tier, decision in (("gold", {"rule": "43", "upstream": "canary"}), ("tin", {})):
        trace = Trace()
        headers = [("content-type", "application/json"), *trace.headers]
        body = json.dumps({"tier": tier}).encode()
        assert request(envoy.port("main"), "POST", "/", headers, body=body).status == 200
        assert envoy.span(trace.id).decision() == decision


def test_an_open_circuit_breaker(envoy: Traced) -> None:
    """The span names where the request went, not where it would have gone."""
    seen = []
    with Connection(envoy.port("main")) as connection:
        for _ in range(BREAKER["min_requests"] + 1):
            trace = Trace()
            status = connection.request("GET", "/", [("guarded", "1"), *trace.headers]).status
            seen.append((status, envoy.span(trace.id).decision()))
    failed = (503, {"rule": "44", "upstream": "gone"})
    assert seen[:-1] == [failed] * BREAKER["min_requests"]
    assert seen[-1] == (200, {"rule": "44", "upstream": "own"})


def test_the_tries_at_upstreams(envoy: Traced, receiver: Receiver) -> None:
    """A span for each, behind that of the request, with the same attributes."""
    for header, upstream in (("routed", "canary"), ("gone", "gone")):
        trace = Trace()
        request(envoy.port("main"), "GET", "/", [(header, "1"), *trace.headers])
        span = envoy.span(trace.id)
        envoy.wait_for(lambda: receiver.spans(trace.id, "client"), "the span of the try")  # noqa: B023
        [tried] = receiver.spans(trace.id, "client")
        assert (tried.trace_id, tried.parent_id) == (span.trace_id, span.span_id)
        assert tried.decision() == span.decision()
        assert tried.attributes["upstream_cluster.name"] == upstream


def test_a_gateway_in_front_that_decides_nothing(envoy: Traced, receiver: Receiver) -> None:
    """Does not show what one behind has decided, whose response headers pass through it."""
    trace = Trace()
    front = Listener({"rules": [rule("other", 1, "canary")]}, manager=tracing())
    with Traced(receiver, {"main": front}, {"own": envoy.port("main")}) as gateway:
        answer = request(gateway.port("main"), "GET", "/", [("routed", "1"), *trace.headers])
        assert answer.header("x-kong-route-rule") == "50"
        gateway.wait_for(lambda: len(receiver.spans(trace.id)) == 2, "both spans")
    decisions = {span.parent_id == trace.parent: span.decision() for span in receiver.spans(trace.id)}
    assert decisions == {True: {}, False: {"rule": "50", "upstream": "canary"}}


def test_without_filter_state(envoy: Traced) -> None:
    """`access_log: false` leaves the upstream alone, which is in the request."""
    trace = Trace()
    request(envoy.port("quiet"), "GET", "/", [("routed", "1"), *trace.headers])
    assert envoy.span(trace.id).decision() == {"upstream": "canary"}


def test_a_forged_upstream(envoy: Traced) -> None:
    """A client's own header is no decision."""
    for header, decision in (("kept", {"rule": "49"}), ("none", {})):
        trace = Trace()
        headers = [(header, "1"), ("x-tse-route-upstream", "canary"), *trace.headers]
        assert echoed(request(envoy.port("main"), "GET", "/", headers)).upstream == "own"
        assert envoy.span(trace.id).decision() == decision


def test_the_page_shows_what_is_shipped() -> None:
    """The lines that matter are those of the file."""
    [tags] = shown("traces.md", "custom_tags")
    assert tags["custom_tags"] == SHIPPED["tracing"]["custom_tags"]


def test_headers_for_the_tracers_of_services(envoy: Traced) -> None:
    """What the caller's span can note, and that of the service behind."""
    answer = request(envoy.port("lane"), "GET", "/")
    assert answer.header("x-kong-route-rule") == "0"
    assert answer.header("x-kong-route-upstream") == "canary"
    assert echoed(answer).all("x-lane") == ["canary"]


@pytest.mark.parametrize("header", ["routed", "kept", "none"])
def test_the_filter_leaves_the_context_alone(envoy: Traced, header: str) -> None:
    """Through an Envoy that does not trace, W3C's headers come as they were sent."""
    trace = Trace()
    state = ("tracestate", "second=of-two")
    sent = [*trace.headers, state]
    received = echoed(request(envoy.port("untraced"), "GET", "/", [(header, "1"), *sent]))
    names = {name for name, _ in sent}
    assert [pair for pair in received.headers if pair[0] in names] == sent


@pytest.mark.parametrize("header", ["routed", "kept", "none"])
def test_a_trace_is_continued(envoy: Traced, receiver: Receiver, header: str) -> None:
    """By Envoy, whatever the decision: the same trace, and each span behind the one before it."""
    trace = Trace()
    received = echoed(request(envoy.port("main"), "GET", "/", [(header, "1"), *trace.headers]))
    span = envoy.span(trace.id)
    envoy.wait_for(lambda: receiver.spans(trace.id, "client"), "the span of the try")
    [tried] = receiver.spans(trace.id, "client")
    assert (span.parent_id, tried.parent_id) == (trace.parent, span.span_id)
    assert received.all("traceparent") == [f"00-{trace.id}-{tried.span_id}-01"]
    assert received.all("tracestate") == ["vendor=opaque,other=1"]
    assert span.state == tried.state == "vendor=opaque,other=1"
    assert received.all("baggage") == ["session=7,lane=blue;ttl=1"]


def test_the_receiver_refuses_what_is_no_span(receiver: Receiver) -> None:
    """So that whatever it has taken was OTLP."""

    def post(path: str, body: bytes) -> int:
        url = f"http://127.0.0.1:{receiver.http_port}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert [post("/v1/traces", b""), post("/v1/traces", b"\xff"), post("/v1/logs", b"")] == [200, 400, 404]


# So many that by chance all are on one version, or no two gateways differ, once in 2^40 runs.
TRACES = 42
# What a service passes on to those that it calls.
PASSED_ON = ("traceparent", "tracestate", "x-request-id")
BOTH = {("stable", "stable"), ("canary", "canary")}


def versions(
    envoy: Traced, edge: str, behind: str, *headers: tuple[str, str]
) -> tuple[str, str]:
    """What a gateway chooses, and one behind it for what the service calls."""
    first = echoed(request(envoy.port(edge), "GET", "/", headers))
    calls = [pair for pair in first.headers if pair[0] in PASSED_ON]
    return first.upstream, echoed(request(envoy.port(behind), "GET", "/", calls)).upstream


@pytest.mark.parametrize("listener", ["by-trace", "by-trace-unsampled"])
def test_a_trace_as_the_key(envoy: Traced, listener: str) -> None:
    """Every gateway sends a trace the same way, with all its requests, recorded or not."""

    def chosen(*headers: tuple[str, str]) -> tuple[str, str]:
        return versions(envoy, listener, listener, *headers)

    assert {chosen(*Trace().headers) for _ in range(TRACES)} == BOTH
    # Traces that begin here, and a client that would choose the id by the header's name.
    assert {chosen(("x-trace-id", "chosen")) for _ in range(TRACES)} == BOTH
    trace = Trace()
    assert len({chosen(trace.with_a_span()) for _ in range(TRACES)}) == 1


def test_the_header_of_a_trace_is_no_key(envoy: Traced) -> None:
    """`traceparent` names a span too, so that gateways and requests of one trace disagree."""
    trace = Trace()
    seen = {
        versions(envoy, "by-header", "by-header", trace.with_a_span()) for _ in range(TRACES)
    }
    assert {edge for edge, _ in seen} == {"stable", "canary"}
    assert seen - BOTH


def test_a_request_id_as_the_key(envoy: Traced) -> None:
    """Envoy makes one where there is none, and keeps it as it is where it is told to."""
    seen = {versions(envoy, "by-request", "by-request-traced") for _ in range(TRACES)}
    assert seen == BOTH
    packed = {
        versions(envoy, "by-packed-request", "by-packed-request-traced") for _ in range(TRACES)
    }
    assert packed - BOTH
