"""The demo shows what happens, and says what does not work."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import demo
import gateway
import pytest
from test_check import trapping_filter

DEMO = Path(demo.__file__)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the demo as `make` does."""
    return subprocess.run(
        [sys.executable, str(DEMO), *arguments], capture_output=True, text=True, timeout=120
    )


def test_everything_is_as_expected() -> None:
    """The table has all scenarios, no colour in a pipe, and only good news."""
    shown = run()
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "WRONG" not in shown.stdout and "\x1b" not in shown.stdout
    rows = [line for line in shown.stdout.splitlines() if line.endswith("  ok")]
    headers = [line for line in rows if line.split()[0] in ("request", "upstream")]
    assert len(headers) == len(demo.SCENARIOS) + 1
    tries = sum(len(tries) for _, _, tries in demo.SCENARIOS)
    assert len(rows) - len(headers) == tries + 3
    assert shown.stdout.rstrip().endswith("All as expected.")


def test_a_mismatch_is_shown_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that expects something else says where it is wrong."""
    _, title, tries = demo.SCENARIOS[0]
    wrong = [demo.stays("version: 1", headers=[("version", "1")]), tries[1]]
    monkeypatch.setattr(demo, "SCENARIOS", [("header", title, wrong)])
    assert demo.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0:2] for line in lines if line.endswith("WRONG")] == [["version:", "1"]]
    assert lines[-1] == "Not as expected."


@pytest.mark.parametrize(
    ("weights", "right"),
    [({demo.DEMO1: 21.4, demo.NGINX: 78.6}, True), ({demo.DEMO1: 23, demo.NGINX: 77}, False)],
)
def test_a_split_that_is_off_fails(
    weights: dict[str, float], right: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A deviation beyond what chance allows is wrong."""
    counts = demo.Counter({demo.DEMO1: 2_000, demo.NGINX: 8_000})
    assert demo.show_weights("split", weights, lambda: counts) is right
    assert ("WRONG" in capsys.readouterr().out) is not right


def test_a_missing_filter_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the command that makes it."""
    monkeypatch.setattr(gateway, "WASM", tmp_path / "tse-route.wasm")
    assert demo.main([]) == 1
    assert "tse-route.wasm is missing: `make wasm` makes it" in capsys.readouterr().err


def test_a_port_in_use_is_named() -> None:
    """Before Envoy is started, which would share the port with another Envoy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run("--keep", "--port", str(port))
    assert refused.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in refused.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_keep(number: signal.Signals, status: int) -> None:
    """It serves until it is told to end, and takes Envoy with it."""
    reserved = gateway.Reservations()
    port = reserved.port()
    reserved.close()
    process = subprocess.Popen(
        [sys.executable, str(DEMO), "--keep", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        shown = ""
        while "Ctrl-C" not in shown:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            shown += line
        urls = re.findall(rf"curl -i '?(http://127\.0\.0\.1:{port}/\S*?)'?\s", shown)
        assert len(urls) >= 3, shown
        for url in urls:
            with urllib.request.urlopen(url, timeout=10) as response:
                assert response.status == 200
                assert response.headers["x-kong-route-rule"] in ("10", "21")
        process.send_signal(number)
        assert process.wait(20) == status
        assert not demo.is_in_use(port)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def test_a_trap_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """However the answers look."""
    path = tmp_path / "trap.wasm"
    path.write_bytes(trapping_filter())
    whole = demo.bootstrap()
    for listener in whole["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        for config in (f["typed_config"].get("config") for f in manager["http_filters"]):
            if config is not None:
                config["vm_config"]["code"]["local"]["filename"] = str(path)
    monkeypatch.setattr(demo, "bootstrap", lambda: whole)
    assert demo.main([]) == 1
    shown = capsys.readouterr()
    assert "status 503" in shown.out and "All as expected" not in shown.out
    assert shown.err.startswith("error: ")
