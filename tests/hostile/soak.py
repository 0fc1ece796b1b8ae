"""Long runs: many requests with everything switched on, and many changes of configuration under load.

    make soak                               # ten million requests, twice 1 000 changes
    make soak SOAK='--requests 100000 --changes 10 --blue-green 10'
    make blue-green                         # 1 000 switches by the filter's own file, and nothing else

A run fails if a request fails, if one is decided by a rule that no configuration of that moment has,
if a VM of the filter is replaced, or if memory or metrics grow.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "envoy"))

from client import Headers, Load, load  # noqa: E402
from gateway import Envoy, Listener, Reservations, socket_address  # noqa: E402

BREAKER = {"window": "10s", "min_requests": 20, "max_error_rate": 0.5, "max_latency": "5s",
           "max_slow_rate": 0.9, "cooldown": "1s"}
# One rule for each thing that a rule can do; the last takes what the others leave.
EVERYTHING: dict[str, Any] = {
    "shared_memory": True,
    "response_headers": {"name": True},
    "rules": [
        {
            "name": "sticky",
            "weight": 50,
            "condition": {"header": {"key": "kind", "operator": "eq", "value": "sticky"}},
            "hash_on": "cookie",
            "hash_on_cookie": "who",
            "upstream": [{"name": "blue", "weight": 50}, {"name": "green", "weight": 50}],
        },
        {
            "name": "ramp",
            "weight": 40,
            "condition": {"query": {"key": "kind", "operator": "prefix", "value": "ra"}},
            "rollout": {"start": "2026-01-01T00:00:00Z", "duration": "20000h", "to": {"green": 100}},
            "upstream": [{"name": "blue"}, {"name": "green", "weight": 0}],
        },
        {
            "name": "body",
            "weight": 30,
            "condition": {"body": {"key": "kind", "operator": "regex", "value": "^b.d+y$"}},
            "upstream": [{"name": "green"}],
        },
        {
            "name": "breaker",
            "weight": 20,
            "circuit_breaker": BREAKER,
            "upstream": [
                {
                    "name": "blue",
                    "weight": 90,
                    "request_headers": {"set": [{"name": "x-lane", "value": "blue"}]},
                },
                {"name": "nobody", "weight": 10},
            ],
        },
    ],
}
KINDS: list[tuple[Headers, str]] = [
    ([("kind", "sticky")], "/"),
    ([], "/?kind=ramp"),
    ([("kind", "sticky"), ("cookie", "a=b; who=me; c=d")], "/x"),
    ([("junk", b"\xff\xfe" * 100)], "/%zz?%zz=%zz&kind=x"),
    ([], "/"),
]
# What memory may grow by, in bytes: allocators keep what they once had.
SLACK = 24 << 20
NAMED = ("own", "blue", "green")
# As many requests as `load` has on their way at once: 16 connections, and up to 50 on each.
IN_FLIGHT = 16 * 50


def resident(envoy: Envoy) -> int:
    """The memory of a running Envoy, in bytes."""
    assert envoy._process is not None
    status = Path(f"/proc/{envoy._process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) << 10


def series(envoy: Envoy) -> int:
    """How many metrics the filter has."""
    return len(envoy.stats("wasmcustom"))


def requests(total: int) -> str:
    """Sends that many requests of all kinds; returns a line that says what came of it."""
    reserved = Reservations()
    try:
        listeners = {"gate": Listener(EVERYTHING, access_log="%RESPONSE_CODE%\n")}
        # One of the upstreams refuses every connection; its breaker opens and probes all the time.
        ports = {"nobody": reserved.port()}
        with Envoy(listeners, named=NAMED, ports=ports, concurrency=2) as envoy:
            def send(some: int) -> int:
                done = 0
                for headers, target in KINDS:
                    part = some // len(KINDS)
                    statuses = load(
                        envoy.port("gate"), part, headers, target, show=["x-kong-route-upstream"],
                        statuses=(200, 503),
                    )
                    wrong = {
                        shown: count
                        for shown, count in statuses.items()
                        if shown[1] != shown[0] and shown[1] != "nobody"
                    }
                    assert not wrong, wrong
                    done += statuses.total()
                return done

            step = min(total // 4, 100_000)
            # The first part fills what is filled once.
            done = send(step)
            before, memory = series(envoy), resident(envoy)
            while done < total:
                done += send(min(step, max(total - done, len(KINDS) * 16)))
            after, now = series(envoy), resident(envoy)
            assert after == before, f"{before} metrics became {after}"
            assert now - memory < SLACK, f"memory grew from {memory} to {now} bytes"
            return f"{done} requests: memory {memory >> 20} MiB, then {now >> 20}; {after} metrics"
    finally:
        reserved.close()


def rules(generation: int) -> dict[str, Any]:
    """One of two configurations that share nothing."""
    name, weight = (("blue", 10), ("green", 20))[generation % 2]
    return {"rules": [{"weight": weight, "upstream": [{"name": name}]}]}


def colour(generation: int, port: int) -> Listener:
    """A listener with one of them."""
    return Listener(rules(generation), fields={"address": socket_address(port)})


def switches(
    envoy: Envoy, port: int, total: int, put: Callable[[int], None], batch: int
) -> str:
    """Switches that often between blue and green under load; returns a line that says what came of it.

    `put` sets what the generation of its number is to be. A switch is over when nothing but the new side has
    answered for as many requests as there are on their way at once.
    """
    sides = [("blue", "10", "blue"), ("green", "20", "green")]
    first, last, memory = 0.0, 0.0, 0
    with Load(port, batch) as load:
        for generation in range(1, total + 1):
            old, new = sides[(generation - 1) % 2], sides[generation % 2]
            before, begun = load.seen[new], time.monotonic()
            put(generation)
            envoy.wait_for(lambda: load.check() or load.seen[new] > before, "the switch to be seen")
            first = max(first, time.monotonic() - begun)
            envoy.wait_for(lambda: load.settled(new, IN_FLIGHT), "the switch to be over")
            last = max(last, load.last.get(old, begun) - begun)
            if generation == max(total // 4, 1):
                memory = resident(envoy)
    assert set(load.seen) == set(sides), load.seen
    now = resident(envoy)
    assert now - memory < SLACK, f"memory grew from {memory} to {now} bytes"
    return (
        f"{total} switches under {load.seen.total()} requests: none failed, each decided by one of the two; the "
        f"new side seen after {first * 1000:.0f} ms at most, the old one last after {last * 1000:.0f}; "
        f"memory {memory >> 20} MiB, then {now >> 20}"
    )


def changes(total: int) -> str:
    """Switches by replacing the listener: connections that are open keep what they had."""
    reserved = Reservations()
    port = reserved.port()
    try:
        with Envoy({"gate": colour(0, port)}, named=NAMED, dynamic=True) as envoy:
            put = lambda generation: envoy.replace({"gate": colour(generation, port)})  # noqa: E731
            return switches(envoy, port, total, put, batch=IN_FLIGHT)
    finally:
        reserved.close()


def blue_green(total: int) -> str:
    """Switches by replacing the filter's own configuration, on connections that stay open."""
    gate = Listener(rules(0), watched=True)
    with Envoy({"gate": gate}, named=NAMED, concurrency=2) as envoy:
        put = lambda generation: envoy.configure("gate", rules(generation))  # noqa: E731
        return switches(envoy, envoy.port("gate"), total, put, batch=20 * IN_FLIGHT)


def main() -> None:
    """The long run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--changes", type=int, default=1_000)
    parser.add_argument("--blue-green", type=int, default=1_000)
    arguments = parser.parse_args()
    started = time.monotonic()
    # A part of which there is to be nothing is left out.
    parts = [(blue_green, arguments.blue_green), (changes, arguments.changes), (requests, arguments.requests)]
    for part, total in parts:
        if total:
            print(part(total), flush=True)
    print(json.dumps({"seconds": round(time.monotonic() - started)}))


if __name__ == "__main__":
    main()
