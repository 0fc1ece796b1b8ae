"""How a request is read: what is repeated, encoded, or no text at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import http2
import pytest
from cases import Case, Rules
from client import Response, request
from gateway import Envoy, Listener
from upstreams import Echo, echoed


def equal(location: str, key: str | None, value: str) -> dict[str, Any]:
    """A condition with one item."""
    return {location: {"key": key, "operator": "eq", "value": value}}


def repeated() -> Iterator[Case]:
    """The first of several counts."""
    two = [("x-probe", "first"), ("X-Probe", "second")]
    yield Case("the first header", equal("header", "x-probe", "first"), True, headers=two)
    yield Case("the second header", equal("header", "x-probe", "second"), False, headers=two)
    yield Case("both headers", equal("header", "x-probe", "first,second"), False, headers=two)
    listed = [("x-probe", "first,second")]
    yield Case("a header's list", equal("header", "x-probe", "first,second"), True, headers=listed)
    # Of the headers that Envoy itself has a use for it makes one before any filter sees them.
    agents = [("user-agent", "first"), ("user-agent", "second")]
    yield Case("two agents", equal("system", "clientUa", "first,second"), True, headers=agents)
    exists = {"header": {"key": "x-probe", "operator": "exists"}}
    yield Case("an empty header", exists, True, headers=[("x-probe", "")])
    target = "/?a=1&a=2"
    yield Case("the first parameter", equal("query", "a", "1"), True, target=target)
    yield Case("the second parameter", equal("query", "a", "2"), False, target=target)


def cookies() -> Iterator[Case]:
    """Pairs of all Cookie headers."""
    table: list[tuple[list[str], str, str, bool]] = [
        (["a=1", "b=2"], "a", "1", True),
        (["a=1", "b=2"], "b", "2", True),
        (["a=1; c=3", "b=2; a=4"], "a", "1", True),
        (["a=1; c=3", "b=2; a=4"], "a", "4", False),
        (["a=1; c=3", "b=2; a=4"], "c", "3", True),
        (["a=1;b=2"], "b", "2", True),
        (['a="1"'], "a", "1", True),
        (["a=1=2"], "a", "1=2", True),
        (["a="], "a", "", True),
        (["a"], "a", "", False),
        (["A=1"], "a", "1", False),
        (["ba=1"], "a", "1", False),
        (["a%3D=1", "a=%31"], "a", "1", False),
        ([';;=; ,\\" a=1', "a=2"], "a", "2", True),
    ]
    for lines, key, value, holds in table:
        headers = [("cookie", line) for line in lines]
        title = f"{key}={value!r} in {' and '.join(lines)}"
        yield Case(title, equal("cookie", key, value), holds, headers=headers)


def baggage() -> Iterator[Case]:
    """Members of all baggage headers, with decoded values."""
    table: list[tuple[list[str], str, str, bool]] = [
        (["a=1", "b=2"], "a", "1", True),
        (["a=1", "b=2"], "b", "2", True),
        (["a=1,c=3", "b=2, a=4"], "a", "1", True),
        (["a=1,c=3", "b=2, a=4"], "a", "4", False),
        (["a=1;p=2 ,\tb = 2 ;p"], "b", "2", True),
        (["a=1;b=2"], "b", "2", False),
        (["a=%31%2C+"], "a", "1,+", True),
        (["a=%zz%"], "a", "%zz%", True),
        (["a=1=2"], "a", "1=2", True),
        (["a="], "a", "", True),
        (["a"], "a", "", False),
        (["A=1", "%61=1"], "a", "1", False),
        ([",;=,, =;a=1", "a=2"], "a", "2", True),
    ]
    for lines, key, value, holds in table:
        headers = [("baggage", line) for line in lines]
        title = f"member {key}={value!r} in {' and '.join(lines)}"
        yield Case(title, equal("baggage", key, value), holds, headers=headers)


def queries() -> Iterator[Case]:
    """Names and values are decoded, and what cannot be stays as it is."""
    table = [
        ("/?a=1+2", "a", "1 2", True),
        ("/?a=1%202", "a", "1 2", True),
        ("/?a=1%2B2", "a", "1+2", True),
        ("/?a=%zz", "a", "%zz", True),
        ("/?a=%", "a", "%", True),
        ("/?a=%4", "a", "%4", True),
        ("/?a=%41%zz%42", "a", "A%zzB", True),
        ("/?%zz=1", "%zz", "1", True),
        ("/?%61=1", "a", "1", True),
        ("/?a+b=1", "a b", "1", True),
        ("/?a=b=c", "a", "b=c", True),
        ("/?a", "a", "", True),
        ("/?a=", "a", "", True),
        ("/?", "a", "", False),
        ("/?b&&=&a=1", "a", "1", True),
        ("/a=1", "a", "1", False),
        ("/?a=caf%c3%a9", "a", "café", True),
        ("/?a=caf%e9", "a", "café", False),
        ("/?A=1", "a", "1", False),
        ("/x?b=?a=1", "a", "1", False),
        ("/?a=1;b=2", "a", "1;b=2", True),
    ]
    for target, key, value, holds in table:
        title = f"{key}={value!r} in {target}"
        yield Case(title, equal("query", key, value), holds, target=target)
    # What was decoded may be no text.
    pattern = {"query": {"key": "a", "operator": "regex", "value": r"^\xff\x00$"}}
    yield Case("bytes in a query", pattern, True, target="/?a=%ff%00")
    yield Case("no bytes in a query", pattern, False, target="/?a=%fe%00")


def bytes_in_headers() -> Iterator[Case]:
    """Bytes that are no UTF-8, where HTTP/1.1 can carry them."""
    for name, condition, headers in (
        ("header", "header", [("x-probe", b"\xff\xfeb")]),
        ("cookie", "cookie", [("cookie", b"\xff=\xfe; x-probe=\xff\xfeb; \xc0")]),
        ("baggage", "baggage", [("baggage", b"\xff=\xfe,x-probe=\xff%feb;\xc0")]),
        ("user agent", "system", [("user-agent", b"\xff\xfeb")]),
    ):
        key = "clientUa" if condition == "system" else "x-probe"
        for operator, value, holds in (
            ("regex", r"^\xff\xfeb$", True),
            ("regex", r"^\xffb", False),
            ("suffix", "b", True),
            ("eq", "\ufffd\ufffdb", False),
            ("ne", "b", True),
            ("gt", "1", False),
            ("in", "a,b", False),
            ("contains", "b", True),
        ):
            item = {"key": key, "operator": operator, "value": value}
            title = f"bytes in a {name}, {operator} {value}"
            yield Case(title, {condition: item}, holds, headers=headers)
    item = {"key": "x-probe", "operator": "eq", "value": "café"}
    headers = [("x-probe", "café".encode())]
    yield Case("UTF-8 in a header", {"header": item}, True, headers=headers)


def hosts() -> Iterator[Case]:
    """The host without its port, in lower case."""
    table = [
        ("Shop.Example", True),
        ("shop.example:8443", True),
        ("shop.example.", False),
        ("", False),
    ]
    for host, holds in table:
        condition = equal("system", "domain", "shop.example")
        yield Case(f"host {host!r}", condition, holds, headers=[("host", host)])
    condition = equal("system", "domain", "[::1]")
    yield Case("an IPv6 host", condition, True, headers=[("host", "[::1]:80")])
    yield Case(
        "the host of a proxy request",
        equal("system", "domain", "shop.example"),
        True,
        target="http://shop.example:81/x",
        headers=[("host", "other.example")],
    )
    yield Case(
        "HTTP/1.0",
        equal("system", "domain", "shop.example"),
        True,
        headers=[("host", "shop.example")],
        version="1.0",
    )


CASES = [*repeated(), *cookies(), *baggage(), *queries(), *bytes_in_headers(), *hosts()]
RULES = Rules(CASES)

# Junk looks at everything, so that everything is read.
LOOKS_AT_ALL = {
    "header": {"key": "x-probe", "operator": "prefix", "value": "~"},
    "query": {"key": "a", "operator": "gt", "value": "1"},
    "cookie": {"key": "a", "operator": "contains", "value": "~"},
    "baggage": {"key": "a", "operator": "contains", "value": "~"},
    "body": {"key": "a", "operator": "eq", "value": "~"},
    "system": [
        {"key": "domain", "operator": "regex", "value": "~"},
        {"key": "clientIP", "operator": "in", "value": "192.0.2.0/24"},
        {"key": "httpScheme", "operator": "eq", "value": "ftp"},
        {"key": "clientUa", "operator": "lt", "value": "1.0.0"},
    ],
    "path": {"operator": "suffix", "value": "~"},
    "method": {"operator": "eq", "value": "BREW"},
}
BYTES_IN_TARGET = {
    "path": {"operator": "regex", "value": r"^/\xff$"},
    "query": {"key": "a", "operator": "regex", "value": r"^\xfe$"},
}
OTHER = {
    "rules": [
        {
            "weight": 9,
            "match_type": "OR",
            "condition": LOOKS_AT_ALL,
            "upstream": [{"name": "evil"}],
        },
        {
            "weight": 8,
            "match_type": "OR",
            "condition": BYTES_IN_TARGET,
            "upstream": [{"name": "canary"}],
        },
        {
            "weight": 7,
            "condition": {
                "cookie": [
                    {"key": "b", "operator": "eq", "value": "1"},
                    {"key": "c", "operator": "eq", "value": "2"},
                ]
            },
            "upstream": [{"name": "canary"}],
        },
    ]
}


# Where the client is the connection's own, whatever it says.
EDGE = {
    "rules": [
        {
            "weight": 2,
            "match_type": "OR",
            "condition": {
                "system": [
                    {"key": "clientIP", "operator": "not in", "value": "127.0.0.0/8,::1"},
                    {"key": "httpScheme", "operator": "ne", "value": "http"},
                ]
            },
            "upstream": [{"name": "evil"}],
        },
        {
            "weight": 1,
            "condition": {"system": {"key": "clientIP", "operator": "eq", "value": "127.0.0.1"}},
            "upstream": [{"name": "canary"}],
        },
    ]
}


@pytest.fixture(scope="module")
def envoy(echo: Echo) -> Iterator[Envoy]:
    """One Envoy for all of this."""
    old_clients = {"http_protocol_options": {"accept_http_10": True}}
    listeners = {
        "cases": Listener(RULES.config, manager=old_clients),
        "other": Listener(OTHER),
        "edge": Listener(EDGE, manager={"use_remote_address": True}),
    }
    with Envoy(listeners, ports=echo.ports) as envoy:
        yield envoy


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reading(envoy: Envoy, case: Case) -> None:
    """A request goes to the canary exactly if the condition holds."""
    RULES.check(envoy, "cases", case)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-forwarded-for", "10.0.0.1")],
        [("x-forwarded-for", "10.0.0.1, 10.0.0.2"), ("x-forwarded-for", "10.0.0.3")],
        [("x-forwarded-proto", "https")],
        [("x-real-ip", "10.0.0.1"), ("forwarded", "for=10.0.0.1;proto=https")],
    ],
)
def test_the_edge_believes_no_client(envoy: Envoy, headers: list[tuple[str, str]]) -> None:
    """Address and scheme are the connection's, where no proxy in front is trusted."""
    assert echoed(request(envoy.port("edge"), "GET", "/", headers)).upstream == "canary"


