"""Every operator at every location, once true and once false."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from cases import Case, Rules
from client import request
from gateway import Envoy, Listener
from upstreams import Echo, echoed

# A sample that stands for a request without the parameter.
ABSENT = None

ORDERED = ("gt", "ge", "lt", "le")
NEGATIVE = ("ne", "not in", "not regex", "not contains", "not exists")
OPERATORS = (
    *("eq", "ne", *ORDERED, "exists", "not exists", "regex", "not regex", "in", "not in"),
    *("prefix", "suffix", "contains", "not contains", "path_prefix"),
)


@dataclass(frozen=True)
class Place:
    """A part of a request: how a condition names it, and how a request carries a value there."""

    name: str
    location: str
    key: str | None
    carry: Callable[[str | None], dict[str, Any]]
    # Whether a request can be without it.
    can_be_absent: bool = True


def header(name: str) -> Callable[[str | None], dict[str, Any]]:
    """Carries a value in a header."""
    return lambda value: {"headers": [] if value is None else [(name, value)]}


def query(value: str | None) -> dict[str, Any]:
    """Carries a value in a query, among others."""
    probe = "" if value is None else f"&probe={quote_plus(value)}"
    return {"target": f"/?other=1{probe}&probes=2"}


def cookie(value: str | None) -> dict[str, Any]:
    """Carries a value in a cookie, among others."""
    probe = "" if value is None else f"; probe={value}"
    return {"headers": [("cookie", f"other=1{probe}; probes=2")]}


def baggage(value: str | None) -> dict[str, Any]:
    """Carries a value in a member of the baggage, among others."""
    probe = "" if value is None else f",probe={quote(value)};probe=9"
    return {"headers": [("baggage", f"other=1;probe=8{probe}"), ("baggage", "probes=2")]}


def json_body(value: str | None) -> dict[str, Any]:
    """Carries a value deep in a JSON body."""
    user = {"id": 7} if value is None else {"id": 7, "tags": [value]}
    headers = [("content-type", "application/json")]
    return {"method": "POST", "headers": headers, "body": json.dumps({"user": user}).encode()}


def form_body(value: str | None) -> dict[str, Any]:
    """Carries a value in a form."""
    probe = "" if value is None else f"&probe={quote_plus(value)}"
    headers = [("content-type", "application/x-www-form-urlencoded")]
    return {"method": "POST", "headers": headers, "body": f"other=1{probe}".encode()}


def text_body(value: str | None) -> dict[str, Any]:
    """Is a value."""
    if value is None:
        return {"method": "GET"}
    headers = [("content-type", "text/plain")]
    return {"method": "POST", "headers": headers, "body": value.encode()}


PLACES = (
    Place("header", "header", "X-Probe", header("x-probe")),
    Place("query", "query", "probe", query),
    Place("cookie", "cookie", "probe", cookie),
    Place("baggage", "baggage", "probe", baggage),
    Place("JSON body", "body", "user.tags.0", json_body),
    Place("form body", "body", "probe", form_body),
    Place("text body", "body", None, text_body),
    Place("clientUa", "system", "clientUa", header("user-agent")),
    Place("domain", "system", "domain", header("host"), can_be_absent=False),
    Place("clientIP", "system", "clientIP", header("x-forwarded-for"), can_be_absent=False),
    Place("httpScheme", "system", "httpScheme", header("x-forwarded-proto"), can_be_absent=False),
    Place("path", "path", None, lambda value: {"target": value}, can_be_absent=False),
    Place("method", "method", None, lambda value: {"method": value}, can_be_absent=False),
)

# By operator: the configured value, and samples for which it is true and false.
Samples = dict[str, tuple[str | None, list[str | None], list[str | None]]]

WORDS: Samples = {
    "eq": ("blue", ["blue"], ["green", "blu", "blues"]),
    "ne": ("blue", ["green", "blues"], ["blue"]),
    "gt": ("9", ["10", "9.01"], ["9", "9.0", "8", "word"]),
    "ge": ("1.9.0", ["1.9.0", "1.10.0", "v2"], ["1.8.9", "1.9.0-rc.1", "word"]),
    "lt": ("30", ["9", "29.99"], ["30", "200", "word"]),
    "le": ("2.0.0", ["2.0.0", "2.0.0-rc.1"], ["2.0.1", "10.0.0", "word"]),
    "exists": (None, ["blue"], []),
    "not exists": (None, [], ["blue"]),
    "regex": ("b.u", ["blue", "xblux"], ["green"]),
    "not regex": ("^b.u", ["green", "xblux"], ["blue"]),
    "in": ("red, blue", ["red", "blue"], ["green", "re"]),
    "not in": ("red,blue", ["green"], ["red", "blue"]),
    "prefix": ("bl", ["blue"], ["ablue", "green"]),
    "suffix": ("ue", ["blue"], ["bluer", "green"]),
    "contains": ("lu", ["blue"], ["green"]),
    "not contains": ("lu", ["green"], ["blue"]),
    "path_prefix": ("blue", ["blue"], ["blues", "blu"]),
}

PATHS: Samples = {
    "eq": ("/blue", ["/blue"], ["/green", "/blue/", "/Blue"]),
    "ne": ("/blue", ["/green"], ["/blue", "/blue?a=1"]),
    # A path starts with a slash, so it is never a number: Envoy refuses any other.
    "gt": ("1", [], ["/2"]),
    "ge": ("1", [], ["/1"]),
    "lt": ("1", [], ["/0"]),
    "le": ("1", [], ["/1"]),
    "exists": (None, ["/"], []),
    "not exists": (None, [], ["/"]),
    "regex": ("^/v[12]/", ["/v1/x"], ["/v3/x", "/x?/v1/"]),
    "not regex": ("^/v[12]/", ["/v3/x"], ["/v1/x"]),
    "in": ("/red,/blue", ["/red", "/blue?x=1"], ["/green"]),
    "not in": ("/red,/blue", ["/green"], ["/red"]),
    "prefix": ("/api", ["/api", "/apis", "/api/x"], ["/x/api"]),
    "suffix": (".png", ["/a.png", "/a.png?x=.gif"], ["/a.gif?x=.png"]),
    "contains": ("/v2/", ["/api/v2/x"], ["/api/v1/x", "/api?/v2/"]),
    "not contains": ("/v2/", ["/api/v1/x"], ["/api/v2/x"]),
    "path_prefix": ("/v2", ["/v2", "/v2/", "/v2/x", "/v2?x"], ["/v2x", "/v1/v2"]),
}

ADDRESSES: Samples = {
    "eq": ("10.0.0.0/8", ["10.0.0.0", "10.255.1.2"], ["11.0.0.0", "2001:db8::1"]),
    "ne": ("2001:db8::1", ["2001:db8::2", "10.0.0.1"], ["2001:db8::1"]),
    # What is ordered is text: with its dots an address looks like a version.
    "gt": ("10.0.0.9", ["10.0.0.10"], ["10.0.0.9", "9.0.0.9", "2001:db8::1"]),
    "ge": ("10.0.0.9", ["10.0.0.9"], ["10.0.0.8"]),
    "lt": ("10.0.0.9", ["9.0.0.9"], ["10.0.0.9", "10.0.0.10"]),
    "le": ("10.0.0.9", ["10.0.0.9"], ["10.0.0.10"]),
    "exists": (None, ["10.0.0.1"], []),
    "not exists": (None, [], ["10.0.0.1"]),
    "regex": (r"^10\.0\.", ["10.0.0.1"], ["10.1.0.1"]),
    "not regex": (r"^10\.0\.", ["10.1.0.1"], ["10.0.0.1"]),
    "in": (
        "192.168.0.0/16, 10.0.0.1, 2001:db8::/32",
        ["192.168.7.7", "10.0.0.1", "2001:db8:7::1"],
        ["192.169.0.1", "10.0.0.2", "2001:db9::1"],
    ),
    "not in": ("10.0.0.0/8,2001:db8::/32", ["11.0.0.1", "2001:db9::1"], ["10.0.0.1"]),
    "prefix": ("10.0.", ["10.0.0.1"], ["110.0.0.1"]),
    "suffix": (".7", ["10.0.0.7"], ["10.0.0.70"]),
    "contains": (".9.", ["10.9.0.1"], ["10.0.0.9"]),
    "not contains": (".9.", ["10.0.0.9"], ["10.9.0.1"]),
    "path_prefix": ("10.0.0.1", ["10.0.0.1"], ["10.0.0.10"]),
}

# A method is in upper case, whatever a client sends; patterns are not touched.
METHODS: Samples = {
    **WORDS,
    "ge": ("1.9.0", ["1.9.0", "1.10.0"], ["1.8.9", "1.9.0-rc.1"]),
    "regex": ("B.U", ["blue", "XBLUX"], ["green"]),
    "not regex": ("^B.U", ["green", "xblux"], ["Blue"]),
}

SAMPLES = defaultdict(lambda: WORDS, path=PATHS, clientIP=ADDRESSES, method=METHODS)

# Letters of hosts, schemes and methods have no case.
OTHER_CASE = {
    "domain": ("BLUE", "Blue"),
    "httpScheme": ("Blue", "BLUE"),
    "method": ("Blue", "blue"),
}


def case(place: Place, operator: str, value: str | None, sample: str | None, holds: bool) -> Case:
    """The case of one sample."""
    item = {"key": place.key, "operator": operator, "value": value}
    shown = "absent" if sample is None else repr(sample)
    title = f"{place.name} {operator} {value or ''} with {shown}"
    return Case(title, {place.location: [item]}, holds, **place.carry(sample))


def every_operator_at_every_place() -> Iterator[Case]:
    """The samples of each place, and where it can be absent, a request without it."""
    for place in PLACES:
        for operator in OPERATORS:
            value, true, false = SAMPLES[place.name][operator]
            for sample in true:
                yield case(place, operator, value, sample, True)
            for sample in false:
                yield case(place, operator, value, sample, False)
            if place.can_be_absent:
                yield case(place, operator, value, ABSENT, operator in NEGATIVE)


def spellings() -> Iterator[Case]:
    """Other spellings of operators and values."""
    probe = PLACES[0]
    for operator, alias in (
        *(("eq", "exact"), ("eq", "=="), ("ne", "!="), ("gt", ">"), ("ge", ">=")),
        *(("lt", "<"), ("le", "<="), ("not in", "notin"), ("not in", "not_in")),
    ):
        value, true, false = WORDS[operator]
        yield case(probe, alias, value, true[0], True)
        yield case(probe, alias, value, false[0], False)
        yield case(probe, alias, value, ABSENT, operator in NEGATIVE)
    for name, (value, sample) in OTHER_CASE.items():
        place = next(place for place in PLACES if place.name == name)
        yield case(place, "eq", value, sample, True)
        yield case(place, "ne", value, sample, False)
    for key in ("clientua", "CLIENTUA"):
        item = {"key": key, "operator": "eq", "value": "blue"}
        for sample in ("blue", "green"):
            headers = [("user-agent", sample)]
            yield Case(f"{key} is {sample}", {"system": item}, sample == "blue", headers=headers)


def written_values() -> Iterator[Case]:
    """Values that are no strings, delimiters, stored lists, short forms."""

    def probe(title: str, item: dict[str, Any], true: str, false: str) -> Iterator[Case]:
        condition = {"header": {"key": "x-probe", **item}}
        for sample, holds in ((true, True), (false, False)):
            yield Case(f"{title} with {sample!r}", condition, holds, headers=[("x-probe", sample)])

    yield from probe("a number", {"operator": "eq", "value": 7}, "7", "7.0")
    yield from probe("a fraction", {"operator": "eq", "value": 1.5}, "1.5", "1.50")
    yield from probe("a boolean", {"operator": "eq", "value": True}, "true", "True")
    yield from probe("an empty value", {"operator": "eq", "value": ""}, "", "x")
    for delimiter, text in ((",", "a,b c"), (";", "a;b c"), ("\n", "a\nb c"), (None, "a,b c")):
        item = {"operator": "in", "value": text, "delimiter": delimiter}
        yield from probe(f"in by {delimiter!r}", item, "b c", "b")
    item = {"operator": "in", "value": "a b", "delimiter": " "}
    yield from probe("in by space", item, "b", "a b")
    yield from probe("in a list", {"operator": "in", "value": "red, blue"}, "blue", "red, blue")
    item = {"operator": "in", "global_config_id": "testers"}
    yield from probe("a stored list", item, "bob,jr", "bob")
    item = {"operator": "not in", "value": "", "global_config_id": "testers", "delimiter": ","}
    yield from probe("not in a stored list", item, "carol", "alice")
    item = {"key": "clientIP", "operator": "in", "global_config_id": 2}
    for address, holds in (("172.16.0.9", True), ("2001:db8::9", True), ("172.15.0.9", False)):
        headers = [("x-forwarded-for", address)]
        title = f"stored blocks with {address}"
        yield Case(title, {"system": [item]}, holds, headers=headers)
    for target, holds in (("/a", True), ("/b", False)):
        yield Case(f"path as a string, {target}", {"path": "/a"}, holds, target=target)
    for target, holds in (("/a", True), ("/b,c", True), ("/b", False)):
        yield Case(f"path as strings, {target}", {"path": ["/a", "/b,c"]}, holds, target=target)
    for method, holds in (("PUT", True), ("GET", False)):
        yield Case(f"method as a string, {method}", {"method": "put"}, holds, method=method)
        condition = {"method": ["PUT", "delete"]}
        yield Case(f"method as strings, {method}", condition, holds, method=method)


def combined() -> Iterator[Case]:
    """Several items, all or any of them."""

    def is_(key: str, value: str) -> dict[str, str]:
        return {"key": key, "operator": "eq", "value": value}

    every = {
        "header": [is_("a", "1"), is_("b", "2")],
        "query": is_("q", "3"),
        "cookie": [is_("c", "4")],
        "body": None,
        "system": [],
        "path": {"operator": "prefix", "value": "/p"},
        "method": "GET",
    }
    headers = [("a", "1"), ("b", "2"), ("cookie", "c=4")]
    yield Case("all of all locations", every, True, target="/p?q=3", headers=headers)
    for missing in range(3):
        rest = headers[:missing] + headers[missing + 1 :]
        title = f"all but {headers[missing]}"
        yield Case(title, every, False, target="/p?q=3", headers=rest)
    yield Case("all but the query", every, False, target="/p", headers=headers)
    yield Case("all but the path", every, False, target="/?q=3", headers=headers)
    yield Case("all but the method", every, False, "PUT", "/p?q=3", headers)
    yield Case("no item", {"header": None, "query": [], "cookie": None}, True)


CASES = [*every_operator_at_every_place(), *spellings(), *written_values(), *combined()]
RULES = Rules(
    CASES,
    global_configs=[
        {"id": "testers", "name": "people", "value": "alice;bob,jr", "delimiter": ";"},
        {"id": 2, "value": "172.16.0.0/12,2001:db8::/32"},
    ],
)


@pytest.fixture(scope="module")
def envoy(echo: Echo) -> Iterator[Envoy]:
    """One Envoy with all conditions, behind a proxy that it trusts."""
    manager = {
        "use_remote_address": True,
        "xff_num_trusted_hops": 1,
        "http_protocol_options": {"allow_custom_methods": True},
    }
    with Envoy({"gateway": Listener(RULES.config, manager=manager)}, ports=echo.ports) as envoy:
        yield envoy


@pytest.mark.parametrize("case", CASES, ids=str)
def test_condition(envoy: Envoy, case: Case) -> None:
    """A request goes to the canary exactly if the condition holds."""
    RULES.check(envoy, "gateway", case)


def test_nothing_is_left_out() -> None:
    """Each operator is true and false at each place, but where HTTP has no such request."""
    seen = defaultdict(set)
    for place in PLACES:
        for operator in OPERATORS:
            _, true, false = SAMPLES[place.name][operator]
            absent = {operator in NEGATIVE} if place.can_be_absent else set()
            found = {True for _ in true} | {False for _ in false} | absent
            seen[place.name, operator] = found
    impossible = {
        (place.name, operator): {operator == "exists"}
        for place in PLACES
        for operator in ("exists", "not exists")
        if not place.can_be_absent
    } | {("path", operator): {False} for operator in ORDERED}
    for place_and_operator, found in seen.items():
        assert found == impossible.get(place_and_operator, {True, False}), place_and_operator


# What any of several items is enough for has a configuration of its own: there the item that
# selects a case would be enough, too.
ANY = {
    "rules": [
        {
            "weight": 5,
            "match_type": "OR",
            "condition": {
                "header": [
                    {"key": "a", "operator": "eq", "value": "1"},
                    {"key": "b", "operator": "eq", "value": "2"},
                ],
                "query": {"key": "q", "operator": "eq", "value": "3"},
                "body": {"key": "who", "operator": "eq", "value": "me"},
            },
            "upstream": [{"name": "canary"}],
        }
    ]
}


@pytest.fixture(scope="module")
def envoy_with_any(echo: Echo) -> Iterator[Envoy]:
    """An Envoy with a rule of which one item is enough."""
    with Envoy({"gateway": Listener(ANY)}, ports=echo.ports) as envoy:
        yield envoy


@pytest.mark.parametrize(
    ("more", "upstream"),
    [
        ({}, "own"),
        ({"headers": [("a", "1")]}, "canary"),
        ({"headers": [("b", "2")]}, "canary"),
        ({"headers": [("a", "2"), ("b", "1")]}, "own"),
        ({"target": "/?q=3"}, "canary"),
        ({"target": "/?q=4"}, "own"),
        ({"method": "POST", "body": b'{"who":"me"}'}, "canary"),
        ({"method": "POST", "body": b'{"who":"you"}'}, "own"),
        ({"method": "POST", "body": b'{"who":"you"}', "headers": [("a", "1")]}, "canary"),
    ],
)
def test_any_item_is_enough(envoy_with_any: Envoy, more: dict[str, Any], upstream: str) -> None:
    """With `match_type: OR` the request goes to the canary if any item holds."""
    sent = {"method": "GET", "target": "/", **more}
    answer = echoed(request(envoy_with_any.port("gateway"), **sent))
    assert answer.upstream == upstream
