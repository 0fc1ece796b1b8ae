"""`make bench`: what tse-route costs in the real Envoy, beside everything that could do its work.

In every round each contender gets the same requests, one after the other; what it adds to a plain
proxy pass is the difference within the round, and what is printed is the median of all rounds. So
whatever slows the machine down for a while slows all of them down.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import report
import rules
from gateway import Gateway, lua, wasm

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "target" / "bench" / "build"
MODULES = BUILT / "wasm32-wasip1" / "release"
LOAD = BUILT / "release" / "load"
ENVOY = ROOT / "target" / "venv" / "bin" / "envoy"
FILTER = ROOT / "dist" / "tse-route.wasm"


def contenders(gateway: Gateway, kinds: list[str], sizes: list[int], extra: list[Path]) -> dict[str, list[str]]:
    """Adds a listener for each; returns the request that each gets."""
    requests = {}

    def add(name: str, request: list[str], filters: list[dict[str, Any]], routes: list[dict[str, Any]] = []) -> None:
        gateway.add(name, filters, routes)
        requests[name] = request

    one = rules.request("header", 1)
    add("plain", one, [])
    add("empty wasm", one, [wasm(MODULES / "empty.wasm")])
    add("smallest wasm", one, [wasm(MODULES / "smallest.wasm")])
    # The calls that tse-route makes for one rule, and nothing else.
    add("floor wasm", one, [wasm(MODULES / "floor.wasm")])
    add("tse-route none", one, [wasm(FILTER, '{"rules": []}')])
    for kind in kinds:
        for size in sizes:
            request = rules.request(kind, size)
            add(f"native {kind} {size}", request, [], rules.native(kind, size))
            add(f"lua {kind} {size}", request, [lua(rules.lua(kind, size))])
            config = rules.tse_route(kind, size)
            add(f"tse-route {kind} {size}", request, [wasm(FILTER, config)])
            # What the smallest filter does not do either: no metrics, nothing for the access log.
            lean = json.dumps({**json.loads(config), "metrics": False, "access_log": False})
            add(f"tse-route lean {kind} {size}", request, [wasm(FILTER, lean)])
            for module in extra:
                config = rules.tse_route(kind, size)
                add(f"{module.stem} {kind} {size}", request, [wasm(module.resolve(), config)])
    return requests


def load(port: int, request: list[str], count: int, rate: int, routed: bool) -> dict[str, float]:
    """Puts load on a listener; every answer must show that it went where it should."""
    expected = "route-upstream: canary" if routed else ""
    command = [LOAD, f"127.0.0.1:{port}", "8", str(count), str(rate), expected, *request]
    result = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    if result["unexpected"]:
        raise SystemExit(f"{result['unexpected']} of {count} answers came from elsewhere: {request}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=5_000, help="per contender and round")
    parser.add_argument("--rate", type=int, default=300, help="requests per second when latency is measured")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 100, 1_000])
    parser.add_argument("--kinds", nargs="+", default=list(rules.KINDS), choices=rules.KINDS)
    parser.add_argument("--extra", type=Path, nargs="*", default=[], help="other builds of the filter")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as directory:
        gateway = Gateway(ENVOY, Path(directory))
        requests = contenders(gateway, options.kinds, options.sizes, options.extra)
        gateway.start()
        try:
            cpu: dict[str, list[float]] = {name: [] for name in requests}
            latency: dict[str, list[dict[str, float]]] = {name: [] for name in requests}
            routed = {name: name not in ("plain", "empty wasm", "tse-route none") for name in requests}
            for name, request in requests.items():  # the first requests compile and fill caches
                load(gateway.ports[name], request, 12_000, 0, routed[name])
            for number in range(options.rounds):
                for name, request in requests.items():
                    before = gateway.cpu()
                    result = load(gateway.ports[name], request, options.requests, 0, routed[name])
                    cpu[name].append((gateway.cpu() - before) / result["requests"] * 1e6)
                print(f"round {number + 1} of {options.rounds}", flush=True)
            for name, request in requests.items():
                for _ in range(3):
                    count = options.rate
                    latency[name].append(load(gateway.ports[name], request, count, options.rate, routed[name]))
        finally:
            gateway.stop()

    figures = {}
    for name in requests:
        added = [own - plain for own, plain in zip(cpu[name], cpu["plain"], strict=True)]
        figures[name] = report.Figures(
            cpu=statistics.median(cpu[name]),
            added=statistics.median(added),
            spread=(min(added), max(added)),
            p50=statistics.median(run["p50_us"] for run in latency[name]),
            p99=statistics.median(run["p99_us"] for run in latency[name]),
        )
    report.write(figures, options, ROOT / "target" / "bench")


if __name__ == "__main__":
    main()
