"""Releases through a real Envoy under load, watched by a real Prometheus.

Whatever becomes of a release, no request fails but those that the canary itself fails.
"""

from __future__ import annotations

import json

from rig import RULE, Rig

PROMOTED, ROLLED_BACK, WAITING, REFUSED = 0, 3, 4, 5


def events(release: dict) -> list[str]:
    """What has happened to a release."""
    return [entry["event"] for entry in release["history"]]


def test_a_good_canary_is_promoted(shop: Rig) -> None:
    plan = shop.plan()
    report = shop.directory / "report.html"
    runner = shop.run(plan, "--report", str(report))
    assert runner.wait() == PROMOTED, runner.text()
    assert shop.weights() == {"blue": 0.0, "green": 100.0}
    text = shop.envoy.file.read_text()
    assert text.startswith("# The rule of the shop.") and text.endswith("# The end.\n")
    release = shop.release()
    assert events(release) == [
        *("begun", "confirmed", "verified", "settled", "next-step", "settled"),
        *("steps-done", "confirmed", "finished"),
    ]
    assert [e["share"] for e in release["history"]] == [0, 0, 2000, 2000, 5000, 5000, 5000, 10000, 10000]
    assert shop.environment("green")["status"] == "active"
    assert shop.environment("green")["labels"] == {"version": "2"}
    assert shop.environment("blue")["status"] == "idle"
    assert not shop.failures()
    # Whoever runs it once more is told what has become of it.
    assert shop.run(plan).wait() == PROMOTED
    assert shop.release()["revision"] == release["revision"]
    assert "<svg" in report.read_text() and "promoted" in report.read_text()
    history = json.loads(shop.ask("release", "history", str(plan), "--output", "json").stdout)
    assert [release["phase"] for release in history["releases"]] == ["promoted"]


def test_a_canary_with_five_per_cent_errors_is_rolled_back(shop: Rig) -> None:
    shop.shop.versions["green"].failing = 50
    analysis = shop.analysis(errors={"margin": 1})
    runner = shop.run(shop.plan(analysis=analysis, steps=[{"weight": 20, "for": "60s"}]))
    assert runner.wait() == ROLLED_BACK, runner.text()
    assert shop.weights() == {"blue": 100.0, "green": 0.0}
    release = shop.release()
    assert "worse" in events(release)
    assert shop.environment("green")["status"] == "failed"
    assert shop.environment("blue")["status"] == "active"
    # Nothing failed but what the canary failed; it never had more than its step.
    assert shop.failures().keys() <= {"500"}
    assert max(entry["share"] for entry in release["history"]) == 2000
    assert "rolled-back" in shop.ask("release", "report", str(shop.directory / "shop-2.yaml")).stdout


def test_a_slow_canary_is_rolled_back(shop: Rig) -> None:
    shop.shop.versions["green"].delay = 0.4
    analysis = shop.analysis(slow={"over": "250ms", "margin": 5})
    runner = shop.run(shop.plan(analysis=analysis, steps=[{"weight": 20, "for": "60s"}]))
    assert runner.wait() == ROLLED_BACK, runner.text()
    assert shop.weights() == {"blue": 100.0, "green": 0.0}
    assert not shop.failures()


def test_a_bound_that_the_histogram_does_not_have_is_told(shop: Rig) -> None:
    plan = shop.plan(analysis=shop.analysis(slow={"over": "251ms", "margin": 5}))
    runner = shop.run(plan)
    assert runner.wait() == REFUSED, runner.text()
    assert "accepted is one of its bounds" in runner.text()
    assert shop.weights() == {"blue": 100.0, "green": 0.0}


def test_a_canary_that_fails_verification_never_gets_a_request(shop: Rig) -> None:
    green = shop.shop.versions["green"]
    green.healthy = False
    served = green.served
    runner = shop.run(shop.plan())
    assert runner.wait() == REFUSED, runner.text()
    assert "status 503" in runner.text()
    assert green.served == served
    assert shop.environment("green")["status"] == "failed"
    assert not shop.failures()


