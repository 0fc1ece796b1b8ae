"""The files of `examples/release` do what they say."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from gateway import ROOT
from rig import CLI, RULE, Rig

EXAMPLES = ROOT / "examples" / "release"

PLAN = """\
release: shop-${VERSION}
rule: checkout
stable: blue
canary: green
gateways: [{file: rules.yaml}]
steps: [{weight: 5, for: 100ms}, {pause: approval}, {weight: 50, for: 100ms}]
analysis: none
every: 50ms
"""
RULES = "rules:\n- {name: checkout, upstream: [{name: blue, weight: 100}, {name: green, weight: 0}]}\n"


def gitlab() -> list[list[str]]:
    """The commands of its jobs, in their order."""
    pipeline = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text())
    jobs = sorted((j for j in pipeline.values() if "script" in j), key=lambda j: pipeline["stages"].index(j["stage"]))
    return [job["script"] for job in jobs]


def github() -> list[list[str]]:
    """The commands of its jobs, in their order."""
    jobs = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())["jobs"]
    return [[step["run"] for step in jobs[job]["steps"] if "run" in step] for job in ("release", "approve")]


def jenkins() -> list[list[str]]:
    """The commands of its stages, in their order."""
    text = (EXAMPLES / "Jenkinsfile").read_text()
    stages = re.split(r"stage\('", text)[1:]
    return [re.findall(r"\bsh(?:\(script:)? '([^\n]*?)'(?:[,)]| *//|$)", stage, re.M) for stage in stages]


@pytest.mark.parametrize("pipeline", [gitlab, github, jenkins], ids=lambda p: p.__name__)
def test_a_pipeline_releases_with_an_approval(pipeline, tmp_path: Path) -> None:
    (tmp_path / "release.yaml").write_text(PLAN)
    (tmp_path / "rules.yaml").write_text(RULES)
    deploy = tmp_path / "deploy.sh"
    deploy.write_text('#!/bin/sh\necho "$1" > deployed\n')
    deploy.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{CLI.parent}:{os.environ['PATH']}",
        "VERSION": "7",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    codes = []
    for commands in pipeline():
        assert commands
        script = "set -e\n" + "\n".join(commands)
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, timeout=60)
        codes.append(done.returncode)
    waits = 0 if pipeline is github else 4  # there the job says it by an output
    assert codes in ([0, waits, 0], [waits, 0]), codes
    assert (tmp_path / "deployed").read_text() == "7\n"
    assert "{name: green, weight: 100}" in (tmp_path / "rules.yaml").read_text()
    assert "promoted" in (tmp_path / "report.md").read_text()


def test_the_example_of_a_plan_is_one() -> None:
    environment = {**os.environ, "VERSION": "1.4.2", "RECORD": "postgres://release@db/releases"}
    command = [str(CLI), "release", "plan", str(EXAMPLES / "plan.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "shop-1.4.2" in done.stdout


def queries() -> dict[str, str]:
    """The queries of the templates, filled in."""
    argo = yaml.safe_load((EXAMPLES / "argo-analysis-template.yaml").read_text())["spec"]
    flagger = yaml.safe_load((EXAMPLES / "flagger-metric-template.yaml").read_text())["spec"]
    found = {m["name"]: m["provider"]["prometheus"]["query"] for m in argo["metrics"]}
    found["flagger"] = flagger["query"]
    values = {"rule": RULE, "canary": "green"}
    return {
        name: re.sub(r"\{\{ ?(?:args|variables)\.(\w+) ?\}\}", lambda m: values[m[1]], query)
        for name, query in found.items()
    }


def test_templates_ask_for_series_that_are_there(shop: Rig) -> None:
    changed = shop.ask("weights", str(shop.envoy.file), RULE, "blue=50", "green=50")
    assert changed.returncode == 0, changed.stderr
    shop.shop.versions["green"].failing = 500
    near = {"success-compared-with-others": (-0.7, -0.3), "flagger": (30, 70), "p95-compared-with-others": (0, 100)}

    def values() -> dict[str, float]:
        found = {name: shop.prometheus.query(query) for name, query in queries().items()}
        return {name: result[0][1] for name, result in found.items() if result}

    def all_near() -> bool:
        now = values()
        return all(low <= now.get(name, -1e9) <= high for name, (low, high) in near.items())

    shop.wait_for(all_near, f"{near}, not {values()}")