JUNK = [
    {"headers": [("x-probe", bytes([*range(0x80, 0x100)]))]},
    {"headers": [("cookie", bytes([*range(0x80, 0x100)]))]},
    {"headers": [("cookie", b"\xff;=;;a;a=;\xfe=\xfd"), ("cookie", b"")]},
    {"headers": [("baggage", b"\xff,=,,a,a=;\xfe=\xfd,%"), ("baggage", b"")]},
    {"headers": [("user-agent", b"\xc3\x28\xa0\xa1")]},
    {"headers": [("x-forwarded-for", b"\xff"), ("x-forwarded-proto", b"\xff")]},
    {"headers": [("content-type", b"\xff/\xff")], "body": b"\xff\xfe\x00"},
    {"headers": [("content-type", "application/json")], "body": b'{"a":"\xff"}'},
    {"headers": [("content-type", "application/json")], "body": b"[" * 50_000},
    {
        "headers": [("content-type", "application/x-www-form-urlencoded")],
        "body": b"a=%ff%zz&&=&%&a=\xff",
    },
    {"target": "/%ff%fe/%zz?%ff=%fe&%zz&a=%&a=%f"},
    {"target": "/" + "a" * 8_000 + "?a=" + "1." * 20_000},
    {"headers": [("x-probe", "x" * 50_000)]},
    {"headers": [(f"x-{number}", "x") for number in range(90)]},
]


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: str(junk)[:60])
def test_junk_is_answered_as_usual(envoy: Envoy, junk: dict[str, Any]) -> None:
    """What no rule can make sense of goes where all other requests go."""
    sent = {"method": "POST" if "body" in junk else "GET", "target": "/", **junk}
    answer = echoed(request(envoy.port("other"), **sent))
    assert answer.upstream == "own"
    assert answer.body == junk.get("body", b"").decode("latin-1")
    envoy.check()


