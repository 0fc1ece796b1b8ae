"""Where rules live and where releases are written down, besides files.

PostgreSQL is the real one. Kong's Admin API, Kubernetes and Firestore are stand-ins (stand_ins.py).
These releases go by the clock alone: what is judged is tested in test_release.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from postgres import Postgres
from rig import CLI
from stand_ins import Firestore, KongWithDatabase, KongWithoutDatabase, Kubernetes, share

PROMOTED, ROLLED_BACK, REFUSED = 0, 3, 5
FILE = """\
rules:
- name: checkout # the shop
  upstream:
  - {name: blue, weight: 100}
  - {name: green, weight: 0}
"""


def write(directory: Path, name: str = "shop-2", **fields: Any) -> Path:
    """A plan that goes by the clock."""
    (directory / "rules.yaml").write_text(FILE)
    plan = {
        "release": name,
        "rule": "checkout",
        "stable": "blue",
        "canary": "green",
        "gateways": [{"file": "rules.yaml"}],
        "steps": [{"weight": 25, "for": "300ms"}, {"weight": 50.5, "for": "300ms"}],
        "analysis": "none",
        "every": "50ms",
        **fields,
    }
    path = directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(plan))
    return path


def run(plan: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a release to its end, or asks about it."""
    return subprocess.run(
        [str(CLI), "release", *(command or ("run",)), str(plan)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1", **environment},
    )


def test_kong_without_a_database(tmp_path: Path) -> None:
    kong = KongWithoutDatabase()
    with kong.running():
        plan = write(tmp_path, gateways=[{"kong": kong.url}])
        done = run(plan)
    assert done.returncode == PROMOTED, done.stdout + done.stderr
    assert share(kong.entities["plugins"][0]["config"]) == 100
    assert kong.entities["services"] == [{"name": "shop", "id": "s1", "host": "blue"}]
    # Two steps and the promotion.
    assert kong.calls.count("POST /config") == 3


def test_kong_that_was_changed_meanwhile_is_read_again(tmp_path: Path) -> None:
    class Busy(KongWithoutDatabase):
        """Someone else changes it, whenever it is asked for its hash a second time."""

        asked = 0

        def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
            if path == "/status":
                self.asked += 1
                # After an export it is asked whether that is still of the same hash.
                if self.calls[-2] == "GET /config" and self.asked < 12:
                    self.entities["services"][0]["retries"] = self.asked
            return super().answer(method, path, query, body)

    kong = Busy()
    with kong.running():
        done = run(write(tmp_path, gateways=[{"kong": kong.url}]))
    assert done.returncode == PROMOTED, done.stdout + done.stderr
    assert "changed meanwhile" in done.stdout
    # What the other one wrote is still there.
    assert kong.entities["services"][0]["retries"] > 0


def test_weights_behind_kong() -> None:
    kong = KongWithoutDatabase()
    with kong.running():
        command = [str(CLI), "weights", kong.url, "checkout"]
        changed = subprocess.run([*command, "blue=90", "green=10"], capture_output=True, text=True)
        assert (changed.returncode, changed.stdout) == (0, "checkout: blue 90, green 10\n"), changed.stderr
        assert share(kong.entities["plugins"][0]["config"]) == 10
        wrong = subprocess.run([*command, "green=11"], capture_output=True, text=True)
        assert wrong.returncode == 1 and "add up to 101" in wrong.stderr, wrong.stderr
        assert kong.calls.count("POST /config") == 1
    gone = subprocess.run(command, capture_output=True, text=True)
    assert gone.returncode == 2 and "refused" in gone.stderr.lower(), gone.stderr


@pytest.mark.parametrize("in_chain", [False, True], ids=["plugin", "filter chain"])
def test_kong_with_a_database(tmp_path: Path, in_chain: bool) -> None:
    kong = KongWithDatabase(in_chain)
    with kong.running():
        done = run(write(tmp_path, gateways=[{"kong": kong.url}]))
    assert done.returncode == PROMOTED, done.stdout + done.stderr
    if in_chain:
        [filter] = kong.lists["filter-chains"][0]["filters"]
        assert share(filter["config"]) == 100 and filter["enabled"]
    else:
        assert share(kong.lists["plugins"][1]["config"]) == 100
    assert sum(call.startswith("PATCH") for call in kong.calls) == 3


def test_a_kong_that_is_away_is_waited_for(tmp_path: Path) -> None:
    kong = KongWithoutDatabase()
    kong.away = 7
    with kong.running():
        done = run(write(tmp_path, gateways=[{"kong": kong.url}]))
    assert done.returncode == PROMOTED, done.stdout + done.stderr
    assert "503" in done.stdout


@pytest.mark.parametrize("kind", list(Kubernetes.PLURALS))
def test_kubernetes(tmp_path: Path, kind: str) -> None:
    cluster = Kubernetes(kind)
    cluster.rivals = 2
    with cluster.running():
        (tmp_path / "kubeconfig").write_text(cluster.kubeconfig())
        gateway = {"kind": kind, "name": "checkout", "namespace": "shop"}
        plan = write(tmp_path, gateways=[{"kubernetes": gateway}])
        done = run(plan, KUBECONFIG=str(tmp_path / "kubeconfig"))
    assert done.returncode == PROMOTED, done.stdout + done.stderr
    assert share(cluster.configuration()) == 100
    assert cluster.object["metadata"]["annotations"] == {"kept": "yes"}
    assert "changed meanwhile" in done.stdout


def test_several_gateways_change_together(tmp_path: Path) -> None:
    kong = KongWithoutDatabase()
    with kong.running():
        gateways = [{"file": "rules.yaml"}, {"kong": kong.url}]
        done = run(write(tmp_path, gateways=gateways))
        assert done.returncode == PROMOTED, done.stdout + done.stderr
        text = (tmp_path / "rules.yaml").read_text()
        assert text == FILE.replace("100", "x").replace("weight: 0", "weight: 100").replace("x", "0")
        assert share(kong.entities["plugins"][0]["config"]) == 100
        # In one of them the canary has something already: nothing begins.
        other = write(tmp_path, "shop-3", gateways=gateways)
        refused = run(other)
    assert refused.returncode == REFUSED, refused.stdout
    assert (tmp_path / "rules.yaml").read_text() == FILE


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A database for all tests."""
    with Postgres() as postgres:
        yield postgres


def test_a_record_in_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    plan = write(tmp_path, record={"postgres": postgres.address})
    done = run(plan)
    assert done.returncode == PROMOTED, done.stdout + done.stderr
    [phase] = postgres.query(
        "SELECT document->>'phase' FROM tse_route_record WHERE collection = 'releases'"
    )
    assert phase == "promoted"
    rows = postgres.query(
        "SELECT id, document->>'status' FROM tse_route_record WHERE collection = 'environments' ORDER BY id"
    )
    assert rows == ["checkout~blue|idle", "checkout~green|active"]
    history = json.loads(run(plan, "history", "--output", "json").stdout)
    assert [release["release"] for release in history["releases"]] == ["shop-2"]
    assert run(plan).returncode == PROMOTED  # it is known there


def test_postgresql_that_is_away_is_waited_for(tmp_path: Path, postgres: Postgres) -> None:
    # So long that only a hand ends it.
    steps = [{"weight": 25, "for": "10m"}]
    plan = write(tmp_path, "shop-4", record={"postgres": postgres.address}, steps=steps)
    runner = subprocess.Popen([str(CLI), "release", "run", str(plan)], stdout=subprocess.PIPE, text=True)
    phase = "SELECT document->>'phase' FROM tse_route_record WHERE id = 'shop-4'"
    try:
        # The runner makes the table.
        while postgres.query("SELECT to_regclass('tse_route_record')") == [""]:
            assert runner.poll() is None
        while "watching" not in postgres.query(phase):
            assert runner.poll() is None
        postgres.stop()
        assert runner.stdout is not None
        # The database stays away until the runner has missed it.
        for line in runner.stdout:
            if "PostgreSQL" in line:
                break
        else:
            pytest.fail("the runner ended without the database")
        postgres.start()
        assert run(plan, "promote").returncode == 0
        assert runner.wait(timeout=60) == PROMOTED
    finally:
        runner.kill()
        runner.wait()


def test_a_record_in_firestore(tmp_path: Path) -> None:
    """A stand-in: what is said here of Firestore has not been seen with Google's."""
    firestore = Firestore()
    with firestore.running():
        record = {"firestore": {"project": "shop", "url": firestore.url, "token": "${TOKEN}"}}
        plan = write(tmp_path, record=record)
        done = run(plan, TOKEN="secret")
        assert done.returncode == PROMOTED, done.stdout + done.stderr
        assert firestore.plain("tse-route-releases/shop-2")["phase"] == "promoted"
        assert firestore.plain("tse-route-environments/checkout~green")["status"] == "active"
        assert "secret" not in json.dumps(firestore.documents)
        history = json.loads(run(plan, "history", "--output", "json", TOKEN="secret").stdout)
        assert len(history["environments"]) == 2
        assert run(plan, TOKEN="secret").returncode == PROMOTED
        refused = run(plan, TOKEN="wrong")
    assert refused.returncode == 2 and "401" in refused.stderr, refused.stderr
