"""The real Envoy with what `examples/observability` adds to it."""

from __future__ import annotations

import copy
import http.client
import re
from dataclasses import dataclass
from typing import Any

import documents
import yaml
from gateway import ROOT, Envoy

EXAMPLES = ROOT / "examples" / "observability"


def fragment(name: str) -> dict[str, Any]:
    """A piece of Envoy configuration from the examples."""
    return yaml.safe_load((EXAMPLES / "envoy" / name).read_text())


def shown(page: str, key: str) -> list[dict[str, Any]]:
    """The configurations on a page of the book that have this key at their top."""
    return [
        document
        for _, document in documents.documents(ROOT / "docs" / "src" / page)
        if isinstance(document, dict) and key in document
    ]


def collector_at(port: int, clusters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The shipped clusters of a collector, which here is on loopback."""
    clusters = copy.deepcopy(clusters)
    for cluster in clusters:
        [locality] = cluster["load_assignment"]["endpoints"]
        [endpoint] = locality["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        address |= {"address": "127.0.0.1", "port_value": port}
    return clusters


@dataclass(frozen=True)
class Series:
    """A series as Prometheus reads it."""

    name: str
    labels: tuple[tuple[str, str], ...]

    def label(self, name: str) -> str | None:
        """The value of a label."""
        return dict(self.labels).get(name)


SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse(exposition: str) -> dict[Series, float]:
    """The samples of an exposition in Prometheus' text format."""
    samples = {}
    for line in exposition.splitlines():
        if line and not line.startswith("#"):
            found = SAMPLE.match(line)
            assert found, line
            name, labels, value = found.groups()
            series = Series(name, tuple(sorted(LABEL.findall(labels or ""))))
            assert series not in samples, f"{series} twice"
            samples[series] = float(value)
    return samples


class Observed(Envoy):
    """An Envoy whose metrics have labels."""

    def metrics(self, *names: str) -> dict[Series, float]:
        """The filter's metrics, all or those of these names."""
        samples = parse(self.admin("/stats/prometheus"))
        return {
            series: value
            for series, value in samples.items()
            if (series.name in names if names else series.name.startswith("tse_route_"))
        }

    def value(self, name: str, **labels: str) -> float | None:
        """One metric of the filter."""
        return self.metrics(name).get(Series(name, tuple(sorted(labels.items()))))

    def command(self, path: str) -> None:
        """Changes something through the admin interface."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request("POST", path)
            response = connection.getresponse()
            assert response.status == 200, response.read()
        finally:
            connection.close()

    def _compose(self) -> dict[str, Any]:
        # Histograms are brought up to date when they are asked for.
        return super()._compose() | fragment("stats.yaml") | {"stats_flush_on_admin": True}
