"""What the tests share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

# The real Envoy and the real Prometheus are started as other tests start them.
for folder in ("envoy", "observability"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))

from gateway import ENVOY, WASM  # noqa: E402
from rig import CLI, Rig, rig  # noqa: E402


def pytest_configure() -> None:
    """Ends the tests in good order when they are asked to, so that nothing is left behind."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Says what is missing before any test does."""
    for path, target in ((WASM, "make wasm"), (ENVOY, "make test-python"), (CLI, "make test-python")):
        if not path.exists():
            pytest.exit(f"{path} is missing: `{target}` makes it", returncode=1)


@pytest.fixture(scope="session")
def running() -> Iterator[Rig]:
    """A gateway under load, for all tests."""
    with rig() as running:
        yield running


@pytest.fixture
def shop(running: Rig, tmp_path: Path) -> Rig:
    """The same, as before a first release."""
    running.settle(tmp_path)
    return running
