"""Finds the configurations of tse-route in the examples and in the documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_KEYS = {"domain", "clientip", "httpscheme", "clientua"}


def files() -> list[Path]:
    """Every file that an operator may copy from, except lists that are no configuration."""
    found = [
        *ROOT.glob("examples/**/*.yaml"),
        *ROOT.glob("kong/*.yml"),
        *markdown(),
    ]
    return sorted(found)


def markdown() -> list[Path]:
    """Every page: the README and its neighbours, the book, what stands beside the examples."""
    folders = ["*.md", "docs/src/**/*.md", "examples/**/*.md", "kong/**/*.md", "benches/*.md"]
    return sorted(path for folder in folders for path in ROOT.glob(folder))


def blocks(path: Path) -> Iterator[tuple[str, str, str]]:
    """The pieces of a file as place, language and text: code blocks of Markdown, or all of it."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text()
    if path.suffix != ".md":
        yield name, "yaml", text
        return
    pattern = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    for match in pattern.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        indent = len(match[1])
        body = "".join(one[indent:] or "\n" for one in match[3].splitlines(keepends=True))
        yield f"{name}:{line}", match[2], body


def documents(path: Path) -> Iterator[tuple[str, Any]]:
    """Every YAML or JSON document of a file."""
    for place, language, text in blocks(path):
        if language == "yaml":
            for document in yaml.safe_load_all(text):
                yield place, document
        elif language == "json":
            yield place, json.loads(text)


def items(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Condition items in running text, as in `{key: version, operator: eq, value: "1"}`."""
    if path.suffix != ".md":
        return
    name = path.relative_to(ROOT).as_posix()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for code in re.findall(r"`(\{[^`]*\boperator: [^`]*\})`", line):
            yield f"{name}:{number} {code}", yaml.safe_load(code.replace("\\|", "|"))


def configuration_of(item: dict[str, Any]) -> dict[str, Any]:
    """A configuration with this item in a location that takes it."""
    key = item.get("key")
    if key is None:
        location = "path"
    elif str(key).lower() in SYSTEM_KEYS:
        location = "system"
    elif "." in key:
        location = "body"
    else:
        location = "header"
    rule = {"condition": {location: [item]}, "upstream": [{"name": "canary"}]}
    configuration: dict[str, Any] = {"rules": [rule]}
    if (stored := item.get("global_config_id")) is not None:
        configuration["global_configs"] = [{"id": stored, "value": "a,b"}]
    return configuration


def configurations(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every configuration inside a document, with its place."""
    if isinstance(node, list):
        for index, element in enumerate(node):
            yield from configurations(element, f"{place}[{index}]")
        return
    if not isinstance(node, dict):
        return
    if "rules" in node and all(
        isinstance(rule, dict) and "upstream" in rule for rule in node["rules"]
    ):
        yield place, node
        return
    # Envoy has the configuration as text.
    if str(node.get("@type")).endswith("google.protobuf.StringValue"):
        yield f"{place}.value", json.loads(node["value"])
        return
    if set(node) == {"condition"}:
        yield place, {"rules": [{**node, "upstream": [{"name": "canary"}]}]}
        return
    for name, value in node.items():
        yield from configurations(value, f"{place}.{name}" if place else name)


def all_configurations() -> dict[str, Any]:
    """Every configuration by its place."""
    found: dict[str, Any] = {}
    for path in files():
        for number, (place, document) in enumerate(documents(path)):
            for inner, config in configurations(document):
                found[f"{place} #{number} {inner}".strip()] = config
        for place, item in items(path):
            found[place] = configuration_of(item)
    # The seed's operators are items without a configuration around them.
    for number, item in enumerate(yaml.safe_load((ROOT / "examples/seed/operators.yaml").read_text())):
        found[f"examples/seed/operators.yaml[{number}]"] = configuration_of(item)
    return found
