"""Every command of `tse-route` on the page does what the page says.

The commands are in `console` blocks; a line of an output that is `…` stands for any lines. A command
ends with 0 unless `$ echo $?` after it shows another code. Files that the page shows, after a line that
ends in their name and a colon, are there, and so are the examples.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import documents

README = documents.ROOT / "README.md"
CLI = documents.ROOT / "target" / "debug" / "tse-route"
BLOCKS = [
    (place, body)
    for place, language, body in documents.blocks(README)
    if language == "console" and "tse-route" in body
]


def steps(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with the output that it shows."""
    found = re.findall(r"^\$ (.*(?:\\\n.*)*)\n((?:(?!\$ ).*\n)*)", block, re.M)
    return [(command, output.rstrip("\n")) for command, output in found]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files of the page and the program."""
    if not CLI.exists():
        pytest.fail(f"{CLI} is missing: `cargo build --package tse-route-cli` makes it")
    directory = tmp_path_factory.mktemp("page")
    shown = re.findall(r"`([\w.-]+)`:\n\n```\w+\n(.*?)^```$", README.read_text(), re.M | re.S)
    for name, text in shown:
        (directory / name).write_text(text)
    for name in ("examples", "kong"):
        (directory / name).symlink_to(documents.ROOT / name)
    return directory


@pytest.mark.parametrize("block", [block for _, block in BLOCKS], ids=[place for place, _ in BLOCKS])
def test_the_block_runs_as_shown(block: str, scratch: Path) -> None:
    # The blocks stand in the order of the page and may use each other's files.
    environment = {**os.environ, "PATH": f"{CLI.parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    found = steps(block)
    assert found
    code = 0
    for (command, output), following in zip(found, [*found[1:], ("", "")]):
        script = f"set -o pipefail; (exit {code}); {command}"
        result = subprocess.run(
            ["bash", "-c", script],
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        code = result.returncode
        expected = int(following[1]) if following[0] == "echo $?" else 0
        assert code == expected, f"{command}: {result.stdout}"
        lines = [".*" if line.strip() == "…" else re.escape(line) for line in output.split("\n")]
        assert re.fullmatch("\n".join(lines), result.stdout.rstrip("\n"), re.S), (
            f"{command}\n{result.stdout}"
        )


def test_every_command_is_run() -> None:
    """Commands stand where they are run, and each has an example."""
    commands = ["check", "explain", "simulate", "import", "schema", "completions", "man"]
    pattern = re.compile(rf"\btse-route ({'|'.join(commands)})\b")
    everywhere = "".join(body for _, language, body in documents.blocks(README) if language != "console")
    assert not pattern.findall(everywhere)
    run = {name for _, body in BLOCKS for command, _ in steps(body) for name in pattern.findall(command)}
    assert run == set(commands)
