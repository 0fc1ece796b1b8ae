"""The original configurations: what Envoy answers is what `explain` and the page are asked for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client import request
from decisions import SEED_WEIGHTS, SEEDS, tables
from gateway import ROOT, Envoy, Listener, seed
from upstreams import Echo, echoed

UPSTREAMS = ("demo1.default.80.svc", "demo2.default.80.svc", "nginx.default.80.svc")
CLI = ROOT / "target" / "debug" / "tse-route"


@pytest.fixture(scope="module")
def envoy() -> Iterator[Envoy]:
    """One Envoy with the three of them, and with all their upstreams."""
    listeners = {name: Listener(seed(name)["config"]) for name in SEEDS}
    with Echo(["own", *UPSTREAMS]) as echo, Envoy(listeners, ports=echo.ports) as envoy:
        yield envoy


@pytest.mark.parametrize(
    ("name", "sent", "headers", "upstreams"),
    [(name, *row) for name, rows in SEEDS.items() for row in rows],
)
def test_envoy_answers_as_the_table_says(
    envoy: Envoy,
    name: str,
    sent: str,
    headers: list[tuple[str, str]],
    upstreams: dict[str, float] | None,
) -> None:
    """The upstream that serves is one of the table's, and the headers show it."""
    method, target = sent.split()
    body = b"" if method == "POST" else None
    answer = echoed(request(envoy.port(name), method, target, headers, body=body))
    shown = [
        answer.response.header(header) for header in ("x-kong-route-rule", "x-kong-route-upstream")
    ]
    if upstreams is None:
        assert (answer.upstream, shown) == ("own", [None, None])
    else:
        assert answer.upstream in upstreams
        assert shown == [str(SEED_WEIGHTS[name]), answer.upstream]


@pytest.mark.parametrize("table", tables(), ids=lambda table: table["name"])
def test_explain_answers_as_envoy(table: dict[str, Any], tmp_path: Path) -> None:
    """The whole table, by the command line."""
    config, cases = tmp_path / "config.yaml", tmp_path / "cases.json"
    config.write_text(table["config"])
    cases.write_text(json.dumps(table["cases"]))
    command = [CLI, "explain", "-c", config, "--cases", cases, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    results = json.loads(done.stdout)
    assert [case for case in results["cases"] if case["result"] != "ok"] == []
    assert len(results["cases"]) == len(table["cases"])
