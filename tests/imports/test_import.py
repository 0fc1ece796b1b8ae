"""Imported routes do in the real Envoy what they did where they come from.

The tables are those of `cli/tests/cli/import`; `cli/tests/cli/import.rs` says what their fields mean.
"""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from chance import unlikely
from client import Connection
from gateway import ROOT, Envoy, Listener

CLI = ROOT / "target" / "debug" / "tse-route"
TABLES = sorted((ROOT / "cli" / "tests" / "cli" / "import").glob("*.yaml"))
SERVICE = "(service)"
REQUESTS = 4_000


@dataclass(frozen=True)
class Case:
    """A request of a table."""

    source: Path
    entry: dict[str, Any]

    @property
    def listener(self) -> str:
        """Each time that a table asks about has a gateway of its own."""
        return f"{self.source.stem}@{self.entry.get('at', 'now')}"

    def __str__(self) -> str:
        headers = [*self.entry.get("headers", []), self.entry.get("cookie", "")]
        at = f" at {self.entry['at']}" if "at" in self.entry else ""
        return f"{self.source.stem}: {' '.join([self.entry['request'], *filter(None, headers)])}{at}"


def table(source: Path) -> dict[str, Any]:
    """The requests that belong to a source."""
    return json.loads(source.with_suffix(".requests.json").read_text())


CASES = [Case(source, entry) for source in TABLES for entry in table(source)["requests"]]


def imported(source: Path) -> dict[str, Any]:
    """The configuration that `tse-route import` makes of a file."""
    command = [str(CLI), "import", str(source), *table(source).get("args", [])]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (manifest,) = yaml.safe_load_all(result.stdout)
    assert (manifest["kind"], manifest["plugin"]) == ("KongPlugin", "tse-route")
    return manifest["config"]


def moved(config: dict[str, Any], at: str | None) -> dict[str, Any]:
    """The configuration with its ramps moved, so that now is the time that a request has."""
    config = copy.deepcopy(config)
    for rule in config["rules"]:
        if at is not None and "rollout" in rule:
            rule["rollout"]["start"] += int(time.time()) - int(at)
    return config


@pytest.fixture(scope="module")
def envoy() -> Iterator[Envoy]:
    """A gateway for each source, with an upstream of each name."""
    if not CLI.exists():
        pytest.fail(f"{CLI} is missing: `cargo build --package tse-route-cli` makes it")
    configs = {source: imported(source) for source in TABLES}
    listeners = {
        case.listener: Listener(moved(configs[case.source], case.entry.get("at"))) for case in CASES
    }
    names = {
        upstream["name"]
        for config in configs.values()
        for rule in config["rules"]
        for upstream in rule["upstream"]
        if upstream["name"] is not None
    }
    with Envoy(listeners, named=("own", *sorted(names))) as envoy:
        yield envoy


def send(envoy: Envoy, case: Case, requests: int) -> Counter[tuple[str, bool]]:
    """How often which upstream answered, and whether a rule had decided."""
    *method, target = case.entry["request"].split(" ")
    url = urlsplit(target)
    headers = [tuple(header.split(": ", 1)) for header in case.entry.get("headers", [])]
    headers += [("host", url.netloc)] if url.netloc else []
    path = url._replace(scheme="", netloc="").geturl()
    key = case.entry.get("hash", "").removeprefix("cookie ")
    counts: Counter[tuple[str, bool]] = Counter()
    with Connection(envoy.port(case.listener)) as connection:
        for number in range(requests):
            # A split may go by a cookie or by the client's address, which Envoy always knows: many clients.
            client = f"10.1.{number // 256}.{number % 256}"
            cookie = case.entry.get("cookie")
            if "hash" not in case.entry:
                client = case.entry.get("client_ip", client)
            elif cookie and cookie.startswith(f"{key}="):
                cookie = f"{key}={number}"
            sent = [*headers, ("x-forwarded-for", client), *([("cookie", cookie)] if cookie else [])]
            response = connection.request(method[0] if method else "GET", path, sent)
            assert response.status == 200, response
            counts[response.body.decode(), response.header("x-kong-route-rule") is not None] += 1
    return counts


@pytest.mark.parametrize("case", CASES, ids=str)
def test_requests_arrive_where_they_did(envoy: Envoy, case: Case) -> None:
    """The backend of the table answers, or each of its backends its share."""
    if "backends" not in case.entry:
        ((upstream, ruled),) = send(envoy, case, 1)
        assert upstream == (case.entry["backend"] or "own")
        # Without a rule there is no backend; a rule may also send to the service's own upstream.
        assert ruled == case.entry.get("rule", case.entry["backend"] is not None)
        return
    expected = {
        "own" if name == SERVICE else name: share
        for name, share in case.entry["backends"].items()
        if share > 0
    }
    observed: Counter[str] = Counter()
    for (upstream, _), count in send(envoy, case, REQUESTS).items():
        observed[upstream] += count
    # Nobody without a share gets a single request.
    assert not unlikely(observed, expected)
