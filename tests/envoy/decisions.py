"""One table of decisions for the real Envoy, `tse-route explain` and the page in `playground/`.

`python tests/envoy/decisions.py` prints it as JSON: configurations, each with requests as
`explain --cases` reads them, and with what is expected of them. Every expectation is one that a
test of this folder asks of Envoy.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from cases import Case, Rules
from client import Text
from gateway import ROOT

HOST = "example.test"

# Requests to the configurations of the original documentation: method and target, headers, and the
# upstreams that may serve it; none for the service's own, because no rule matches.
SEEDS: dict[str, list[tuple[str, list[tuple[str, str]], dict[str, float] | None]]] = {
    "header.yaml": [
        ("GET /", [("version", "1")], {"demo1.default.80.svc": 1}),
        ("GET /", [("Version", "1")], {"demo1.default.80.svc": 1}),
        ("POST /x?version=2", [("version", "1")], {"demo1.default.80.svc": 1}),
        ("GET /", [("version", "2")], None),
        ("GET /", [("version", "1.0")], None),
        ("GET /?version=1", [], None),
    ],
    "query.yaml": [
        ("GET /?age=25", [], {"demo1.default.80.svc": 1}),
        ("GET /x?name=a&age=29.99", [], {"demo1.default.80.svc": 1}),
        ("GET /?age=%32%39", [], {"demo1.default.80.svc": 1}),
        ("GET /?age=-1", [], {"demo1.default.80.svc": 1}),
        ("GET /?age=30", [], None),
        ("GET /?age=thirty", [], None),
        ("GET /?age=", [], None),
        ("GET /", [("age", "25")], None),
    ],
    "weights.yaml": [
        (
            "GET /",
            [],
            {
                "demo1.default.80.svc": 0.2,
                "demo2.default.80.svc": 0.3,
                "nginx.default.80.svc": 0.5,
            },
        ),
    ],
}

# The weight of the only rule of each.
SEED_WEIGHTS = {"header.yaml": 22, "query.yaml": 22, "weights.yaml": 10}


def expected_of_seed(name: str, upstreams: dict[str, float] | None) -> dict[str, Any]:
    """What `explain` answers to a request that these upstreams may serve."""
    if upstreams is None:
        return {"rule": None, "upstream": None, "probabilities": {}, "response_headers": []}
    weight = SEED_WEIGHTS[name]
    expected = {"rule": {"index": 0, "weight": weight}, "probabilities": upstreams}
    if len(upstreams) == 1:
        (upstream,) = upstreams
        shown = [["X-Kong-Route-Rule", str(weight)], ["X-Kong-Route-Upstream", upstream]]
        expected |= {"upstream": upstream, "response_headers": shown}
    return expected


def seed_table(name: str) -> dict[str, Any]:
    """The requests to one of the seed's files."""
    cases = [
        {
            "name": f"{request} {headers}",
            "request": request,
            "headers": [f"{header}: {value}" for header, value in headers],
            "expect": expected_of_seed(name, upstreams),
        }
        for request, headers, upstreams in SEEDS[name]
    ]
    text = (ROOT / "examples" / "seed" / name).read_text()
    return {"name": name, "config": text, "cases": cases}


def text(value: Text) -> str:
    """What goes over the wire, as text; fails where it is none."""
    return value.decode() if isinstance(value, bytes) else value


def case_of(rules: Rules, case: Case) -> dict[str, Any]:
    """A case as `explain --cases` reads it, with what Envoy knows of the request besides."""
    name = rules.ids[case.name]
    headers = [("host", HOST), ("x-case", name)]
    known = {}
    for header, value in case.headers:
        # What Envoy takes from these, `explain` is told.
        match text(header):
            case "x-forwarded-for":
                known["client_ip"] = text(value)
            case "x-forwarded-proto":
                known["scheme"] = text(value)
            case other:
                headers.append((other, text(value)))
    if case.body is not None:
        known["body"] = case.body.decode()
    weight = str(rules.WEIGHT)
    shown = [
        ["X-Kong-Route-Rule", weight],
        ["X-Kong-Route-Upstream", "canary"],
        ["x-rule-name", name],
    ]
    expected = {"rule": {"name": name}, "upstream": "canary", "response_headers": shown}
    return {
        "name": str(case),
        "request": f"{text(case.method)} {text(case.target)}",
        "headers": [f"{header}: {value}" for header, value in headers],
        **known,
        "expect": expected if case.holds else {"rule": None, "upstream": None},
    }


def tables() -> list[dict[str, Any]]:
    """All of it."""
    from test_conditions import CASES, RULES

    conditions = {
        "name": "conditions",
        "config": json.dumps(RULES.config, indent=1),
        "cases": [case_of(RULES, case) for case in CASES],
    }
    return [*(seed_table(name) for name in SEEDS), conditions]


if __name__ == "__main__":
    json.dump(tables(), sys.stdout, indent=1)
