"""Shows the filter at work in a real Envoy: the seed's rules, requests, and where they went."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gateway
from chance import unlikely
from client import Headers, load, request
from gateway import HEADER, Envoy, Reservations, StartError

REQUESTS = 10_000

DEMO1, DEMO2, NGINX = "demo1.default.80.svc", "demo2.default.80.svc", "nginx.default.80.svc"

# What the seed has no rule for.
CORNERS = {
    "rules": [
        {
            "weight": 40,
            "condition": {"body": {"key": "user.tier", "operator": "eq", "value": "gold"}},
            "upstream": [{"name": DEMO2}],
        },
        {
            "weight": 30,
            "condition": {
                "cookie": [
                    {"key": "lab", "operator": "eq", "value": "on"},
                    {"key": "uid", "operator": "in", "value": "7,8,9"},
                ]
            },
            "upstream": [{"name": DEMO1}],
        },
        {
            "weight": 20,
            "condition": {"query": {"key": "q", "operator": "eq", "value": "100%zz"}},
            "upstream": [{"name": DEMO1}],
        },
        {
            "weight": 15,
            "condition": {
                "path": {"operator": "path_prefix", "value": "/beta"},
                "header": {"key": "opt-out", "operator": "not exists"},
            },
            "upstream": [{"name": DEMO2}],
        },
    ]
}


@dataclass(frozen=True)
class Try:
    """A request, and what should become of it."""

    title: str
    # The weight of the rule that decides, and the upstream it names; none where no rule holds.
    rule: int | None
    upstream: str | None
    method: str = "GET"
    target: str = "/"
    headers: Headers = ()
    body: bytes | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of it: the two response headers, and who answered."""

    rule: str
    upstream: str
    answered: str


def stays(title: str, **more: Any) -> Try:
    """A request that no rule moves from the service's own upstream."""
    return Try(title, None, None, **more)


JSON = ("content-type", "application/json")
SCENARIOS: list[tuple[str, str, list[Try]]] = [
    (
        "header",
        "examples/seed/header.yaml: header `version` eq 1",
        [
            Try("version: 1", 22, DEMO1, headers=[("version", "1")]),
            stays("version: 2", headers=[("version", "2")]),
            stays("no header"),
            stays("version: 2 and version: 1", headers=[("version", "2"), ("version", "1")]),
            stays("version: not UTF-8", headers=[("version", b"\xff\xfe")]),
            stays(f"forged {HEADER}", headers=[(HEADER, DEMO2)]),
            Try("forged, and version: 1", 22, DEMO1, headers=[(HEADER, DEMO2), ("version", "1")]),
        ],
    ),
    (
        "query",
        "examples/seed/query.yaml: query `age` lt 30",
        [
            Try("/?age=29", 22, DEMO1, target="/?age=29"),
            Try("/?age=9", 22, DEMO1, target="/?age=9"),
            stays("/?age=30", target="/?age=30"),
            stays("/?age=200", target="/?age=200"),
            stays("/ without age"),
            stays("/?age=%zz", target="/?age=%zz"),
            Try("/?%61ge=2%39", 22, DEMO1, target="/?%61ge=2%39"),
        ],
    ),
    (
        "corners",
        "corner cases: a body, two Cookie headers, broken escapes, absent parameters",
        [
            Try(
                'body {"user":{"tier":"gold"}}',
                *(40, DEMO2, "POST"),
                headers=[JSON],
                body=b'{"user":{"tier":"gold"}}',
            ),
            stays("body that is no JSON", method="POST", headers=[JSON], body=b"{\xff"),
            Try(
                "lab and uid in two Cookie headers",
                *(30, DEMO1),
                headers=[("cookie", "a=1; lab=on"), ("cookie", 'uid="8"')],
            ),
            stays("cookie lab alone", headers=[("cookie", "lab=on")]),
            Try("/?q=100%zz", 20, DEMO1, target="/?q=100%zz"),
            Try("/?q=100%25zz", 20, DEMO1, target="/?q=100%25zz"),
            Try("/beta/x without opt-out", 15, DEMO2, target="/beta/x"),
            stays("/beta/x with an empty opt-out", target="/beta/x", headers=[("opt-out", "")]),
            stays("/betax", target="/betax"),
        ],
    ),
    (
        "gateway",
        "examples/envoy.yaml: all rules at once, the one with the largest weight first",
        [
            Try("/?age=29 and version: 1", 22, DEMO1, "GET", "/?age=29", [("version", "1")]),
            Try("/?age=29", 21, DEMO1, target="/?age=29"),
        ],
    ),
]

COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(code: str, text: str) -> str:
    """Text in a colour, on a terminal that wants any."""
    return f"\x1b[{code}m{text}\x1b[0m" if COLOURS else text


def print_table(title: str, header: Sequence[str], rows: list[tuple[list[str], bool]]) -> bool:
    """Prints rows with their verdicts, and returns whether all are right."""
    print("\n" + paint("1", title))
    widths = [max(map(len, column)) for column in zip(header, *(cells for cells, _ in rows))]

    def line(cells: Sequence[str]) -> str:
        return "  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths))

    print(paint("2", line(header) + "  ok"))
    for cells, right in rows:
        print(line(cells) + "  " + (paint("32", "ok") if right else paint("1;31", "WRONG")))
    return all(right for _, right in rows)


def observe(port: int, attempt: Try) -> Outcome:
    """Sends one request."""
    try:
        response = request(port, attempt.method, attempt.target, attempt.headers, body=attempt.body)
    except OSError as error:
        return Outcome("-", "-", f"no answer: {error}")
    answered = response.body.decode("latin-1").strip()
    return Outcome(
        response.header("x-kong-route-rule") or "-",
        response.header("x-kong-route-upstream") or "-",
        answered if response.status == 200 else f"status {response.status}",
    )


def show_requests(title: str, tries: list[Try], send: Callable[[Try], Outcome]) -> bool:
    """Sends the requests of one scenario and shows what became of them."""
    rows = []
    for attempt in tries:
        expected = Outcome(
            "-" if attempt.rule is None else str(attempt.rule),
            attempt.upstream or "-",
            attempt.upstream or NGINX,
        )
        observed = send(attempt)
        cells = [attempt.title, observed.rule, observed.upstream]
        rows.append(([*cells, expected.answered, observed.answered], observed == expected))
    return print_table(title, ("request", "rule", "upstream", "expected", "observed"), rows)


def show_weights(title: str, weights: dict[str, float], send: Callable[[], Counter[str]]) -> bool:
    """Sends many requests and shows who answered how many."""

    counts = send()
    wrong = unlikely(counts, {upstream: percent / 100 for upstream, percent in weights.items()})
    table = []
    for upstream in dict.fromkeys([*weights, *counts]):
        expected, observed = weights.get(upstream, 0), 100 * counts[upstream] / REQUESTS
        cells = [upstream, f"{expected:g} %", f"{observed:.2f} %", str(counts[upstream])]
        table.append(([*cells, f"{observed - expected:+.2f}"], upstream not in wrong))
    return print_table(title, ("upstream", "expected", "observed", "requests", "deviation"), table)


def bootstrap() -> dict[str, Any]:
    """The example, with its gateway once more for each of the seed's configurations."""
    seed = {name: gateway.seed(f"{name}.yaml")["config"] for name in ("header", "query", "weights")}
    return gateway.example_with({**seed, "corners": CORNERS})


