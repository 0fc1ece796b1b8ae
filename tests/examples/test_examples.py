"""What an operator copies from works: every example and every piece of the documentation."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator

import documents

META = documents.ROOT / "kong" / "filters" / "tse-route.meta.json"
BROKEN = json.loads((Path(__file__).parent / "broken.json").read_text())
CONFIGURATIONS = documents.all_configurations()


@pytest.fixture(scope="module")
def validator() -> Draft4Validator:
    return Draft4Validator(json.loads(META.read_text())["config_schema"])


def path_of(error: Any) -> str:
    """An error's place, spelled as the filter spells it."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return "".join(steps).removeprefix(".")


def test_the_schema_is_a_schema() -> None:
    schema = json.loads(META.read_text())["config_schema"]
    assert schema["$schema"] == "http://json-schema.org/draft-04/schema#"
    Draft4Validator.check_schema(schema)


def patterns(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(patterns, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
    return own.union(*map(patterns, schema.values()))


def test_the_patterns_are_pcre() -> None:
    """Kong's validator matches with PCRE2, which knows less than ECMAScript, `\\u0000` for instance;
    a pattern that it cannot compile refuses every value."""
    found = patterns(json.loads(META.read_text()))
    assert found
    for pattern in found:
        result = subprocess.run(["grep", "-P", pattern], input="x", capture_output=True, text=True)
        assert result.returncode in (0, 1), f"{pattern}: {result.stderr}"


@pytest.mark.parametrize("path", documents.files(), ids=lambda path: path.name)
def test_every_document_parses(path: Path) -> None:
    for place, document in documents.documents(path):
        assert document is not None, f"{place} is empty"


def test_every_example_has_configurations() -> None:
    """The search finds what is there: an example whose form it does not know would go unchecked."""
    for name in [
        "README.md",
        "docs/src/rules.md",
        "docs/src/delivery.md",
        "docs/src/isolation.md",
        "docs/src/lanes.md",
        "docs/src/install/kong.md",
        "docs/src/install/kubernetes.md",
        "docs/src/install/envoy.md",
        "docs/src/reference/configuration.md",
        "docs/src/reference/operators.md",
        "examples/canary/envoy.yaml",
        "examples/canary/kong.yaml",
        "examples/envoy-gateway.yaml",
        "examples/isolation/envoy-gateway/shop.yaml",
        "examples/isolation/kong/stock.yaml",
        "examples/istio.yaml",
        "examples/lanes/edge.yaml",
        "examples/lanes/inside.yaml",
        "examples/lanes/kong.yaml",
        "examples/kubernetes/22-green.yaml",
        "examples/seed/header.yaml",
        "examples/seed/query.yaml",
        "examples/seed/weights.yaml",
        "examples/seed/operators.yaml",
        "kong/kong.yml",
    ]:
        assert any(place.startswith(name) for place in CONFIGURATIONS), name
    assert sum(place.startswith("kong/kong.yml") for place in CONFIGURATIONS) == 15


@pytest.mark.parametrize("place", CONFIGURATIONS)
def test_the_schema_accepts(place: str, validator: Draft4Validator) -> None:
    faults = [f"{path_of(error)}: {error.message}" for error in validator.iter_errors(CONFIGURATIONS[place])]
    assert not faults, "\n".join(faults)


def test_kong_without_a_configuration(validator: Draft4Validator) -> None:
    assert validator.is_valid(None)
    assert validator.is_valid({})


def test_the_filter_loads_them(tmp_path: Path) -> None:
    """One run of `cargo test` for all, since a run costs seconds."""
    examples = tmp_path / "examples.json"
    examples.write_text(json.dumps(CONFIGURATIONS))
    command = ["cargo", "test", "--quiet", "--test", "configurations", "example_configurations_load"]
    result = subprocess.run(
        [*command, "--", "--nocapture"],
        cwd=documents.ROOT,
        env={**os.environ, "TSE_ROUTE_EXAMPLES": str(examples)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(CONFIGURATIONS)} loaded" in result.stdout


SEEN_BY_SCHEMA = [entry for entry in BROKEN if "schema" in entry]


def test_the_table_is_long_enough() -> None:
    assert len(SEEN_BY_SCHEMA) >= 30
    assert len({entry["fault"] for entry in BROKEN}) == len(BROKEN)


@pytest.mark.parametrize("entry", SEEN_BY_SCHEMA, ids=lambda entry: entry["fault"])
def test_the_schema_refuses(entry: dict[str, Any], validator: Draft4Validator) -> None:
    paths = [path_of(error) for error in validator.iter_errors(entry["config"])]
    assert entry["schema"] in paths


@pytest.mark.parametrize(
    "entry", [entry for entry in BROKEN if "schema" not in entry], ids=lambda entry: entry["fault"]
)
def test_only_the_filter_refuses(entry: dict[str, Any], validator: Draft4Validator) -> None:
    """If the schema learns to see one of these, its entry gets a `schema` path."""
    assert validator.is_valid(entry["config"])


def test_the_published_function(capsys: pytest.CaptureFixture[str]) -> None:
    """The program on the page computes the test vectors on the page, and runs as it stands."""
    text = (documents.ROOT / "docs" / "src" / "reference" / "assignment.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    names: dict[str, Any] = {}
    exec(program, names)
    assert f"on the canary are | `{capsys.readouterr().out.strip()}` |" in text
    xxh64, assign = names["xxh64"], names["assign"]
    seed = xxh64(b"checkout")
    for number in [xxh64(b""), seed, xxh64(b"user-1", seed=seed)]:
        assert f"| `{number:016x}` |" in text
    split = [assign("", f"user-{n}", {"a": 20, "b": 30, "": 50}) or "own" for n in range(8)]
    assert f"| {', '.join(split)} |" in text


def test_the_manifests_are_the_seed() -> None:
    for number, name in [(10, "header"), (11, "query"), (12, "weights")]:
        manifest = documents.ROOT / "examples" / "kubernetes" / f"{number}-{name}.yaml"
        seed = documents.ROOT / "examples" / "seed" / f"{name}.yaml"
        # The other manifests say where they belong, and so do these.
        text = manifest.read_text().replace("\n  namespace: default\n", "\n", 1)
        assert text != manifest.read_text() and text.endswith(seed.read_text())


def test_kong_yml_has_the_seed() -> None:
    kong = dict(documents.documents(documents.ROOT / "kong" / "kong.yml"))["kong/kong.yml"]
    stable = next(one for one in kong["services"] if one["name"] == "stable")
    for route in stable["routes"]:
        if route["name"] in ("header", "query", "weights"):
            seed = documents.ROOT / "examples" / "seed" / f"{route['name']}.yaml"
            (manifest,) = (document for _, document in documents.documents(seed))
            assert route["plugins"][0]["config"] == manifest["config"]


def test_kubernetes_names_fit_together() -> None:
    """Every upstream of the manifests is a Service that an Ingress names by its port's number."""
    directory = documents.ROOT / "examples" / "kubernetes"
    manifests = [
        document for path in directory.glob("[0-9]*.yaml") for _, document in documents.documents(path)
    ]
    upstreams = {
        f"{path['backend']['service']['name']}.{one['metadata']['namespace']}"
        f".{path['backend']['service']['port']['number']}.svc"
        for one in manifests
        if one["kind"] == "Ingress"
        for rule in one["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    for one in manifests:
        if one.get("plugin") == "tse-route":
            named = {up["name"] for rule in one["config"]["rules"] for up in rule["upstream"]}
            assert named <= upstreams, one["metadata"]["name"]
            assert one["metadata"]["name"] == "my-test-route"


def test_the_canary_is_the_same_on_kong_and_envoy() -> None:
    """So that a user gets the same version from both."""
    kong, envoy = (
        [config for place, config in CONFIGURATIONS.items() if place.startswith(f"examples/canary/{name}.yaml")]
        for name in ["kong", "envoy"]
    )
    assert len(kong) == 1 and kong == envoy
    (rule,) = kong[0]["rules"]
    assert {"hash_on", "rollout", "circuit_breaker"} <= rule.keys()


def test_header_routes_know_every_upstream() -> None:
    """Envoy Gateway and Istio: each upstream of the rules has a route that matches the header."""
    for name in ["envoy-gateway.yaml", "istio.yaml"]:
        text = (documents.ROOT / "examples" / name).read_text()
        found = [c for place, c in CONFIGURATIONS.items() if place.startswith(f"examples/{name}")]
        assert len(found) == 1
        for rule in found[0]["rules"]:
            for upstream in rule["upstream"]:
                value = "value" if name.startswith("envoy") else "exact"
                assert f"{value}: {upstream['name']}}}" in text
