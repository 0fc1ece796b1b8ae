"""Conditions on the body, however it arrives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import http2
import pytest
from client import Connection, Response, chunk, head, request
from gateway import Envoy, Listener
from upstreams import Echo, Echoed, echoed

LIMIT = 1_000
LARGE_LIMIT = 400_000
JSON = ("content-type", "application/json")
FORM = ("content-type", "application/x-www-form-urlencoded")
TEXT = ("content-type", "text/plain")
CHUNKED = ("transfer-encoding", "chunked")


def rules(**config: Any) -> dict[str, Any]:
    """One rule on a parameter, which counts the lower, and one on the body as a whole."""

    def rule(weight: int, item: dict[str, Any]) -> dict[str, Any]:
        return {"weight": weight, "condition": {"body": item}, "upstream": [{"name": "canary"}]}

    return {
        "rules": [
            rule(2, {"operator": "prefix", "value": "whole body"}),
            rule(1, {"key": "user.name", "operator": "eq", "value": "me"}),
        ],
        **config,
    }


# What else a rule asks for decides without the body where it can.
WITH_HEADER = {
    "rules": [
        {
            "weight": 1,
            "condition": {
                "body": {"key": "user.name", "operator": "eq", "value": "me"},
                "header": {"key": "version", "operator": "eq", "value": "1"},
            },
            "upstream": [{"name": "canary"}],
        }
    ]
}

MANAGER = {"http_protocol_options": {"enable_trailers": True}}
LISTENERS = {
    "small": Listener(rules(body_max_bytes=LIMIT), manager=MANAGER),
    "large": Listener(rules(body_max_bytes=LARGE_LIMIT), manager=MANAGER),
    "usual": Listener(rules()),
    "with-header": Listener(WITH_HEADER),
    # Envoy holds no more than its own limit back, which is 1 MiB unless configured.
    "raised": Listener(
        rules(body_max_bytes=4 << 20), fields={"per_connection_buffer_limit_bytes": 5 << 20}
    ),
    "lowered": Listener(rules(), fields={"per_connection_buffer_limit_bytes": 32 << 10}),
    "misconfigured": Listener(rules(), plugin={"allow_on_headers_stop_iteration": False}),
}


@pytest.fixture(scope="module")
def envoy(echo: Echo) -> Iterator[Envoy]:
    """Gateways with rules on bodies."""
    with Envoy(LISTENERS, ports=echo.ports) as envoy:
        yield envoy


def received(envoy: Envoy, listener: str) -> Callable[[int], None]:
    """Waits until so many more bytes have reached Envoy: each piece comes in one of its own."""
    name = f"http.{listener}.downstream_cx_rx_bytes_total"

    def total() -> int:
        return envoy.stats(f"^{name}$")[name]

    before = total()
    return lambda sent: envoy.wait_for(lambda: total() - before >= sent, f"{sent} bytes in {name}")


def errors(envoy: Envoy, reason: str) -> int:
    """How often the filter has counted an error."""
    name = f"wasmcustom.tse_route_errors_total;reason={reason}"
    return envoy.stats("tse_route_errors_total").get(name, 0)


def post(envoy: Envoy, listener: str, body: bytes, *headers: tuple[str, str]) -> Echoed:
    """Sends a body in one piece; whatever becomes of it, the upstream gets all of it."""
    answer = echoed(request(envoy.port(listener), "POST", "/", headers, body=body))
    assert answer.body.encode("latin-1") == body
    return answer


def post_in_pieces(
    envoy: Envoy, listener: str, headers: Sequence[tuple[str, str]], pieces: Sequence[bytes]
) -> Echoed:
    """Sends a body in pieces, each when Envoy has read the one before."""
    with Connection(envoy.port(listener)) as connection:
        after_each = received(envoy, listener)
        return echoed(connection.request_in_pieces("POST", "/", headers, pieces, after_each))


def shown(answer: Echoed) -> tuple[str, str | None, str | None]:
    """The upstream that answered, and what the response headers say of it."""
    response = answer.response
    return (
        answer.upstream,
        response.header("x-kong-route-rule"),
        response.header("x-kong-route-upstream"),
    )


BY_KEY, BY_TEXT, NOT = ("canary", "1", "canary"), ("canary", "2", "canary"), ("own", None, None)


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        (JSON, b'{"user":{"name":"me"}}', BY_KEY),
        (JSON, b'{"user":{"name":"you"}}', NOT),
        (JSON, b'{"user":["me"]}', NOT),
        (JSON, b'{"user.name":"me"}', BY_KEY),
        (("content-type", "application/x+json; charset=utf-8"), b'{"user.name":"me"}', BY_KEY),
        (TEXT, b'{"user":{"name":"me"}}', BY_KEY),
        (FORM, b"a=1&user.name=me", BY_KEY),
        (FORM, b"user%2Ename=%6De", BY_KEY),
        (FORM, b"user.name=you&user.name=me", NOT),
        (FORM, b'{"user":{"name":"me"}}', NOT),
        (TEXT, b"whole body and more", BY_TEXT),
        (JSON, b"whole body that is no JSON", BY_TEXT),
        (TEXT, b"the whole body", NOT),
        (JSON, b"", NOT),
    ],
)
def test_content(
    envoy: Envoy, header: tuple[str, str], body: bytes, expected: tuple[str, str | None, str | None]
) -> None:
    """JSON by dotted keys, forms by fields, anything as a whole."""
    assert shown(post(envoy, "usual", body, header)) == expected


def test_without_a_body(envoy: Envoy) -> None:
    """There is nothing to wait for."""
    for method in ("GET", "HEAD", "DELETE"):
        response = request(envoy.port("usual"), method, "/")
        assert response.status == 200 and response.header("x-kong-route-rule") is None


ME = [b'{"user"', b':{"na', b'me":"', b"m", b'e"}}']
YOU = [*ME[:3], b"y", b'ou"}}']


@pytest.mark.parametrize(("pieces", "upstream"), [(ME, "canary"), (YOU, "own")])
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_several_packets(envoy: Envoy, pieces: list[bytes], upstream: str, chunked: bool) -> None:
    """The decision waits for the last of them."""
    body = b"".join(pieces)
    if chunked:
        headers = [JSON, CHUNKED]
        sent = [*map(chunk, pieces), chunk(b"") + b"\r\n"]
    else:
        headers = [JSON, ("content-length", str(len(body)))]
        sent = pieces
    answer = post_in_pieces(envoy, "small", headers, sent)
    assert (answer.upstream, answer.body.encode()) == (upstream, body)


def test_a_chunk_in_several_packets(envoy: Envoy) -> None:
    """Packets end anywhere, in the middle of a chunk's size, too."""
    body = b'{"user":{"name":"me"}}'
    data = chunk(body) + chunk(b"") + b"\r\n"
    pieces = [data[:1], data[1:3], data[3:20], data[20:-4], data[-4:-1], data[-1:]]
    answer = post_in_pieces(envoy, "small", [JSON, CHUNKED], pieces)
    assert (answer.upstream, answer.body.encode()) == ("canary", body)


