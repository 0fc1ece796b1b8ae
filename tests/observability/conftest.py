"""What the tests share."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

import pytest

# The real Envoy is started as the tests of the filter in Envoy start it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "envoy"))

from gateway import ENVOY, WASM  # noqa: E402


def pytest_configure() -> None:
    """Ends the tests in good order when they are asked to, so that nothing is left behind."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Says what is missing before any test does."""
    for path, target in ((WASM, "make wasm"), (ENVOY, "make test-python")):
        if not path.exists():
            pytest.exit(f"{path} is missing: `{target}` makes it", returncode=1)
