"""What the tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from upstreams import Echo


@pytest.fixture(scope="session")
def echo() -> Iterator[Echo]:
    """Upstreams that show what they received."""
    with Echo(["own", "canary", "evil"]) as echo:
        yield echo