@pytest.mark.parametrize(("pieces", "upstream"), [(ME, "canary"), (YOU, "own"), ([], "own")])
def test_trailers(envoy: Envoy, pieces: list[bytes], upstream: str) -> None:
    """Trailers end a body without a last piece of it."""
    sent = [*map(chunk, pieces), chunk(b"") + b"x-checksum: 7\r\n\r\n"]
    answer = post_in_pieces(envoy, "small", [JSON, CHUNKED], sent)
    assert (answer.upstream, answer.body.encode()) == (upstream, b"".join(pieces))


@pytest.mark.parametrize(("pieces", "upstream"), [(ME, "canary"), (YOU, "own")])
@pytest.mark.parametrize("trailers", [[], [("x-checksum", "7")]], ids=["no trailers", "trailers"])
def test_http2(
    envoy: Envoy, pieces: list[bytes], upstream: str, trailers: list[tuple[str, str]]
) -> None:
    """Frames in several packets, with and without trailers."""
    fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")]
    after_each = received(envoy, "small")
    with http2.Connection(envoy.port("small")) as connection:
        answer = connection.request([*fields, JSON], pieces, trailers, after_each)
    seen = echoed(Response(answer.status, (), answer.body))
    assert (seen.upstream, seen.body.encode()) == (upstream, b"".join(pieces))


