"""The manifests are what the APIs take: every field is known, and every value is of its type.

The types and validators of Kubernetes, Gateway API, Envoy Gateway, Istio and Argo Rollouts are those of the
npm packages in `manifests/package.json`, generated from the projects' own sources: Gateway API 1.5 and Envoy
Gateway 1.7 among them. Kong's resources are in no package; their table is below.
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import documents

JUDGE = Path(__file__).parent / "manifests" / "judge.mjs"
PACKAGES = documents.ROOT / "target" / "manifests"

KONG = "configuration.konghq.com/v1"
# In no package that could be had.
UNKNOWN = {("flagger.app/v1beta1", "MetricTemplate")}


def closed(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """An object with these fields and no others."""
    fields = {"type": "object", "properties": properties, "additionalProperties": False}
    return fields | {"required": required or []}


TEXT, FREE = {"type": "string"}, {"type": "object"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
SECRET = closed(["secretKeyRef"], secretKeyRef=closed(["key", "name"], key=TEXT, name=TEXT))
PHASE = {"type": "object", "additionalProperties": {"type": "array", "items": TEXT}}
PROTOCOLS = ["http", "https", "grpc", "grpcs", "tcp", "tls", "udp"]
# The fields of KongPlugin v1 in Kong Ingress Controller 3.5.9.
PLUGIN = closed(
    ["apiVersion", "kind", "metadata", "plugin"],
    apiVersion={"const": KONG},
    kind={"enum": ["KongPlugin", "KongClusterPlugin"]},
    metadata=closed(["name"], name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS),
    plugin=TEXT,
    config=FREE,
    configFrom=SECRET,
    configPatches={"type": "array", "items": closed(["path", "valueFrom"], path=TEXT, valueFrom=SECRET)},
    consumerRef=TEXT,
    disabled={"type": "boolean"},
    instance_name=TEXT,
    ordering=closed(before=PHASE, after=PHASE),
    protocols={"type": "array", "items": {"enum": PROTOCOLS}},
    run_on={"enum": ["first", "second", "all"]},
)

# What is handed on as it stands: the filter's configuration has a schema of its own, Kong's plugins have
# theirs, and Envoy's is read by Envoy.
PASSED_ON = {
    "EnvoyExtensionPolicy": [("spec", "wasm", 0, "config")],
    "KongPlugin": [("config",)],
    "KongClusterPlugin": [("config",)],
    "WasmPlugin": [("spec", "pluginConfig")],
    "EnvoyFilter": [("spec", "configPatches", 0, "patch", "value")],
}


def manifests() -> dict[str, dict[str, Any]]:
    """Every manifest of the examples and of the book, by its place."""
    found = {}
    for path in documents.files():
        for number, (place, document) in enumerate(documents.documents(path)):
            if isinstance(document, dict) and {"apiVersion", "kind"} <= document.keys():
                found[f"{place} #{number} {document['kind']}"] = document
    return found


MANIFESTS = manifests()


def judged(some: list[dict[str, Any]], scratch: Path) -> list[list[str]]:
    """The faults of each manifest."""
    if not PACKAGES.exists():
        pytest.fail(f"{PACKAGES} is missing: `make test-python` makes it")
    kong = Draft202012Validator(PLUGIN)
    others = [one for one in some if one["apiVersion"] != KONG]
    scratch.write_text(json.dumps(others))
    command = ["node", "--input-type=module", "--eval", JUDGE.read_text(), str(scratch)]
    result = subprocess.run(command, cwd=PACKAGES, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    said = iter(json.loads(result.stdout))
    return [
        [error.message for error in kong.iter_errors(one)] if one["apiVersion"] == KONG else next(said)
        for one in some
    ]


def test_the_manifests_are_found() -> None:
    places = list(MANIFESTS)
    assert len(places) > 100
    for name in ["envoy-gateway.yaml", "istio.yaml", "kubernetes/01-ingress.yaml", "isolation/kong/pay.yaml"]:
        assert any(place.startswith(f"examples/{name}") for place in places), name


def test_the_apis_take_them(tmp_path: Path) -> None:
    known = {
        place: one for place, one in MANIFESTS.items() if (one["apiVersion"], one["kind"]) not in UNKNOWN
    }
    faults = judged(list(known.values()), tmp_path / "manifests.json")
    wrong = {place: said for place, said in zip(known, faults) if said}
    assert not wrong, json.dumps(wrong, indent=1)


def objects(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every object inside a manifest."""
    if isinstance(node, dict):
        yield path
        for name, value in node.items():
            yield from objects(value, (*path, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from objects(value, (*path, index))


def misspelt(manifest: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """The manifest, with one field too many in one of its objects, for each of them.

    No map of labels, quantities or matches takes the value of that field either.
    """
    for path in objects(manifest):
        if any(path[: len(some)] == some for some in PASSED_ON.get(manifest["kind"], [])):
            continue
        changed = copy.deepcopy(manifest)
        at: Any = changed
        for step in path:
            at = at[step]
        at["misspelt"] = [[]]
        yield path, changed


def test_an_unknown_field_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    """So that the test above is strict: in each kind of manifest, in every object of it."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for place, one in MANIFESTS.items():
        kinds.setdefault((one["apiVersion"], one["kind"]), []).append(place)
    cases = {
        (place, path): changed
        for kind, places in kinds.items()
        if kind not in UNKNOWN
        # The largest has the most that could be overlooked.
        for place in [max(places, key=lambda place: len(json.dumps(MANIFESTS[place])))]
        for path, changed in misspelt(MANIFESTS[place])
    }
    assert len(cases) > 200
    faults = judged(list(cases.values()), tmp_path / "misspelt.json")
    overlooked = [case for case, said in zip(cases, faults) if not said]
    assert not overlooked, "\n".join(map(str, overlooked))
