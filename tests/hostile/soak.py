"""Long runs: many requests with everything switched on, and many changes of configuration under load.

    make soak                               # ten million requests, 1 000 changes
    make soak SOAK='--requests 100000 --changes 10'

A run fails if a request fails, if one is decided by a rule that no configuration of that moment has,
if a VM of the filter is replaced, or if memory or metrics grow.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "envoy"))

from client import Headers, load  # noqa: E402
from gateway import Envoy, Listener, Reservations  # noqa: E402

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
        named = ("own", "blue", "green")
        with Envoy(listeners, named=named, ports=ports, concurrency=2) as envoy:
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


def colour(generation: int, port: int) -> Listener:
    """One of two configurations that share nothing."""
    name, weight = (("blue", 10), ("green", 20))[generation % 2]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    rules = [{"weight": weight, "upstream": [{"name": name}]}]
    return Listener({"rules": rules}, fields={"address": address})


def changes(total: int) -> str:
    """Changes the configuration that often under load; returns a line that says what came of it."""
    sides = {("blue", "10", "blue"), ("green", "20", "green")}
    reserved = Reservations()
    port = reserved.port()
    gates = {"gate": colour(0, port)}
    with Envoy(gates, named=("own", "blue", "green"), dynamic=True) as envoy:
        over = threading.Event()
        seen: dict[tuple[str | None, ...], int] = {}
        failure: list[BaseException] = []

        def put_load() -> None:
            try:
                while not over.is_set():
                    for shown, count in load(port, 320).items():
                        seen[shown] = seen.get(shown, 0) + count
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                failure.append(error)

        thread = threading.Thread(target=put_load)
        thread.start()
        try:
            memory = 0
            for generation in range(1, total + 1):
                side = ("blue", "10", "blue") if generation % 2 == 0 else ("green", "20", "green")
                before = seen.get(side, 0)
                envoy.replace({"gate": colour(generation, port)})
                envoy.wait_for(
                    lambda: failure or seen.get(side, 0) > before, "the change to be seen"
                )
                if failure:
                    raise failure[0]
                if generation == max(total // 4, 1):
                    memory = resident(envoy)
        finally:
            over.set()
            thread.join()
            reserved.close()
        if failure:
            raise failure[0]
        assert set(seen) <= sides, seen
        assert len(seen) == len(sides), "the changes have shown nothing"
        now = resident(envoy)
        assert now - memory < SLACK, f"memory grew from {memory} to {now} bytes"
        count = sum(seen.values())
        return f"{total} changes under {count} requests: memory {memory >> 20} MiB, then {now >> 20}"


def main() -> None:
    """The long run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--changes", type=int, default=1_000)
    arguments = parser.parse_args()
    started = time.monotonic()
    print(changes(arguments.changes), flush=True)
    print(requests(arguments.requests), flush=True)
    print(json.dumps({"seconds": round(time.monotonic() - started)}))


if __name__ == "__main__":
    main()
