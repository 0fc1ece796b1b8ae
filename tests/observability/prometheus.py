"""A real Prometheus with the shipped configuration and rules."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from gateway import ROOT
from observed import EXAMPLES

RULES = EXAMPLES / "prometheus"
RECORDED = RULES / "tse-route.rules.yml"
ALERTS = RULES / "tse-route.alerts.yml"
DASHBOARD = EXAMPLES / "grafana" / "dashboards" / "tse-route.json"


@cache
def tools() -> Path:
    """Where prometheus and promtool are."""
    script = Path(__file__).with_suffix(".sh")
    found = subprocess.run(["sh", script], cwd=ROOT, check=True, capture_output=True, text=True)
    return ROOT / found.stdout.strip()


# A test cannot wait for minutes: every duration in the shipped files, and what stands for it.
HURRIED = {
    "[1m]": "[5s]",
    "[2m]": "[10s]",
    "[15m]": "[60s]",
    "for: 2m": "for: 2s",
    "for: 5m": "for: 2s",
    "interval: 15s": "interval: 1s",
}


def hurried(text: str) -> str:
    """Rules with the same expressions and shorter durations."""
    durations = set(re.findall(r"\[\w+\]|for: \w+|interval: \w+", text))
    assert durations <= HURRIED.keys(), durations - HURRIED.keys()
    for shipped, short in HURRIED.items():
        text = text.replace(shipped, short)
    return text


def rules(path: Path, kind: str) -> list[dict[str, str]]:
    """The recording rules or alerts (`record`, `alert`) of a shipped file."""
    groups = yaml.safe_load(path.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def dashboard_queries(line: str = ".*") -> dict[str, str]:
    """Every query of the dashboard's panels, by title and letter, with all gateways and rules of a line."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels
        for target in panel["targets"]
    }
    return {
        title: re.sub(r"\$\w+", ".*", query.replace("$line", line)) for title, query in queries.items()
    }


@dataclass(frozen=True)
class Alert:
    """A firing alert."""

    name: str
    job: str
    rule: str | None
    upstream: str | None
    line: str | None = None


class Prometheus:
    """A running Prometheus, as a context manager; `targets` are ports by job."""

    def __init__(
        self,
        targets: dict[str, list[int]],
        config: Path = RULES / "prometheus.yml",
        # What the discovery of targets would say of some.
        labels: dict[int, dict[str, str]] | None = None,
    ):
        self._directory = Path(tempfile.mkdtemp(prefix="tse-route-"))
        self._targets = targets
        self._source = config
        self._labels = labels or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Prometheus:
        self._configure()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        command = [
            str(tools() / "prometheus"),
            f"--config.file={self._directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self.wait_for(self._is_ready, "Prometheus")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends Prometheus and removes its files."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        shutil.rmtree(self._directory, ignore_errors=True)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Evaluates an expression now: labels and values."""
        result = self._get("/api/v1/query", query=expression)["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in result]

    def alerts(self) -> set[Alert]:
        """All alerts that fire, and those that are about to."""
        return {
            Alert(
                alert["labels"]["alertname"],
                alert["labels"]["job"],
                alert["labels"].get("rule"),
                alert["labels"].get("upstream"),
                alert["labels"].get("line"),
            )
            for alert in self._get("/api/v1/alerts")["alerts"]
        }

    def firing(self) -> set[str]:
        """The names of all alerts that fire."""
        return {labels["alertname"] for labels, _ in self.query('ALERTS{alertstate="firing"}')}

    def unhealthy_rules(self) -> list[dict[str, Any]]:
        """Rules whose last evaluation failed, or that were not evaluated yet."""
        groups = self._get("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"] if rule["health"] != "ok"]

    def wait_for(self, condition: Callable[[], Any], what: str, timeout: float = 30.0) -> Any:
        """Waits until the condition holds, and returns what it returned."""
        deadline = time.monotonic() + timeout
        while not (result := condition()):
            assert self._process is not None and self._process.poll() is None, self._log()
            assert time.monotonic() < deadline, f"waited {timeout} s for: {what}"
            time.sleep(0.1)
        return result

    def _configure(self) -> None:
        config = yaml.safe_load(self._source.read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        jobs = config["scrape_configs"]
        assert {job["job_name"] for job in jobs} == self._targets.keys()
        for job in jobs:
            job.pop("kubernetes_sd_configs", None)
            job["static_configs"] = [
                {"targets": [f"127.0.0.1:{port}"], "labels": self._labels.get(port, {})}
                for port in self._targets[job["job_name"]]
            ]
        for name in config["rule_files"]:
            text = hurried((self._source.parent / name).read_text())
            (self._directory / Path(name).name).write_text(text)
        config["rule_files"] = [Path(name).name for name in config["rule_files"]]
        (self._directory / "prometheus.yml").write_text(yaml.safe_dump(config))

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5).close()
        except OSError:
            return False
        return True

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._port}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]

    def _log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")