def filled(size: int) -> bytes:
    """A body of exactly this size that the rule holds for, where it is read to its end."""
    frame = json.dumps({"fill": "", "user": {"name": "me"}}).encode()
    return frame.replace(b'""', b'"' + b"x" * (size - len(frame)) + b'"', 1)


@pytest.mark.parametrize(
    ("listener", "size", "upstream", "unreadable"),
    [
        ("small", LIMIT, "canary", 0),
        ("small", LIMIT + 1, "own", 1),
        ("small", 50 * LIMIT, "own", 1),
        ("usual", 65_536, "canary", 0),
        ("usual", 65_537, "own", 1),
        ("large", 300_000, "canary", 0),
        ("large", LARGE_LIMIT, "canary", 0),
        ("large", LARGE_LIMIT + 1, "own", 1),
    ],
)
@pytest.mark.parametrize("parts", [1, 5])
def test_limit(
    envoy: Envoy, listener: str, size: int, upstream: str, unreadable: int, parts: int
) -> None:
    """A body over the limit has no parameters, is counted, and still arrives as a whole."""
    body = filled(size)
    assert len(body) == size
    before = errors(envoy, "body-unreadable")
    step = -(-size // parts)
    pieces = [body[start : start + step] for start in range(0, size, step)]
    headers = [JSON, ("content-length", str(size))]
    answer = post_in_pieces(envoy, listener, headers, pieces)
    assert answer.upstream == upstream
    assert answer.body.encode() == body
    assert errors(envoy, "body-unreadable") - before == unreadable


@pytest.mark.parametrize(
    ("listener", "size", "status", "rule"),
    [
        ("raised", 2 << 20, 200, "1"),
        ("raised", 4 << 20, 200, "1"),
        ("raised", 6 << 20, 200, None),
        ("usual", 6 << 20, 200, None),
        ("lowered", 30 << 10, 200, "1"),
        # So `per_connection_buffer_limit_bytes` must not be less than `body_max_bytes`.
        ("lowered", 60 << 10, 413, None),
        ("lowered", 100 << 10, 200, None),
    ],
)
def test_limit_of_the_gateway(
    envoy: Envoy, listener: str, size: int, status: int, rule: str | None
) -> None:
    """Envoy answers 413 where it would have to hold back more than it may."""
    response = request(envoy.port(listener), "POST", "/", [JSON], body=filled(size))
    assert (response.status, response.header("x-kong-route-rule")) == (status, rule)


def upstream_gets(envoy: Envoy, requests: int) -> Callable[[], None]:
    """Waits until the service's own upstream has got so many more requests."""
    name = "cluster.own.upstream_rq_total"

    def total() -> int:
        return envoy.stats(f"^{name}$")[name]

    wanted = total() + requests
    return lambda: envoy.wait_for(lambda: total() == wanted, f"{wanted} requests upstream")


def test_a_body_over_the_limit_is_not_held_back(envoy: Envoy) -> None:
    """As soon as there is too much of it, the upstream gets the request."""
    body = filled(50 * LIMIT)
    released = upstream_gets(envoy, 1)
    with Connection(envoy.port("small")) as connection:
        connection.send(head("POST", "/", [JSON, CHUNKED]))
        connection.send(chunk(body[: 2 * LIMIT]))
        released()
        connection.send(chunk(body[2 * LIMIT :]) + chunk(b"") + b"\r\n")
        answer = echoed(connection.receive())
    assert (answer.upstream, answer.body.encode()) == ("own", body)


def test_a_body_that_says_that_it_is_too_large_is_not_waited_for(envoy: Envoy) -> None:
    """With its length in the head, the upstream gets the request before any of the body."""
    body = filled(3 << 20)
    before = errors(envoy, "body-unreadable")
    released = upstream_gets(envoy, 1)
    with Connection(envoy.port("usual")) as connection:
        connection.send(head("POST", "/", [JSON, ("content-length", str(len(body)))]))
        released()
        connection.send(body)
        answer = echoed(connection.receive())
    assert (answer.upstream, answer.body.encode()) == ("own", body)
    assert errors(envoy, "body-unreadable") - before == 1


@pytest.mark.parametrize(
    ("header", "body", "unparsable"),
    [(JSON, b"{", 1), (JSON, b"\xff", 1), (TEXT, b"text", 1), (FORM, b"{%", 0), (JSON, b"{}", 0)],
)
def test_what_is_neither_json_nor_a_form(
    envoy: Envoy, header: tuple[str, str], body: bytes, unparsable: int
) -> None:
    """It has no parameters, and is counted."""
    before = errors(envoy, "body-unparsable")
    assert post(envoy, "usual", body, header).upstream == "own"
    assert errors(envoy, "body-unparsable") - before == unparsable


def test_prometheus_shows_the_reason_as_a_label(envoy: Envoy) -> None:
    """With the `stats_tags` of the example."""
    post(envoy, "small", b"x" * (LIMIT + 1))
    lines = envoy.admin("/stats/prometheus?filter=tse_route_errors").splitlines()
    count = errors(envoy, "body-unreadable")
    assert f'tse_route_errors_total{{reason="body-unreadable"}} {count}' in lines


@pytest.mark.parametrize(
    ("version", "body", "upstream"),
    [("1", ME, "canary"), ("1", YOU, "own"), ("2", ME, "own")],
)
def test_with_a_header(envoy: Envoy, version: str, body: list[bytes], upstream: str) -> None:
    """Both must hold."""
    headers = [JSON, ("version", version), CHUNKED]
    sent = [*map(chunk, body), chunk(b"") + b"\r\n"]
    assert post_in_pieces(envoy, "with-header", headers, sent).upstream == upstream


def test_a_body_that_cannot_change_anything_is_not_waited_for(envoy: Envoy) -> None:
    """Where the header decides, the upstream gets the request before its body is there."""
    released = upstream_gets(envoy, 1)
    with Connection(envoy.port("with-header")) as connection:
        connection.send(head("POST", "/", [JSON, ("version", "2"), ("content-length", "2")]))
        released()
        connection.send(b"{}")
        assert echoed(connection.receive()).upstream == "own"


def test_several_requests_of_one_connection(envoy: Envoy) -> None:
    """Nothing of one request is left to the next."""
    with Connection(envoy.port("usual")) as connection:
        for body, upstream in [(ME, "canary"), (YOU, "own"), (None, "own"), (ME, "canary")] * 5:
            sent = None if body is None else b"".join(body)
            method = "GET" if body is None else "POST"
            assert echoed(connection.request(method, "/", [JSON], sent)).upstream == upstream


def test_a_client_that_leaves_before_its_body(envoy: Envoy) -> None:
    """The request that was held back ends without harm to others."""
    name = "http.usual.downstream_rq_rx_reset"
    before = envoy.stats(f"^{name}$")[name]
    with Connection(envoy.port("usual")) as connection:
        after_each = received(envoy, "usual")
        start = head("POST", "/", [JSON, ("content-length", "100")]) + b'{"user":'
        connection.send(start)
        after_each(len(start))
    envoy.wait_for(lambda: envoy.stats(f"^{name}$")[name] == before + 1, "the end of the request")
    assert post(envoy, "usual", b"".join(ME)).upstream == "canary"
    envoy.check()


def test_a_gateway_that_does_not_deliver_the_body(envoy: Envoy) -> None:
    """Without `allow_on_headers_stop_iteration` a body never comes, and the log says why."""
    assert echoed(request(envoy.port("misconfigured"), "GET", "/")).upstream == "own"
    with Connection(envoy.port("misconfigured")) as connection:
        after_each = received(envoy, "misconfigured")
        sent = head("POST", "/", [JSON, ("content-length", "2")]) + b"{}"
        connection.send(sent)
        after_each(len(sent))
    message = "body-not-delivered: a request ended while a rule waited for its body"
    envoy.wait_for(lambda: message in envoy.log(), "the line in the log")
    assert "`allow_on_headers_stop_iteration: true`" in envoy.log()
