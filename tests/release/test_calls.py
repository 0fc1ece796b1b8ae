"""The verification service and the hooks as HTTP calls: who is asked when, with what, and what comes of it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import CLI, Rig
from stand_ins import Answer, StandIn
from test_places import PROMOTED, REFUSED, ROLLED_BACK, run, write

PLACES = ("confirm-rollout", "pre-rollout", "rollout", "confirm-promotion", "post-rollout")
# The answer of a verification service.
YES = (200, {"verdict": "yes"})
WAIT = (200, {"verdict": "wait", "reason": "the tests still run"})
NO = (200, {"verdict": "no", "reason": "checkout is 30 % slower"})
# A hook that agrees answers 200 to 299; any other status is asked again.
AGREES: Answer = (200, {})
OBJECTS: Answer = (409, {"message": "not today"})


class Asked(StandIn):
    """Answers each path with the answers that it is given, the last one over and over."""

    def __init__(self, **answers: list[Answer]):
        super().__init__()
        self.answers = {f"/{name.replace('_', '-')}": given for name, given in answers.items()}
        # Path and body of each call.
        self.told: list[tuple[str, dict[str, Any]]] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        assert method == "POST", method
        self.told.append((path.removeprefix("/"), body))
        given = self.answers.get(path, [AGREES])
        return given.pop(0) if len(given) > 1 else given[0]

    def order(self) -> list[str]:
        """Who was asked, in the order of time; asking the same again at once counts once."""
        paths = [path for path, _ in self.told]
        return [path for at, path in enumerate(paths) if at == 0 or paths[at - 1] != path]

    def count(self, path: str) -> int:
        """How many times it was asked."""
        return [told for told, _ in self.told].count(path)

    def call(self, path: str, within: str = "30s") -> dict[str, Any]:
        """A call, as a plan has it."""
        return {"url": f"{self.url}/{path}", "method": "POST", "every": "50ms", "within": within}

    def hooks(self, *places: str, within: str = "30s") -> dict[str, list[dict[str, Any]]]:
        """Hooks at these places."""
        return {place: [self.call(place, within)] for place in places}

    def service(self, within: str = "30s") -> dict[str, Any]:
        """It as the verification service."""
        call = self.call("service", within)
        del call["method"]
        return {"service": call}


def test_every_hook_is_called_at_its_place_with_the_release(tmp_path: Path) -> None:
    """Each of the six, in their order, beside the checks and the verification service."""
    asked = Asked(service=[WAIT, WAIT, YES], rollback=[OBJECTS])
    with asked.running():
        verify = {"checks": [asked.call("check")], **asked.service()}
        hooks = asked.hooks(*PLACES, "rollback")
        done = run(write(tmp_path, labels={"version": "2"}, verify=verify, hooks=hooks))
    assert done.returncode == PROMOTED, done.stdout + done.stderr
    # `rollback` is asked all the time while a step is watched.
    steps = ["rollout", "rollback", "rollout", "rollback"]
    begin = ["confirm-rollout", "pre-rollout", "check", "service"]
    assert asked.order() == [*begin, *steps, "confirm-promotion", "post-rollout"]
    # Who has agreed is not asked again; the service was, until it had an opinion.
    assert asked.count("service") == 3
    assert [asked.count(place) for place in PLACES] == [1, 1, 2, 1, 1]

    phases = {
        "confirm-rollout": "confirming",
        "pre-rollout": "verifying",
        "check": "verifying",
        "service": "verifying",
        "rollout": "settling",
        "rollback": "watching",
        "confirm-promotion": "confirming-promotion",
        "post-rollout": "promoting",
    }
    shares = {"rollout": {25, 50.5}, "rollback": {25, 50.5}, "confirm-promotion": {50.5}}
    for path, told in asked.told:
        constant = {name: told[name] for name in ("release", "rule", "stable", "canary", "labels")}
        assert constant == {
            "release": "shop-2",
            "rule": "checkout",
            "stable": "blue",
            "canary": "green",
            "labels": {"version": "2"},
        }
        assert told["phase"] == phases[path], path
        assert told["share"] in shares.get(path, {100} if path == "post-rollout" else {0}), path


@pytest.mark.parametrize(("place", "code"), [("confirm-rollout", REFUSED), ("pre-rollout", REFUSED)])
def test_a_hook_before_the_first_request_refuses(tmp_path: Path, place: str, code: int) -> None:
    """One that does not agree in its time; nobody is asked after it."""
    asked = Asked(**{place.replace("-", "_"): [OBJECTS]})
    with asked.running():
        hooks = {**asked.hooks(*PLACES), **asked.hooks(place, within="300ms")}
        done = run(write(tmp_path, verify=asked.service(), hooks=hooks))
    assert done.returncode == code, done.stdout + done.stderr
    assert f"{place}: POST" in done.stdout and "status 409" in done.stdout, done.stdout
    assert asked.order() == list(PLACES[: PLACES.index(place) + 1])
    assert "{name: green, weight: 0}" in (tmp_path / "rules.yaml").read_text()


@pytest.mark.parametrize("place", ["rollout", "confirm-promotion"])
def test_a_hook_that_fails_goes_back(tmp_path: Path, place: str) -> None:
    """After the canary has had requests, a hook that never agrees sends it back."""
    asked = Asked(**{place.replace("-", "_"): [OBJECTS]})
    with asked.running():
        hooks = {**asked.hooks(*PLACES), **asked.hooks(place, within="300ms")}
        done = run(write(tmp_path, hooks=hooks))
    assert done.returncode == ROLLED_BACK, done.stdout + done.stderr
    assert f"{place}: POST" in done.stdout and "status 409" in done.stdout, done.stdout
    steps = ["rollout"] if place == "rollout" else ["rollout", "confirm-promotion"]
    assert asked.order() == ["confirm-rollout", "pre-rollout", *steps, "post-rollout"]
    assert asked.told[-1][1]["phase"] == "rolling-back"
    assert "{name: green, weight: 0}" in (tmp_path / "rules.yaml").read_text()


def test_a_hook_that_asks_for_a_rollback_gets_it(tmp_path: Path) -> None:
    """`rollback` is the one place where agreeing means going back."""
    asked = Asked(rollback=[OBJECTS, OBJECTS, AGREES])
    with asked.running():
        steps = [{"weight": 25, "for": "10m"}]
        done = run(write(tmp_path, steps=steps, hooks=asked.hooks("rollback", "post-rollout")))
    assert done.returncode == ROLLED_BACK, done.stdout + done.stderr
    assert asked.order() == ["rollback", "post-rollout"]
    assert asked.count("rollback") == 3
    assert "a hook `rollback` asks for it" in done.stdout
    assert "{name: green, weight: 0}" in (tmp_path / "rules.yaml").read_text()


def test_a_hook_that_was_away_is_asked_again(tmp_path: Path) -> None:
    """503 is no answer, and neither is an answer of the service that makes no sense."""
    asked = Asked(
        confirm_rollout=[(503, {}), (500, {}), AGREES],
        service=[(500, {"verdict": "no"}), (200, {"verdict": "perhaps"}), (200, []), YES],
    )
    with asked.running():
        hooks = asked.hooks("confirm-rollout")
        done = run(write(tmp_path, verify=asked.service(), hooks=hooks))
    assert done.returncode == PROMOTED, done.stdout + done.stderr
    assert (asked.count("confirm-rollout"), asked.count("service")) == (3, 4)
    assert "accepted is a `verdict` of yes, no or wait" in done.stdout


@pytest.fixture
def silent() -> Iterator[str]:
    """A service that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/service"


