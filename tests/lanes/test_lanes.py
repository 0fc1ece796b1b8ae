"""Lanes: a request keeps to its lane through three services, in the gateways of `examples/lanes`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from client import Headers

from chain import EXAMPLES, Chain, Hop, chain

TESTER = ("cookie", "a=1; lane-tester=blue")
BASE_WAY = ["cart", "stock", "payments"]
GREEN_WAY = ["cart-green", "stock", "payments-green"]
BLUE_WAY = ["cart-blue", "stock-blue"]


@pytest.fixture(scope="module")
def lanes() -> Iterator[Chain]:
    """One chain for all of this."""
    with chain() as running:
        yield running


def user(lanes: Chain, lane: str) -> tuple[str, str]:
    """The header of a user whom the edge gives to this lane: of 400 one in 20 is on green."""
    for number in range(400):
        header = ("x-user-id", f"user-{number}")
        answer = lanes.ask([header]).response
        if answer.header("x-kong-route-upstream") == lane:
            return header
    raise AssertionError(f"none of 400 users is on {lane}")


@pytest.fixture(scope="module")
def green(lanes: Chain) -> tuple[str, str]:
    """A user on the lane green."""
    return user(lanes, "green")


@pytest.fixture(scope="module")
def base(lanes: Chain) -> tuple[str, str]:
    """A user on no lane."""
    return user(lanes, "base")


def marks(hop: Hop) -> list[str]:
    """All that says something of a lane, in any disguise."""
    hidden = [value for value in hop.all("baggage") if "lan" in value or "%6c" in value]
    return hop.all("x-lane") + hidden


def test_a_user_stays_in_the_lane(lanes: Chain, green: tuple[str, str]) -> None:
    """Through every hop, and every time; stock has no such lane and hands it on."""
    for _ in range(20):
        journey = lanes.ask([green])
        assert (journey.response.status, journey.versions) == (200, GREEN_WAY)
        for hop in journey.hops:
            assert (hop.all("x-lane"), hop.all("baggage")) == (["green"], ["lane=green"])


def test_everybody_else_is_on_base(lanes: Chain, base: tuple[str, str]) -> None:
    """Without a mark at any hop."""
    for _ in range(20):
        journey = lanes.ask([base])
        assert (journey.response.status, journey.versions) == (200, BASE_WAY)
        assert all(marks(hop) == [] for hop in journey.hops)


def test_a_strict_service_refuses(lanes: Chain) -> None:
    """Payments has no lane blue, and no other version answers in its place."""
    for _ in range(20):
        journey = lanes.ask([TESTER])
        assert (journey.response.status, journey.versions) == (503, BLUE_WAY)
        assert all(hop.all("x-lane") == ["blue"] for hop in journey.hops)


FORGED: list[Headers] = [
    [("x-lane", "green")],
    [("X-Lane", "blue"), ("x-lane", "green")],
    [("baggage", "lane=green")],
    [("baggage", "lane = green ; ttl=5")],
    [("Baggage", "a=1,lane=blue"), ("baggage", "lane=green,lane=blue")],
    [("baggage", "%6cane=green,lan%65 = blue"), ("baggage", "+lane=green")],
    [("baggage", "lane;lane=green,=green,lane"), ("x-lane", "green")],
    [("x-tse-route-upstream", "green"), ("x-lane", "green"), ("baggage", "lane=green")],
]


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_a_forged_mark_does_not_enter(lanes: Chain, base: tuple[str, str], forged: Headers) -> None:
    """Whoever is on no lane stays so, whatever he claims."""
    journey = lanes.ask([base, *forged])
    assert (journey.response.status, journey.versions) == (200, BASE_WAY)
    for hop in journey.hops:
        assert marks(hop) == []
        assert "green" not in hop.all("x-tse-route-upstream")


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_a_forged_mark_moves_nobody(lanes: Chain, green: tuple[str, str], forged: Headers) -> None:
    """Whoever is on a lane stays there: the mark stands alone, and in front."""
    journey = lanes.ask([green, *forged, ("baggage", "lane=blue,last=1")])
    assert (journey.response.status, journey.versions) == (200, GREEN_WAY)
    for hop in journey.hops:
        assert hop.all("x-lane") == ["green"]
        (baggage,) = hop.all("baggage")
        first, *others = baggage.split(",")
        assert first == "lane=green"
        assert others[-1] == "last=1"
        assert not [one for one in others if "lan" in one or "%6c" in one], baggage


# Those of the recommendations, with properties, escapes and blanks.
MEMBERS = 'userId=al%20ice;ttl=5;secret , serverNode=DF%2028,key1=v%C3%A9;p = "1"'
TRACE = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
STATE = ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")


def test_other_members_arrive_untouched(
    lanes: Chain, green: tuple[str, str], base: tuple[str, str]
) -> None:
    """At the last hop as at the first, and so does the trace."""
    sent = [("baggage", MEMBERS), TRACE, STATE, ("baggage", "isProduction=false")]
    for header, expected in (
        # Each member as it came, behind the mark.
        (green, [f"lane=green,{MEMBERS.replace(' , ', ',')},isProduction=false"]),
        # Nothing to take away, nothing changed.
        (base, [MEMBERS, "isProduction=false"]),
    ):
        journey = lanes.ask([header, *sent])
        assert len(journey.hops) == 3
        for hop in journey.hops:
            assert hop.all("baggage") == expected
            assert [(name, hop.all(name)) for name in ("traceparent", "tracestate")] == [
                (name, [value]) for name, value in (TRACE, STATE)
            ]


def test_a_baggage_that_is_too_long_carries_the_mark(lanes: Chain, green: tuple[str, str]) -> None:
    """What has no room is left out as a whole."""
    members = [f"k{number}=v" for number in range(100)]
    journey = lanes.ask([green, ("baggage", ",".join(members))])
    assert journey.versions == GREEN_WAY
    for hop in journey.hops:
        assert hop.all("baggage") == [",".join(["lane=green", *members[:63]])]

    long = "long=" + "v" * 8_180
    journey = lanes.ask([green, ("baggage", f"{long},a=1;p")])
    assert journey.versions == GREEN_WAY
    assert journey.hops[-1].all("baggage") == ["lane=green,a=1;p"]


def rules_of(document: Any) -> list[Any]:
    """Every configuration of the filter in a file, in its order."""
    if isinstance(document, list):
        return [one for element in document for one in rules_of(element)]
    if not isinstance(document, dict):
        return []
    if document.get("name") == "tse-route" and "rules" in document.get("config", {}):
        return [document["config"]]
    if str(document.get("@type")).endswith("google.protobuf.StringValue"):
        return [json.loads(document["value"])]
    return [one for value in document.values() for one in rules_of(value)]


def test_kong_has_the_same_rules() -> None:
    """In the same order: the edge, stock, payments; and each upstream of them is an Upstream."""
    kong, edge, inside = (
        yaml.safe_load((EXAMPLES / name).read_text())
        for name in ("kong.yaml", "edge.yaml", "inside.yaml")
    )
    rules = rules_of(kong)
    assert len(rules) == 3
    assert rules == [*rules_of(edge), *rules_of(inside)]
    named = {upstream["name"] for one in rules for rule in one["rules"] for upstream in rule["upstream"]}
    assert named <= {upstream["name"] for upstream in kong["upstreams"]}
