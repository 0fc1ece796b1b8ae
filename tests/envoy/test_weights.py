"""How the traffic of a rule is shared out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from chance import unlikely
from client import Connection, load
from gateway import Envoy, Listener

REQUESTS = 10_000


def split(*upstream: tuple[str | None, float], **more: Any) -> Listener:
    """A gateway with one rule, for everything."""
    upstreams = [{"name": name, "weight": weight} for name, weight in upstream]
    return Listener({"rules": [{"weight": 10, "upstream": upstreams, **more}]})


LISTENERS = {
    "seed": split(("blue", 20), ("green", 30), ("own", 50)),
    "decimals": split(("blue", 33.33), ("green", 0.67), ("own", 66)),
    "rest": split(("blue", 12.5), ("green", 25)),
    "null": split(("blue", 40), (None, 60)),
    "total": split(("blue", 1), ("green", 3), weight_total=4),
    "never": split(("blue", 0), ("green", 100), ("own", 0)),
    "total-and-rest": split(("blue", 250), weight_total=1_000),
}

# What each upstream should get in percent, and what the response header should say of it.
EXPECTED: dict[str, dict[tuple[str, str | None], float]] = {
    "seed": {("blue", "blue"): 20, ("green", "green"): 30, ("own", "own"): 50},
    "decimals": {("blue", "blue"): 33.33, ("green", "green"): 0.67, ("own", "own"): 66},
    "rest": {("blue", "blue"): 12.5, ("green", "green"): 25, ("own", None): 62.5},
    "null": {("blue", "blue"): 40, ("own", None): 60},
    "total": {("blue", "blue"): 25, ("green", "green"): 75},
    "never": {("green", "green"): 100},
    "total-and-rest": {("blue", "blue"): 25, ("own", None): 75},
}

NAMED = ("own", "blue", "green")


@pytest.fixture(scope="module")
def envoy() -> Iterator[Envoy]:
    """Gateways with two workers each."""
    with Envoy(LISTENERS, named=NAMED, concurrency=2) as envoy:
        yield envoy


def observe(envoy: Envoy, listener: str) -> Counter[tuple[str, str | None]]:
    """Many requests, by upstream and by what the response header says."""
    counts: Counter[tuple[str, str | None]] = Counter()
    for (upstream, rule, shown), count in load(envoy.port(listener), REQUESTS).items():
        assert rule == "10"
        counts[upstream, shown] += count
    assert counts.total() == REQUESTS
    return counts


@pytest.mark.parametrize("listener", LISTENERS)
def test_shares(envoy: Envoy, listener: str) -> None:
    """Every upstream gets its share, from both workers together."""
    expected = EXPECTED[listener]
    shares = {key: percent / 100 for key, percent in expected.items()}
    # Nobody without a share gets a single request.
    assert not unlikely(observe(envoy, listener), shares)
    workers = envoy.stats(rf"^listener\.{listener}\.worker_.\.downstream_cx_total")
    assert len(workers) == 2 and all(workers.values()), workers


def sequences(envoy: Envoy) -> list[str]:
    """The upstreams of 64 requests to each worker."""
    with Connection(envoy.port("seed")) as first, Connection(envoy.port("seed")) as second:
        pattern = r"^listener\.seed\.worker_.\.downstream_cx_active$"
        one_each = [1, 1]
        envoy.wait_for(lambda: [*envoy.stats(pattern).values()] == one_each, "one for each worker")
        return [
            "".join(connection.request("GET", "/").body.decode()[0] for _ in range(64))
            for connection in (first, second)
        ]


def test_each_worker_and_each_start_has_its_own_sequence() -> None:
    """Nobody draws the same numbers as another, so that no pattern adds up over workers."""
    seen = []
    for _ in range(2):
        with Envoy({"seed": LISTENERS["seed"]}, named=NAMED, concurrency=2) as envoy:
            seen += sequences(envoy)
    assert len(set(seen)) == 4, seen
    assert all(set(sequence) == {"b", "g", "o"} for sequence in seen), seen
