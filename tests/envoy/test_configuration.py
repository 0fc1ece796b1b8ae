"""Configurations: those that Envoy takes, those that it refuses, and those that it swaps."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from client import Connection, request
from gateway import ROOT, TYPES, Envoy, Listener, StartError, seed
from upstreams import Echo, echoed

# The seed is someone else's: it must load as it is.
DIGESTS = {
    "header.yaml": "8983865fc04ca6a385750452386292ff2f119964767e1f421df07ab6c0275fe7",
    "operators.yaml": "2c87b4f33abe07a13f8d62a14d9f633c07ee3c70302993801056b80994dfbed7",
    "query.yaml": "6b0f8f9253381123f716dfce2c301b562ba77f1df864689092c55b397b0316af",
    "weights.yaml": "56cf03d125a47988547d5658aa3de5e92ae5c98160313dbc75dc9c195da550f1",
}


def operators() -> dict[str, Any]:
    """A rule for each item of the seed's list of operators."""
    rules = []
    for item in seed("operators.yaml"):
        # Those without a key are written for paths.
        for location in ("header", "query", "cookie", "body") if "key" in item else ("path",):
            rules.append({"condition": {location: [item]}, "upstream": [{"name": "canary"}]})
    return {"rules": [{"weight": n, **rule} for n, rule in enumerate(rules)]}


@pytest.mark.parametrize("name", DIGESTS)
def test_the_seed_is_unchanged(name: str) -> None:
    """Byte by byte."""
    found = (ROOT / "examples" / "seed" / name).read_bytes()
    assert hashlib.sha256(found).hexdigest() == DIGESTS[name]


def test_usable_configurations(echo: Echo) -> None:
    """The seed, and everything that stands for no rules at all, in one Envoy."""
    listeners = {
        **{name: Listener(seed(name)["config"]) for name in DIGESTS if name != "operators.yaml"},
        "operators.yaml": Listener(operators()),
        "empty text": Listener(""),
        "blanks": Listener(" \n"),
        "null": Listener("null"),
        "empty object": Listener("{}"),
        "no rules": Listener({"rules": [], "description": None}),
        "no configuration": Listener({}, plugin={"configuration": None}),
    }
    with Envoy(listeners, ports=echo.ports) as envoy:
        loaded = re.findall(r"configuration loaded: rules=(\d+)", envoy.log())
        # Main thread and worker load each of them.
        assert {rules: loaded.count(rules) // loaded.count("42") for rules in loaded} == {
            "0": 6,
            "1": 3,
            "42": 1,
        }
        for name in listeners:
            answer = request(envoy.port(name), "POST", "/", body=b"")
            if name == "weights.yaml":  # none of its clusters is here
                assert answer.status == 503
                assert answer.header("x-kong-route-rule") == "10"
            elif name == "operators.yaml":  # `not in` holds where nothing is
                assert answer.header("x-kong-route-upstream") == "canary"
            else:
                assert answer.header("x-kong-route-rule") is None
                assert echoed(answer).upstream == "own"


# What is wrong, and what the log must say of it, by the path of the place.
FAULTY = {
    "descripton": "x",
    "body_max_bytes": 0,
    "upstream_header": "a b",
    "host": "nginx",
    "route_by": "magic",
    "response_headers": {"rules": "x"},
    "global_configs": [{"id": "a", "value": "1"}, {"id": "a", "value": "2"}],
    "rules": [
        {
            "weight": 101,
            "condition": {
                "header": [{"key": "version", "operator": "equals", "value": "1"}],
                "query": {"key": "age", "operator": "lt", "value": "thirty"},
                "cookie": [{"operator": "eq", "value": "1"}],
                "heder": None,
            },
            "upstream": [{"name": "a", "weight": 60}, {"name": "b", "weight": 60.5}],
        },
        {
            "condition": {
                "system": [
                    {"key": "clientip", "operator": "in", "value": "10.0.0.0/33"},
                    {"key": "hostname", "operator": "exists"},
                ],
                "path": {"operator": "regex", "value": "("},
                "method": {"operator": "in", "global_config_id": "b"},
                "body": {"operator": "eq"},
            },
            "upstream": [],
        },
        {"enabled": "yes", "upstream": [{"name": "two words", "weight": 33.333}]},
        {"match_type": "or"},
    ],
}
FAULTS = {
    "descripton": "did you mean `description`?",
    "body_max_bytes": "found the number 0; accepted is a whole number from 1",
    "upstream_header": 'found "a b"; accepted is the name of a header',
    "host": 'found "nginx"; accepted is one of `auto`, `kong` and `envoy`',
    "route_by": 'found "magic"; accepted is one of `auto` and `header`',
    "response_headers.rules": "did you mean `rule`?",
    "global_configs[1].id": "a second time",
    "rules[0].weight": "found the number 101; accepted is a whole number from 0 to 100",
    "rules[0].condition.header[0].operator": 'found "equals"; accepted is one of `eq`',
    "rules[0].condition.query.value": 'found "thirty"; accepted is a decimal number',
    "rules[0].condition.cookie[0].key": "needs the name of a parameter",
    "rules[0].condition.heder": "did you mean `header`?",
    "rules[0].upstream": "found weights that add up to 120.5; accepted is at most 100",
    "rules[1].condition.system[0].value": '"10.0.0.0/33" is no address',
    "rules[1].condition.system[1].key": 'found "hostname"; accepted is one of `domain`',
    "rules[1].condition.path.value": "not a regular expression: unclosed group",
    "rules[1].condition.method.global_config_id": 'found the id "b"',
    "rules[1].condition.body.value": "missing",
    "rules[1].upstream": "accepted is a list of 1 to",
    "rules[2].enabled": 'found the string "yes"; accepted is `true` or `false`',
    "rules[2].upstream[0].name": 'found "two words"',
    "rules[2].upstream[0].weight": "found the number 33.333; accepted is a number",
    "rules[3].match_type": "did you mean `OR`?",
    "rules[3].upstream": "missing; this field is required",
}


