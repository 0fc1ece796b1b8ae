"""kong/test.sh passes against an Envoy with the rules of kong/kong.yml."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import envoy_as_kong

SCRIPT = envoy_as_kong.ROOT / "kong" / "test.sh"
SOAK = envoy_as_kong.ROOT / "kong" / "soak.sh"


def run_script(url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPT), url],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=180,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def url():
    assert envoy_as_kong.WASM.exists(), "run `make wasm` first"
    with envoy_as_kong.running() as address:
        yield address


def test_all_cases_pass(url: str) -> None:
    result = run_script(url)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^1\d\d passed, 0 failed$", result.stdout, re.MULTILINE), result.stdout


def test_a_wrong_rule_is_noticed(tmp_path: Path) -> None:
    """The script can fail: with one upstream changed it names the cases and exits with 1."""
    wrong = tmp_path / "kong.yml"
    right = envoy_as_kong.KONG.read_text()
    changed = right.replace("condition: {method: DELETE}", "condition: {method: PURGE}")
    assert changed != right
    wrong.write_text(changed)
    with envoy_as_kong.running(wrong) as address:
        result = run_script(address, REQUESTS="300")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "FAIL  method: DELETE" in result.stdout
    assert result.stdout.rstrip().endswith(", 1 failed")


def test_no_gateway_is_told() -> None:
    result = run_script(f"http://127.0.0.1:{envoy_as_kong.free_port()}")
    assert result.returncode == 2
    assert "no answer" in result.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", [SCRIPT, SOAK], ids=lambda path: path.name)
def test_shellcheck_is_content(script: Path) -> None:
    result = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