def test_a_service_that_says_no_keeps_the_canary_without_a_request(shop: Rig) -> None:
    """It waits first, so that a runner that took waiting for yes would be found."""
    green = shop.shop.versions["green"]
    served = green.served
    asked = Asked(service=[WAIT, WAIT, NO])
    with asked.running():
        runner = shop.run(shop.plan(verify=asked.service()))
        assert runner.wait() == REFUSED, runner.text()
    assert "checkout is 30 % slower" in runner.text()
    assert asked.count("service") == 3
    assert green.served == served
    assert shop.weights() == {"blue": 100.0, "green": 0.0}
    assert shop.environment("green")["status"] == "failed"
    assert "checkout is 30 % slower" in shop.release()["why"]
    assert not shop.failures()


def test_a_silent_service_is_waited_for_until_its_deadline(shop: Rig, silent: str) -> None:
    """And what is not known is not taken for a yes."""
    green = shop.shop.versions["green"]
    served = green.served
    service = {"url": silent, "every": "50ms", "within": "1s"}
    runner = shop.run(shop.plan(verify={"service": service}))
    assert runner.wait() == REFUSED, runner.text()
    assert "no answer in time (after 1s)" in runner.text()
    assert green.served == served
    assert shop.environment("green")["status"] == "failed"
    assert not shop.failures()


def test_a_killed_runner_asks_again_and_the_service_decides(tmp_path: Path) -> None:
    """Being interrupted while the service is asked is neither a yes nor a no."""
    asked = Asked(service=[WAIT])
    with asked.running():
        plan = write(tmp_path, verify=asked.service())
        runner = subprocess.Popen([str(CLI), "release", "run", str(plan)])
        try:
            while asked.count("service") < 2:
                assert runner.poll() is None
                time.sleep(0.01)
        finally:
            runner.kill()
            runner.wait()
        asked.answers["/service"] = [NO]
        done = run(plan)
    assert done.returncode == REFUSED, done.stdout + done.stderr
    assert "{name: green, weight: 0}" in (tmp_path / "rules.yaml").read_text()