def demonstrate() -> bool:
    """Sends all requests and shows what became of them; returns whether all went right."""
    reserved = Reservations()
    try:
        whole = gateway.at_free_ports(bootstrap(), reserved)
        with Envoy(bootstrap=whole, concurrency=2) as envoy:
            print(
                f"Envoy {envoy.version()} with dist/tse-route.wasm. `rule` and `upstream` are the "
                "response headers\nX-Kong-Route-Rule and X-Kong-Route-Upstream, "
                "`observed` is who answered."
            )
            results = []
            for name, title, tries in SCENARIOS:
                port = envoy.port(name)
                results.append(show_requests(title, tries, lambda t, port=port: observe(port, t)))

            def send() -> Counter[str]:
                found: Counter[str] = Counter()
                for (body, _, upstream), count in load(envoy.port("weights"), REQUESTS).items():
                    # Who answered, if that is who should have.
                    answered = str(body).strip()
                    found[answered if answered == upstream else f"{answered}?"] += count
                return found

            title = f"examples/seed/weights.yaml: {REQUESTS} requests"
            results.append(show_weights(title, {DEMO1: 20, DEMO2: 30, NGINX: 50}, send))
    finally:
        reserved.close()
    right = all(results)
    verdict = paint("32", "All as expected.") if right else paint("1;31", "Not as expected.")
    print(f"\n{verdict}")
    return right


def keep(port: int | None) -> bool:
    """Leaves Envoy running with the example, until it is interrupted."""
    example = gateway.example()
    reserved = Reservations()
    try:
        wanted = gateway.ports_of(example)
        if port is not None:
            wanted = [port]
            example = gateway.at_free_ports(example, reserved)
            example["static_resources"]["listeners"][0]["address"] = gateway.socket_address(port)
        for needed in wanted:
            if is_in_use(needed):
                raise Problem(
                    f"port {needed} on 127.0.0.1 is in use: stop what listens there, or choose "
                    "another port for the gateway with `make run PORT=…`"
                )
        with Envoy(bootstrap=example, concurrency=2) as envoy:
            url = f"http://127.0.0.1:{envoy.port('gateway')}"
            admin = f"http://127.0.0.1:{envoy.admin_port}"
            print(f"Envoy {envoy.version()} is running with examples/envoy.yaml. Try:\n")
            for command, comment in (
                (f"curl -i {url}/", "20 % demo1, 30 % demo2, 50 % nginx"),
                (f"curl -i {url}/ -H 'version: 1'", "demo1, rule 22"),
                (f"curl -i '{url}/?age=29'", "demo1, rule 21"),
                (f"curl -i {url}/ -H '{HEADER}: nowhere'", "is not listened to"),
                (f"for i in $(seq 1000); do curl -s {url}/; done | sort | uniq -c", ""),
                (f"curl -s '{admin}/stats?filter=wasm'", ""),
                (f"tail -f {envoy.log_path}", "decisions in the access log"),
            ):
                print(f"  {command:<68}{paint('2', '# ' + comment) if comment else ''}".rstrip())
            print("\nCtrl-C ends it.", flush=True)
            try:
                envoy.wait()
            except KeyboardInterrupt:
                print()
                return True
    finally:
        reserved.close()


class Problem(Exception):
    """Something that the user can put right."""


def is_in_use(port: int) -> bool:
    """Whether somebody listens on a port: two Envoys would share it without a word."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave Envoy running until Ctrl-C")
    parser.add_argument("--port", type=int, help="the gateway's port, with --keep")
    options = parser.parse_args(arguments)
    if options.port is not None and not (options.keep and 0 < options.port < 65_536):
        parser.error("--port takes a port from 1 to 65535, and goes with --keep")
    # Whoever ends the demo ends its Envoy, too. A shell's background jobs start deaf to Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for path, target in ((gateway.WASM, "make wasm"), (gateway.ENVOY, "make demo")):
            if not path.exists():
                raise Problem(f"{path} is missing: `{target}` makes it")
        right = keep(options.port) if options.keep else demonstrate()
    except Problem as problem:
        print(f"{paint('1;31', 'error:')} {problem}", file=sys.stderr)
        return 1
    except (AssertionError, OSError) as error:
        print(f"{paint('1;31', 'error:')} {error}", file=sys.stderr)
        return 1
    except StartError as error:
        lines = str(error).splitlines()[-20:]
        print(f"{paint('1;31', 'error:')} Envoy has ended; its log says:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in lines), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
