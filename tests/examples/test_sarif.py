"""What `tse-route check --output sarif` writes is sound by the schema of SARIF 2.1.0.

The schema is in a package of npm, Microsoft's `@microsoft/jest-sarif`, as `sarif-2.1.0-rtm.5.json`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
from documents import ROOT

CLI = ROOT / "target" / "debug" / "tse-route"
SCHEMA = ROOT / "target" / "sarif" / "package" / "lib" / "schemas" / "sarif-2.1.0-rtm.5.json"

# Faults and doubts with a path, without one, and none at all.
CHECKED = {
    "rules.yaml": "rules:\n- weight: 200\n  upstream: [{name: a, wieght: 1}]\n",
    "doubtful.yaml": "rules:\n- upstream: [{name: a, weight: 20}]\n",
    "kong ü.yml": "_format_version: '3.0'\nplugins:\n- name: tse-route\n  config: {rules: []}\n",
    "not yaml.yaml": "rules: [\n",
    "route.yaml": "kind: HTTPRoute\nmetadata: {name: a}\nspec: {rules: []}\n",
    "sound.yaml": "rules:\n- upstream: [{name: a}]\n",
}


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft4Validator:
    """The schema, which demands whole numbers, patterns and references of a kind."""
    if not SCHEMA.exists():
        pytest.fail(f"{SCHEMA} is missing: `make test-python` brings it")
    document = json.loads(SCHEMA.read_text())
    jsonschema.Draft4Validator.check_schema(document)
    return jsonschema.Draft4Validator(document)


def log(names: list[str], folder: Path) -> dict:
    """What a check writes, run in a folder."""
    command = [str(CLI), "check", "--output", "sarif", *names]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode in {0, 1}, result.stderr
    return json.loads(result.stdout)


def test_every_kind_of_result_is_sound(schema: jsonschema.Draft4Validator, tmp_path: Path) -> None:
    """One by one, and all in one log."""
    for name, text in CHECKED.items():
        (tmp_path / name).write_text(text)
    kinds = set()
    for names in [[name] for name in CHECKED] + [list(CHECKED)]:
        found = log(names, tmp_path)
        faults = [f"{fault.json_path}: {fault.message}" for fault in schema.iter_errors(found)]
        assert not faults, names
        kinds |= {result["ruleId"] for run in found["runs"] for result in run["results"]}
    assert {"refused", "doubtful", "gateway-refused"} <= kinds


def test_the_schema_tells_wrong_from_right(
    schema: jsonschema.Draft4Validator, tmp_path: Path
) -> None:
    """A log that is none is refused, so the other test can fail."""
    (tmp_path / "rules.yaml").write_text(CHECKED["rules.yaml"])
    found = log(["rules.yaml"], tmp_path)
    found["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    assert list(schema.iter_errors(found))