def test_envoy_refuses_bytes_in_the_target_of_http1(envoy: Envoy) -> None:
    """Envoy answers these itself: only HTTP/2 can bring them to the filter."""
    for target in (b"/\xff", b"/?a=\xff", "/é".encode()):
        refused: Response = request(envoy.port("other"), "GET", target)
        assert refused.status == 400 and refused.header("x-kong-route-rule") is None
    envoy.check()


def ask_http2(envoy: Envoy, path: bytes, *fields: tuple[str, str | bytes]) -> str:
    """The upstream of an HTTP/2 request."""
    pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", path)]
    with http2.Connection(envoy.port("other")) as connection:
        answer = connection.request([*pseudo, *fields])
    return echoed(Response(answer.status, (), answer.body)).upstream


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        (b"/\xff", "canary"),
        (b"/\xff?b=1", "canary"),
        (b"/\xfe", "own"),
        (b"/?a=\xfe", "canary"),
        (b"/?a=\xff", "own"),
        ("/é?é=é".encode(), "own"),
    ],
)
def test_bytes_in_the_target_of_http2(envoy: Envoy, path: bytes, upstream: str) -> None:
    """A path and a query may be no text, and are matched as they are."""
    assert ask_http2(envoy, path) == upstream
    envoy.check()


def test_bytes_in_the_headers_of_http2(envoy: Envoy) -> None:
    """As in HTTP/1.1."""
    junk = bytes([*range(0x80, 0x100)])
    assert ask_http2(envoy, b"/", ("x-probe", junk), ("cookie", junk)) == "own"
    envoy.check()


@pytest.mark.parametrize(
    ("crumbs", "upstream"),
    [(["b=1", "c=2"], "canary"), (["a=0", "b=1; c=2"], "canary"), (["b=1", "c=3"], "own")],
)
def test_cookie_crumbs_of_http2(envoy: Envoy, crumbs: list[str], upstream: str) -> None:
    """HTTP/2 may send each pair in a field of its own (RFC 9113, section 8.2.3)."""
    assert ask_http2(envoy, b"/", *(("cookie", crumb) for crumb in crumbs)) == upstream
