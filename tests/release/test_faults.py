"""What goes wrong while a release goes on: killed runners, absent parts, other people."""

from __future__ import annotations

import time

from rig import Rig, Runner
from test_release import PROMOTED, REFUSED, ROLLED_BACK, events


def run_killed(shop: Rig, name: str) -> tuple[int, int]:
    """Runs a release whose runner is killed at every change of its state; the kills, the exit code."""
    plan = shop.directory / f"{name}.yaml"
    kills = 0
    seen = set()

    def state() -> tuple:
        release = shop.release(name)
        return release["phase"], release.get("step"), str(release.get("doing"))

    runner = shop.run(plan)
    try:
        while runner.process.poll() is None:
            now = state()
            if now not in seen and now[0] is not None:
                seen.add(now)
                runner.kill()
                kills += 1
                runner = shop.run(plan)
            time.sleep(0.001)
        return kills, runner.process.returncode
    finally:
        if runner.process.poll() is None:
            runner.kill()


def test_killed_at_every_transition_it_is_promoted_all_the_same(shop: Rig) -> None:
    shop.plan()
    kills, code = run_killed(shop, "shop-2")
    assert code == PROMOTED and kills >= 6, kills
    assert shop.weights() == {"blue": 0.0, "green": 100.0}
    assert shop.release()["doing"] is None
    assert not shop.failures()


def test_killed_at_every_transition_it_is_rolled_back_all_the_same(shop: Rig) -> None:
    shop.shop.versions["green"].failing = 300
    shop.plan(steps=[{"weight": 20, "for": "60s"}])
    kills, code = run_killed(shop, "shop-2")
    assert code == ROLLED_BACK and kills >= 5, kills
    assert shop.weights() == {"blue": 100.0, "green": 0.0}
    assert "worse" in events(shop.release())
    assert shop.failures().keys() <= {"500"}


def test_a_second_runner_is_told_who_has_it(shop: Rig) -> None:
    plan = shop.plan(steps=[{"weight": 20, "for": "10m"}])
    first = shop.run(plan)
    shop.wait_for(lambda: shop.release()["phase"] == "watching", "the first step")
    # Of another release of the same rule, too.
    for name in ("shop-2", "shop-3"):
        log = shop.directory / f"second-{name}.log"
        second = Runner([str(shop.plan(name, steps=[{"weight": 20, "for": "10m"}]))], log)
        assert second.wait() == REFUSED, second.text()
        assert f"process {first.process.pid}" in second.text(), second.text()
    first.process.terminate()
    assert first.wait() == REFUSED
    # It is left where it is; the next one goes on at once.
    assert shop.weights() == {"blue": 80.0, "green": 20.0}
    other = shop.run(shop.directory / "shop-3.yaml")
    assert other.wait() == REFUSED and "not at its end" in other.text()
    assert shop.ask("release", "abort", str(plan)).returncode == 0
    assert shop.run(plan).wait() == ROLLED_BACK
    assert not shop.failures()


def test_without_prometheus_it_holds(shop: Rig) -> None:
    plan = shop.plan(steps=[{"weight": 20, "for": "8s"}])
    runner = shop.run(plan)
    shop.wait_for(lambda: shop.release()["phase"] == "watching", "the first step")
    shop.prometheus.pause()
    # A query is given up after 10 s, which is longer than the step.
    shop.wait_for(lambda: "no answer in time" in runner.text(), "a word about it")
    release = shop.release()
    assert release["phase"] == "watching" and release["watch"]["watched"] < 8_000
    shop.prometheus.go_on()
    assert runner.wait() == PROMOTED, runner.text()
    assert not shop.failures()


def test_a_gateway_that_is_gone_is_waited_for(shop: Rig) -> None:
    away = shop.envoy.file.with_name("away.yaml")
    runner = shop.run(shop.plan(steps=[{"weight": 20, "for": "10m"}]))
    shop.wait_for(lambda: shop.release()["phase"] == "watching", "the first step")
    shop.envoy.file.rename(away)
    shop.shop.versions["green"].failing = 300
    shop.wait_for(lambda: "No such file" in runner.text(), "a word about it")
    away.rename(shop.envoy.file)
    assert runner.wait() == ROLLED_BACK, runner.text()
    assert shop.weights() == {"blue": 100.0, "green": 0.0}


def test_weights_that_someone_else_sets_stop_it(shop: Rig) -> None:
    runner = shop.run(shop.plan(steps=[{"weight": 20, "for": "10m"}]))
    shop.wait_for(lambda: shop.release()["phase"] == "watching", "the first step")
    changed = shop.ask("weights", str(shop.envoy.file), "checkout", "blue=60", "green=40")
    assert changed.returncode == 0, changed.stderr
    assert runner.wait() == REFUSED, runner.text()
    assert "found blue 60, green 40; the release had set blue 80, green 20" in runner.text()
    assert shop.weights() == {"blue": 60.0, "green": 40.0}
    assert shop.release()["phase"] == "stopped"
    assert not shop.failures()


def test_a_canary_that_has_traffic_already_is_refused(shop: Rig) -> None:
    shop.ask("weights", str(shop.envoy.file), "checkout", "blue=90", "green=10")
    runner = shop.run(shop.plan())
    assert runner.wait() == REFUSED, runner.text()
    assert "a canary without any weight yet" in runner.text()


def test_a_plan_that_was_changed_is_refused(shop: Rig) -> None:
    plan = shop.plan(steps=[{"weight": 20, "for": "10m"}])
    runner = shop.run(plan)
    shop.wait_for(lambda: shop.release()["phase"] == "watching", "the first step")
    runner.kill()
    text = plan.read_text()
    plan.write_text(text.replace("weight: 20", "weight: 90"))
    changed = shop.run(plan)
    assert changed.wait() == REFUSED and "the plan was changed" in changed.text()
    plan.write_text(text)
    assert shop.ask("release", "abort", str(plan)).returncode == 0
    assert shop.run(plan).wait() == ROLLED_BACK