def refusal(listener: Listener) -> list[str]:
    """What the filter logs when Envoy does not start with it."""
    with pytest.raises(StartError) as refused, Envoy({"gateway": listener}, named=("own",)):
        pass
    log = str(refused.value)
    assert "Unable to create Wasm plugin tse-route" in log
    return re.findall(r"\[error\]\[wasm\].*?wasm log tse-route tse-route: (.*)", log)


def test_every_fault_is_named_with_its_path() -> None:
    """All at once, and nothing that is no fault."""
    first, *lines = refusal(Listener(FAULTY))
    assert first == f"invalid-config: errors={len(FAULTS)}; nothing is routed by it"
    named = dict(line.split(": ", 1) for line in lines)
    assert named.keys() == FAULTS.keys()
    for path, message in FAULTS.items():
        assert message in named[path], path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "configuration: not JSON"),
        ("rules: []", "configuration: not JSON"),
        ("[]", "configuration: found a list; accepted is an object"),
        ('"rules"', 'configuration: found the string "rules"; accepted is an object'),
        ('{"rules": {"a": 1}}', "rules: found an object; accepted is a list"),
        ("\x00", "configuration: not JSON"),
    ],
)
def test_what_is_no_configuration(text: str, message: str) -> None:
    """One fault, of the whole."""
    first, *lines = refusal(Listener(text))
    assert first == "invalid-config: errors=1; nothing is routed by it"
    assert len(lines) == 1 and lines[0].startswith(message), lines


def test_a_struct_is_no_json() -> None:
    """Envoy hands a `google.protobuf.Struct` over in its binary form: a StringValue is needed."""
    struct = {"@type": TYPES + "google.protobuf.Struct", "value": {"rules": []}}
    _, *lines = refusal(Listener({}, plugin={"configuration": struct}))
    assert len(lines) == 1 and lines[0].startswith("configuration: not JSON"), lines


def test_warnings_do_not_stop_it(echo: Echo) -> None:
    """What is probably not meant is logged, and works."""
    rules = [
        {"weight": 1, "condition": {"path": "/x"}, "upstream": [{"name": "canary", "weight": 30}]},
        {"weight": 1, "upstream": [{"name": "canary"}]},
    ]
    with Envoy({"gateway": Listener({"rules": rules})}, ports=echo.ports) as envoy:
        assert "rules[0].upstream: the weights add up to 30 of 100" in envoy.log()
        assert "rules[1].weight: the same priority 1 as rules[0]" in envoy.log()
        assert echoed(request(envoy.port("gateway"), "GET", "/")).upstream == "canary"


def routing(upstream: str | None, weight: int = 1) -> dict[str, Listener]:
    """A gateway that sends everything to one upstream."""
    rule = {"weight": weight, "upstream": [{"name": upstream}]}
    return {"gateway": Listener({"rules": [rule]})}


def test_a_running_envoy_swaps_configurations(echo: Echo) -> None:
    """A sound update takes over; a faulty one is refused, and what was there stays."""
    with Envoy(routing("canary"), ports=echo.ports, dynamic=True) as envoy:

        def counters() -> tuple[int, int]:
            stats = envoy.stats("^listener_manager.lds.update_")
            return tuple(stats[f"listener_manager.lds.update_{n}"] for n in ("success", "rejected"))

        def ask() -> tuple[str, str | None]:
            answer = echoed(request(port, "GET", "/"))
            return answer.upstream, answer.response.header("x-kong-route-rule")

        port = envoy.port("gateway")
        assert counters() == (1, 0)
        with Connection(port) as kept:
            assert echoed(kept.request("GET", "/")).upstream == "canary"

            envoy.replace({"gateway": Listener(FAULTY)})
            envoy.wait_for(lambda: counters() == (1, 1), "the refusal")
            assert "rules[0].condition.heder: unknown field" in envoy.log()
            assert ask() == ("canary", "1")
            assert echoed(kept.request("GET", "/")).upstream == "canary"

            envoy.replace(routing(None, weight=2))
            envoy.wait_for(lambda: counters() == (2, 1), "the update")
            # The new listener takes over when it is ready.
            envoy.wait_for(lambda: ask() == ("own", "2"), "the new configuration")

            envoy.replace({"gateway": Listener("{")})
            envoy.wait_for(lambda: counters() == (2, 2), "the second refusal")
            assert ask() == ("own", "2")