def test_blue_green_and_back(shop: Rig) -> None:
    there = shop.plan(steps=None, blue_green={"for": "1s"})
    runner = shop.run(there)
    assert runner.wait() == PROMOTED, runner.text()
    assert shop.weights() == {"blue": 0.0, "green": 100.0}
    back = shop.plan("shop-3", steps=None, blue_green={"for": "1s"}, stable="green", canary="blue")
    runner = shop.run(back)
    assert runner.wait() == PROMOTED, runner.text()
    assert shop.weights() == {"blue": 100.0, "green": 0.0}
    # The labels tell what runs there.
    assert shop.environment("blue")["status"] == "active"
    assert not shop.failures()


def test_someone_approves(shop: Rig) -> None:
    steps = [{"weight": 20, "for": "1s"}, {"pause": "approval"}, {"weight": 50, "for": "1s"}]
    plan = shop.plan(steps=steps)
    early = shop.ask("release", "approve", str(plan))
    assert early.returncode == 2, early.stderr
    assert shop.run(plan, "--exit-at-approval").wait() == WAITING
    assert shop.run(plan, "--exit-at-approval").wait() == WAITING
    assert shop.weights() == {"blue": 80.0, "green": 20.0}
    status = shop.ask("release", "status", str(plan))
    assert "approve" in status.stdout, status.stdout
    assert shop.ask("release", "approve", str(plan)).returncode == 0
    runner = shop.run(plan, "--exit-at-approval")
    assert runner.wait() == PROMOTED, runner.text()


def test_people_pause_abort_and_promote(shop: Rig) -> None:
    steps = [{"weight": 20, "for": "1s"}]
    paused = shop.plan(steps=steps)
    runner = shop.run(paused)
    shop.wait_for(lambda: shop.release()["phase"], "a record")
    assert shop.ask("release", "pause", str(paused)).returncode == 0
    shop.wait_for(lambda: shop.release()["watch"]["watched"] > 3_000, "more than the step's time")
    assert shop.release()["phase"] == "watching" and shop.release()["paused"]
    assert shop.ask("release", "abort", str(paused)).returncode == 0
    assert runner.wait() == ROLLED_BACK, runner.text()
    assert shop.weights() == {"blue": 100.0, "green": 0.0}
    assert shop.ask("release", "resume", str(paused)).returncode == REFUSED

    promoted = shop.plan("shop-3", steps=[{"weight": 20, "for": "10m"}])
    runner = shop.run(promoted, "--output", "json")
    shop.wait_for(lambda: shop.release("shop-3")["phase"] == "watching", "the first step")
    assert shop.ask("release", "promote", str(promoted)).returncode == 0
    assert runner.wait() == PROMOTED, runner.text()
    assert shop.weights() == {"blue": 0.0, "green": 100.0}
    lines = [json.loads(line) for line in runner.text().splitlines()]
    assert "promoted-by-hand" in [line.get("event") for line in lines]
    assert lines[-1]["phase"] == "promoted"
    assert not shop.failures()


def test_hooks_are_called_where_flagger_calls_them(shop: Rig) -> None:
    log = shop.directory / "hooks"
    places = ["confirm-rollout", "pre-rollout", "rollout", "confirm-promotion", "post-rollout"]
    note = f'echo "$TSE_ROUTE_PLACE $TSE_ROUTE_CANARY" >> {log}'
    hooks = {place: [{"command": note}] for place in places}
    hooks["rollback"] = [{"command": "false"}]
    runner = shop.run(shop.plan(hooks=hooks, steps=[{"weight": 50, "for": "1s"}]))
    assert runner.wait() == PROMOTED, runner.text()
    assert log.read_text().splitlines() == [f"{place} green" for place in places]

    shop.settle(shop.directory)
    hooks = {"rollback": [{"command": "true"}]}
    runner = shop.run(shop.plan("shop-3", hooks=hooks))
    assert runner.wait() == ROLLED_BACK, runner.text()
    assert "hook" in shop.release("shop-3")["why"]


def test_a_plan_is_foreseen(shop: Rig) -> None:
    plan = shop.plan()
    told = shop.ask("release", "plan", str(plan), "--rps", "200", "--output", "json")
    rows = {row["more_errors"]: row for row in json.loads(told.stdout)["damages"]}
    assert rows[0.0]["promoted"] > 0.9 and rows[0.2]["rolled_back"] > 0.9
    assert rows[0.2]["median_requests_hurt"] < 200 * 60 * 0.2
    assert RULE in shop.ask("release", "plan", str(plan)).stdout
