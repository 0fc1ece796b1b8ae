"""The shipped files for Prometheus and Grafana, as their own tools see them."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml
from prometheus import ALERTS, DASHBOARD, RECORDED, RULES, dashboard_queries, rules, tools


@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "tse-route.rules.yml", "tse-route.alerts.yml"),
        ("test", "rules", "tse-route.tests.yml"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_promtool(command: tuple[str, ...]) -> None:
    """It finds nothing, and the rules' own tests pass."""
    result = subprocess.run(
        [str(tools() / "promtool"), *command],
        cwd=RULES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout


def test_every_rule_has_a_test() -> None:
    """Every alert is tested by name, and every recorded series is used."""
    tests = (RULES / "tse-route.tests.yml").read_text()
    for alert in rules(ALERTS, "alert"):
        assert f"alertname: {alert['alert']}" in tests
    used = tests + ALERTS.read_text() + DASHBOARD.read_text()
    used += "".join(rule["expr"] for rule in rules(RECORDED, "record"))
    for rule in rules(RECORDED, "record"):
        assert re.search(rf"{rule['record']}\b", used), rule["record"]


def test_the_dashboard_asks_for_recorded_series_only() -> None:
    """So that it works for both gateways."""
    recorded = {rule["record"] for rule in rules(RECORDED, "record")}
    for title, query in dashboard_queries().items():
        names = set(re.findall(r"\b(?:kong_)?tse_route\w*(?::\w+)*", query))
        assert names and names <= recorded, title


def test_the_dashboard_is_well_formed() -> None:
    """Numbers of panels and letters of queries are there once; every query has the data source."""
    dashboard = json.loads(DASHBOARD.read_text())
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in dashboard["panels"]:
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
        assert all(t["datasource"]["uid"] == "${datasource}" for t in panel["targets"])
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def test_provisioning_finds_what_is_there() -> None:
    """The data source of the dashboard is the one that is provisioned."""
    provisioning = DASHBOARD.parents[1] / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    [provider] = yaml.safe_load((provisioning / "dashboards/tse-route.yml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
