"""Conditions as data: a condition, a request, and whether the one holds for the other.

All conditions of a test file stand in one configuration. Each is a rule of its own that holds only
for requests with the rule's name in the header `x-case`, so that no rule gets in another's way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from client import Headers, Text, request
from gateway import Envoy
from upstreams import echoed


@dataclass(frozen=True)
class Case:
    """One condition against one request."""

    # What is tried, for the name of the test.
    title: str
    condition: dict[str, Any]
    holds: bool
    method: Text = "GET"
    target: Text = "/"
    headers: Headers = ()
    body: bytes | None = None
    version: str = "1.1"
    # Other fields of the rule.
    rule: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the rule: cases with the same condition share one."""
        return json.dumps([self.condition, self.rule], sort_keys=True)

    def __str__(self) -> str:
        return f"{self.title}: {'holds' if self.holds else 'does not hold'}"


class Rules:
    """The configuration of many cases."""

    WEIGHT = 7

    def __init__(self, cases: Iterable[Case], **config: Any):
        self.ids: dict[str, str] = {}
        self.config: dict[str, Any] = {
            "rules": [],
            "response_headers": {"name": "x-rule-name"},
            **config,
        }
        for case in cases:
            if case.name not in self.ids:
                self.ids[case.name] = f"case-{len(self.ids)}"
                self.config["rules"].append(self._rule(case))

    def _rule(self, case: Case) -> dict[str, Any]:
        select = {"key": "x-case", "operator": "eq", "value": self.ids[case.name]}
        own = case.condition.get("header") or []
        headers = [select, *(own if isinstance(own, list) else [own])]
        return {
            "name": self.ids[case.name],
            "weight": self.WEIGHT,
            "condition": {**case.condition, "header": headers},
            "upstream": [{"name": "canary"}],
            **case.rule,
        }

    def check(self, envoy: Envoy, listener: str, case: Case) -> None:
        """Sends the request of a case, and asks of the answer that it shows what it should."""
        name = self.ids[case.name]
        answer = echoed(
            request(
                envoy.port(listener),
                case.method,
                case.target,
                [("x-case", name), *case.headers],
                body=case.body,
                version=case.version,
            )
        )
        shown = [
            answer.response.header(header)
            for header in ("x-rule-name", "x-kong-route-rule", "x-kong-route-upstream")
        ]
        if case.holds:
            assert (answer.upstream, shown) == ("canary", [name, str(self.WEIGHT), "canary"])
            assert answer.all("x-tse-route-upstream") == ["canary"]
        else:
            assert (answer.upstream, shown) == ("own", [None, None, None])
            assert answer.all("x-tse-route-upstream") == []
        assert answer.body == (case.body or b"").decode("latin-1")
