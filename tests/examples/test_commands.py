"""Every command of `tse-route` in the README and in the book does what the page says.

The commands are in `console` blocks; a line of an output that is `…` stands for any lines. A command
ends with 0 unless `$ echo $?` after it shows another code. The commands run in a directory with the
examples. A file that a page shows, after a line that ends in its name and a colon, is either one of the
examples, and then they are the same, or it is there too.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import documents

PAGES = [page for page in documents.markdown() if page.parent.name != "benches"]
CLI = documents.ROOT / "target" / "debug" / "tse-route"
BLOCKS = [
    (page, place, body)
    for page in PAGES
    for place, language, body in documents.blocks(page)
    if language == "console" and "tse-route" in body
]
SHOWN = [
    (page, name, text)
    for page in PAGES
    for name, text in re.findall(r"`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", page.read_text(), re.M | re.S)
]


def steps(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with the output that it shows."""
    found = re.findall(r"^\$ (.*(?:\\\n.*)*)\n((?:(?!\$ ).*\n)*)", block, re.M)
    return [(command, output.rstrip("\n")) for command, output in found]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """A directory for each page, with its files."""
    if not CLI.exists():
        pytest.fail(f"{CLI} is missing: `cargo build --package tse-route-cli` makes it")

    @cache
    def make(page: Path) -> Path:
        directory = tmp_path_factory.mktemp(page.stem)
        for name in ("examples", "kong"):
            (directory / name).symlink_to(documents.ROOT / name)
        for shown_on, name, text in SHOWN:
            if shown_on == page and not (documents.ROOT / name).exists():
                (directory / name).write_text(text)
        return directory

    return make


def test_files_are_shown_as_they_are() -> None:
    shipped = [(page, name, text) for page, name, text in SHOWN if (documents.ROOT / name).exists()]
    assert shipped
    for page, name, text in shipped:
        assert (documents.ROOT / name).read_text() == text, f"{page}: {name}"


@pytest.mark.parametrize(
    ("page", "block"),
    [(page, block) for page, _, block in BLOCKS],
    ids=[place for _, place, _ in BLOCKS],
)
def test_the_block_runs_as_shown(page: Path, block: str, scratch: Callable[[Path], Path]) -> None:
    # The blocks of a page run in its order and may use each other's files.
    environment = {**os.environ, "PATH": f"{CLI.parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    found = steps(block)
    assert found
    code = 0
    for (command, output), following in zip(found, [*found[1:], ("", "")]):
        script = f"set -o pipefail; (exit {code}); {command}"
        result = subprocess.run(
            ["bash", "-c", script],
            cwd=scratch(page),
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
    commands = ["check", "explain", "simulate", "import", "release", "weights"]
    commands += ["schema", "completions", "man"]
    pattern = re.compile(rf"\btse-route ({'|'.join(commands)})\b")
    for page in PAGES:
        for place, language, body in documents.blocks(page):
            assert language == "console" or not pattern.findall(body), place
    run = {name for _, _, body in BLOCKS for command, _ in steps(body) for name in pattern.findall(command)}
    assert run == set(commands)
