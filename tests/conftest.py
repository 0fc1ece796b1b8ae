"""What all tests share."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import pytest
from gateway import ENVOY, WASM


def pytest_configure() -> None:
    """Ends the tests in good order when they are asked to, so that no Envoy is left behind."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


@pytest.fixture(scope="session", autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    """Says what is missing before any test does; the tests of the documentation need nothing."""
    if all("examples" in item.path.parts for item in request.session.items):
        return
    for path, target in ((WASM, "make wasm"), (ENVOY, "make test-python")):
        if not path.exists():
            pytest.exit(f"{path} is missing: `{target}` makes it", returncode=1)
