"""What the tests share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from types import FrameType

import pytest
from gateway import ENVOY, WASM
from upstreams import Echo


def pytest_configure() -> None:
    """Ends the tests in good order when they are asked to, so that no Envoy is left behind."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Says what is missing before any test does."""
    for path, target in ((WASM, "make wasm"), (ENVOY, "make test-envoy")):
        if not path.exists():
            pytest.exit(f"{path} is missing: `{target}` makes it", returncode=1)


@pytest.fixture(scope="session")
def echo() -> Iterator[Echo]:
    """Upstreams that show what they received."""
    with Echo(["own", "canary", "evil"]) as echo:
        yield echo
